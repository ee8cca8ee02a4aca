"""The conditioning of training windows: cut from recordings, completed on the device."""

from typing import TYPE_CHECKING

import numpy as np

from wavenet.config import ModelConfig
from wavenet.model.conditioning.carriers import ConditioningInput
from wavenet.model.conditioning.front_end import Source
from wavenet.model.conditioning.registry import front_ends

if TYPE_CHECKING:
    import torch


def frame_range(config: ModelConfig, first: int, rows: int) -> tuple[int, int]:
    """The first and last frame that condition `rows` rows of a recording, neighbours not counted.

    The first row predicts sample `first`.
    """
    return first // config.frame_spacing, (first + rows - 1) // config.frame_spacing + 1


def excerpt(config: ModelConfig, source: Source, first: int, rows: int) -> ConditioningInput:
    """What one window reads, without the batch axis; its first row predicts sample `first`."""
    low, high = frame_range(config, first, rows)
    values = {
        f.name: f.excerpt(source, low - f.context, high + f.context) for f in front_ends(config)
    }
    if not config.follows_frames:
        return ConditioningInput(values)
    last = len(source.pcm) // config.frame_spacing
    return ConditioningInput(values, np.array([low, last]), first % config.frame_spacing)


def stacked(windows: list[ConditioningInput]) -> ConditioningInput:
    """Several windows, with the batch axis. They lie alike between frames."""
    values = {name: np.stack([w.values[name] for w in windows]) for name in windows[0].values}
    if windows[0].frame_range is None:
        return ConditioningInput(values)
    frame_ranges = np.stack([w.frame_range for w in windows])
    return ConditioningInput(values, frame_ranges, windows[0].frame_offset)


def completed(
    config: ModelConfig, sample_rate: int, tensors: ConditioningInput
) -> ConditioningInput | None:
    """Excerpts on the training device, as the network takes them; None without front ends."""
    kinds = front_ends(config)
    values = {f.name: f.on_device(tensors.values[f.name], sample_rate) for f in kinds}
    return tensors._replace(values=values) if kinds else None


def conditioning_input_of(
    config: ModelConfig,
    sample_rate: int,
    source: Source,
    first: int,
    rows: int,
    device: "torch.device",
) -> ConditioningInput | None:
    """That of one stretch of a recording, as a batch of one, on the device."""
    import torch

    host = stacked([excerpt(config, source, first, rows)])
    return completed(config, sample_rate, host.map(lambda a: torch.as_tensor(a).to(device)))
