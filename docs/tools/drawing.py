"""Letters and shapes for drawings of networks: discs with numbers, boxes, arrows."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.patches import FancyBboxPatch
from PIL import Image

from wavenet.plotting.style import BLUE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLE: Any = {
    "font.size": 15,
    "axes.titlesize": 15,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 2,
}
CENTRED: Any = {"ha": "center", "va": "center"}
COLOURS = 64

# A place in the units of the axes.
Point = tuple[float, float]


def palettized(path: Path, colours: int = COLOURS) -> None:
    """Write a PNG again with few colours: lines and letters take a third of the bytes."""
    with Image.open(path) as image:
        # By other methods a colour of few pixels becomes one with its neighbours.
        few = image.convert("RGB").quantize(colours, Image.Quantize.MAXCOVERAGE, kmeans=1)
        few.save(path, optimize=True)


def canvas(axes: "Axes", xs: Point, ys: Point) -> "Axes":
    """The axes, from xs[0] to xs[1] and ys[0] to ys[1], without a frame."""
    axes.set_axis_off()
    axes.set_xlim(*xs)
    axes.set_ylim(*ys)
    return axes


def discs(
    axes: "Axes", xs: Sequence[int], y: float, names: Sequence[Any], color: str, size: float = 900
) -> None:
    """A row of discs, each with something written in it; `size` is an area in points."""
    axes.scatter(xs, [y] * len(xs), size, color, zorder=2)
    for x, name in zip(xs, names, strict=True):
        axes.text(x, y - 0.01, str(name), color="white", zorder=3, **CENTRED)


def box(axes: "Axes", centre: Point, width: float, height: float, name: str) -> None:
    corner = centre[0] - width / 2, centre[1] - height / 2
    rounded = FancyBboxPatch(corner, width, height, "round,pad=0,rounding_size=0.25", color=BLUE)
    axes.add_patch(rounded)
    axes.text(*centre, name, color="white", **CENTRED)


def operation(axes: "Axes", centre: Point, sign: str, color: str) -> None:
    """A disc with the sign of a sum or a product."""
    axes.scatter(*centre, 800, color, zorder=2)
    axes.text(centre[0], centre[1] - 0.05, sign, color="white", fontsize=22, zorder=3, **CENTRED)


def arrow(axes: "Axes", start: Point, end: Point, color: str = BLUE, width: float = 2) -> None:
    style: Any = {"arrowstyle": "-|>", "color": color, "lw": width, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=style | {"mutation_scale": 18})
