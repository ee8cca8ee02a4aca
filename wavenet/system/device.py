"""Where to train and in which precision: what the user asked for, or the best there is."""

import sys

import torch

from wavenet.errors import ConfigError, UsageError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str) -> torch.device:
    """The device called `name`; `auto` is a CUDA GPU if there is one, else the CPU.

    Raises UsageError for a device that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError, TypeError):
        available = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        if torch.backends.mps.is_available():
            available.append("mps")
        advice = f"use auto or one of {', '.join(available)}"
        raise UsageError("device", str(name), "not available here", advice) from None
    return device


def pick_precision(name: str, device: torch.device) -> str:
    """A key of PRECISIONS; `auto` is bf16 on GPUs that have it and fp32 elsewhere.

    Raises ConfigError for a precision that the device lacks.
    """
    has_bf16 = device.type == "cpu" or (
        device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    )
    if name == "auto":
        return "bf16" if device.type == "cuda" and has_bf16 else "fp32"
    if (name == "bf16" and not has_bf16) or (name == "fp16" and device.type == "mps"):
        instead = "fp32 or fp16" if device.type == "cuda" else "fp32"
        raise ConfigError(f"train.precision = {name}", f"{device} cannot do that", f"use {instead}")
    return name


def peak_bytes(device: torch.device) -> int | None:
    """The most memory in use so far, in bytes: of a GPU's tensors, or of this whole process.

    None where the system does not tell, as on Windows.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:
        return None
    # macOS counts in bytes, Linux in KiB.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def check_compiler(device: torch.device) -> None:
    """Raise ConfigError where torch.compile fails, as without a C++ compiler on a CPU."""
    try:
        torch.compile(lambda x: x.sigmoid() * 2, dynamic=True)(torch.zeros(4, device=device))
    except Exception as e:
        # The compilers behind torch.compile raise errors of many kinds.
        reason = (str(e).strip().splitlines() or [type(e).__name__])[0]
        problem = f"torch.compile does not work here ({reason})"
        raise ConfigError("train.compile = true", problem, "set train.compile=false") from None
