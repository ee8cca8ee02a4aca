"""Recordings, decoded and labelled, with what is trained on and what is held out."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

from wavenet.audio.quantization import from_pcm16
from wavenet.config import Config
from wavenet.data import given_features, labels, tracks
from wavenet.data.pcm_cache import Index
from wavenet.data.split import Span, Split, split
from wavenet.data.tracks import Statistics, Tracks, attach, contents_of, source_of
from wavenet.errors import CorpusError
from wavenet.glossary import Array, Wav
from wavenet.model.conditioning.front_end import Source
from wavenet.model.distributions.base import Distribution
from wavenet.model.distributions.registry import distribution_for
from wavenet.model.known_labels import labels_line
from wavenet.model.target import target_of


@dataclass(frozen=True, kw_only=True)
class Corpus(Split):
    """Indexed recordings, split into spans. Made by `Corpus.open`."""

    index: Index
    # With what is found in the recordings, such as the labels that the network knows.
    config: Config
    # The number of each recording's label among the network's; {} for one without labels.
    label_ids: dict[str, int]
    # What the network follows that is not computed from the audio where it is used.
    tracks: Tracks = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        index: Index,
        config: Config,
        on_pitch: Callable[[int, int], object] = lambda done, total: None,
    ) -> "Corpus":
        """Label and split the recordings of a folder.

        When the config wants labels and knows none yet, they become those that the recordings have.
        `on_pitch(done, total)` reports progress where pitch is extracted. Raises CorpusError for
        recordings that cannot be labelled or trained on.
        """
        frames_from = config.train.frames_from
        index, config, attached = attach(index, config, frames_from, on_pitch)
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
        return cls(index=index, config=config, label_ids=label_ids, tracks=attached, **vars(parts))

    @cached_property
    def distribution(self) -> Distribution:
        return distribution_for(self.config.model)

    @cached_property
    def fingerprint(self) -> str:
        """Another whenever a recording is added, removed, changed, relabelled or decoded anew."""
        names, label_ids = self.config.model.labels, self.label_ids
        beside = self.contents_beside.values()
        content = sorted(
            (
                *(r.sha256, r.samples),
                *([names[label_ids[r.name]]] if label_ids else []),
                *(of_kind[r.name] for of_kind in beside),
            )
            for r in self.index.recordings
        )
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]

    @property
    def contents(self) -> dict[str, str]:
        """Every recording's name and SHA-256."""
        return {r.name: r.sha256 for r in self.index.recordings}

    @property
    def contents_beside(self) -> dict[str, dict[str, str]]:
        """SHA-256 of what other programs made of every recording: see `tracks.contents_of`."""
        return contents_of(self.tracks)

    @property
    def labels(self) -> dict[str, str]:
        """Every recording's label, where the network is conditioned on any."""
        return {name: self.config.model.labels[i] for name, i in self.label_ids.items()}

    def features_statistics(self) -> tuple[Array, Array]:
        """Mean and standard deviation of every feature to train on, each float32 (width,)."""
        return given_features.statistics(
            self.training, self.tracks["features"], self.config.model.frame_hop
        )

    def statistics(self) -> Statistics:
        """What the frames to train on are like."""
        return tracks.statistics(self.index, self.config, self.training, self.tracks)

    def source(self, span: Span) -> Source:
        """What front ends read of a span's recording."""
        return source_of(self.index, span, self.tracks)

    def wav(self, span: Span) -> Wav:
        """A span's audio, at its level in the cache."""
        return from_pcm16(self.source(span).pcm[span.start : span.stop])

    def target(self, span: Span) -> Wav:
        """What is predicted of a span: its audio or, with linear prediction, its excitation."""
        model, rate = self.config.model, self.index.sample_rate
        return target_of(model, rate, self.source(span), span.start, span.stop)
