"""Every engine computes what the parallel forward computes, and draws what the oracle draws.

All engines with all networks in all tests would be hundreds of cases. Instead, any two of these
meet in some case, and most of those cases are slow ones. Where there is a GPU, its engines go
through all tests with the few networks that have all there is in a kernel.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.engines.parity import (
    LOGISTIC,
    MODELS,
    SAMPLINGS,
    SLACK,
    VARIED,
    WIDE,
    Streams,
    explained,
    few,
    near_draws,
    noise_of,
    pairwise,
    teacher_forced,
)
from tests.helpers import (
    CONDITIONED,
    INTERPRETED,
    LONGEST,
    SMALL,
    StreamConditioning,
    arrays,
    network,
    require_triton,
)
from wavenet.engines import ENGINES, ON_GPU, create_engine
from wavenet.errors import EngineError, UnsupportedModelError, UsageError
from wavenet.model.distributions.base import Sampling
from wavenet.model.network import WaveNet

OUTPUTS = ("mulaw", "logistic", "gaussian")
# Tests of all engines and networks, and those of them that are quick even in an interpreter.
TESTS = ("forward", "blocks", "companions", "selection", "merging", "reference")
QUICK = ("forward", "reference")


def possible(engine_name: str, name: str, test: str = "") -> bool:
    if (engine_name, test) == ("reference", "reference"):
        return False
    if engine_name in INTERPRETED:
        return name in VARIED
    return MODELS[name].context == "none" or engine_name not in ON_GPU


CASES = pairwise(ENGINES, MODELS, TESTS, possible=possible)
FOR_GPUS = list(itertools.product(ON_GPU, VARIED, TESTS))
shared_network = functools.cache(network)


def marks(slow: bool, gpu: bool = False) -> list[pytest.MarkDecorator]:
    return [pytest.mark.slow] * slow + [pytest.mark.gpu] * gpu


def cases(test: str) -> pytest.MarkDecorator:
    """The engines and networks of one test. Those of "forward" are quick and have every network."""
    rows = {f"{e}-{m}": (e, m) for e, m, t in CASES + FOR_GPUS if t == test}
    slow = {} if test == "forward" else MODELS.keys() - VARIED
    params = [
        pytest.param(
            e,
            m,
            marks=marks(
                slow=m in slow or (e in INTERPRETED and test not in QUICK),
                gpu=(e, m, test) in FOR_GPUS,
            ),
        )
        for e, m in rows.values()
    ]
    return pytest.mark.parametrize(("engine_name", "model"), params, ids=rows, indirect=True)


def every_engine(
    parameter: str, values: Sequence[Any], on_gpus: Sequence[Any]
) -> pytest.MarkDecorator:
    """All engines with all values of a parameter. GPUs are given those of `on_gpus`."""
    params = [
        pytest.param(
            e, v, marks=marks(e in INTERPRETED, e in ON_GPU and v in on_gpus), id=f"{e}-{v}"
        )
        for e, v in itertools.product(ENGINES, values)
    ]
    return pytest.mark.parametrize(("engine_name", parameter), params, indirect=["engine_name"])


@pytest.fixture(params=[pytest.param(e, marks=marks(e in INTERPRETED)) for e in ENGINES])
def engine_name(request: pytest.FixtureRequest) -> str:
    if request.param == "triton":
        require_triton()
    return str(request.param)


@pytest.fixture
def model(request: pytest.FixtureRequest) -> WaveNet:
    """One for all tests, which leave it as it is."""
    return shared_network(MODELS[request.param])


def test_any_engine_network_and_test_meet_in_some_case() -> None:
    assert len(CASES) < len(ENGINES) * len(MODELS) * len(TESTS) / 3
    for test in TESTS:
        assert {m for _, m, t in CASES if t == test} == MODELS.keys()
        assert {e for e, _, t in CASES if t == test} == {
            e for e in ENGINES if possible(e, VARIED[0], test)
        }
    met = {(e, m) for e, m, _ in CASES}
    assert met == {(e, m) for e in ENGINES for m in MODELS if possible(e, m)}


@cases("forward")
def test_engine_equals_parallel_forward_from_the_first_sample(
    engine_name: str, model: WaveNet
) -> None:
    x = np.random.default_rng(3).integers(0, model.distribution.levels, (3, 200))
    expected = teacher_forced(model, x)
    # The comparison is not one of zeros.
    assert expected.std() > 0.5
    for batch in (1, 3):
        params = Streams(engine_name, model, range(batch)).prefill(x[:batch])
        error = np.abs(params - expected[:batch]).max(axis=(0, 2))
        assert error.max() < 1e-4, f"difference {error.max():.1e} at sample {error.argmax()}"


@pytest.mark.parametrize("engine_name", ON_GPU, indirect=True)
def test_what_an_engine_has_no_path_for_is_refused(engine_name: str) -> None:
    model = shared_network(MODELS["pyramid"])
    with pytest.raises(UnsupportedModelError, match=r"model\.context = pyramid"):
        create_engine(engine_name, model.config, arrays(model))


PROMPTS = pairwise(ENGINES, (1, 2, 9, 10, 11, 12, 40), OUTPUTS, ("kernel 2", "labels and mel"))


@pytest.mark.parametrize(
    ("engine_name", "length", "output", "name"), PROMPTS, indirect=["engine_name"]
)
def test_a_prompt_of_any_length_leaves_the_exact_state(
    engine_name: str, length: int, output: str, name: str
) -> None:
    model = shared_network(replace(MODELS[name], output=output))
    assert model.receptive_field == 11
    x = np.random.default_rng(0).integers(0, model.distribution.levels, (2, length + 20))
    streams = Streams(engine_name, model, range(2))
    streams.prefill(x[:, :length])
    after = streams.prefill(x[:, length:])
    np.testing.assert_allclose(after, teacher_forced(model, x)[:, length:], atol=1e-4)


@cases("blocks")
def test_generation_is_independent_of_block_size(engine_name: str, model: WaveNet) -> None:
    n = few(engine_name, 70, 7)
    noise = noise_of(model, 1, 2, n)
    at_once = Streams(engine_name, model, range(2)).generate(noise)
    for block in (1, few(engine_name, 7, 4)):
        streams = Streams(engine_name, model, range(2))
        parts = [streams.generate(noise[:, i : i + block]) for i in range(0, n, block)]
        assert (np.concatenate(parts, axis=1) == at_once).all()
    assert len(np.unique(at_once)) > 4


@cases("companions")
def test_a_stream_is_independent_of_its_companions(engine_name: str, model: WaveNet) -> None:
    noise = noise_of(model, 1, 5, few(engine_name, 60, 4))
    together = Streams(engine_name, model, range(5)).generate(noise)
    for i in range(5):
        alone = Streams(engine_name, model, [i]).generate(noise[i : i + 1])
        assert (alone[0] == together[i]).all()
    assert (together[0] != together[1]).any()


@cases("selection")
def test_streams_go_on_without_those_that_are_done(engine_name: str, model: WaveNet) -> None:
    """As in a batch of recordings of different lengths."""
    some = few(engine_name, 31, 3)
    noise = noise_of(model, 1, 3, 2 * some)
    expected = Streams(engine_name, model, range(3)).generate(noise)
    streams = Streams(engine_name, model, range(3))
    streams.generate(noise[:, :some])
    codes = streams.select([2, 0]).generate(noise[[2, 0], some:])
    assert (codes == expected[[2, 0], some:]).all()


@cases("merging")
def test_streams_that_join_late_draw_as_they_would_alone(engine_name: str, model: WaveNet) -> None:
    """Each has its own time and its own sampling, and those that were there notice nothing."""
    # No two differ by a multiple of the steps that a kernel computes ahead.
    ages, more = (few(engine_name, 31, 3), few(engine_name, 10, 1), 0), few(engine_name, 40, 3)
    limits = {} if model.distribution.scalar_input else {"top_k": 5}
    samplings = [Sampling(), Sampling(0.7, **limits), Sampling(0)]
    noise = noise_of(model, 1, 3, max(ages) + more)
    alone = [Streams(engine_name, model, [i]) for i in range(3)]
    engine = alone[0].engine
    parted = [Streams(engine, model, [i]) for i in range(3)]
    for i, age in enumerate(ages):
        for streams in (alone[i], parted[i]):
            if age:
                streams.generate(noise[i : i + 1, :age], samplings[i])
    rest = np.stack([noise[i, age : age + more] for i, age in enumerate(ages)])
    together = parted[0].merge(*parted[1:])
    codes = together.generate(rest, samplings)
    for i in range(3):
        assert (codes[i] == alone[i].generate(rest[i : i + 1], samplings[i])[0]).all(), i
    # What was merged has stayed as it was, and what goes on alone again is as if it always had.
    assert (parted[1].generate(rest[1:2], samplings[1]) == codes[1]).all()
    left = together.select([1]).generate(rest[:1], samplings[1])
    assert (left == alone[1].generate(rest[:1], samplings[1])).all()


@pytest.mark.parametrize("name", CONDITIONED)
def test_conditioning_matters_and_a_wrong_one_is_refused(engine_name: str, name: str) -> None:
    model = shared_network(CONDITIONED[name])
    x = np.zeros((1, 50), np.int64)
    one, other = (Streams(engine_name, model, [i]) for i in range(2))
    assert np.abs(one.prefill(x) - other.prefill(x)).max() > 0.1
    engine, conditioning = one.engine, StreamConditioning(model, [0]).conditioning(0, 50)
    with pytest.raises(EngineError, match="conditioned on"):
        engine.init_state(1)
    state = engine.init_state(1, conditioning)
    assert conditioning is not None
    frames = conditioning.frames
    with pytest.raises(EngineError, match="do not fit"):
        engine.prefill(state, x, conditioning._replace(frames=frames[:, :, :2]))
    with pytest.raises(EngineError, match="do not cover"):
        engine.prefill(state, x, conditioning._replace(hop=8, frames=frames[:, :2]))
    plain = create_engine(engine_name, SMALL, arrays(shared_network(SMALL)))
    with pytest.raises(EngineError, match="without"):
        plain.init_state(1, conditioning)


@pytest.mark.parametrize("output", OUTPUTS)
def test_prefilling_and_generating_interleave(engine_name: str, output: str) -> None:
    """A fresh state that is prefilled with generated samples predicts the same future."""
    model = shared_network(replace(SMALL, output=output))
    # More than the receptive field.
    some = few(engine_name, 30, 12)
    noise = noise_of(model, 2, 1, few(engine_name, 50, 20))
    streams, fresh = Streams(engine_name, model), Streams(engine_name, model)
    fresh.prefill(streams.generate(noise[:, :some]))
    second, again = streams.generate(noise[:, some:]), fresh.generate(noise[:, some:])
    if engine_name == "triton" and model.distribution.scalar_input:
        # On a GPU, rings that prefilling and generating fill differ in their last bits.
        assert np.abs(again - second).max() <= SLACK
    else:
        assert (again == second).all()


@every_engine("sampling", SAMPLINGS, on_gpus=[SAMPLINGS[2], SAMPLINGS[-1]])
def test_every_draw_is_the_oracles(engine_name: str, sampling: Sampling) -> None:
    """Each generated code is the one that the oracle draws from the float64 prediction.

    It may be another only where noise lies on a boundary, or a code at the edge of `top_p`.
    """
    model = shared_network(WIDE)
    noise = noise_of(model, 3, 1, few(engine_name, 1000, 15))
    x = Streams(engine_name, model).generate(noise, sampling)
    params = teacher_forced(model, x)
    expected = model.distribution.draw(params, noise, sampling)
    for t in np.flatnonzero((x != expected)[0]):
        near = near_draws(model.distribution, params[0, t], noise[0, t], sampling)
        assert x[0, t] in near, f"sample {t}: {x[0, t]} drawn, the oracle says {expected[0, t]}"
    assert (x != expected).mean() < 0.01


@pytest.mark.parametrize("output", ["logistic", "gaussian"])
@every_engine("temperature", [1, 0.7, 0, 1.3], on_gpus=[0.7])
def test_every_draw_from_a_mixture_is_the_oracles(
    engine_name: str, output: str, temperature: float
) -> None:
    model, sampling = (
        shared_network(replace(WIDE, output=output, mixtures=5)),
        Sampling(temperature),
    )
    noise = noise_of(model, 3, 1, few(engine_name, 1000, 15))
    x = Streams(engine_name, model).generate(noise, sampling)
    difference = np.abs(x - model.distribution.draw(teacher_forced(model, x), noise, sampling))
    assert np.median(difference) == 0
    # Some are where the first number lies on a boundary between components, or scales are wide.
    assert (difference > SLACK).mean() < 0.01
    assert len(np.unique(x)) > x.size // 10


@pytest.mark.parametrize(("parameter", "value"), [("top_k", 5), ("top_p", 0.9)])
def test_a_mixture_has_no_levels_to_choose_among(
    engine_name: str, parameter: str, value: float
) -> None:
    model = shared_network(LOGISTIC)
    with pytest.raises(UsageError) as caught:
        Streams(engine_name, model).generate(
            noise_of(model, 3, 1, 10), Sampling(**{parameter: value})
        )
    assert (caught.value.parameter, caught.value.value) == (parameter, value)


def test_noise_of_another_output_is_refused(engine_name: str) -> None:
    with pytest.raises(UsageError) as caught:
        Streams(engine_name, shared_network(LOGISTIC)).generate(
            noise_of(shared_network(WIDE), 3, 1, 10)
        )
    assert caught.value.parameter == "noise"


@cases("reference")
def test_engines_agree_until_noise_falls_on_a_boundary(engine_name: str, model: WaveNet) -> None:
    noise = noise_of(model, 4, 1, few(engine_name, LONGEST, 15))
    x, y = (Streams(name, model).generate(noise) for name in (engine_name, "reference"))
    if (x != y).any():
        t = int(np.argmax((x != y)[0]))
        assert explained(model, teacher_forced(model, x)[0, t], noise[0, t], int(x[0, t]))


def test_changed_weights_change_the_next_generation(engine_name: str) -> None:
    """An engine that is created after a weight change, or from the EMA, uses the new weights.

    Nothing is cached by shape.
    """
    model = network(SMALL)
    noise = noise_of(model, 5, 1, few(engine_name, 200, 15))
    before = Streams(engine_name, model).generate(noise)
    with torch.no_grad():
        model.output.bias += torch.linspace(-1, 1, 32)
    assert (Streams(engine_name, model).generate(noise) != before).any()


@pytest.mark.parametrize("biases", [True, False])
def test_a_thousand_random_inputs_with_and_without_biases(engine_name: str, biases: bool) -> None:
    model = network(SMALL)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.mul_(biases or not name.endswith("bias"))
    x = np.random.default_rng(9).integers(0, 32, (50, 20))
    params = Streams(engine_name, model, range(50)).prefill(x)
    np.testing.assert_allclose(params, teacher_forced(model, x), atol=1e-4)
