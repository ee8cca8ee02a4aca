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
    advance it in place, by the samples that they are given or draw. Its streams may be at different
    times, each counted from its own first sample: `select` and `merge` make states of streams of
    others. `distribution` turns codes into
    audio and back. A model with labels or mel frames needs `conditioning` in every call: make it
    with `wavenet.engines.conditioning.Projection`.

    What does not fit a call is refused before anything is computed: UsageError, a ValueError, names
    the parameter. A kind of engine says what happens in `_after_silence`, `_select`, `_merge`,
    `_prefill` and `_generate`, whose arguments have been checked. Compiled code checks no bounds.
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
        last = len(self._times_of(state)) - 1
        require_type("streams", streams, Iterable)
        for stream in streams:
            require_integer("streams", stream, 0, last, f"must be 0 to {last} in this state")
        return self._select(state, streams)

    def merge(self, states: Sequence[Any]) -> Any:
        """A new state with the streams of one or more states, one state's after another's.

        Each goes on from where it is. The given states stay as they are.
        """
        require_type("states", states, Sequence)
        if not states:
            raise UsageError("states", None, "must be one state or more")
        for state in states:
            self._times_of(state)
        return self._merge(states)

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
        self,
        state: Any,
        noise: Noise,
        sampling: Sampling | Sequence[Sampling],
        conditioning: Conditioning | None = None,
    ) -> Samples:
        """Draw one sample for each step of the noise.

        noise (batch, time, n_noise), float32 strictly inside 0 ... 1 as from
        `wavenet.generation.noise.noise_for` -> codes (batch, time), int64. The last axis of the
        noise may be missing where a draw takes one number. `sampling` is that of all streams, or
        lists one for each. Raises UsageError for one that the model's output does not offer, and
        EngineError as `prefill` does, or when what the network predicts is not finite.
        """
        noise = noise_columns(noise, self.distribution.n_noise)
        if noise.size and not 0 < noise.min() <= noise.max() < 1:
            reason = "must lie strictly between 0 and 1"
            raise UsageError("noise", f"{noise.min()} to {noise.max()}", reason)
        self._require_fit(state, noise, conditioning)
        return self._generate(state, noise, self._samplings(sampling, len(noise)), conditioning)

    def _samplings(self, given: Any, batch: int) -> list[Sampling]:
        """The sampling of each of `batch` streams. Raises UsageError."""
        samplings = [given] * batch if isinstance(given, Sampling) else given
        require_type("sampling", samplings, Sequence)
        if len(samplings) != batch:
            raise UsageError("sampling", None, f"must be one, or one for each of {batch} streams")
        for sampling in samplings:
            require_type("sampling", sampling, Sampling)
        for sampling in dict.fromkeys(samplings):
            self.distribution.check(sampling)
        return list(samplings)

    def _require_fit(self, state: Any, given: Array, conditioning: Conditioning | None) -> None:
        """Raises EngineError unless the streams go on from the state with `given`.

        That is x or the noise, (batch, time) and further axes.
        """
        batch, steps = given.shape[:2]
        times = self._times_of(state)
        if batch != len(times):
            raise EngineError("", f"{batch} streams do not go on from a state of {len(times)}")
        require_conditioning(self.config, conditioning, batch, times, steps)

    def _times_of(self, state: Any) -> Array:
        """`_times`; raises UsageError for what is no state."""
        try:
            return self._times(state)
        except (AttributeError, TypeError, IndexError):
            kind = f"of type {type(state).__name__}"
            raise UsageError("state", kind, "must be a state that `init_state` made") from None

    def _times(self, state: Any) -> Array:
        """How many samples each stream has: (batch,) int64."""
        times: Array = state.times
        return times

    @abstractmethod
    def _after_silence(self, frames: Array) -> Any:
        """The state of streams after endless silence, each under one of `frames` (batch, L, 2G)."""

    @abstractmethod
    def _select(self, state: Any, streams: Sequence[int]) -> Any:
        """See `select`."""

    @abstractmethod
    def _merge(self, states: Sequence[Any]) -> Any:
        """See `merge`."""

    @abstractmethod
    def _prefill(self, state: Any, x: Samples, conditioning: Conditioning | None) -> Params: ...

    @abstractmethod
    def _generate(
        self,
        state: Any,
        noise: Noise,
        samplings: Sequence[Sampling],
        conditioning: Conditioning | None,
    ) -> Samples: ...


def overflow(times: Array) -> EngineError:
    """What to raise when predictions are NaN or infinite, of streams with so many samples."""
    predictions = f"what the network predicts is not finite after {times.max()} samples"
    return EngineError("", f"{predictions}: its weights are too large")
