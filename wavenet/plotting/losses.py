"""The loss of runs in bits per sample, beside what takes no network to reach."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from wavenet.arithmetic import ceil_div
from wavenet.glossary import Array
from wavenet.plotting import style
from wavenet.plotting.style import BLACK, GREY, MARKERS, SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The logged lines of a run, and what one of them says.
Metrics: TypeAlias = Sequence[Mapping[str, Any]]
Reading: TypeAlias = Callable[[Mapping[str, Any]], float]
# What losses can be drawn over.
AXES: dict[str, Reading] = {
    "steps": lambda m: m["step"],
    "minutes": lambda m: m["seconds"] / 60,
    "hours": lambda m: m["seconds"] / 3600,
}
# What is reached without a network.
UNIFORM = "uniform (knowing nothing)"
UNIGRAM = "unigram (knowing how often each level occurs)"
BIGRAM = "bigram (knowing the sample before)"
# Of the training loss, whose first steps would take most of the axis, this part is cut off.
CUT = 0.05
MOST_POINTS = 200  # of a run's training loss


@style.drawing
def losses(
    path: Path, runs: Mapping[str, Metrics], over: str, baselines: Mapping[str, float]
) -> None:
    """The loss of every run over one of AXES, and bits per sample to compare with, by name."""
    figure = style.blank(10, 5.6)
    loss(figure.subplots(), runs, over, baselines)
    style.save(figure, path)


def loss(
    axes: "Axes", runs: Mapping[str, Metrics], over: str, baselines: Mapping[str, float]
) -> None:
    """Validation with markers, and thin behind it the loss of the steps in between, averaged."""
    drawn: list[float] = []
    styles = zip(cycle(SERIES), cycle(MARKERS))
    for (name, metrics), (color, marker) in zip(runs.items(), styles, strict=False):
        training = _averaged(_points(metrics, over, "train_bits"))
        validation = _points(metrics, over, "validation_bits")
        thin: Any = {"color": color if len(runs) > 1 else GREY, "linewidth": 0.9, "alpha": 0.6}
        thick: Any = {"color": color, "linewidth": 2, "marker": marker, "markersize": 5}
        # What begins with an underscore would not stand in the legend.
        name = f" {name}" if name.startswith("_") else name
        if len(validation):
            label = f"{name or 'validation'}, at best {validation[:, 1].min():.3f}"
            axes.plot(*validation.T, label=label, zorder=3, **thick)
        else:
            label = name or "training"
        thin["label"] = None if len(validation) else f"{label}, not validated"
        axes.plot(*training.T, zorder=2, **thin)
        drawn += [*validation[:, 1], *_usual(training[:, 1])]
    axes.plot([], [], color=GREY, linewidth=0.9, label="training (thin)")
    low, high = (min(drawn), max(drawn)) if drawn else (0.0, 1.0)
    room = max(0.05, 0.1 * (high - low))
    axes.set_ylim(max(0.0, low - room), high + room)
    axes.set_xlim(left=0)
    _draw_baselines(axes, baselines)
    axes.set_xlabel("step" if over == "steps" else f"{over} of training")
    axes.set_ylabel("bits per sample")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    for text in axes.legend(loc="upper right", frameon=False, fontsize=10).get_texts():
        # In a name, $ begins no formula.
        text.set_parse_math(False)


def _points(metrics: Metrics, over: str, key: str) -> Array:
    """(points, 2): what the lines say of a metric, after what it is drawn over."""
    points = [(AXES[over](m), m[key]) for m in metrics if _is_finite(m.get(key))]
    return np.array(points, float).reshape(-1, 2)


def _is_finite(value: Any) -> bool:
    """Whether it is a number; a run that diverged logs NaN, and a damaged file has anything."""
    return isinstance(value, int | float) and math.isfinite(value)


def _averaged(points: Array) -> Array:
    """At most MOST_POINTS, each the mean of as many neighbours."""
    each = ceil_div(len(points), MOST_POINTS) if len(points) else 1
    parts = np.split(points, range(each, len(points), each))
    means: Array = np.array([part.mean(axis=0) for part in parts if len(part)]).reshape(-1, 2)
    return means


def _usual(training: Array) -> list[float]:
    """Of training losses the extremes, but for the highest: from nothing, they fall from 8 bits."""
    return np.quantile(training, [0, 1 - CUT]).tolist() if len(training) else []


def _draw_baselines(axes: "Axes", baselines: Mapping[str, float]) -> None:
    """Dashed lines, in the legend with their names; what lies outside the picture is only named."""
    low, high = axes.get_ylim()
    ordered = sorted(baselines.items(), key=lambda each: -each[1])
    for (name, bits), dashes in zip(ordered, ("-.", ":", "--"), strict=False):
        style: Any = {"color": BLACK, "label": f"{name}: {bits:.2f}"}
        if low <= bits <= high:
            axes.axhline(bits, linestyle=dashes, linewidth=1.2, zorder=1, **style)
        else:
            marker = r"$\uparrow$" if bits > high else r"$\downarrow$"
            axes.plot([], [], linestyle="none", marker=marker, markersize=8, **style)


def baselines_of(
    levels: Sequence[int | None], counted: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """What runs can be compared with, in bits per sample by name: what is the same for all.

    `levels` are those that a sample of each run can have, None where that is not known, and
    `counted` the `baselines` in its corpus.json, or nothing.
    """
    found: dict[str, list[Any]] = {
        UNIFORM: [math.log2(count) if count else None for count in levels],
        UNIGRAM: [bits.get("unigram_bits") for bits in counted],
        BIGRAM: [bits.get("bigram_bits") for bits in counted],
    }
    return {
        name: float(bits[0])
        for name, bits in found.items()
        if all(_is_finite(each) and each == bits[0] for each in bits) and bits
    }
