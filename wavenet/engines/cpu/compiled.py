"""Compiling the kernels once: numba's cache on disk, and what it does not do by itself.

numba keeps machine code in `__pycache__` or the user's cache folder, and looks only at the file that a kernel stands in to tell whether
it is out of date. Ours are made of several files and of the host's vector width, so a digest of all of them becomes part of a
kernel's name, under which numba files it.
"""

import hashlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import event

from wavenet.engines.cpu.kernels import advance_streams
from wavenet.engines.cpu.pipeline import consume_stream, produce_stream
from wavenet.engines.cpu.vectors import HOST, OPTIONS

Report = Callable[[str], object]
_MOST_SAVES = 40  # more than there are kernels, each of which is saved once


def sources() -> dict[str, Path]:
    """Files that kernels are made of, by module: those in this package that `compiled` imports,
    whether itself or through another, and what any of these imports from outside the package."""
    package, imports = __name__.rpartition(".")[0], re.compile(r"^from (wavenet\S*) import", re.M)
    found: dict[str, Path] = {}
    waiting = [__name__]
    while waiting:
        name = waiting.pop()
        path = Path(str(sys.modules[name].__file__))
        found[name] = path
        if name.startswith(package):
            waiting += set(imports.findall(path.read_text(encoding="utf-8"))) - found.keys()
    return found


def digest() -> str:
    """Of all that machine code depends on and numba does not look at."""
    parts = [path.read_bytes() for _, path in sorted(sources().items())]
    return hashlib.sha256(b"".join([repr(HOST).encode(), *parts])).hexdigest()[:16]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile when first called, and remember it on disk where any cache folder can be written."""
    function.__qualname__ = f"{function.__name__}_{digest()}"
    try:
        kernel = njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # numba found no place for its cache
        kernel = njit(**OPTIONS)(function)

    def call(*arguments: Any) -> Any:
        for _ in range(_MOST_SAVES):
            try:
                return kernel(*arguments)
            except (
                OSError
            ):  # its cache lies on a full disk; what cannot be saved is compiled all the same
                continue
        return kernel(*arguments)

    return call


class _Listener(event.Listener):  # type: ignore[misc]
    """Reports the outermost compilation only: it includes the others."""

    def __init__(self, report: Report) -> None:
        self.report, self.depth, self.started = report, 0, 0.0

    def on_start(self, event: Any) -> None:
        if self.depth == 0:
            self.started = time.monotonic()
            self.report("compiling the CPU kernel for this machine, once; some seconds")
        self.depth += 1

    def on_end(self, event: Any) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.report(f"compiled in {time.monotonic() - self.started:.1f} s")


@contextmanager
def reporting(report: Report) -> Iterator[None]:
    """Tell `report` of compilations inside, when they begin and how long they took. What the cache holds is not compiled."""
    with event.install_listener("numba:compile", _Listener(report)):
        yield


advance, produce, consume = (
    compiled(advance_streams),
    compiled(produce_stream),
    compiled(consume_stream),
)
