"""Which machine a figure was taken on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def cores() -> int:
    """Number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def nvidia() -> bool:
    """Whether an NVIDIA GPU's driver is installed.

    Three files tell. Asking PyTorch would take a second and half a gigabyte of memory.
    """
    linux, wsl = Path("/dev/nvidiactl"), Path("/usr/lib/wsl/lib/libcuda.so.1")
    windows = Path(os.environ.get("SYSTEMROOT", "C:\\Windows"), "System32", "nvcuda.dll")
    return any(driver.exists() for driver in (linux, wsl, windows))


def machine() -> str:
    """One line for reports: the processor, its cores, and the versions that decide the speed."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            name = next(line for line in f if line.startswith("model name"))
        model = name.partition(":")[2].strip()
    except (OSError, StopIteration):
        pass
    versions = []
    for name in ("torch", "numba", "numpy"):
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    plural = "s" if cores() > 1 else ""
    python = f"Python {platform.python_version()}"
    return f"{model}, {cores()} core{plural}, {python}, {', '.join(versions)}"
