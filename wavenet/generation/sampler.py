"""Streams of new audio: noise -> engine -> blocks of audio.

Random numbers are an input of the engines. They come from a counter-based generator keyed by (seed,
stream, time), so the same seed gives the same audio for any block size and any batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wavenet.engines import Engine, create_engine
from wavenet.engines.conditioning import Projection
from wavenet.engines.options import EngineOptions
from wavenet.errors import EngineError
from wavenet.generation.mel_input import MelInput
from wavenet.generation.noise import noise_for
from wavenet.generation.prompt import Prompt
from wavenet.glossary import Array, Wav
from wavenet.model.checkpoint import Checkpoint
from wavenet.model.conditioning.carriers import Conditioning
from wavenet.model.distributions.base import Sampling
from wavenet.model.distributions.registry import distribution_for
from wavenet.model.known_labels import choose, labels_line

# How often progress shows and Ctrl-C is noticed.
BLOCK_SAMPLES = 2048


@dataclass(frozen=True)
class _Stream:
    """What sets one stream apart: its noise, its level, and a value for each front end."""

    noise: int
    gain: float
    values: dict[str, Any]


class Sampler:
    """Streams of audio from one model: iterate `blocks`.

    Stream i of a seed is the same audio whatever its companions. A model that knows labels has one
    for each stream: those in `labels` in turn, or all that it knows. One that follows mel frames
    makes a stream for each of `mel_inputs`, all with the noise of stream 0, so that a recording
    sounds the same alone and among others; if it knows labels too, they must be given.

    Raises EngineError for what the model or the engine cannot do.
    """

    def __init__(
        self,
        model: Checkpoint,
        *,
        seed: int,
        count: int = 1,
        sampling: Sampling | None = None,
        engine: str | Engine = "auto",
        options: EngineOptions | None = None,
        prompt: Prompt | None = None,
        labels: Sequence[str] = (),
        mel_inputs: Sequence[MelInput] = (),
    ) -> None:
        if not 0 <= seed < 2**64:
            raise EngineError(f"seed {seed}: must be 0 to 2^64 - 1")
        if not 1 <= count <= 10_000:
            raise EngineError(f"count {count}: must be 1 to 10000")
        config = model.config.model
        if mel_inputs and config.labels and not labels:
            raise EngineError(
                f"this model knows labels: choose one, --label {labels_line(config.labels)}"
            )
        self.seed, self.count, self.sampling = (
            seed,
            len(mel_inputs) or count,
            sampling or Sampling(),
        )
        self.labels = stream_labels(config.labels, labels, self.count)
        self.distribution = distribution_for(config)
        self.distribution.check(self.sampling)
        if isinstance(engine, str):
            engine = create_engine(engine, config, model.weights, options)
        self.engine = engine
        self.time = 0
        self._going = list(range(self.count))
        self._prompt_samples = 0 if prompt is None else len(prompt.x)
        self._streams = self._describe(config.labels, prompt, mel_inputs)
        self._projection = Projection(config, model.weights) if config.condition_channels else None
        self._features: list[Array] = []
        if self._projection is not None:
            self._features = [self._projection.features(**s.values) for s in self._streams]
        self.state: Any = self._started(prompt, shared=not mel_inputs)

    def _describe(
        self, known: Sequence[str], prompt: Prompt | None, mel_inputs: Sequence[MelInput]
    ) -> list[_Stream]:
        values: list[dict[str, Any]] = [{} for _ in range(self.count)]
        for own, label in zip(values, self.labels, strict=False):
            own["label"] = known.index(label)
        if not mel_inputs:
            gain = 1.0 if prompt is None else prompt.gain
            return [_Stream(i, gain, own) for i, own in enumerate(values)]
        pairs = zip(values, mel_inputs, strict=True)
        return [_Stream(0, mel.gain, own | mel.values) for own, mel in pairs]

    def blocks(self, samples: int, block: int = BLOCK_SAMPLES) -> Iterator[Wav]:
        """The next `samples` of every stream still going, at the prompt's own level.

        In blocks (streams, up to `block`).
        """
        for wavs in self.variable_length_blocks([samples] * self.count, block):
            yield np.stack([wav for _, wav in wavs])

    def variable_length_blocks(
        self, samples: Sequence[int], block: int = BLOCK_SAMPLES
    ) -> Iterator[list[tuple[int, Wav]]]:
        """The next samples of streams of different lengths, as pairs of a stream and its block.

        Those that are done stay behind while others go on.
        """
        start = self.time
        while left := [i for i in self._going if samples[i] > self.time - start]:
            if len(left) < len(self._going):
                self.state = self.engine.select(self.state, [self._going.index(i) for i in left])
                self._going = left
            steps = min(block, min(samples[i] for i in left) - (self.time - start))
            streams = [self._streams[i] for i in left]
            n_noise = self.distribution.n_noise
            noise = noise_for(self.seed, [s.noise for s in streams], self.time, steps, n_noise)
            conditioning = self._conditioning(left, self._prompt_samples + self.time, steps)
            x = self.engine.generate(self.state, noise, self.sampling, conditioning)
            self.time += steps
            wavs = self.distribution.decode(x)
            yield [
                (i, np.clip(wav / np.float32(stream.gain), -1, 1))
                for i, stream, wav in zip(left, streams, wavs, strict=True)
            ]

    def _started(self, prompt: Prompt | None, *, shared: bool) -> Any:
        """A state of all streams, after the prompt.

        Streams that are conditioned alike are the same until they draw: if `shared`, one of them is
        prefilled for all.
        """
        alike = [
            tuple(stream.values.items()) if shared else i for i, stream in enumerate(self._streams)
        ]
        first_of = {values: alike.index(values) for values in alike}
        distinct = list(first_of.values())
        state = self.engine.init_state(len(distinct), self._conditioning(distinct, 0, 0))
        for start in range(0, self._prompt_samples, BLOCK_SAMPLES):
            assert prompt is not None
            x = np.tile(prompt.x[start : start + BLOCK_SAMPLES], (len(distinct), 1))
            self.engine.prefill(state, x, self._conditioning(distinct, start, x.shape[1]))
        if len(distinct) == self.count:
            return state
        return self.engine.select(state, [distinct.index(first_of[values]) for values in alike])

    def _conditioning(self, streams: Sequence[int], time: int, steps: int) -> Conditioning | None:
        if self._projection is None:
            return None
        features = [self._features[i] for i in streams]
        return self._projection.conditioning(features, time, steps)


def stream_labels(known: Sequence[str], asked: Sequence[str], count: int) -> list[str]:
    """The label of each stream: those asked for in turn, or all known ones; [] without labels.

    Raises EngineError for one that the model does not know.
    """
    chosen = [known[i] for i in choose(asked, known)] or list(known)
    return [chosen[i % len(chosen)] for i in range(count)] if chosen else []
