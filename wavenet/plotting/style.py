"""What all figures share: colours that the colour-blind can tell apart, letters, sizes, saving.

The colours are those of M. Okabe and K. Ito, *Color Universal Design*, 2008. What matters is said
by more than its colour: by a name beside it, a width, a dash or a marker.
"""

import io
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from wavenet.errors import OutputError, WavenetError, reason_of
from wavenet.system.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, SKY, GREEN = "#0072b2", "#56b4e9", "#009e73"
# The name that Okabe and Ito give to ORANGE is vermillion; letters of it can be read on white.
ORANGE, AMBER, PURPLE, YELLOW = "#d55e00", "#e69f00", "#cc79a7", "#f0e442"
BLACK, GREY, PALE = "#222222", "#6f6f6f", "#dbe9f2"
# One after the other, as many as there are.
SERIES = (BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY, BLACK)
MARKERS = "osD^vXP"

# Sequential, and as bright in grey as in colour.
COLOUR_MAP = "magma"
# So that 10 inches fill a projector, or a page in print.
DPI = 200

P = ParamSpec("P")


def drawing(draw: Callable[Concatenate[Path, P], None]) -> Callable[Concatenate[Path, P], None]:
    """`draw`, which takes a path first, with one error for all that its libraries raise.

    That is an OutputError. Too little memory stays a MemoryError.
    """

    @wraps(draw)
    def drawn(path: Path, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with warnings.catch_warnings():
                # A name may hold what the font lacks, which is drawn as boxes.
                warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
                draw(path, *args, **kwargs)
        except (WavenetError, MemoryError):
            raise
        except Exception as e:
            raise OutputError(path, f"cannot be drawn ({reason_of(e)})") from e

    return drawn


def blank(width: float, height: float) -> "Figure":
    """An empty figure of this size in inches, drawn without a screen."""
    _import_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def save(figure: "Figure", path: Path) -> None:
    """Write a figure in the format of the path's suffix. Raises OutputError."""
    from matplotlib import rc_context

    image = io.BytesIO()
    kind = path.suffix[1:].lower()
    # With neither a date nor random names of its parts, the same figure makes the same file.
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with rc_context({"svg.hashsalt": "wavenet"}):
        figure.savefig(image, format=kind, metadata=metadata)
    write_whole(path, image.getvalue())


def _import_matplotlib() -> None:
    """Import it, whatever MPLBACKEND says.

    A notebook hands its own backend down to what it starts, where it may not be installed, and
    matplotlib then refuses to be imported. One that is there stays what others' plots use.
    """
    if "matplotlib" in sys.modules:
        return
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = backend
