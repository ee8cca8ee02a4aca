"""Batches made ahead by a thread, in pinned memory for a GPU, so that the device does not wait for the next one."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from wavenet.config import Config
from wavenet.data.dataset import Batch
from wavenet.model.conditioning.conditioner import Conditions, Excerpt, conditions

AHEAD = 3  # batches; a step of the smallest preset on a fast GPU takes longer than making one


class DeviceBatch(NamedTuple):
    """A batch as the trainer takes it, on its device."""

    x: Tensor  # (batch, receptive_field + segment) codes
    loss_mask: Tensor  # (batch, segment)
    conditioning: Conditions | None
    global_count: int = 0  # as `Batch.global_count`

    def parts(self, size: int) -> Iterator["DeviceBatch"]:
        """The same windows, up to `size` at a time."""
        for at in range(0, len(self.x), size):
            windows = slice(at, at + size)
            yield DeviceBatch(
                self.x[windows],
                self.loss_mask[windows],
                self.conditioning and self.conditioning.part(windows),
            )


def to_device(config: Config, batch: Batch, device: torch.device) -> DeviceBatch:
    """A batch of arrays, or of tensors, on the device, where its mel frames are computed."""
    there = _map(batch, lambda a: torch.as_tensor(a).to(device, non_blocking=True))
    x, counts, model = torch.as_tensor(there.x), torch.as_tensor(there.loss_mask), config.model
    first = 1 - model.receptive_field  # windows start on frames
    return DeviceBatch(
        x,
        counts,
        conditions(model, config.audio.sample_rate, there.conditioning_input, first),
        batch.global_count,
    )


def _map(batch: Batch, change: Callable[[Any], Any]) -> Batch:
    heard = Excerpt(*(None if a is None else change(a) for a in batch.conditioning_input))
    return Batch(change(batch.x), change(batch.loss_mask), heard, batch.global_count)


class Prefetcher:
    """`take` batches in the order of their steps; any other order works too, only not ahead."""

    def __init__(self, make: Callable[[int], Batch], config: Config, device: torch.device) -> None:
        self._make = make
        self._config = config
        self._device = device
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._made: dict[int, Future[Batch]] = {}

    def get(self, step: int) -> DeviceBatch:
        """The batch of a step, on the device."""
        wanted = range(step, step + 1 + AHEAD)
        self._made = {s: self._made.get(s) or self._thread.submit(self._tensors, s) for s in wanted}
        return to_device(self._config, self._made.pop(step).result(), self._device)

    def _tensors(self, step: int) -> Batch:
        return _map(self._make(step), self._pinned)

    def _pinned(self, array: Any) -> Tensor:
        tensor = torch.from_numpy(np.asarray(array))
        if self._device.type != "cuda":
            return tensor
        with torch.cuda.device(self._device):  # else the first GPU would be opened too
            return tensor.pin_memory()
