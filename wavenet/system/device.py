"""Where to train and in which precision: what the user asked for, or the best there is."""

import sys

import torch

from wavenet.errors import RunError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str) -> torch.device:
    """`auto` takes a CUDA GPU if there is one, else the CPU. Raises RunError for what is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError):
        there = (
            ["cpu"]
            + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
            + ["mps"] * torch.backends.mps.is_available()
        )
        raise RunError(
            f"--device {name}: not available here; use auto or one of {', '.join(there)}"
        ) from None
    return device


def pick_precision(name: str, device: torch.device) -> str:
    """`auto` takes bf16 on GPUs that have it and fp32 elsewhere. Raises RunError for what the device cannot do."""
    has_bf16 = device.type == "cpu" or (
        device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    )
    if name == "auto":
        return "bf16" if device.type == "cuda" and has_bf16 else "fp32"
    if (name == "bf16" and not has_bf16) or (name == "fp16" and device.type == "mps"):
        raise RunError(
            f"train.precision = {name}: {device} cannot do that; use fp32"
            + " or fp16" * (device.type == "cuda")
        )
    return name


def peak_bytes(device: torch.device) -> int | None:
    """The most memory that was in use so far: a GPU's tensors, or this whole process. None where nothing tells."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def check_compiler(device: torch.device) -> None:
    """Raises RunError when torch.compile does not work here, as without a C++ compiler on a CPU."""
    try:
        torch.compile(lambda x: x.sigmoid() * 2, dynamic=True)(torch.zeros(4, device=device))
    except Exception as e:  # whatever the compiler behind it raises
        reason = (str(e).strip().splitlines() or [type(e).__name__])[0]
        raise RunError(
            f"train.compile = true: torch.compile does not work here ({reason}); set train.compile=false"
        ) from None
