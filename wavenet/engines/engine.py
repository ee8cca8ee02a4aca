"""What every engine does, and checks in its calls."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from wavenet.config import ModelConfig
from wavenet.engines.conditioning import require_conditioning
from wavenet.engines.options import EngineOptions
from wavenet.errors import EngineError, UsageError
from wavenet.glossary import Array, Noise, Params, Samples
from wavenet.model.arguments import code_array, require_integer, require_shape, require_type
from wavenet.model.conditioning.carriers import Conditioning
from wavenet.model.distributions.base import Sampling, noise_columns
from wavenet.model.distributions.registry import distribution_for


class Engine(ABC):
    """A model, ready to generate. Streams of a batch never influence each other.

    A state belongs to the caller and only its engine knows what is in it; `prefill` and `generate`
    advance it in place, by the samples that they are given or draw. `distribution` turns codes into
    audio and back. A model with labels or mel frames needs `conditioning` in every call: make it
    with `wavenet.engines.conditioning.Projection`.

    What does not fit a call is refused before anything is computed: UsageError, a ValueError, names
    the parameter. A kind of engine says what happens in `_after_silence`, `_select`, `_prefill` and
    `_generate`, whose arguments have been checked. Compiled code checks no bounds.
    """

    name: ClassVar[str]
    """What `create_engine` calls it."""

    def __init__(self, config: ModelConfig, options: EngineOptions) -> None:
        self.config, self.options = config, options
        self.distribution = distribution_for(config)

    @abstractmethod
    def describe(self, batch: int) -> str:
        """For the user: which engine this is, and how it will run `batch` streams."""

    def init_state(self, batch: int, conditioning: Conditioning | None = None) -> Any:
        """The state of `batch` streams, 1 or more, after endless silence, under their first frames.

        Raises EngineError unless `conditioning` is what the model needs.
        """
        require_integer("batch", batch, 1, 2**31 - 1, "must be 1 or more streams")
        require_conditioning(self.config, conditioning, batch, 0, 0)
        if conditioning is not None:
            return self._after_silence(conditioning.frames[:, 0])
        # All streams start alike, so one is computed and copied.
        frames = np.zeros((1, len(self.config.schedule), self.config.gate_channels), np.float32)
        state = self._after_silence(frames)
        return state if batch == 1 else self._select(state, [0] * batch)

    def select(self, state: Any, streams: Sequence[int]) -> Any:
        """A new state that continues the streams of `state` with the given numbers, in that order.

        They count from 0. A stream may be selected several times, or not at all.
        """
        last = self._streams_and_time(state)[0] - 1
        require_type("streams", streams, Iterable)
        for stream in streams:
            require_integer("streams", stream, 0, last, f"must be 0 to {last} in this state")
        return self._select(state, streams)

    def prefill(self, state: Any, x: Samples, conditioning: Conditioning | None = None) -> Params:
        """Advance the state by given samples instead of drawn ones.

        Codes x (batch, time), integers -> params (batch, time, n_params), float32: what was
        predicted for each sample, before it was known. Raises UsageError for codes that the model
        does not have, EngineError for a batch or `conditioning` that does not fit the state.
        """
        x = code_array(x, self.distribution.levels)
        require_shape("x", x, "batch", "time")
        self._require_fit(state, x, conditioning)
        return self._prefill(state, x, conditioning)

    def generate(
        self, state: Any, noise: Noise, sampling: Sampling, conditioning: Conditioning | None = None
    ) -> Samples:
        """Draw one sample for each step of the noise.

        noise (batch, time, n_noise), float32 strictly inside 0 ... 1 as from
        `wavenet.generation.noise.noise_for` -> codes (batch, time), int64. The last axis of the
        noise may be missing where a draw takes one number. Raises UsageError for a `sampling` that
        the model's output does not offer, and EngineError as `prefill` does, or when what the
        network predicts is not finite.
        """
        require_type("sampling", sampling, Sampling)
        self.distribution.check(sampling)
        noise = noise_columns(noise, self.distribution.n_noise)
        if noise.size and not 0 < noise.min() <= noise.max() < 1:
            reason = "must lie strictly between 0 and 1"
            raise UsageError("noise", f"{noise.min()} to {noise.max()}", reason)
        self._require_fit(state, noise, conditioning)
        return self._generate(state, noise, sampling, conditioning)

    def _require_fit(self, state: Any, given: Array, conditioning: Conditioning | None) -> None:
        """Raises EngineError unless the streams go on from the state with `given`.

        That is x or the noise, (batch, time) and further axes.
        """
        batch, steps = given.shape[:2]
        in_state, time = self._streams_and_time(state)
        if batch != in_state:
            raise EngineError("", f"{batch} streams do not go on from a state of {in_state}")
        require_conditioning(self.config, conditioning, batch, time, steps)

    def _streams_and_time(self, state: Any) -> tuple[int, int]:
        """`_position`; raises UsageError for what is no state."""
        try:
            return self._position(state)
        except (AttributeError, TypeError, IndexError):
            kind = f"of type {type(state).__name__}"
            raise UsageError("state", kind, "must be a state that `init_state` made") from None

    def _position(self, state: Any) -> tuple[int, int]:
        """How many streams there are, and how many samples each of them has."""
        return len(state.last), state.time

    @abstractmethod
    def _after_silence(self, frames: Array) -> Any:
        """The state of streams after endless silence, each under one of `frames` (batch, L, 2G)."""

    @abstractmethod
    def _select(self, state: Any, streams: Sequence[int]) -> Any:
        """See `select`."""

    @abstractmethod
    def _prefill(self, state: Any, x: Samples, conditioning: Conditioning | None) -> Params: ...

    @abstractmethod
    def _generate(
        self, state: Any, noise: Noise, sampling: Sampling, conditioning: Conditioning | None
    ) -> Samples: ...


def overflow(time: int) -> EngineError:
    """What to raise when predictions are NaN or infinite after `time` samples."""
    predictions = f"what the network predicts is not finite after {time} samples"
    return EngineError("", f"{predictions}: its weights are too large")
