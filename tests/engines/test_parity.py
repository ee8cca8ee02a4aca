"""Every engine computes what the parallel forward computes, and draws what the oracle draws."""

import numpy as np
import pytest
import torch

from tests.conftest import SMALL, arrays, network
from wavenet.config import ModelConfig
from wavenet.distributions import Sampling
from wavenet.engines import ENGINES, pick
from wavenet.model import WaveNet
from wavenet.sampler import uniforms

WIDE = ModelConfig(
    layers=6, dilation_cycle=4, kernel_size=3, residual_channels=16, gate_channels=32, skip_channels=12, head_channels=20, levels=64
)
UNEVEN = ModelConfig(dilations=(1, 3, 5), kernel_size=4, residual_channels=7, gate_channels=6, skip_channels=5, head_channels=3, levels=16)
MODELS = {"kernel 2": SMALL, "kernel 3": WIDE, "uneven": UNEVEN}


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def model(request: pytest.FixtureRequest) -> WaveNet:
    return network(request.param)


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def teacher_forced(model: WaveNet, x: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """params (batch, time, levels) of the float64 parallel forward, with silence before the first sample."""
    silence = np.full((len(x), model.receptive_field), model.distribution.silence)
    history = torch.from_numpy(np.concatenate([silence, x], axis=1)[:, :-1])
    with torch.no_grad():
        return WaveNet.from_arrays(model.config, arrays(model)).double()(history).numpy()


@pytest.mark.parametrize("batch", [1, 3])
def test_engine_equals_parallel_forward_from_the_first_sample(engine_name: str, model: WaveNet, batch: int) -> None:
    engine = pick(engine_name, model.config, arrays(model))
    x = np.random.default_rng(batch).integers(0, model.config.levels, (batch, 200))
    found, expected = engine.feed(engine.init_state(batch), x), teacher_forced(model, x)
    error = np.abs(found - expected).max(axis=(0, 2))
    assert error.max() < 1e-4, f"largest difference {error.max():.1e} at sample {error.argmax()}"
    assert expected.std() > 0.5  # the comparison is not one of zeros


@pytest.mark.parametrize("length", [1, 2, 9, 10, 11, 12, 40])
def test_a_prompt_of_any_length_leaves_the_exact_state(engine_name: str, length: int) -> None:
    model = network(SMALL)
    assert model.receptive_field == 11
    engine = pick(engine_name, model.config, arrays(model))
    x = np.random.default_rng(0).integers(0, 32, (2, length + 20))
    state = engine.init_state(2)
    engine.feed(state, x[:, :length])
    after = engine.feed(state, x[:, length:])
    np.testing.assert_allclose(after, teacher_forced(model, x)[:, length:], atol=1e-4)


def test_generation_is_independent_of_block_size(engine_name: str, model: WaveNet) -> None:
    engine = pick(engine_name, model.config, arrays(model))
    noise = np.stack([uniforms(1, i, 0, 70) for i in range(2)])
    whole = engine.generate(engine.init_state(2), noise, Sampling())
    for block in (1, 7):
        state = engine.init_state(2)
        parts = [engine.generate(state, noise[:, i : i + block], Sampling()) for i in range(0, 70, block)]
        assert (np.concatenate(parts, axis=1) == whole).all()
    assert len(np.unique(whole)) > 4


def test_a_stream_is_independent_of_its_companions(engine_name: str, model: WaveNet) -> None:
    engine = pick(engine_name, model.config, arrays(model))
    noise = np.stack([uniforms(1, i, 0, 60) for i in range(5)])
    together = engine.generate(engine.init_state(5), noise, Sampling())
    for i in range(5):
        assert (engine.generate(engine.init_state(1), noise[i : i + 1], Sampling())[0] == together[i]).all()
    assert (together[0] != together[1]).any()


def test_feeding_and_generating_interleave(engine_name: str) -> None:
    """Generated samples, fed again to a fresh state, predict the same future."""
    model = network(SMALL)
    engine = pick(engine_name, model.config, arrays(model))
    noise = uniforms(2, 0, 0, 50)[None]
    state = engine.init_state(1)
    first, second = engine.generate(state, noise[:, :30], Sampling()), engine.generate(state, noise[:, 30:], Sampling())
    fresh = engine.init_state(1)
    engine.feed(fresh, first)
    assert (engine.generate(fresh, noise[:, 30:], Sampling()) == second).all()


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.7), Sampling(0), Sampling(1, 5), Sampling(1, 0, 0.6), Sampling(1.3, 12, 0.9)])
def test_every_draw_is_the_oracles(engine_name: str, sampling: Sampling) -> None:
    """Each generated code is the one the oracle draws from the float64 prediction, unless noise lies on a boundary."""
    model = network(WIDE)
    engine = pick(engine_name, model.config, arrays(model))
    noise = uniforms(3, 0, 0, 1000)[None]
    x = engine.generate(engine.init_state(1), noise, sampling)
    params = teacher_forced(model, x)
    expected = model.distribution.draw(params, noise, sampling)
    for t in np.flatnonzero((x != expected)[0]):
        near = [model.distribution.draw(params[0, t], noise[0, t] + e, sampling) for e in (-1e-5, 1e-5)]
        assert x[0, t] in near, f"sample {t}: {x[0, t]} drawn, the oracle says {expected[0, t]}"
    assert (x != expected).mean() < 0.01


def test_engines_agree_until_noise_falls_on_a_boundary(model: WaveNet) -> None:
    noise = uniforms(4, 0, 0, 1000)[None]
    a, b = (pick(name, model.config, arrays(model)) for name in ENGINES)
    x, y = a.generate(a.init_state(1), noise, Sampling()), b.generate(b.init_state(1), noise, Sampling())
    if (x != y).any():
        t = int(np.argmax((x != y)[0]))
        p = teacher_forced(model, x)[0, t]
        shares = np.cumsum(np.exp(p - p.max()))
        assert np.abs(shares / shares[-1] - noise[0, t]).min() < 1e-5


def test_changed_weights_change_the_next_generation(engine_name: str) -> None:
    """An engine made after a weight change (or from the average) plays the new weights: nothing is cached by shape."""
    model = network(SMALL)
    noise = uniforms(5, 0, 0, 200)[None]

    def play() -> np.ndarray:  # type: ignore[type-arg]
        engine = pick(engine_name, model.config, arrays(model))
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
        engine = pick(engine_name, model.config, arrays(model))
        x = np.random.default_rng(9).integers(0, 32, (50, 20))
        np.testing.assert_allclose(engine.feed(engine.init_state(50), x), teacher_forced(model, x), atol=1e-4)
