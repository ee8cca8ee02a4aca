"""What a device does at best: matrix products and copies, measured with torch's own."""

import statistics
import time
from collections.abc import Callable

import torch

ROUNDS = 5


def matrix_rate(dtype: torch.dtype, device: torch.device, *, tf32: bool = False) -> float:
    """Floating-point operations a second of one large product of random matrices.

    `tf32`: float32 products of a GPU may be of TF32.
    """
    n = 8192 if device.type == "cuda" else 2048
    # Numbers of few bits, such as zeros, take less power and so run faster.
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    was = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        return 2 * n**3 / _seconds(lambda: torch.mm(a, b, out=out), device)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = was


def copy_rate(device: torch.device) -> float:
    """Bytes a second, read and written, of copying memory that no cache holds."""
    source = torch.ones(1 << (30 if device.type == "cuda" else 27), dtype=torch.uint8).to(device)
    copy = torch.empty_like(source)
    return 2 * source.numel() / _seconds(lambda: copy.copy_(source), device)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the work, the median of rounds; on a GPU, of several in a row."""
    times = 8 if device.type == "cuda" else 1

    def measured() -> float:
        started = time.perf_counter()
        for _ in range(times):
            work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (time.perf_counter() - started) / times

    # The first one sets up what the library needs.
    measured()
    return statistics.median(measured() for _ in range(ROUNDS))
