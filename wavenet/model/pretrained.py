"""The weights of a trained model, as those that another network begins with.

Needs no torch.
"""

from collections.abc import Mapping

import numpy as np

from wavenet.config import ModelConfig
from wavenet.glossary import Array
from wavenet.model.checkpoint import Model
from wavenet.model.conditioning.label import LabelFrontEnd
from wavenet.model.conditioning.registry import front_ends
from wavenet.model.conditioning.segments import PLACES, SegmentsFrontEnd

_LABELS = "conditioner.label.weight"
_SEGMENTS = "conditioner.segments.weight"


def adapted_weights(
    base: Model, config: ModelConfig, fresh: Mapping[str, Array]
) -> dict[str, Array]:
    """The weights of a network of `config` that predicts what `base`, by its EMA, predicts.

    `config` may differ from the base's by labels and by front ends that the base has not. `fresh`
    are all weights of such a network before training. A label that the base does not know, of a
    recording or of a segment, begins as the mean of those that it knows. What projects the features
    of a new front end into the layers begins at 0: they change nothing yet.
    """
    old = base.weights
    weights = {name: old.get(name, array) for name, array in fresh.items()}
    before, now = _feature_columns(base.config.model), _feature_columns(config)
    for name, array in fresh.items():
        if name.endswith(".condition.weight"):
            weights[name] = np.zeros_like(array)
            for kind in before:
                weights[name][:, now[kind]] = old[name][:, before[kind]]
    if LabelFrontEnd.name in before:
        vectors = dict(zip(base.config.model.labels, old[_LABELS], strict=True))
        mean = old[_LABELS].mean(axis=0)
        weights[_LABELS] = np.stack([vectors.get(label, mean) for label in config.labels])
    if SegmentsFrontEnd.name in before:
        weights[_SEGMENTS] = _of_segments(old[_SEGMENTS], base.config.model, config)
    return weights


def _of_segments(weight: Array, base: ModelConfig, config: ModelConfig) -> Array:
    """A weight (channels, inputs, taps) whose inputs are of the labels of segments of `config`."""
    # Inputs of what lies between segments, of each label, and of lengths.
    between, *of_labels, lengths = np.split(
        weight, range(PLACES, PLACES * (2 + len(base.segment_labels)), PLACES), axis=1
    )
    columns = dict(zip(base.segment_labels, of_labels, strict=True))
    mean = np.mean(of_labels, axis=0)
    new = [columns.get(label, mean) for label in config.segment_labels]
    return np.concatenate([between, *new, lengths], axis=1)


def _feature_columns(config: ModelConfig) -> dict[str, slice]:
    """Which of the features that every layer projects come from each front end, by its name."""
    columns, start = {}, 0
    for front_end in front_ends(config):
        columns[front_end.name] = slice(start, start + front_end.channels)
        start += front_end.channels
    return columns
