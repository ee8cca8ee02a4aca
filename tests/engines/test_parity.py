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
LOGISTIC, GAUSSIAN = (
    replace(WIDE, output="logistic", mixtures=5),
    replace(UNEVEN, output="gaussian", mixtures=2),
)
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
NEAR = 1e-5  # of a boundary between codes or components, where rounding may decide
SLACK = 3  # 16-bit steps that rounding of a mixture's parameters may move a sample by


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def model(request: pytest.FixtureRequest) -> WaveNet:
    return network(request.param)


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    if request.param == "triton":
        pytest.importorskip("triton")
    return str(request.param)


def few(engine_name: str, steps: int, fewer: int) -> int:
    """Fewer steps for an engine that runs in an interpreter here, at some ten milliseconds for each layer of each step."""
    return fewer if engine_name in INTERPRETED else steps


# the models that together have all that there is in a kernel; an interpreted one is tried on no more
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
    """params (batch, time, n_params) of the float64 parallel forward, with silence before the first sample."""
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
    """Whether rounding may have led to this code: its noise lies on a boundary, or its sample between two steps."""
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
    told = StreamConditioning(model, range(batch))
    found, expected = (
        engine.prefill(engine.init_state(batch, told.conditioning(0, 0)), x, told.conditioning(0, 200)),
        teacher_forced(model, x),
    )
    error = np.abs(found - expected).max(axis=(0, 2))
    assert error.max() < 1e-4, f"largest difference {error.max():.1e} at sample {error.argmax()}"
    assert expected.std() > 0.5  # the comparison is not one of zeros


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("length", [1, 2, 9, 10, 11, 12, 40])
@pytest.mark.parametrize("config", [SMALL, BOTH], ids=["unconditioned", "conditioned"])
def test_a_prompt_of_any_length_leaves_the_exact_state(
    engine_name: str, length: int, output: str, config: ModelConfig
) -> None:
    model = network(replace(config, output=output))
    assert model.receptive_field == 11
    engine, told = create_engine(engine_name, model.config, arrays(model)), StreamConditioning(model, range(2))
    x = np.random.default_rng(0).integers(0, model.distribution.levels, (2, length + 20))
    state = engine.init_state(2, told.conditioning(0, 0))
    engine.prefill(state, x[:, :length], told.conditioning(0, length))
    after = engine.prefill(state, x[:, length:], told.conditioning(length, 20))
    np.testing.assert_allclose(after, teacher_forced(model, x)[:, length:], atol=1e-4)


@every_pair
def test_generation_is_independent_of_block_size(engine_name: str, model: WaveNet) -> None:
    engine, n = create_engine(engine_name, model.config, arrays(model)), few(engine_name, 70, 7)
    noise, told = noise_of(model, 1, 2, n), StreamConditioning(model, range(2))
    whole = engine.generate(
        engine.init_state(2, told.conditioning(0, 0)), noise, Sampling(), told.conditioning(0, n)
    )
    for block in (1, few(engine_name, 7, 4)):
        state = engine.init_state(2, told.conditioning(0, 0))
        blocks = [(i, min(block, n - i)) for i in range(0, n, block)]
        parts = [
            engine.generate(state, noise[:, i : i + size], Sampling(), told.conditioning(i, size))
            for i, size in blocks
        ]
        assert (np.concatenate(parts, axis=1) == whole).all()
    assert len(np.unique(whole)) > 4


@every_pair
def test_a_stream_is_independent_of_its_companions(engine_name: str, model: WaveNet) -> None:
    engine, n = create_engine(engine_name, model.config, arrays(model)), few(engine_name, 60, 4)
    noise, told = noise_of(model, 1, 5, n), StreamConditioning(model, range(5))
    together = engine.generate(
        engine.init_state(5, told.conditioning(0, 0)), noise, Sampling(), told.conditioning(0, n)
    )
    for i in range(5):
        alone = StreamConditioning(model, [i])
        assert (
            engine.generate(
                engine.init_state(1, alone.conditioning(0, 0)),
                noise[i : i + 1],
                Sampling(),
                alone.conditioning(0, n),
            )[0]
            == together[i]
        ).all()
    assert (together[0] != together[1]).any()


@every_pair
def test_streams_go_on_without_those_that_are_done(engine_name: str, model: WaveNet) -> None:
    """As in a batch of recordings of different lengths."""
    engine, n, some = (
        create_engine(engine_name, model.config, arrays(model)),
        few(engine_name, 60, 6),
        few(engine_name, 31, 3),
    )
    noise, told, rest = noise_of(model, 1, 3, n), StreamConditioning(model, range(3)), StreamConditioning(model, [2, 0])
    whole = engine.generate(
        engine.init_state(3, told.conditioning(0, 0)), noise, Sampling(), told.conditioning(0, n)
    )
    state = engine.init_state(3, told.conditioning(0, 0))
    engine.generate(state, noise[:, :some], Sampling(), told.conditioning(0, some))
    found = engine.generate(
        engine.select(state, [2, 0]), noise[[2, 0], some:], Sampling(), rest.conditioning(some, n - some)
    )
    assert (found == whole[[2, 0], some:]).all()


@pytest.mark.parametrize("config", CONDITIONED.values(), ids=CONDITIONED)
def test_conditions_matter_and_wrong_ones_are_refused(
    engine_name: str, config: ModelConfig
) -> None:
    model = network(config)
    engine, told, other = (
        create_engine(engine_name, config, arrays(model)),
        StreamConditioning(model, [0]),
        StreamConditioning(model, [1]),
    )
    x = np.zeros((1, 50), np.int64)
    found = [
        engine.prefill(engine.init_state(1, t.conditioning(0, 0)), x, t.conditioning(0, 50)) for t in (told, other)
    ]
    assert np.abs(found[0] - found[1]).max() > 0.1
    with pytest.raises(EngineError, match="conditioned on"):
        engine.init_state(1)
    state, cond = engine.init_state(1, told.conditioning(0, 0)), told.conditioning(0, 50)
    assert cond is not None
    with pytest.raises(EngineError, match="do not fit"):
        engine.prefill(state, x, cond._replace(frames=cond.frames[:, :, :2]))
    with pytest.raises(EngineError, match="do not cover"):
        engine.prefill(state, x, cond._replace(hop=8, frames=cond.frames[:, :2]))
    plain = create_engine(engine_name, SMALL, arrays(network(SMALL)))
    with pytest.raises(EngineError, match="without labels and mel frames"):
        plain.init_state(1, cond)


@pytest.mark.parametrize("output", OUTPUTS)
def test_feeding_and_generating_interleave(engine_name: str, output: str) -> None:
    """Generated samples, fed again to a fresh state, predict the same future."""
    model = network(replace(SMALL, output=output))
    engine = create_engine(engine_name, model.config, arrays(model))
    some = few(engine_name, 30, 12)  # more than is heard at once
    noise = noise_of(model, 2, 1, few(engine_name, 50, 20))
    state = engine.init_state(1)
    first, second = (
        engine.generate(state, noise[:, :some], Sampling()),
        engine.generate(state, noise[:, some:], Sampling()),
    )
    fresh = engine.init_state(1)
    engine.prefill(fresh, first)
    again = engine.generate(fresh, noise[:, some:], Sampling())
    if (
        engine_name == "triton" and model.distribution.scalar_input
    ):  # on a GPU rings filled by either way differ in their last bits
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
    """Each generated code is the one the oracle draws from the float64 prediction, unless noise lies on a boundary."""
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
    engine, noise = (
        create_engine(engine_name, model.config, arrays(model)),
        noise_of(model, 3, 1, few(engine_name, 1000, 15)),
    )
    x = engine.generate(engine.init_state(1), noise, sampling)
    away = np.abs(x - model.distribution.draw(teacher_forced(model, x), noise, sampling))
    assert np.median(away) == 0
    assert (
        (away > SLACK).mean() < 0.01
    )  # where the first number lies on a boundary between components, or scales are wide
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
        return  # refused, see above
    steps = few(engine_name, LONGEST, 15)
    noise, told = noise_of(model, 4, 1, steps), StreamConditioning(model, [0])
    engines = [
        create_engine(name, model.config, arrays(model)) for name in (engine_name, "reference")
    ]
    x, y = (
        e.generate(e.init_state(1, told.conditioning(0, 0)), noise, Sampling(), told.conditioning(0, steps))
        for e in engines
    )
    if (x != y).any():
        t = int(np.argmax((x != y)[0]))
        assert explained(model, teacher_forced(model, x)[0, t], noise[0, t], int(x[0, t]))


def test_changed_weights_change_the_next_generation(engine_name: str) -> None:
    """An engine made after a weight change (or from the average) plays the new weights: nothing is cached by shape."""
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
