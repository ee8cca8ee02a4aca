"""Recordings, decoded and labelled, with what is trained on and what is held out."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from wavenet.audio.quantization import from_pcm16
from wavenet.config import Config
from wavenet.data import labels
from wavenet.data.given_frames import FramesFile, attach, source_of
from wavenet.data.pcm_cache import Index
from wavenet.data.split import Span, Split, split
from wavenet.errors import CorpusError
from wavenet.glossary import Wav
from wavenet.model.conditioning.front_end import Source
from wavenet.model.distributions.base import Distribution
from wavenet.model.distributions.registry import distribution_for
from wavenet.model.known_labels import labels_line


@dataclass(frozen=True, kw_only=True)
class Corpus(Split):
    """Indexed recordings, split into spans. Made by `Corpus.open`."""

    index: Index
    # With the labels that the network knows.
    config: Config
    # The number of each recording's label among the network's; {} for one without labels.
    label_ids: dict[str, int]
    # Mel frames that another program made, by the recording's name; {} when they are computed.
    frames: Mapping[str, FramesFile] = field(default_factory=dict)

    @classmethod
    def open(cls, index: Index, config: Config) -> "Corpus":
        """Label and split the recordings of a folder.

        When the config wants labels and knows none yet, they become those that the recordings have.
        Raises CorpusError for recordings that cannot be labelled or trained on.
        """
        frames: dict[str, FramesFile] = {}
        if config.train.frames_from:
            index, frames = attach(index, config, Path(config.train.frames_from))
        by_name: dict[str, str] = {}
        if config.model.label_channels:
            names = [recording.name for recording in index.recordings]
            by_name = labels.read(
                names, index.folder, config.train.label_from, config.train.label_depth
            )
        known = config.model.labels or tuple(sorted(set(by_name.values())))
        config = replace(config, model=replace(config.model, labels=known))
        label_ids = labels.label_ids(by_name, index.folder, known)
        subject = index.selection.subject
        parts = split(index.recordings, config.train, index.sample_rate, label_ids, subject)
        untrained = set(label_ids.values()) - {span.label for span in parts.training}
        if untrained:
            line = labels_line([known[i] for i in sorted(untrained)])
            reason = f"validation leaves nothing to train on of {line}"
            raise CorpusError(subject, reason, "give it longer recordings, or more of them")
        return cls(index=index, config=config, label_ids=label_ids, frames=frames, **vars(parts))

    @cached_property
    def distribution(self) -> Distribution:
        return distribution_for(self.config.model)

    @cached_property
    def fingerprint(self) -> str:
        """Another whenever a recording is added, removed, changed, relabelled or decoded anew."""
        names, label_ids = self.config.model.labels, self.label_ids
        content = sorted(
            (
                *(r.sha256, r.samples),
                *([names[label_ids[r.name]]] if label_ids else []),
                *([self.frames[r.name].sha256] if self.frames else []),
            )
            for r in self.index.recordings
        )
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]

    @property
    def contents(self) -> dict[str, str]:
        """Every recording's name and SHA-256."""
        return {r.name: r.sha256 for r in self.index.recordings}

    @property
    def frames_contents(self) -> dict[str, str]:
        """SHA-256 of every recording's mel frames, where another program made them."""
        return {name: file.sha256 for name, file in self.frames.items()}

    @property
    def labels(self) -> dict[str, str]:
        """Every recording's label, where the network is conditioned on any."""
        return {name: self.config.model.labels[i] for name, i in self.label_ids.items()}

    def source(self, span: Span) -> Source:
        """What front ends read of a span's recording."""
        return source_of(self.index, span, self.frames)

    def wav(self, span: Span) -> Wav:
        """A span's audio, at its level in the cache."""
        return from_pcm16(self.index.pcm(span.recording)[span.start : span.stop])
