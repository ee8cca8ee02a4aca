"""Batches made ahead by a thread, and completed on the device where the network is trained.

For a GPU they wait in pinned memory, so that it never waits for the next one. A thread will do
where torch's DataLoader would start a process: NumPy releases the interpreter's lock, a batch takes
a few milliseconds, and a thread shares the open cache, needs no pickling and asks for any step.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

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
    noisy: Tensor | None = None  # as `Batch.noisy`

    @property
    def read(self) -> Tensor:
        """The codes that the network reads, one for each of `x`."""
        return self.x if self.noisy is None else self.noisy

    def parts(self, size: int) -> Iterator["DeviceBatch"]:
        """The same windows, up to `size` at a time."""
        for at in range(0, len(self.x), size):
            part = slice(at, at + size)
            inputs = self.conditioning_input and self.conditioning_input.part(part)
            noisy = None if self.noisy is None else self.noisy[part]
            yield DeviceBatch(self.x[part], self.loss_mask[part], inputs, noisy=noisy)


def to_device(config: Config, batch: Batch, device: torch.device) -> DeviceBatch:
    """A batch of arrays, or of tensors, on the device, where its mel frames are computed."""

    def there(array: Any) -> Tensor:
        return torch.as_tensor(array).to(device, non_blocking=True)

    inputs = batch.conditioning_input.map(there)
    completed = windows.completed(config.model, config.audio.sample_rate, inputs)
    noisy = None if batch.noisy is None else there(batch.noisy)
    return DeviceBatch(there(batch.x), there(batch.loss_mask), completed, batch.global_count, noisy)


class Prefetcher:
    """`get` batches in the order of their steps; any other order works too, only not ahead."""

    def __init__(self, make: Callable[[int], Batch], config: Config, device: torch.device) -> None:
        self._make, self._config, self._device = make, config, device
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._made: dict[int, Future[Batch]] = {}

    def get(self, step: int) -> DeviceBatch:
        """The batch of a step, on the device."""
        made, submit, steps = self._made, self._thread.submit, range(step, step + 1 + AHEAD)
        self._made = {s: made.get(s) or submit(self._make_pinned, s) for s in steps}
        return to_device(self._config, self._made.pop(step).result(), self._device)

    def _make_pinned(self, step: int) -> Batch:
        batch = self._make(step)
        if self._device.type != "cuda":
            return batch

        def pinned(array: Any) -> Any:
            return torch.as_tensor(array).pin_memory()

        # Otherwise the first GPU would be opened too.
        with torch.cuda.device(self._device):
            inputs = batch.conditioning_input.map(pinned)
            noisy = None if batch.noisy is None else pinned(batch.noisy)
            return Batch(
                pinned(batch.x), pinned(batch.loss_mask), inputs, batch.global_count, noisy
            )
