"""The pictures of docs/dilated-convolutions.md.

    python -m docs.tools.student_figures

draws each function of PICTURES into docs/dilated-convolutions/. Blue is what is there, orange what
a picture points at; shapes and words say the same, for whoever does not see the colours.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.patches import FancyBboxPatch, Rectangle, Wedge

from docs.tools.drawing import (
    CENTRED,
    STYLE,
    arrow,
    box,
    canvas,
    discs,
    operation,
    palettized,
)
from docs.tools.tone import RATE, trained_on_a_tone
from wavenet.analysis import figure as stack_figure
from wavenet.analysis.report import StackReport
from wavenet.audio import quantization
from wavenet.config import ModelConfig, dilations, loading
from wavenet.plotting import style
from wavenet.plotting.style import BLACK, BLUE, GREY, ORANGE, PALE

FOLDER = Path(__file__).parents[1] / "dilated-convolutions"
WIDTH = 10.0  # inches


def one_convolution(path: Path) -> None:
    """y[t] = 2 x[t] + 1 x[t - 3] of eight numbers, with the sum of one output spelt out."""
    x, (newest, oldest), d, shown = [3, 1, 4, 1, 5, 9, 2, 6], (2, 1), 3, 5
    y = [newest * x[t] + oldest * x[t - d] for t in range(d, len(x))]
    figure = style.blank(WIDTH, 4.2)
    axes = canvas(figure.subplots(), (-1.1, 7.5), (-0.55, 1.75))
    for t in range(d, len(x)):
        width = 3.5 if t == shown else 1
        axes.plot([t, t], [0, 1], color=BLUE, linewidth=width, zorder=1)
        axes.plot([t - d, t], [0, 1], color=ORANGE, linewidth=width, linestyle="--", zorder=1)
    discs(axes, range(len(x)), 0, x, BLUE)
    discs(axes, range(d, len(x)), 1, y, BLUE)
    discs(axes, [shown], 1, [y[shown - d]], ORANGE)
    label: Any = {"bbox": {"color": "white", "pad": 2}, **CENTRED}
    axes.text(shown, 0.45, f"× {newest}", color=BLUE, **label)
    axes.text(shown - 0.55 * d, 0.45, f"× {oldest}", color=ORANGE, **label)
    axes.text(1, 1, "none: a tap would\nreach before the start", color=GREY, **CENTRED)
    for y_axis, name in enumerate("xy"):
        axes.text(-0.9, y_axis, name, color=BLUE, fontsize=20, **CENTRED)
    for t in range(len(x)):
        axes.text(t, -0.4, f"t = {t}" if t == 0 else str(t), color=GREY, **CENTRED)
    formula = f"y[{shown}] = {newest} · x[{shown}] + {oldest} · x[{shown - d}]"
    formula += f" = {newest} · {x[shown]} + {oldest} · {x[shown - d]} = {y[shown - d]}"
    axes.text(shown, 1.5, formula, **CENTRED)
    style.save(figure, path)


def causality(path: Path) -> None:
    """The taps of one output with padding on the left only, and on both sides."""
    figure = style.blank(WIDTH, 5.8)
    titles = {
        4: "zeros on the left only: what y[4] reads",
        2: "zeros on both sides: what y[4] reads",
    }
    for axes, (left, title) in zip(figure.subplots(2, 1), titles.items(), strict=True):
        canvas(axes, (-5.4, 10.6), (-0.3, 1.3))
        axes.set_title(title)
        axes.add_patch(Rectangle((4.5, -0.3), 6.1, 1.6, color=PALE, zorder=0))
        axes.text(10.4, 1.08, "the future of y[4]", color=BLUE, ha="right", va="center")
        zeros = [*range(-left, 0), *range(9, 13 - left)]
        axes.scatter(zeros, [0] * len(zeros), 480, "white", marker="s", edgecolors=GREY)
        for at in zeros:
            axes.text(at, -0.02, "0", color=GREY, **CENTRED)
        for tap in (4 - left, 6 - left, 8 - left):
            leaks = tap > 4
            color, line = (ORANGE, "--") if leaks else (BLUE, "-")
            axes.plot([tap, 4], [0, 1], color=color, linestyle=line, linewidth=3, zorder=1)
            if leaks:
                axes.text(5.5, 0.55, "a leak", color=ORANGE, fontweight="bold")
        discs(axes, range(9), 0, range(9), BLUE, 480)
        discs(axes, [4], 1, [4], BLUE, 480)
        axes.text(3.1, 1, "y", color=BLUE, fontsize=20, **CENTRED)
        axes.text(-5, 0, "x", color=BLUE, fontsize=20, **CENTRED)
    style.save(figure, path)


def stack(path: Path) -> None:
    """What `wavenet receptive-field` draws of dilations 1, 2, 4, 8."""
    config = loading.load("small", {"model.dilations": (1, 2, 4, 8)})
    stack_figure.draw(path, StackReport("small", config, 100.0))


def impulse(path: Path) -> None:
    """A single 1 through two stacks whose weights are all 1, layer by layer."""
    figure = style.blank(WIDTH, 6.4)
    columns = {"dilations 1, 2, 4, 8": (1, 2, 4, 8), "a reset: 1, 2, 1, 2": (1, 2, 1, 2)}
    grid = figure.subplots(5, 2, sharex=True, sharey=True)
    figure.supylabel("output", fontsize=15)
    for column, (title, schedule) in zip(grid.T, columns.items(), strict=True):
        y = np.zeros(16, int)
        y[0] = 1
        column[0].set_title(title)
        for axes, d in zip(column, (0, *schedule), strict=True):
            if d:
                y = y + np.concatenate([np.zeros(d, int), y[:-d]])
            axes.bar(np.arange(16), y, 0.7, color=BLUE if d else ORANGE)
            name = f"after dilation {d}" if d else "the impulse"
            axes.text(15.6, 3.1, name, ha="right", color=BLUE if d else ORANGE)
            axes.set_ylim(0, 4.4)
            axes.set_yticks([0, 4])
        column[-1].set_xlabel("samples after the impulse")
        column[-1].set_xticks([0, 5, 10, 15])
    style.save(figure, path)


def gate(path: Path) -> None:
    """The product as curves, and a tone that a gate lets through and shuts off."""
    figure = style.blank(WIDTH, 4.8)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.35])
    f = np.linspace(-3.5, 3.5, 200)
    for g, (color, line) in {4: (BLUE, "-"), 0: (ORANGE, "--"), -4: (GREY, ":")}.items():
        open_by = 1 / (1 + np.exp(-g))
        left.plot(f, np.tanh(f) * open_by, line, color=color, linewidth=3.5)
        left.text(3.6, open_by, f"g = {g}", color=color, va="center")
    left.set_title("tanh(f) · sigmoid(g)")
    left.set_xlabel("f")
    left.set_yticks([-1, 0, 1])
    left.set_xlim(-3.5, 5.6)
    left.set_xticks([-3, 0, 3])
    left.spines["bottom"].set_bounds(-3.5, 3.5)
    t = np.linspace(0, 1, 600)
    tone = np.tanh(1.2 * np.sin(2 * np.pi * 18 * t))
    opening = 1 / (1 + np.exp(9 * np.cos(4 * np.pi * t)))
    rows = {"tanh(f)": (tone, 4.2, BLUE), "sigmoid(g)": (opening, 1.6, ORANGE)}
    rows["the product"] = (tone * opening, 0.0, BLUE)
    for name, (curve, height, color) in rows.items():
        right.plot(t, curve + height, color=color)
        middle = height + (curve.min() + curve.max()) / 2
        right.text(1.03, middle, name, color=color, va="center")
    right.set_xlim(0, 1.42)
    right.set_title("along time: a tone, and a gate that opens")
    right.set_axis_off()
    style.save(figure, path)


def layer(path: Path) -> None:
    """The block diagram of one layer, its two ways out, and what becomes of them."""
    figure = style.blank(WIDTH, 5.8)
    axes = canvas(figure.subplots(), (0, 20), (0, 11.2))
    axes.add_patch(FancyBboxPatch((1.3, 2.2), 15.7, 8.6, "round,pad=0.1", color=PALE))
    axes.text(1.6, 2.75, "one layer", color=BLUE, va="center")
    axes.plot([1.9, 1.9, 15.9], [6, 9.2, 9.2], color=ORANGE, linewidth=3.5, zorder=1)
    arrow(axes, (15.9, 9.2), (15.9, 6.65), ORANGE, 3.5)
    axes.text(8.9, 9.95, "residual path: x itself, past everything", color=ORANGE, **CENTRED)
    arrow(axes, (0.1, 6), (2.8, 6))
    box(axes, (4.5, 6), 3.4, 2.2, "dilated\nconvolution")
    for y, name, letter in ((7.4, "tanh", "f"), (4.6, "sigmoid", "g")):
        arrow(axes, (6.2, 6 + (y - 6) * 0.4), (7.3, y))
        box(axes, (8.6, y), 2.6, 1.3, name)
        arrow(axes, (9.9, y), (10.85, 6 + (y - 6) * 0.4))
        axes.text(6.6, 6 + (y - 6) * 1.1, letter, color=BLUE, **CENTRED)
    operation(axes, (11.3, 6), "×", BLUE)
    axes.text(12.15, 6.5, "z", color=BLUE, **CENTRED)
    arrow(axes, (11.85, 6), (12.7, 6))
    box(axes, (13.7, 6), 2, 1.3, "1 × 1")
    arrow(axes, (14.7, 6), (15.35, 6))
    operation(axes, (15.9, 6), "+", ORANGE)
    arrow(axes, (16.45, 6), (19.9, 6))
    axes.text(0.6, 6.7, "x", color=BLUE, fontsize=20, **CENTRED)
    axes.text(18.6, 7, "x of the\nnext layer", color=BLUE, **CENTRED)
    arrow(axes, (11.3, 5.4), (11.3, 4.15))
    box(axes, (11.3, 3.5), 2, 1.3, "1 × 1")
    arrow(axes, (11.3, 2.85), (11.3, 1.4))
    axes.text(11.7, 2.45, "skip path", color=ORANGE, va="center")
    operation(axes, (11.3, 0.8), "+", ORANGE)
    arrow(axes, (0.1, 0.8), (10.75, 0.8))
    arrow(axes, (11.85, 0.8), (19.9, 0.8))
    axes.text(0.1, 1.3, "skips of the layers before", color=BLUE, va="center")
    axes.text(19.8, 1.3, "to the head, in the end", color=BLUE, va="center", ha="right")
    style.save(figure, path)


def mu_law(path: Path) -> None:
    """The curve from amplitude to code, and a soft wave in sixteen levels of either kind."""
    figure = style.blank(WIDTH, 4.8)
    left, right = figure.subplots(1, 2)
    wav = np.linspace(-1, 1, 2001)
    left.plot(wav, quantization.encode(wav, 256), color=BLUE, linewidth=3)
    left.plot(wav, np.round((wav + 1) / 2 * 255), "--", color=ORANGE)
    left.text(-0.62, 222, "mu-law", color=BLUE, fontweight="bold")
    left.text(0.08, 92, "equal steps", color=ORANGE, fontweight="bold")
    left.set_title("256 codes")
    left.set_xlabel("amplitude")
    left.set_ylabel("code")
    left.set_xticks([-1, 0, 1])
    left.set_yticks([0, 128, 255])
    t = np.linspace(0, 10, 800)
    soft = 0.074 * np.sin(2 * np.pi * t / 8) * (1 + 0.35 * np.sin(2 * np.pi * t / 2.1))
    mu_law_steps = quantization.decode(quantization.encode(soft, 16), 16)
    equal_steps = np.round((soft + 1) / 2 * 15) / 15 * 2 - 1
    for foot, curve, line in ((0, mu_law_steps, "-"), (-0.28, equal_steps, "--")):
        right.plot(t, soft + foot, color=GREY, linewidth=1.2)
        right.plot(t, curve + foot, line, color=ORANGE if foot else BLUE, linewidth=3)
    right.set_title("a soft wave in 16 codes")
    right.set_xlabel("ms")
    right.set_yticks([])
    right.spines["left"].set_visible(False)
    style.save(figure, path)


def training(path: Path) -> None:
    """All predictions of a window in one pass, and the loss of the page's toy."""
    figure = style.blank(WIDTH, 4.6)
    left, right = figure.subplots(1, 2, width_ratios=[1.35, 1])
    canvas(left, (-0.6, 8.6), (-0.85, 2.4))
    left.set_title("one pass predicts every next sample")
    left.fill([1, 4, 4], [0, 1, 0], color=PALE, zorder=0)
    for t in range(3, 9):
        width = 3.5 if t == 4 else 1
        for tap in (t - 3, t):
            left.plot([tap, t], [0, 1], color=BLUE, linewidth=width, zorder=1)
        left.plot([t, t], [1, 2], ":", color=ORANGE, linewidth=1.5 * width, zorder=1)
    discs(left, range(9), 0, [f"$x_{t}$" for t in range(9)], BLUE, 700)
    discs(left, range(3, 9), 1, [f"$p_{t}$" for t in range(4, 10)], BLUE, 700)
    discs(left, range(3, 9), 2, [f"$x_{t}$" for t in range(4, 10)], ORANGE, 700)
    left.text(2.4, 2, "what came", color=ORANGE, ha="right", va="center")
    left.text(2.4, 1, "predicted", color=BLUE, ha="right", va="center")
    left.text(4, -0.6, "the recording", color=BLUE, **CENTRED)
    bits, _, _ = trained_on_a_tone()
    right.axhline(8, linestyle="--", color=GREY)
    right.text(59, 7.85, "8 bits: knows nothing", color=GREY, ha="right", va="top")
    right.plot(bits, color=BLUE, linewidth=3.5)
    right.set_title("loss, bits per sample")
    right.set_xlabel("step")
    right.set_yticks(range(0, 9, 2))
    right.set_ylim(0, 8.6)
    style.save(figure, path)


def rings(path: Path) -> None:
    """Ring buffers of dilations 1, 2, 4 and 8 just before sample 21 is written."""
    figure = style.blank(WIDTH, 4.0)
    now = 21
    for axes, d in zip(figure.subplots(1, 4), (1, 2, 4, 8), strict=True):
        canvas(axes, (-1.2, 1.2), (-1.95, 1.2))
        axes.set_aspect("equal")
        for slot in range(d):
            # The newest time that falls into the slot.
            held = now - d + (slot - now) % d
            start = 90 - 360 * (slot + 1) / d
            color = ORANGE if slot == now % d else BLUE
            part: Any = {"width": 0.6, "facecolor": color, "edgecolor": "white", "linewidth": 3}
            axes.add_patch(Wedge((0, 0), 1.15, start, start + 360 / d, **part))
            angle = np.pi / 2 - 2 * np.pi * (slot + 0.5) / d
            at = 0.85 * np.cos(angle), 0.85 * np.sin(angle)
            axes.text(*at, str(held), color="white", **CENTRED)
        axes.text(0, 0, f"slot\n{now % d}", color=ORANGE, fontsize=14, **CENTRED)
        axes.set_title(f"dilation {d}", loc="center")
        axes.text(0, -1.6, f"reads {now - d},\nwrites {now}", color=ORANGE, **CENTRED)
    style.save(figure, path)


def continuation(path: Path) -> None:
    """The page's toy, given a tone, goes on by itself."""
    _, given, made = trained_on_a_tone()
    figure = style.blank(WIDTH, 3.4)
    axes = figure.subplots()
    ms = 1000 * np.arange(len(given) + len(made)) / RATE
    axes.plot(ms[: len(given)], given, color=BLUE, linewidth=3)
    axes.plot(ms[len(given) :], made, color=ORANGE, linewidth=3)
    axes.axvline(ms[len(given)], color=GREY, linestyle=":")
    axes.text(ms[len(given)] - 0.2, 0.65, "given", color=BLUE, ha="right")
    axes.text(ms[len(given)] + 0.2, 0.65, "made, one sample after the other", color=ORANGE)
    axes.set_ylim(-0.6, 0.85)
    axes.set_yticks([-0.5, 0, 0.5])
    axes.set_xlabel("ms")
    axes.set_ylabel("amplitude")
    axes.margins(x=0.01)
    style.save(figure, path)


def growth(path: Path) -> None:
    """How far stacks of two-tap layers hear, by the number of layers."""
    figure = style.blank(WIDTH, 5.2)
    axes = figure.subplots()
    doubling_with_resets = ModelConfig(layers=12, dilation_cycle=8).schedule
    schedules: dict[str, tuple[Sequence[int], str, str]] = {
        "doubling": (list(islice(dilations.doubling(), 12)), BLUE, "o-"),
        "Fibonacci": (list(islice(dilations.fibonacci(), 12)), ORANGE, "s--"),
        "doubling, resets past 8": (doubling_with_resets, BLUE, "^:"),
        "1, 2, 3, 4, …": (range(1, 13), ORANGE, "D:"),
        "1, 1, 1, 1, …": ([1] * 12, GREY, "x-"),
    }
    for name, (schedule, color, marker) in schedules.items():
        heard = [1, *(1 + lag for lag in accumulate(schedule))]
        axes.plot(heard, marker, color=color, markersize=8)
        axes.text(12.3, heard[-1], f"{name}: {heard[-1]:,}", color=color, va="center")
    axes.set_yscale("log")
    axes.set_xlim(0, 17.9)
    axes.spines["bottom"].set_bounds(0, 12)
    axes.set_xticks(range(0, 13, 2))
    axes.set_yticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
    axes.set_ylabel("samples heard")
    axes.set_xlabel("layers of two taps")
    style.save(figure, path)


def gridding(path: Path) -> None:
    """Three tones that agree wherever every fourth sample is read."""
    figure = style.blank(WIDTH, 4.4)
    axes = figure.subplots()
    t, taps = np.linspace(0, 32, 1200), np.arange(0, 33, 4)
    tones = {500: (BLUE, "-", 4), 3500: (ORANGE, "-", 1.6), 4500: (GREY, "--", 1.6)}
    for hz, (color, line, width) in tones.items():
        curve = np.cos(2 * np.pi * hz * t / RATE)
        axes.plot(t, curve, line, color=color, linewidth=width, label=f"{hz:,} Hz")
    heard: Any = {"color": BLACK, "markersize": 12, "label": "heard"}
    axes.plot(taps, np.cos(2 * np.pi * 500 * taps / RATE), "o", **heard)
    axes.set_xlabel("sample, at 16 kHz")
    axes.set_ylabel("amplitude")
    axes.set_xticks(taps)
    axes.set_yticks([-1, 0, 1])
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4, frameon=False)
    axes.margins(x=0.01)
    style.save(figure, path)


PICTURES: dict[str, Callable[[Path], None]] = {
    "one-convolution.png": one_convolution,
    "causality.png": causality,
    "stack.png": stack,
    "impulse.png": impulse,
    "gate.png": gate,
    "layer.png": layer,
    "mu-law.png": mu_law,
    "training.png": training,
    "rings.png": rings,
    "continuation.png": continuation,
    "growth.png": growth,
    "gridding.png": gridding,
}


def draw_all() -> list[Path]:
    """Every picture of PICTURES. Returns where they are."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        with rc_context(STYLE):
            draw(FOLDER / name)
        palettized(FOLDER / name)
    return [FOLDER / name for name in PICTURES]


def main() -> None:
    for path in draw_all():
        print(f"{path.name}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
