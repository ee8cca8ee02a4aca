"""Frames of numbers that the user made: local conditioning on anything."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from wavenet.errors import ConfigError
from wavenet.glossary import Array
from wavenet.model.conditioning.frames import TrackFrontEnd
from wavenet.system.text import counted

if TYPE_CHECKING:
    from wavenet.model.conditioning.modules import FrontEndModule

MEAN, DEVIATION = "conditioner.features.mean", "conditioner.features.deviation"


class FeaturesFrontEnd(TrackFrontEnd):
    """A value is (frames, width), in the numbers of the user's files.

    Their mean and standard deviation over what is trained on are kept among the weights.
    """

    name = "features"
    noun = "features"
    trait = "follows features"
    constants = (MEAN, DEVIATION)

    @property
    def columns(self) -> int:
        return self.config.features_width

    @property
    def shape(self) -> str:
        return f"(frames, {self.columns} features)"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return super().shapes() | {MEAN: (self.columns,), DEVIATION: (self.columns,)}

    @property
    def description(self) -> str:
        return counted(self.config.features_width, "feature")

    def missing(self) -> str:
        return f"this model follows {self.shape}: `play` takes a .npy file of them"

    def scaled(self, value: Any) -> Any:
        return value

    def normalised(self, weights: Mapping[str, Array], value: Array) -> Array:
        normal: Array = (value - weights[MEAN]) / weights[DEVIATION]
        return normal

    def module(self) -> "FrontEndModule":
        from wavenet.model.conditioning.modules import NormalisingEncoder

        if not self.columns:
            reason = "a network of features needs their width, which training finds in the files"
            raise ConfigError("model.features_width = 0", reason)
        return NormalisingEncoder(self.inputs, self.channels, self.context, self.scaled)

    def random_value(self, generator: np.random.Generator, frames: int) -> Any:
        return generator.normal(size=(frames, self.columns)).astype(np.float32)
