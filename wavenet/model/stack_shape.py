"""What the rows of the fused stack mean, and how its work is cut into blocks of rows and groups.

`fused_stack` says what is computed.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from wavenet.arithmetic import ceil_div
from wavenet.model import machine_code
from wavenet.model.gates import SIGMOIDS, TANH, Gates, compile_gates


class Form(NamedTuple):
    """How the work is cut. Several layers make a group only where all rows are one block."""

    block_bytes: int | None
    """Of a block's rows, x to skips; None: all rows."""

    layers: int
    """Of a group."""

    gates: Gates

    multiple: int
    """To which channels are filled up; machine code fills whole vectors, whatever this is."""

    interpolation_rows: int
    """About so many time steps share their frames in one product."""

    machine_code: bool = False
    """Whether `cpu_stack` computes, which cuts the work by itself."""


# Blocks are small enough for the caches, large enough to be worth the calls.
ON_CPU = Form(4 << 20, 1, SIGMOIDS, 1, 2048)
IN_MACHINE_CODE = Form(None, 1, TANH, 1, 2048, machine_code=True)
# Ten layers side by side take less than half of the memory of what is kept of thirty.
ON_GPU = Form(None, 10, TANH, 1, 16384)


def form_for(device: torch.device, dtype: torch.dtype) -> Form:
    """The form that suits a device, in a precision."""
    if device.type == "cpu":
        return IN_MACHINE_CODE if dtype == torch.float32 and machine_code.available() else ON_CPU
    # Eight numbers in half precision are the 16 bytes that tensor cores want rows to be made of.
    return ON_GPU._replace(multiple=8) if dtype.itemsize == 2 else ON_GPU


class StackShape(NamedTuple):
    """What the rows mean. `offsets` are those of `ModelConfig.offsets`."""

    offsets: tuple[tuple[int, ...], ...]
    batch: int
    predicted: int  # rows at the end whose skip paths are summed
    checkpoint_every: int  # layers; 0 keeps all
    form: Form
    compiled: bool = False  # the passes over the gates, by torch.compile
    hop: int = 1  # time steps from frame to frame
    frame_offset: int = 0  # time steps from the first frame to the first row
    time: int = 0  # time steps of x
    # How much each time step has of the frames around it, in rows that begin on a frame:
    # (N * hop, N + 1). No gradient flows to it. A single frame needs none.
    interp_weights: Tensor | None = None

    @property
    def gates(self) -> Gates:
        return compile_gates(self.form.gates) if self.compiled else self.form.gates

    @property
    def last(self) -> int:
        """The last layer, which has no residual path."""
        return len(self.offsets) - 1

    def starts(self, i: int) -> list[int]:
        """The first row of x that each tap of a layer reads, oldest tap first: it begins at 0."""
        offsets = self.offsets[i]
        return [(offsets[-1] - offset) * self.batch for offset in reversed(offsets)]

    def segments(self) -> list[range]:
        """The layers between one x that is kept with `checkpoint_every` and the next."""
        return _divided(range(len(self.offsets)), self.checkpoint_every or len(self.offsets))

    def groups(self, segment: range) -> list[range]:
        """A segment's layers whose skip paths are one product."""
        return _divided(segment, self.form.layers)

    def blocks(self, rows: int, width: int, like: Tensor) -> list[tuple[int, int]]:
        """First and last row of each block: whole time steps of all windows."""
        if self.form.block_bytes is None:
            return [(0, rows)]
        size = max(256, self.form.block_bytes // (width * like.element_size()))
        size = ceil_div(size, self.batch) * self.batch
        return [(a, min(rows, a + size)) for a in range(0, rows, size)]


def _divided(layers: range, size: int) -> list[range]:
    return [layers[a : a + size] for a in range(0, len(layers), size)]
