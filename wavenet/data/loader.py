"""Batches made ahead by a thread, and completed on the device where the network is trained.

For a GPU they wait in pinned memory, so that it never waits for the next one.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from wavenet.config import Config
from wavenet.data.dataset import Batch
from wavenet.model.conditioning import windows
from wavenet.model.conditioning.carriers import ConditioningInput

# Batches. A step of the smallest preset on a fast GPU takes longer than making one.
AHEAD = 3


class DeviceBatch(NamedTuple):
    """A batch as the trainer takes it, on its device."""

    x: Tensor  # (batch, receptive_field + segment) codes
    loss_mask: Tensor  # (batch, segment)
    conditioning_input: ConditioningInput | None
    global_count: int = 0  # as `Batch.global_count`

    def parts(self, size: int) -> Iterator["DeviceBatch"]:
        """The same windows, up to `size` at a time."""
        for at in range(0, len(self.x), size):
            part = slice(at, at + size)
            yield DeviceBatch(
                self.x[part],
                self.loss_mask[part],
                self.conditioning_input and self.conditioning_input.part(part),
            )


def to_device(config: Config, batch: Batch, device: torch.device) -> DeviceBatch:
    """A batch of arrays, or of tensors, on the device, where its mel frames are computed."""
    there = _map(batch, lambda a: torch.as_tensor(a).to(device, non_blocking=True))
    conditioning_input = windows.completed(
        config.model, config.audio.sample_rate, there.conditioning_input
    )
    x, loss_mask = torch.as_tensor(there.x), torch.as_tensor(there.loss_mask)
    return DeviceBatch(x, loss_mask, conditioning_input, batch.global_count)


def _map(batch: Batch, change: Callable[[Any], Any]) -> Batch:
    conditioning_input = batch.conditioning_input.map(change)
    return Batch(change(batch.x), change(batch.loss_mask), conditioning_input, batch.global_count)


class Prefetcher:
    """`get` batches in the order of their steps; any other order works too, only not ahead."""

    def __init__(self, make: Callable[[int], Batch], config: Config, device: torch.device) -> None:
        self._make = make
        self._config = config
        self._device = device
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._made: dict[int, Future[Batch]] = {}

    def get(self, step: int) -> DeviceBatch:
        """The batch of a step, on the device."""
        steps = range(step, step + 1 + AHEAD)
        self._made = {s: self._made.get(s) or self._thread.submit(self._tensors, s) for s in steps}
        return to_device(self._config, self._made.pop(step).result(), self._device)

    def _tensors(self, step: int) -> Batch:
        return _map(self._make(step), self._pinned)

    def _pinned(self, array: Any) -> Tensor:
        tensor = torch.from_numpy(np.asarray(array))
        if self._device.type != "cuda":
            return tensor
        # Otherwise the first GPU would be opened too.
        with torch.cuda.device(self._device):
            return tensor.pin_memory()
