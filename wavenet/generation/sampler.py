"""New audio: seed -> noise -> engine -> blocks of audio.

Random numbers are an input of the engines. They come from a counter-based generator keyed by (seed, stream, time), so the same
seed gives the same audio for any block size and any batch the stream travels in.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from wavenet.arrays import Wav
from wavenet.engines import Engine, create_engine
from wavenet.engines.conditioning import Conditioning, Projection
from wavenet.engines.options import EngineOptions
from wavenet.errors import EngineError
from wavenet.generation.mel_input import MelInput
from wavenet.generation.noise import noise_for
from wavenet.generation.prompt import Prompt
from wavenet.model.checkpoint import Checkpoint
from wavenet.model.distributions.base import Sampling
from wavenet.model.distributions.registry import distribution_for
from wavenet.model.known_labels import choose, labels_line

BLOCK_SAMPLES = 2048  # how often progress shows and Ctrl-C is heard


class Sampler:
    """Streams of audio from one model: iterate `blocks`. Stream i of a seed is the same audio whatever its companions.

    A model that knows labels is told one for each stream: those in `labels` in turn, or all that it knows. One that follows mel frames
    makes a stream for each of `guides`, all with the noise of stream 0, so that a recording sounds the same alone and among others; if it
    knows labels too, they must be given.
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
        guides: Sequence[MelInput] = (),
    ) -> None:
        if not 0 <= seed < 2**64:
            raise EngineError(f"seed {seed}: must be 0 to 2^64 - 1")
        if not 1 <= count <= 10_000:
            raise EngineError(f"count {count}: must be 1 to 10000")
        config = model.config.model
        if guides and config.labels and not labels:
            raise EngineError(
                f"this model knows labels: choose one, --label {labels_line(config.labels)}"
            )
        self.seed, self.count, self.sampling = seed, len(guides) or count, sampling or Sampling()
        self.labels = stream_labels(config.labels, labels, self.count)
        self.distribution = distribution_for(config)
        self.distribution.check(self.sampling)
        self.engine = (
            create_engine(engine, config, model.weights, options)
            if isinstance(engine, str)
            else engine
        )
        self.time = 0
        self._going = list(range(self.count))
        self._before = 0 if prompt is None else len(prompt.x)
        self._noise_of = [0] * len(guides) or list(range(count))
        self._gains = [g.gain for g in guides] or [1.0 if prompt is None else prompt.gain] * count
        self._projection = Projection(config, model.weights) if config.condition_channels else None
        told: list[int | None] = (
            [config.labels.index(label) for label in self.labels]
            if self.labels
            else [None] * self.count
        )
        frames = [g.frames for g in guides] if guides else [None] * self.count
        streams = zip(frames, told, strict=True)
        self._features = (
            [self._projection.features(*s) for s in streams] if self._projection else []
        )
        # one of each that differ before they draw
        kinds = list(range(self.count)) if guides else [told.index(n) for n in dict.fromkeys(told)]
        state = self._started(prompt, kinds)
        self.state: Any = (
            state
            if guides
            else self.engine.select(state, [kinds.index(told.index(n)) for n in told])
        )

    def blocks(self, samples: int, block: int = BLOCK_SAMPLES) -> Iterator[Wav]:
        """The next `samples` of every stream still going, as blocks (streams, up to `block`) at the prompt's own level."""
        return (
            np.stack([wav for _, wav in made])
            for made in self.variable_length_blocks([samples] * self.count, block)
        )

    def variable_length_blocks(
        self, samples: Sequence[int], block: int = BLOCK_SAMPLES
    ) -> Iterator[list[tuple[int, Wav]]]:
        """The next samples of streams of different lengths, as (stream, block). Those that are done stay behind while others go on."""
        start = self.time
        while left := [i for i in self._going if samples[i] > self.time - start]:
            if len(left) < len(self._going):
                self.state = self.engine.select(self.state, [self._going.index(i) for i in left])
                self._going = left
            going = self._going
            n = min(block, min(samples[i] for i in going) - (self.time - start))
            noise = noise_for(
                self.seed,
                [self._noise_of[i] for i in going],
                self.time,
                n,
                self.distribution.n_noise,
            )
            x = self.engine.generate(
                self.state, noise, self.sampling, self._cond(going, self._before + self.time, n)
            )
            self.time += n
            wavs = self.distribution.decode(x)
            yield [
                (i, np.clip(wav / np.float32(self._gains[i]), -1, 1))
                for i, wav in zip(going, wavs, strict=True)
            ]

    def _started(self, prompt: Prompt | None, streams: Sequence[int]) -> Any:
        """A state of these streams, after the prompt."""
        state = self.engine.init_state(len(streams), self._cond(streams, 0, 0))
        for start in range(0, self._before, BLOCK_SAMPLES):
            assert prompt is not None
            x = prompt.x[start : start + BLOCK_SAMPLES]
            self.engine.prefill(
                state, np.tile(x, (len(streams), 1)), self._cond(streams, start, len(x))
            )
        return state

    def _cond(self, streams: Sequence[int], time: int, steps: int) -> Conditioning | None:
        return (
            self._projection.cond([self._features[i] for i in streams], time, steps)
            if self._projection
            else None
        )


def stream_labels(known: Sequence[str], asked: Sequence[str], count: int) -> list[str]:
    """The label of each stream: those asked for in turn, or all known ones. Raises EngineError for one that the model does not know."""
    chosen = [known[i] for i in choose(asked, known)] or list(known)
    return [chosen[i % len(chosen)] for i in range(count)] if chosen else []
