"""Batches made ahead by a thread, in pinned memory for a GPU, so that the device does not wait for the next one."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from wavenet.corpus import Batch

AHEAD = 3  # batches; a step of the smallest preset on a fast GPU takes longer than making one


class Prefetch:
    """`take` batches in the order of their steps; any other order works too, only not ahead."""

    def __init__(self, make: Callable[[int], Batch], device: torch.device) -> None:
        self._make = make
        self._device = device
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._made: dict[int, Future[tuple[Tensor, Tensor]]] = {}

    def take(self, step: int) -> tuple[Tensor, Tensor]:
        """x (batch, receptive_field + segment) and counts (batch, segment) of a step, on the device."""
        wanted = range(step, step + 1 + AHEAD)
        self._made = {s: self._made.get(s) or self._thread.submit(self._tensors, s) for s in wanted}
        x, counts = self._made.pop(step).result()
        return x.to(self._device, non_blocking=True), counts.to(self._device, non_blocking=True)

    def _tensors(self, step: int) -> tuple[Tensor, Tensor]:
        batch = self._make(step)
        x, counts = torch.from_numpy(batch.x), torch.from_numpy(batch.counts)
        if self._device.type != "cuda":
            return x, counts
        with torch.cuda.device(self._device):  # else the first GPU would be opened too
            return x.pin_memory(), counts.pin_memory()
