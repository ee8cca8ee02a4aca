"""Every engine computes what the parallel forward computes, and draws what the oracle draws."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.conftest import (
    BOTH,
    CONDITIONED,
    INTERPRETED,
    LONGEST,
    SMALL,
    VARIANTS,
    StreamConditioning,
    arrays,
    network,
)
from wavenet.config import ModelConfig
from wavenet.engines import ENGINES, create_engine
from wavenet.errors import EngineError
from wavenet.generation.noise import noise_for, uniforms
from wavenet.model.distributions.base import Sampling
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
MODELS = {
    "kernel 2": SMALL,
    "kernel 3": WIDE,
    "uneven": UNEVEN,
    "logistic": LOGISTIC,
    "gaussian": GAUSSIAN,
    **CONDITIONED,
}
MODELS |= VARIANTS
MODELS["logistic, labels and mel"] = replace(BOTH, output="logistic", mixtures=3)
FOR_GPUS = ("triton", "cuda-graph")
OUTPUTS = ("mulaw", "logistic", "gaussian")
# Within this of a boundary between codes or components, rounding may decide.
NEAR = 1e-5
# 16-bit steps that rounding of a mixture's parameters may move a sample by.
SLACK = 3


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def model(request: pytest.FixtureRequest) -> WaveNet:
    return network(request.param)


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    if request.param == "triton":
        pytest.importorskip("triton")
    return str(request.param)


def few(engine_name: str, steps: int, fewer: int) -> int:
    """Fewer steps for an engine that runs in an interpreter here.

    There each layer of each step takes some ten milliseconds.
    """
    return fewer if engine_name in INTERPRETED else steps


# These models together have all that there is in a kernel. An interpreted one is tried on no more.
VARIED = ("kernel 3", "gaussian", "logistic, labels and mel")
PAIRS = {
    f"{e}-{m}": (e, config)
    for e in ENGINES
    for m, config in MODELS.items()
    if (m in VARIED if e in INTERPRETED else config.context == "none" or e not in FOR_GPUS)
}
every_pair = pytest.mark.parametrize(
    ("engine_name", "model"), PAIRS.values(), ids=PAIRS, indirect=True
)


def teacher_forced(model: WaveNet, x: np.ndarray, streams: Sequence[int] = ()) -> np.ndarray:  # type: ignore[type-arg]
    """params (batch, time, n_params) of the float64 parallel pass, after silence."""
    silence = np.full((len(x), model.receptive_field), model.distribution.silence)
    history = torch.from_numpy(np.concatenate([silence, x], axis=1)[:, :-1])
    conditioning = StreamConditioning(model, streams or range(len(x)))
    inputs = conditioning.inputs(1 - model.receptive_field, history.shape[1])
    exact = WaveNet.from_arrays(model.config, arrays(model)).double()
    inputs = inputs and inputs.map(lambda a: a.double() if a.is_floating_point() else a)
    with torch.no_grad():
        return exact(history, inputs).numpy()


def noise_of(model: WaveNet, seed: int, streams: int, count: int) -> np.ndarray:  # type: ignore[type-arg]
    return noise_for(seed, range(streams), 0, count, model.distribution.n_noise)


def explained(model: WaveNet, params: np.ndarray, noise: np.ndarray, code: int) -> bool:  # type: ignore[type-arg]
    """Whether rounding may have led to this code.

    Its noise lies on a boundary, or its sample between two steps.
    """
    d = model.distribution
    if not d.scalar_input:
        return code in [d.draw(params, noise + e, Sampling()) for e in (-NEAR, NEAR)]
    for component in (-NEAR, NEAR):
        shifts = itertools.product([component], *[(-NEAR, NEAR)] * (d.n_noise - 1))
        drawn = [
            int(d.draw(params, np.clip(noise + shift, 1e-9, 1 - 1e-9), Sampling()))
            for shift in shifts
        ]
        if min(drawn) - SLACK <= code <= max(drawn) + SLACK:
            return True
    return False


@pytest.mark.parametrize("batch", [1, 3])
def test_engine_equals_parallel_forward_from_the_first_sample(
    engine_name: str, model: WaveNet, batch: int
) -> None:
    if engine_name in FOR_GPUS and model.config.context != "none":
        with pytest.raises(
            EngineError, match=r"model\.context = pyramid: the engines for GPUs have no path for it"
        ):
            create_engine(engine_name, model.config, arrays(model))
        return
    engine = create_engine(engine_name, model.config, arrays(model))
    x = np.random.default_rng(batch).integers(0, model.distribution.levels, (batch, 200))
    streams = StreamConditioning(model, range(batch))
    state = engine.init_state(batch, streams.conditioning(0, 0))
    params = engine.prefill(state, x, streams.conditioning(0, 200))
    expected = teacher_forced(model, x)
    error = np.abs(params - expected).max(axis=(0, 2))
    assert error.max() < 1e-4, f"largest difference {error.max():.1e} at sample {error.argmax()}"
    # The comparison is not one of zeros.
    assert expected.std() > 0.5


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("length", [1, 2, 9, 10, 11, 12, 40])
@pytest.mark.parametrize("config", [SMALL, BOTH], ids=["unconditioned", "conditioned"])
def test_a_prompt_of_any_length_leaves_the_exact_state(
    engine_name: str, length: int, output: str, config: ModelConfig
) -> None:
    model = network(replace(config, output=output))
    assert model.receptive_field == 11
    engine = create_engine(engine_name, model.config, arrays(model))
    streams = StreamConditioning(model, range(2))
    x = np.random.default_rng(0).integers(0, model.distribution.levels, (2, length + 20))
    state = engine.init_state(2, streams.conditioning(0, 0))
    engine.prefill(state, x[:, :length], streams.conditioning(0, length))
    after = engine.prefill(state, x[:, length:], streams.conditioning(length, 20))
    np.testing.assert_allclose(after, teacher_forced(model, x)[:, length:], atol=1e-4)


@every_pair
def test_generation_is_independent_of_block_size(engine_name: str, model: WaveNet) -> None:
    engine, n = create_engine(engine_name, model.config, arrays(model)), few(engine_name, 70, 7)
    noise, streams = noise_of(model, 1, 2, n), StreamConditioning(model, range(2))
    state = engine.init_state(2, streams.conditioning(0, 0))
    at_once = engine.generate(state, noise, Sampling(), streams.conditioning(0, n))
    for block in (1, few(engine_name, 7, 4)):
        state = engine.init_state(2, streams.conditioning(0, 0))
        parts = []
        for i in range(0, n, block):
            size = min(block, n - i)
            part = noise[:, i : i + size]
            parts.append(engine.generate(state, part, Sampling(), streams.conditioning(i, size)))
        assert (np.concatenate(parts, axis=1) == at_once).all()
    assert len(np.unique(at_once)) > 4


@every_pair
def test_a_stream_is_independent_of_its_companions(engine_name: str, model: WaveNet) -> None:
    engine, n = create_engine(engine_name, model.config, arrays(model)), few(engine_name, 60, 4)
    noise, streams = noise_of(model, 1, 5, n), StreamConditioning(model, range(5))
    state = engine.init_state(5, streams.conditioning(0, 0))
    together = engine.generate(state, noise, Sampling(), streams.conditioning(0, n))
    for i in range(5):
        stream = StreamConditioning(model, [i])
        state = engine.init_state(1, stream.conditioning(0, 0))
        alone = engine.generate(state, noise[i : i + 1], Sampling(), stream.conditioning(0, n))
        assert (alone[0] == together[i]).all()
    assert (together[0] != together[1]).any()


@every_pair
def test_streams_go_on_without_those_that_are_done(engine_name: str, model: WaveNet) -> None:
    """As in a batch of recordings of different lengths."""
    engine = create_engine(engine_name, model.config, arrays(model))
    n, some = few(engine_name, 60, 6), few(engine_name, 31, 3)
    noise = noise_of(model, 1, 3, n)
    streams, rest = StreamConditioning(model, range(3)), StreamConditioning(model, [2, 0])
    state = engine.init_state(3, streams.conditioning(0, 0))
    expected = engine.generate(state, noise, Sampling(), streams.conditioning(0, n))
    state = engine.init_state(3, streams.conditioning(0, 0))
    engine.generate(state, noise[:, :some], Sampling(), streams.conditioning(0, some))
    selected = engine.select(state, [2, 0])
    conditioning = rest.conditioning(some, n - some)
    codes = engine.generate(selected, noise[[2, 0], some:], Sampling(), conditioning)
    assert (codes == expected[[2, 0], some:]).all()


@pytest.mark.parametrize("config", CONDITIONED.values(), ids=CONDITIONED)
def test_conditioning_matters_and_a_wrong_one_is_refused(
    engine_name: str, config: ModelConfig
) -> None:
    model = network(config)
    engine = create_engine(engine_name, config, arrays(model))
    one, other = StreamConditioning(model, [0]), StreamConditioning(model, [1])
    x = np.zeros((1, 50), np.int64)
    params = [
        engine.prefill(engine.init_state(1, s.conditioning(0, 0)), x, s.conditioning(0, 50))
        for s in (one, other)
    ]
    assert np.abs(params[0] - params[1]).max() > 0.1
    with pytest.raises(EngineError, match="conditioned on"):
        engine.init_state(1)
    state, conditioning = engine.init_state(1, one.conditioning(0, 0)), one.conditioning(0, 50)
    assert conditioning is not None
    frames = conditioning.frames
    with pytest.raises(EngineError, match="do not fit"):
        engine.prefill(state, x, conditioning._replace(frames=frames[:, :, :2]))
    with pytest.raises(EngineError, match="do not cover"):
        engine.prefill(state, x, conditioning._replace(hop=8, frames=frames[:, :2]))
    plain = create_engine(engine_name, SMALL, arrays(network(SMALL)))
    with pytest.raises(EngineError, match="without labels and mel frames"):
        plain.init_state(1, conditioning)


@pytest.mark.parametrize("output", OUTPUTS)
def test_prefilling_and_generating_interleave(engine_name: str, output: str) -> None:
    """A fresh state that is prefilled with generated samples predicts the same future."""
    model = network(replace(SMALL, output=output))
    engine = create_engine(engine_name, model.config, arrays(model))
    # More than the receptive field.
    some = few(engine_name, 30, 12)
    noise = noise_of(model, 2, 1, few(engine_name, 50, 20))
    state = engine.init_state(1)
    first = engine.generate(state, noise[:, :some], Sampling())
    second = engine.generate(state, noise[:, some:], Sampling())
    fresh = engine.init_state(1)
    engine.prefill(fresh, first)
    again = engine.generate(fresh, noise[:, some:], Sampling())
    if engine_name == "triton" and model.distribution.scalar_input:
        # On a GPU, rings that prefilling and generating fill differ in their last bits.
        assert np.abs(again - second).max() <= SLACK
    else:
        assert (again == second).all()


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(0.7),
        Sampling(0),
        Sampling(1, 5),
        Sampling(1, 0, 0.6),
        Sampling(1.3, 12, 0.9),
    ],
)
def test_every_draw_is_the_oracles(engine_name: str, sampling: Sampling) -> None:
    """Each generated code is the one that the oracle draws from the float64 prediction.

    It may be another only where noise lies on a boundary.
    """
    model = network(WIDE)
    engine = create_engine(engine_name, model.config, arrays(model))
    noise = uniforms(3, 0, 0, few(engine_name, 1000, 15))[None]
    x = engine.generate(engine.init_state(1), noise, sampling)
    params = teacher_forced(model, x)
    expected = model.distribution.draw(params, noise, sampling)
    for t in np.flatnonzero((x != expected)[0]):
        near = [
            model.distribution.draw(params[0, t], noise[0, t] + e, sampling) for e in (-1e-5, 1e-5)
        ]
        assert x[0, t] in near, f"sample {t}: {x[0, t]} drawn, the oracle says {expected[0, t]}"
    assert (x != expected).mean() < 0.01


@pytest.mark.parametrize("output", ["logistic", "gaussian"])
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.7), Sampling(0), Sampling(1.3)])
def test_every_draw_from_a_mixture_is_the_oracles(
    engine_name: str, output: str, sampling: Sampling
) -> None:
    model = network(replace(WIDE, output=output, mixtures=5))
    engine = create_engine(engine_name, model.config, arrays(model))
    noise = noise_of(model, 3, 1, few(engine_name, 1000, 15))
    x = engine.generate(engine.init_state(1), noise, sampling)
    difference = np.abs(x - model.distribution.draw(teacher_forced(model, x), noise, sampling))
    assert np.median(difference) == 0
    # Some are where the first number lies on a boundary between components, or scales are wide.
    assert (difference > SLACK).mean() < 0.01
    assert len(np.unique(x)) > x.size // 10


@pytest.mark.parametrize("sampling", [Sampling(top_k=5), Sampling(top_p=0.9)])
def test_a_mixture_has_no_levels_to_choose_among(engine_name: str, sampling: Sampling) -> None:
    model = network(LOGISTIC)
    engine = create_engine(engine_name, model.config, arrays(model))
    with pytest.raises(
        EngineError, match="chooses among mu-law levels, and this model has none; use --temperature"
    ):
        engine.generate(engine.init_state(1), noise_of(model, 3, 1, 10), sampling)


def test_noise_of_another_output_is_refused(engine_name: str) -> None:
    engine = create_engine(engine_name, LOGISTIC, arrays(network(LOGISTIC)))
    with pytest.raises(EngineError, match=r"noise of shape \(1, 10\): must be \(batch, time, 2\)"):
        engine.generate(engine.init_state(1), uniforms(3, 0, 0, 10)[None], Sampling())


@pytest.mark.parametrize(
    "engine_name", [name for name in ENGINES if name != "reference"], indirect=True
)
def test_engines_agree_until_noise_falls_on_a_boundary(engine_name: str, model: WaveNet) -> None:
    if engine_name in FOR_GPUS and model.config.context != "none":
        # It is refused, see above.
        return
    steps = few(engine_name, LONGEST, 15)
    noise, streams = noise_of(model, 4, 1, steps), StreamConditioning(model, [0])

    def generated(name: str) -> np.ndarray:  # type: ignore[type-arg]
        engine = create_engine(name, model.config, arrays(model))
        state = engine.init_state(1, streams.conditioning(0, 0))
        return engine.generate(state, noise, Sampling(), streams.conditioning(0, steps))

    x, y = generated(engine_name), generated("reference")
    if (x != y).any():
        t = int(np.argmax((x != y)[0]))
        assert explained(model, teacher_forced(model, x)[0, t], noise[0, t], int(x[0, t]))


def test_changed_weights_change_the_next_generation(engine_name: str) -> None:
    """An engine that is created after a weight change, or from the EMA, uses the new weights.

    Nothing is cached by shape.
    """
    model = network(SMALL)
    noise = uniforms(5, 0, 0, few(engine_name, 200, 15))[None]

    def play() -> np.ndarray:  # type: ignore[type-arg]
        engine = create_engine(engine_name, model.config, arrays(model))
        return engine.generate(engine.init_state(1), noise, Sampling())

    before = play()
    with torch.no_grad():
        model.output.bias += torch.linspace(-1, 1, 32)
    assert (play() != before).any()


def test_a_thousand_random_inputs_with_and_without_biases(engine_name: str) -> None:
    for biases in (True, False):
        model = network(SMALL)
        if not biases:
            with torch.no_grad():
                for name, p in model.named_parameters():
                    if name.endswith("bias"):
                        p.zero_()
        engine = create_engine(engine_name, model.config, arrays(model))
        x = np.random.default_rng(9).integers(0, 32, (50, 20))
        np.testing.assert_allclose(
            engine.prefill(engine.init_state(50), x), teacher_forced(model, x), atol=1e-4
        )
