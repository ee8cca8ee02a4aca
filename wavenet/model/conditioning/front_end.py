"""What a front end is: something that a network can be conditioned on."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from wavenet.config import ModelConfig
from wavenet.glossary import Array

if TYPE_CHECKING:
    from torch import Tensor

    from wavenet.model.conditioning.modules import FrontEndModule


class Source(NamedTuple):
    """A recording, as front ends may read it."""

    # All of it, at the level that the network is trained at.
    pcm: NDArray[np.int16]
    # Which of the network's labels it has.
    label: int
    # Under the name of a front end, what gives its frames `low` to `high` - 1 (frames, columns)
    # where they are not computed from the audio: beyond the ends the outer ones.
    tracks: Mapping[str, Callable[[int, int], Array]] = MappingProxyType({})


class FrontEnd(Protocol):
    """One kind of conditioning, of one network. Importable without torch.

    Training goes `excerpt` -> `on_device` -> `module`; generation computes the same `features` in
    NumPy from a value that it is given.
    """

    # Its entry in `ConditioningInput.values`; its weights are `conditioner.NAME.*`.
    name: ClassVar[str]
    # Whether it has frames along the recording, `ModelConfig.frame_hop` apart; else one value for
    # all of it.
    per_frame: ClassVar[bool]
    # How messages speak of a value, and of a network that has this front end.
    noun: ClassVar[str]
    trait: ClassVar[str]
    # Those of its weights that are not learnt: statistics of what is trained on.
    constants: ClassVar[tuple[str, ...]] = ()

    config: ModelConfig

    def __init__(self, config: ModelConfig) -> None:
        self.config = config

    @property
    def channels(self) -> int:
        """Numbers per frame that every layer projects; 0 in a network without this front end."""

    @property
    def context(self) -> int:
        """Neighbouring frames to each side that a frame is encoded with."""
        return 0

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each of its weights."""

    def check(self, sample_rate: int) -> None:
        """Raise ConfigError for settings that do not fit the sample rate."""

    def missing(self) -> str:
        """What a user is told who gives no value to generate with."""

    def features(self, weights: Mapping[str, Array], value: Any) -> Array:
        """(frames, channels) of one recording, or (1, channels) of what holds for all of it.

        `weights` are the network's, by name. Raises EngineError for a value of the wrong shape.
        """

    def module(self) -> "FrontEndModule":
        """The same for training, as a torch module."""

    def excerpt(self, source: Source, low: int, high: int) -> Array:
        """What one window reads of its recording, without the batch axis.

        Frames `low` to `high` condition it, neighbours counted. They may lie outside the recording.
        """

    def value_of(self, source: Source, sample_rate: int, begin: int, rows: int) -> tuple[Any, int]:
        """A value for `features` from a recording, to condition `rows` samples from `begin` on.

        With it comes how many of its frames lie before the one at `begin`, which is on a frame.
        """

    def random_value(self, generator: np.random.Generator, frames: int) -> Any:
        """A value for `features`, for benchmarks."""

    def on_device(self, value: "Tensor", sample_rate: int) -> "Tensor":
        """Excerpts (batch, ...), now on the training device, as the module takes them."""
        return value

    def peak(self, excerpt: Array) -> int:
        """The loudest 16-bit sample in an excerpt, at least 1: a gain must not clip it."""
        return 1

    def with_gain(self, excerpt: Array, factor: float) -> Array:
        """The excerpt of the same recording played louder or softer."""
        return excerpt
