"""What Triton compiles, and how long that takes.

As a plugin of pytest (`-p benchmarks.gpu_stages.compiling`) it adds a line of JSON for each kernel
to the file that COMPILED names.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMPILED = "WAVENET_COMPILED"


def listen(heard: Callable[[str, float], object]) -> None:
    """Call `heard` with the name of each kernel that is compiled, and the seconds it took.

    What Triton's own cache has is not compiled. Does nothing where there is no Triton.
    """
    try:
        from triton import knobs
    except ImportError:
        return

    def compiled(*, src: Any, times: Any, cache_hit: bool, **_: Any) -> None:
        if not cache_hit:
            # Triton counts microseconds.
            heard(src.name, times.total / 1e6)

    knobs.compilation.listener = compiled


def pytest_configure() -> None:
    path = os.environ.get(COMPILED)
    if not path:
        return

    def note(kernel: str, seconds: float) -> None:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"kernel": kernel, "seconds": seconds}) + "\n")

    listen(note)


def compiled(path: Path) -> list[dict[str, Any]]:
    """The kernels that the plugin noted."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
