"""What tests of engines share: networks, streams of an engine, and the float64 oracle."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch

from tests.helpers import (
    BOTH,
    CONDITIONED,
    FOLLOWING,
    INTERPRETED,
    SMALL,
    VARIANTS,
    StreamConditioning,
    arrays,
)
from wavenet.config import ModelConfig
from wavenet.engines import ON_GPU, Engine, create_engine
from wavenet.engines.cpu.thread_scheduler import ThreadScheduler
from wavenet.generation.noise import noise_for
from wavenet.glossary import Array
from wavenet.model.distributions.base import Distribution, Sampling
from wavenet.model.network import WaveNet

WIDE = ModelConfig(
    layers=6,
    dilation_cycle=4,
    kernel_size=3,
    residual_channels=16,
    gate_channels=32,
    skip_channels=12,
    head_channels=20,
    levels=64,
)
UNEVEN = ModelConfig(
    dilations=(1, 3, 5),
    kernel_size=4,
    residual_channels=7,
    gate_channels=6,
    skip_channels=5,
    head_channels=3,
    levels=16,
)
LOGISTIC = replace(WIDE, output="logistic", mixtures=5)
GAUSSIAN = replace(UNEVEN, output="gaussian", mixtures=2)
MODELS = {"kernel 2": SMALL, "kernel 3": WIDE, "uneven": UNEVEN}
MODELS |= {"logistic": LOGISTIC, "gaussian": GAUSSIAN} | CONDITIONED | FOLLOWING | VARIANTS
MODELS["logistic, labels and mel"] = replace(BOTH, output="logistic", mixtures=3)
# These together have all that there is in a kernel. An interpreted one is tried on no more.
VARIED = ("kernel 3", "gaussian", "logistic, labels and mel")
# Within this of a boundary between codes or components, rounding may decide.
NEAR = 1e-5
# 16-bit steps that rounding of a mixture's parameters may move a sample by.
SLACK = 3
PLAIN = Sampling()
SAMPLINGS = [PLAIN, Sampling(0.7), Sampling(0), Sampling(1, 5), Sampling(1, 0, 0.6)]
SAMPLINGS.append(Sampling(1.3, 12, 0.9))


def few(engine_name: str, steps: int, fewer: int) -> int:
    """Fewer steps for an engine that is slow here.

    In an interpreter each layer of each step takes some ten milliseconds.
    """
    if engine_name in INTERPRETED:
        return fewer
    return steps // 5 if engine_name in ON_GPU and steps > 500 else steps


def pairwise(*factors: Sequence[Any], possible: Any = lambda *_: True) -> list[tuple[Any, ...]]:
    """Combinations of which some hold any two values of two factors, as far as possible.

    They are found greedily: the next is the one with the most pairs that none before it holds.
    """

    def pairs(row: tuple[Any, ...]) -> set[Any]:
        return set(itertools.combinations(enumerate(row), 2))

    rows = {row: pairs(row) for row in itertools.product(*factors) if possible(*row)}
    missing, chosen = set().union(*rows.values()), []
    while missing:
        chosen.append(max(rows, key=lambda row: len(rows[row] & missing)))
        missing -= rows[chosen[-1]]
    return chosen


class Streams:
    """Streams of an engine, which go on under their own conditioning."""

    def __init__(self, engine: Engine | str, model: WaveNet, numbers: Sequence[int] = (0,)) -> None:
        if isinstance(engine, str):
            engine = create_engine(engine, model.config, arrays(model))
        self.engine, self.model, self.numbers = engine, model, list(numbers)
        self.times = np.zeros(len(self.numbers), np.int64)
        self._conditioning = StreamConditioning(model, numbers)
        self.state = engine.init_state(len(numbers), self._conditioning.conditioning(0, 0))

    def _next(self, steps: int) -> Any:
        self.times += steps
        return self._conditioning.conditioning(self.times - steps, steps)

    def generate(self, noise: Array, sampling: Sampling | Sequence[Sampling] = PLAIN) -> Array:
        """noise (batch, time, n_noise) -> codes (batch, time)."""
        return self.engine.generate(self.state, noise, sampling, self._next(noise.shape[1]))

    def prefill(self, x: Array) -> Array:
        """Codes (batch, time) -> params (batch, time, n_params)."""
        return self.engine.prefill(self.state, x, self._next(x.shape[1]))

    def select(self, places: Sequence[int]) -> Self:
        """Streams that go on from those in the given places."""
        selected = type(self)(self.engine, self.model, [self.numbers[i] for i in places])
        selected.state = self.engine.select(self.state, places)
        selected.times = self.times[list(places)]
        return selected

    def merge(self, *others: Self) -> Self:
        """These streams and then those of others of the same engine, which all go on."""
        every = (self, *others)
        merged = type(self)(self.engine, self.model, [i for each in every for i in each.numbers])
        merged.state = self.engine.merge([each.state for each in every])
        merged.times = np.concatenate([each.times for each in every])
        return merged


class Shared(ThreadScheduler):
    """Two threads for everything, in segments of odd lengths."""

    segments = 0

    def next(self, steps: int) -> tuple[int, bool]:
        self.segments += 1
        return min(steps, 1 + 13 * self.segments % 29), True


def teacher_forced(model: WaveNet, x: Array) -> Array:
    """params (batch, time, n_params) of the float64 parallel pass, after silence."""
    silence = np.full((len(x), model.receptive_field), model.distribution.silence)
    history = torch.from_numpy(np.concatenate([silence, x], axis=1)[:, :-1])
    inputs = StreamConditioning(model, range(len(x))).inputs(
        1 - model.receptive_field, history.shape[1]
    )
    exact = WaveNet.from_arrays(model.config, arrays(model)).double()
    inputs = inputs and inputs.map(lambda a: a.double() if a.is_floating_point() else a)
    with torch.no_grad():
        return exact(history, inputs).numpy()


def noise_of(model: WaveNet, seed: int, streams: int, count: int) -> Array:
    return noise_for(seed, range(streams), 0, count, model.distribution.n_noise)


def near_draws(d: Distribution, params: Array, noise: Array, sampling: Sampling) -> list[int]:
    """The codes (not samples of a mixture) that rounding may lead to, in place of the oracle's.

    params (n_params,), noise (n_noise,). Either the noise lies on a boundary between codes. Or a
    code lies at the edge of `top_p`, where the likelier ones hold that much of the mass, all but
    for NEAR, and then one engine may drop what another keeps.
    """
    draws = [d.draw(params, noise + e, sampling) for e in (-NEAR, NEAR)]
    if sampling.top_p < 1:
        edges = np.clip([sampling.top_p - NEAR, sampling.top_p + NEAR], 1e-9, 1)
        draws += [d.draw(params, noise, replace(sampling, top_p=float(e))) for e in edges]
    return [int(code) for code in draws]


def explained(model: WaveNet, params: Array, noise: Array, code: int) -> bool:
    """Whether rounding may have led to this code.

    Its noise lies on a boundary, or its sample between two steps.
    """
    d = model.distribution
    if not d.scalar_input:
        return code in near_draws(d, params, noise, PLAIN)
    for component in (-NEAR, NEAR):
        shifts = itertools.product([component], *[(-NEAR, NEAR)] * (d.n_noise - 1))
        drawn = [
            int(d.draw(params, np.clip(noise + shift, 1e-9, 1 - 1e-9), PLAIN)) for shift in shifts
        ]
        if min(drawn) - SLACK <= code <= max(drawn) + SLACK:
            return True
    return False
