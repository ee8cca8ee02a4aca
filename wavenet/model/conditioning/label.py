"""The label of a recording, such as a voice or a class: global conditioning."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from wavenet.glossary import Array
from wavenet.model.conditioning.front_end import FrontEnd, Source
from wavenet.model.known_labels import labels_line

if TYPE_CHECKING:
    from wavenet.model.conditioning.modules import FrontEndModule


class LabelFrontEnd(FrontEnd):
    """A vector for each label. A value is a label's number among `ModelConfig.labels`."""

    name = "label"
    per_frame = False
    noun = "a label"
    trait = "knows labels"

    @property
    def channels(self) -> int:
        return self.config.label_channels

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"conditioner.label.weight": (len(self.config.labels), self.channels)}

    def missing(self) -> str:
        return f"this model knows labels: name one of {labels_line(self.config.labels)}"

    def features(self, weights: Mapping[str, Array], value: Any) -> Array:
        return np.atleast_2d(weights["conditioner.label.weight"][value])

    def module(self) -> "FrontEndModule":
        from wavenet.model.conditioning.modules import LabelEmbedding

        return LabelEmbedding(len(self.config.labels), self.channels)

    def excerpt(self, source: Source, low: int, high: int) -> Array:
        return np.array(source.label)

    def value_of(self, source: Source, sample_rate: int, begin: int, rows: int) -> tuple[Any, int]:
        return source.label, 0

    def random_value(self, generator: np.random.Generator, frames: int) -> Any:
        return 0
