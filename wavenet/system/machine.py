"""Which machine a figure was taken on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def nvidia() -> bool:
    """Whether an NVIDIA GPU's driver is here: a look at a few files, where asking PyTorch would take a second and half a gigabyte."""
    windows = Path(os.environ.get("SYSTEMROOT", "C:\\Windows"), "System32", "nvcuda.dll")
    return any(
        p.exists() for p in (Path("/dev/nvidiactl"), Path("/usr/lib/wsl/lib/libcuda.so.1"), windows)
    )


def machine() -> str:
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            model = next(
                line.partition(":")[2].strip() for line in f if line.startswith("model name")
            )
    except (OSError, StopIteration):
        pass
    found = []
    for name in ("torch", "numba", "numpy"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return f"{model}, {cores()} core{'s' * (cores() > 1)}, Python {platform.python_version()}, {', '.join(found)}"
