"""Streams of audio: what sets one apart, and how some of them go on together."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from wavenet.audio.linear_prediction import Synthesis
from wavenet.engines import Engine, create_engine
from wavenet.engines.conditioning import Projection
from wavenet.engines.options import EngineOptions
from wavenet.generation.noise import noise_for
from wavenet.generation.voicing import Concentration
from wavenet.glossary import Samples, Wav
from wavenet.model.arguments import require_type
from wavenet.model.checkpoint import Model
from wavenet.model.conditioning.carriers import Conditioning
from wavenet.model.distributions.base import Sampling
from wavenet.model.distributions.registry import distribution_for

# Samples of a prompt that are read at once.
PROMPT_BLOCK = 2048


@dataclass
class Stream:
    """What sets one stream apart, and how many samples it has.

    Its noise is that of stream `number` of the `seed`. What it follows are `features` (F, C), as
    `Projection.features` makes them, or what is indexed like them. `gain` is what took its prompt
    or recording to the model's level, and `prompt_samples` lie before its first sample.
    """

    seed: int
    number: int
    features: Any
    sampling: Sampling = field(default_factory=Sampling)
    gain: float = 1.0
    prompt_samples: int = 0
    time: int = 0
    # Of a model whose network predicts an excitation.
    synthesis: Synthesis | None = None
    concentration: Concentration | None = None

    def copy(self) -> "Stream":
        """One that goes on from here on its own."""
        return replace(self, synthesis=copy.copy(self.synthesis))


class Generator:
    """A model with an engine, which advances streams: noise -> codes -> audio.

    States are the caller's, as `Engine` says.
    """

    def __init__(
        self, model: Model, engine: str | Engine = "auto", options: EngineOptions | None = None
    ) -> None:
        self.model, self.config = model, model.config.model
        self.distribution = distribution_for(self.config)
        if isinstance(engine, str):
            options = options or EngineOptions(precision="auto")
            engine = create_engine(engine, self.config, model.weights, options)
        else:
            advice = "give a name, or what `wavenet.create_engine` makes"
            require_type("engine", engine, Engine, advice)
        self.engine = engine
        self.projection = Projection(self.config, model.weights)

    def stream(self, seed: int, number: int, values: Mapping[str, Any], **about: Any) -> Stream:
        """A stream that follows `values`, one for each front end; `about` is more of its fields."""
        stream = Stream(seed, number, self.projection.features(**values), **about)
        if self.config.linear_prediction:
            rate = self.model.sample_rate
            stream.synthesis = Synthesis(values["mel"], rate, self.config)
            stream.concentration = Concentration(values["mel"], self.config)
        return stream

    def after(self, prompt: Samples, streams: Sequence[Stream]) -> Any:
        """A state of streams that begin after a prompt, codes (time,), which may be empty."""
        state = self.engine.init_state(len(streams), self._conditioning(streams, 0, 0))
        for start in range(0, len(prompt), PROMPT_BLOCK):
            x = np.tile(prompt[start : start + PROMPT_BLOCK], (len(streams), 1))
            self.engine.prefill(state, x, self._conditioning(streams, start, x.shape[1]))
        return state

    def advance(self, state: Any, streams: Sequence[Stream], steps: int) -> list[Wav]:
        """The next samples of each stream of the state: float32 (steps,) in -1 ... 1."""
        n_noise = self.distribution.n_noise
        noise = np.concatenate(
            [noise_for(s.seed, [s.number], s.time, steps, n_noise) for s in streams]
        )
        if self.config.linear_prediction:
            spans = [(s.concentration, s.time) for s in streams]
            factors = [of(time, time + steps) for of, time in spans if of is not None]
            noise = self.distribution.concentrated(noise, np.stack(factors))
        times = np.array([s.prompt_samples + s.time for s in streams])
        conditioning = self._conditioning(streams, times, steps)
        x = self.engine.generate(state, noise, [s.sampling for s in streams], conditioning)
        wavs = []
        for stream, wav in zip(streams, self.distribution.decode(x), strict=True):
            stream.time += steps
            synthesised = stream.synthesis(wav) if stream.synthesis else wav
            wavs.append(np.clip(synthesised / np.float32(stream.gain), -1, 1))
        return wavs

    def _conditioning(
        self, streams: Sequence[Stream], times: Any, steps: int
    ) -> Conditioning | None:
        return self.projection.conditioning([s.features for s in streams], times, steps)
