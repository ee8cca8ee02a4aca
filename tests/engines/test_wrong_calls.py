"""A call that does not fit an engine is refused by name, before anything is computed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.helpers import SMALL, arrays, network
from wavenet.config import Config
from wavenet.engines import Engine, create_engine
from wavenet.engines.options import EngineOptions
from wavenet.errors import UsageError, WavenetError
from wavenet.model.distributions.base import Sampling

WEIGHTS = arrays(network(SMALL))
X, NOISE = np.zeros((2, 4), np.int64), np.full((2, 4, 1), 0.5)

CALLS: dict[str, tuple[Callable[[Engine, Any], Any], str]] = {
    "no streams": (lambda e, _: e.init_state(0), "`batch` 0: must be 1 or more"),
    "half a stream": (lambda e, _: e.init_state(1.5), "`batch` 1.5: must be an integer"),
    "conditions": (lambda e, s: e.prefill(s, X, X), "without labels"),
    "floats": (lambda e, s: e.prefill(s, X / 2), "`x` of type ndarray of float64: must be"),
    "one axis": (lambda e, s: e.prefill(s, X[0]), r"`x` \(4,\): must be of shape \(batch, time\)"),
    "code 999": (lambda e, s: e.prefill(s, X + 999), "`x` 999 to 999: must be codes from 0 to 31"),
    "no codes": (lambda e, s: e.prefill(s, None), "`x` of type NoneType"),
    "no state": (lambda e, _: e.prefill(None, X), "`state` of type NoneType: .* `init_state`"),
    "no noise": (lambda e, s: e.generate(s, None, Sampling()), "`noise` of type NoneType"),
    "noise of 1": (
        lambda e, s: e.generate(s, 2 * NOISE, Sampling()),
        "`noise` 1.0 to 1.0",
    ),
    "noise, NaN": (lambda e, s: e.generate(s, NOISE * np.nan, Sampling()), "`noise` nan"),
    "noise, one axis": (
        lambda e, s: e.generate(s, NOISE[0, 0], Sampling()),
        r"`noise` \(1,\): must be of shape \(batch, time, 1\)",
    ),
    "sampling": (lambda e, s: e.generate(s, NOISE, 0.9), "`sampling` of type float"),
    "samplings": (lambda e, s: e.generate(s, NOISE, [Sampling(), 1]), "`sampling` of type int"),
    "3 samplings": (
        lambda e, s: e.generate(s, NOISE, [Sampling()] * 3),
        "`sampling`: must be one, or one for each of 2 streams",
    ),
    "no states": (lambda e, _: e.merge([]), "`states`: must be one state or more"),
    "half a state": (lambda e, s: e.merge([s, 1]), "`state` of type int"),
    "stream 2": (lambda e, s: e.select(s, [0, 2]), "`streams` 2: must be 0 to 1"),
    "a stream": (lambda e, s: e.select(s, 1), "`streams` of type int"),
}
CREATIONS: dict[str, tuple[tuple[Any, ...], str]] = {
    "name": ((None, SMALL, WEIGHTS), "`engine`: unknown; use auto or"),
    "config": (("reference", 3, WEIGHTS), "`config` of type int: must be a ModelConfig, a Config"),
    "weights": (("reference", SMALL, {}), "`weights`: embedding.weight has shape missing"),
    "a network": (("reference", SMALL, network(SMALL)), "`weights` of type WaveNet"),
    "options": (("reference", SMALL, WEIGHTS, "fp32"), "`options` of type str"),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_call_that_does_not_fit_is_refused_by_name(case: str) -> None:
    call, message = CALLS[case]
    engine = create_engine("reference", Config(model=SMALL), WEIGHTS)
    state = engine.init_state(2)
    with pytest.raises(WavenetError, match=message):
        call(engine, state)
    # What was refused has changed nothing.
    fresh = engine.prefill(engine.init_state(2), X)
    np.testing.assert_array_equal(engine.prefill(state, X), fresh)


@pytest.mark.parametrize("case", CREATIONS)
def test_an_engine_that_cannot_be_made_says_why(case: str) -> None:
    arguments, message = CREATIONS[case]
    with pytest.raises(UsageError, match=message):
        create_engine(*arguments)


def test_threads_are_a_number() -> None:
    with pytest.raises(UsageError, match="`threads` many: must be an integer"):
        EngineOptions(threads="many")  # type: ignore[arg-type]
