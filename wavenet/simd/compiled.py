"""The kernels as compiled functions, kept in numba's cache on disk.

numba keeps machine code in `__pycache__` or in the user's cache folder. To tell whether it is out
of date, numba looks only at the file in which a kernel stands. Ours are made of several files and
of the host's vector width, so a digest of all of them becomes part of the name under which numba
files a kernel.
"""

import hashlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import Any

from numba import njit
from numba.core import event

from wavenet.simd.writer import HOST, OPTIONS
from wavenet.system.notices import tell


def sources(module: str) -> dict[str, Path]:
    """The files that a module's kernels are made of, by module.

    These are the module itself, those of its package and of this one that it imports, directly or
    through another, and whatever any of them imports from the rest of the program.
    """
    packages = tuple(f"{name.rpartition('.')[0]}." for name in (module, __name__))
    imports = re.compile(r"^from (wavenet\S*) import (\([^)]*\)|.*)", re.M)
    files: dict[str, Path] = {}
    pending = [module]
    while pending:
        name = pending.pop()
        path = Path(str(sys.modules[name].__file__))
        files[name] = path
        if name == module or name.startswith(packages):
            for origin, names in imports.findall(path.read_text(encoding="utf-8")):
                # A package's names may be modules.
                modules = {f"{origin}.{n}" for n in re.findall(r"\w+", names)} & sys.modules.keys()
                pending += (modules or {origin}) - files.keys()
    return files


def digest(module: str) -> str:
    """A digest of all that a module's machine code depends on and numba does not look at."""
    contents = [path.read_bytes() for _, path in sorted(sources(module).items())]
    return hashlib.sha256(b"".join([repr(HOST).encode(), *contents])).hexdigest()[:16]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel that is compiled at its first call, and kept on disk if a folder can be written."""
    function.__qualname__ = f"{function.__name__}_{digest(function.__module__)}"
    try:
        kernel = njit(cache=True, **OPTIONS)(function)
    except RuntimeError:
        # numba has no folder for its cache.
        kernel = njit(**OPTIONS)(function)

    def call(*arguments: Any) -> Any:
        try:
            return kernel(*arguments)
        except OSError as e:
            # The cache may lie on a full disk. What cannot be saved is compiled all the same, and
            # has not run yet. Other errors may be a signal's, after it has.
            if "save_overload" not in {f.f_code.co_name for f, _ in walk_tb(e.__traceback__)}:
                raise
        return kernel(*arguments)

    return call


COMPILING = "compiling the CPU kernels for this machine, once; some seconds"


class _Listener(event.Listener):  # type: ignore[misc]
    """Sums the seconds of all compilations, outermost ones alone: they include the others."""

    def __init__(self, report: Callable[[str], object]) -> None:
        self.report, self.depth, self.started, self.seconds = report, 0, 0.0, 0.0

    def on_start(self, event: Any) -> None:
        if self.depth == 0:
            self.started = time.monotonic()
            if not self.seconds:
                self.report(COMPILING)
        self.depth += 1

    def on_end(self, event: Any) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.seconds += time.monotonic() - self.started


class _Unasked(event.Listener):  # type: ignore[misc]
    """Tells once that kernels of ours are compiled, where nobody asked for a report."""

    def __init__(self) -> None:
        self.asked, self.told = 0, False

    def on_start(self, event: Any) -> None:
        function = event.data["dispatcher"].py_func
        if not (self.asked or self.told) and function.__module__.startswith("wavenet."):
            self.told = True
            tell(COMPILING)

    def on_end(self, event: Any) -> None: ...

    @contextmanager
    def aside(self) -> Iterator[None]:
        self.asked += 1
        try:
            yield
        finally:
            self.asked -= 1


_unasked = _Unasked()
event.register("numba:compile", _unasked)


@contextmanager
def reporting(report: Callable[[str], object]) -> Iterator[None]:
    """Call `report` with a line when the first compilation inside begins, and one at the end.

    What comes from the cache is not compiled and not reported. Where nobody asked for a report, as
    when a network is used in a loop of one's own, `notices.tell` has the first line.
    """
    listener = _Listener(report)
    with _unasked.aside(), event.install_listener("numba:compile", listener):
        yield
    if listener.seconds:
        report(f"compiled in {listener.seconds:.1f} s")
