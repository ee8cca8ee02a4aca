"""What a network is told besides the past: the label of a recording, and log-mel frames that it follows.

Frames are condensed with their neighbours, the label's vector is set beside them, and each layer projects the result *at frame rate*.
Between two frames the projections are joined by straight lines. Projecting and joining commute, so a sample costs a few additions per
channel instead of a matrix product.

Frame j is centred on sample j * hop. What predicts sample t is told what lies at t, between the frames t // hop and t // hop + 1. Before
the first frame the first one holds, after the last the last one.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import conv1d, relu

from wavenet.audio import mel
from wavenet.config import ModelConfig
from wavenet.model.conditioning.carriers import FOREVER, scaled
from wavenet.model.layers import Taps

INTERPOLATION_ROWS = 2048  # moments that share frames in one product


class Excerpt(NamedTuple):
    """What a batch's conditions are made from: arrays that travel with its windows, or their tensors on the training device."""

    labels: NDArray[np.int64] | Tensor | None = None  # (batch,) which of the network's labels
    pcm: NDArray[np.int16] | Tensor | None = (
        None  # (batch, samples) of all frames and their neighbours, zero outside the recording
    )
    frames: NDArray[np.int64] | Tensor | None = (
        None  # (batch, 2) numbers of the first frame, with neighbours, and of the recording's last
    )


class Conditions(NamedTuple):
    """What a batch is told, as the network takes it."""

    labels: Tensor | None  # (batch,)
    frames: Tensor | None  # (batch, F + 2 * context, bands) log-mel
    held: (
        Tensor | None
    )  # (batch, F) which of the F frames stands in each place: those outside the recording are its first or last
    phase: int = (
        0  # samples from the first of the F frames to the sample that the first row predicts
    )

    def part(self, windows: slice) -> "Conditions":
        """Of some of the windows."""
        labels, frames, held = (
            t if t is None else t[windows] for t in (self.labels, self.frames, self.held)
        )
        return Conditions(labels, frames, held, self.phase)


def frame_range(config: ModelConfig, first: int, rows: int) -> tuple[int, int]:
    """The first and the last frame, neighbours left out, that `rows` rows need of which the first predicts sample `first`."""
    return first // config.mel_hop, (first + rows - 1) // config.mel_hop + 1


def excerpt(
    config: ModelConfig, pcm: NDArray[np.int16], label: int, first: int, rows: int
) -> Excerpt:
    """For one window, without the batch axis: `rows` rows of a recording, of which the first predicts its sample `first`."""
    labels = np.array(label) if config.label_channels else None
    if not config.mel_bands:
        return Excerpt(labels, None, None)
    low, high = frame_range(config, first, rows)
    low, high = low - config.mel_context, high + config.mel_context
    begin = low * config.mel_hop - config.mel_window // 2
    heard = np.zeros((high - low) * config.mel_hop + config.mel_window, np.int16)
    part = pcm[max(0, begin) : max(0, begin + len(heard))]
    heard[max(0, -begin) :][: len(part)] = part
    return Excerpt(labels, heard, np.array([low, mel.count(len(pcm), config.mel_hop) - 1]))


def stacked(excerpts: list[Excerpt]) -> Excerpt:
    """Of several windows, with the batch axis."""
    return Excerpt(
        *(None if parts[0] is None else np.stack(parts) for parts in zip(*excerpts, strict=True))
    )


def conditions(
    config: ModelConfig, sample_rate: int, heard: Excerpt, first: int
) -> Conditions | None:
    """The log-mel frames of an excerpt's tensors, computed where they lie; `first` as `excerpt` was given, of any one window."""
    if not config.condition_channels:
        return None
    if heard.pcm is None or heard.frames is None:
        return Conditions(heard.labels, None, None)  # type: ignore[arg-type]
    assert isinstance(heard.pcm, Tensor)
    assert isinstance(heard.frames, Tensor)
    frames = mel.log_mel(heard.pcm.float() / 32768, sample_rate, config).transpose(
        1, 2
    )  # (batch, F + 2 * context, bands)
    low, last = heard.frames[:, :1], heard.frames[:, 1:]
    number = low + torch.arange(frames.shape[1], device=frames.device)
    inside = torch.clamp(number, torch.zeros_like(last), last) - low  # (batch, F + 2 * context)
    frames = torch.gather(frames, 1, inside[:, :, None].expand_as(frames))
    c = config.mel_context
    held = inside[:, c : inside.shape[1] - c] - c
    return Conditions(heard.labels, frames, held, first % config.mel_hop)  # type: ignore[arg-type]


def conditions_of(
    config: ModelConfig,
    sample_rate: int,
    pcm: NDArray[np.int16],
    label: int,
    first: int,
    rows: int,
    device: torch.device,
) -> Conditions | None:
    """Of one stretch of a recording, as a batch of one: `rows` rows, of which the first predicts sample `first`."""
    heard = stacked([excerpt(config, pcm, label, first, rows)])
    there = Excerpt(*(None if a is None else torch.as_tensor(a).to(device) for a in heard))
    return conditions(config, sample_rate, there, first)


class Conditioner(nn.Module):
    """Conditions -> features, at frame rate: what every layer projects."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.mel = (
            Taps(config.mel_bands, config.mel_channels, 2 * config.mel_context + 1)
            if config.mel_bands
            else None
        )
        self.label = (
            nn.Embedding(len(config.labels), config.label_channels)
            if config.label_channels
            else None
        )

    def forward(self, given: Conditions) -> Tensor:
        """-> (F, batch, C); F is 1 when there is only a label."""
        parts: list[Tensor] = []
        if self.mel is not None:
            if given.frames is None or given.held is None:
                raise ValueError(
                    "this network follows mel frames: give it conditions that hold some"
                )
            condensed = relu(
                conv1d(scaled(given.frames).transpose(1, 2), self.mel.weight, self.mel.bias)
            )  # (batch, M, F)
            parts.append(
                torch.gather(
                    condensed, 2, given.held[:, None].expand(-1, condensed.shape[1], -1)
                ).permute(2, 0, 1)
            )
        if self.label is not None:
            if given.labels is None:
                raise ValueError("this network knows labels: give it conditions that hold some")
            vectors = self.label(given.labels)  # (batch, V)
            parts.append(vectors.expand(len(parts[0]) if parts else 1, -1, -1))
        return torch.cat(parts, 2)

    def initialise(self, generator: torch.Generator) -> None:
        if self.mel is not None:
            self.mel.initialise(math.sqrt(2 / self.mel.weight[0].numel()), generator)
        if self.label is not None:
            nn.init.normal_(self.label.weight, generator=generator)


@lru_cache(maxsize=4)
def interpolation_weights(hop: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """How much each moment of N * hop has of N + 1 frames: the two around it share it, by how near they are. Of a label (1, 1)."""
    if hop == FOREVER:
        return torch.ones(1, 1, dtype=dtype, device=device)
    count = max(1, INTERPOLATION_ROWS // hop)
    with torch.inference_mode(False):  # what is made inside that mode could not be used outside it
        place = (torch.arange(count * hop, dtype=torch.float64) / hop)[:, None]
        return torch.clamp(1 - (place - torch.arange(count + 1)).abs(), min=0).to(device, dtype)
