"""Kernels and bytes of a training step on a GPU, counted by dispatch, without a GPU.

    python -m benchmarks.kernel_counts [PRESET ...] [--batch 4] [--seconds 0.5] [--precision bf16]

Small networks are bound by the host, which starts each kernel: their number is what a step costs.
The step is traced with fake tensors in the stack's form for GPUs (`stack_shape.form_for`): forward,
loss and backward. Nothing is computed, so there is no time in what is printed.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from wavenet.config import Config, loading
from wavenet.model.conditioning.carriers import ConditioningInput
from wavenet.model.conditioning.conditioner import interpolation_weights
from wavenet.model.network import WaveNet
from wavenet.model.stack_shape import form_for
from wavenet.system.device import PRECISIONS

# They only allocate, or say the same of the same memory.
NO_KERNEL = {"detach", "lift_fresh", "_unsafe_view", "_local_scalar_dense", "is_same_size"}
ALLOCATIONS = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
# In place they write what they do not read.
OVERWRITES = {"copy_", "fill_", "zero_", "normal_", "uniform_"}
WAITS = {"_local_scalar_dense", "nonzero"}
COPIES = {"_to_copy", "copy_"}


class KernelCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what runs inside it, backward passes included, on tensors of any device.

    A kernel is an operation that is no view and writes at least one number. A few are several
    kernels on a GPU, such as an embedding's gradient, and count as one. `host_waits` are the
    operations that make the host wait for the device: numbers read back, and copies between the
    two.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # By the operation's name.
        self.kernels: Counter[str] = Counter()
        self.host_waits: Counter[str] = Counter()
        self.bytes_read = 0
        self.bytes_written = 0

    @property
    def total(self) -> int:
        """All kernels."""
        return self.kernels.total()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        written, read = _written(func, args, kwargs, result), _read(func, args, kwargs)
        devices = {t.device.type for t in (*written, *_tensors((args, kwargs)))}
        if name in WAITS or (name in COPIES and len(devices) > 1):
            self.host_waits[name] += 1
        if not (func.is_view or name in NO_KERNEL | ALLOCATIONS) and any(map(_bytes, written)):
            self.kernels[name] += 1
            self.bytes_read += sum(map(_bytes, read))
            self.bytes_written += sum(map(_bytes, written))
        return result


def _tensors(tree: Any) -> list[Tensor]:
    return [t for t in tree_leaves(tree) if isinstance(t, Tensor)]


def _arguments(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Any]:
    """Each argument that was given: what the schema says of it, and its tensors."""
    for i, about in enumerate(func._schema.arguments):
        given = args[i] if i < len(args) else kwargs.get(about.name)
        yield about, _tensors(given)


def _is_written(about: Any) -> bool:
    return about.alias_info is not None and about.alias_info.is_write


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> list[Tensor]:
    """What an operation writes: its arguments, in place or with `out`, or what it returns."""
    arguments = _arguments(func, args, kwargs)
    changed = [t for about, tensors in arguments if _is_written(about) for t in tensors]
    return changed or _tensors(result)


def _read(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    overwrites = func.overloadpacket.__name__ in OVERWRITES
    return [
        t
        for about, tensors in _arguments(func, args, kwargs)
        if not (_is_written(about) and (about.kwarg_only or overwrites))
        for t in tensors
    ]


def _bytes(t: Tensor) -> int:
    """Of the memory behind a tensor: what is expanded lies there once."""
    lying = (n for n, stride in zip(t.shape, t.stride(), strict=True) if stride or n == 0)
    count = t.element_size()
    for n in lying:
        count *= n
    return count


# --- a training step ------------------------------------------------------------------------------


def silent_input(config: Config, rows: int) -> ConditioningInput | None:
    """Zeros for every front end of a network, for windows of `rows` rows."""
    model, batch = config.model, config.train.batch
    if not model.condition_channels:
        return None
    values = {"label": torch.zeros(batch, dtype=torch.long)} if model.labels else {}
    if not model.follows_frames:
        return ConditioningInput(values)
    frames = (rows - 1) // model.frame_spacing + 2 + 2 * model.frame_context
    values["mel"] = torch.zeros(batch, frames, model.mel_bands)
    frame_range = torch.tensor([[0, frames]]).expand(batch, -1)
    return ConditioningInput(values, frame_range)


def count_step(config: Config, dtype: torch.dtype) -> dict[str, KernelCounter]:
    """A training step's forward pass, loss and backward pass, computed in a precision."""
    counters = {part: KernelCounter() for part in ("forward", "loss", "backward")}
    # Autocast knows no meta tensors. Fake ones on a CPU, in the form for GPUs, are the same work.
    interpolation_weights.cache_clear()
    with FakeTensorMode():
        network = WaveNet(config.model, checkpoint_every=config.train.checkpoint_layers)
        network.stack.form = form_for(torch.device("cuda"), dtype)
        shape = (config.train.batch, network.receptive_field + config.segment_samples)
        x, mask = torch.zeros(shape, dtype=torch.long), torch.ones(shape[0], config.segment_samples)
        inputs = silent_input(config, shape[1] - 1)
        autocast = torch.autocast("cpu", dtype, enabled=dtype != torch.float32)
        with counters["forward"], autocast:
            params = network(x[:, :-1], inputs)
        with counters["loss"]:
            loss = network.distribution.loss(params, x[:, network.receptive_field :], mask)
        with counters["backward"]:
            loss.backward()  # type: ignore[no-untyped-call]
    # It keeps tensors, which must not be fake ones outside.
    interpolation_weights.cache_clear()
    return counters


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("presets", nargs="*", default=["paper"])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--precision", choices=PRECISIONS, default="bf16")
    options = parser.parse_args()
    settings = {"train.batch": options.batch, "train.segment_seconds": options.seconds}
    for preset in options.presets:
        parts = count_step(loading.load(preset, settings), PRECISIONS[options.precision])
        print(f"{preset}, {options.precision}, {options.batch} windows of {options.seconds} s")
        print(f"{'':10}{'kernels':>9}{'GB read':>9}{'written':>9}  most frequent")
        for part, c in parts.items():
            often = ", ".join(f"{n} {name}" for name, n in c.kernels.most_common(6))
            gigabytes = f"{c.bytes_read / 1e9:9.2f}{c.bytes_written / 1e9:9.2f}"
            print(f"{part:10}{c.total:9}{gigabytes}  {often}")
        print(f"{'together':10}{sum(c.total for c in parts.values()):9}\n")


if __name__ == "__main__":
    main()
