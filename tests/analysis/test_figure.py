"""Pictures of receptive fields: each is drawn, twice the same, and no two of its texts overlap."""

from collections.abc import Collection, Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from wavenet.analysis import figure
from wavenet.analysis.path_counts import EffectiveReceptiveField
from wavenet.analysis.report import StackReport
from wavenet.config import loading
from wavenet.errors import OutputError

# Drawn by every run of the tests; the others are much like them.
FIRST_PRESETS = ("paper", "tiny", "vocoder")
SETTINGS: dict[str, dict[str, Any]] = {
    "one layer": {"dilations": [1]},
    "sixty layers": {"layers": 60},
    "sixty short layers": {"layers": 60, "dilation_cycle": 1},
    "many cycles": {"layers": 120, "dilation_cycle": 4},
    "two low cycles": {"layers": 12, "dilation_cycle": 32, "kernel_size": 3},
    "kernel 3": {"kernel_size": 3},
    "wide kernel": {"dilations": [1], "kernel_size": 64},
    "hybrid": {"layers": 8, "dilation_cycle": 128, "layer": "hybrid"},
    "smooth": {"layers": 8, "dilation_cycle": 128, "smooth": True},
    "fibonacci": {"growth": "fibonacci"},
    "gaps": {"dilations": [4, 4, 4, 4]},
    "wide gaps": {"dilations": [3, 9, 27, 81, 243]},
    "falling": {"dilations": [512, 256, 128, 64, 32, 16, 8, 4, 2, 1]},
    "pyramid": {"context": "pyramid"},
    "pyramid, wide": {"layers": 5, "dilation_cycle": 16, "context": "pyramid"},
    "pyramid, short": {
        "dilations": [1, 2, 4],
        "context": "pyramid",
        "pyramid_window": 16,
    },
    "pyramid, many": {
        "context": "pyramid",
        "skip_channels": 128,
        "pyramid_dilations": [2**i for i in range(10)],
    },
}
FIRST_SETTINGS = (
    "one layer",
    "sixty layers",
    "two low cycles",
    "hybrid",
    "smooth",
    "gaps",
    "pyramid",
    "pyramid, wide",
)


def report(preset: str = "small", measured: bool = False, **settings: Any) -> StackReport:
    named = {f"model.{name}": value for name, value in settings.items()}
    config = loading.load(preset, named)
    if not measured:
        return StackReport(preset, config, 100)
    influence = np.geomspace(1, 1e-5, config.model.receptive_field)
    effective = EffectiveReceptiveField(influence / influence.sum(), 64, "recordings")
    return StackReport(preset, config, 100, effective)


def composed(drawn: StackReport) -> Figure:
    assert drawn.path_counts is not None
    return figure.compose(drawn, drawn.path_counts)


def texts_of(axes: Axes) -> list[Text]:
    """What of an axes' texts is shown, tick labels of both axes too."""

    def is_shown(artist: Artist) -> bool:
        return isinstance(artist, Text) and bool(artist.get_text()) and artist.get_visible()

    return [artist for artist in axes.findobj(is_shown) if isinstance(artist, Text)]


def overlapping(drawn: StackReport) -> list[tuple[str, str]]:
    whole = composed(drawn)
    canvas = FigureCanvasAgg(whole)
    canvas.draw()
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    pairs = []
    for axes in whole.axes:
        low, high = sorted(axes.get_xlim())
        lows, highs = sorted(axes.get_ylim())
        hidden = {
            tick.label1
            for axis, (least, most) in ((axes.xaxis, (low, high)), (axes.yaxis, (lows, highs)))
            for tick in axis.get_major_ticks()
            if not least <= tick.get_loc() <= most
        }
        shown = [text for text in texts_of(axes) if text not in hidden]
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in shown]
        assert len(boxes) > 3
        for name, box in boxes:
            assert box.x0 >= 0, name
            assert box.x1 <= whole.bbox.x1, name
            assert box.y0 >= 0, name
            assert box.y1 <= whole.bbox.y1, name
        pairs += [(one, other) for (one, a), (other, b) in combinations(boxes, 2) if a.overlaps(b)]
    return pairs


def quick(names: Iterable[str], first: Collection[str]) -> list[Any]:
    """Cases by these names, all but the first of them slow."""
    return [pytest.param(name, marks=() if name in first else pytest.mark.slow) for name in names]


@pytest.mark.parametrize("preset", quick(loading.preset_names(), FIRST_PRESETS))
def test_no_texts_of_a_preset_overlap(preset: str) -> None:
    assert overlapping(report(preset)) == []


@pytest.mark.parametrize("name", quick(SETTINGS, FIRST_SETTINGS))
def test_no_texts_of_a_stack_overlap(name: str) -> None:
    assert overlapping(report(**SETTINGS[name])) == []


@pytest.mark.parametrize("settings", [{}, {"dilations": [1, 2, 4]}], ids=["long", "short"])
def test_no_texts_of_a_measurement_overlap(settings: dict[str, Any]) -> None:
    assert overlapping(report(measured=True, **settings)) == []


def test_a_picture_drawn_twice_is_the_same_file_2000_pixels_wide(tmp_path: Path) -> None:
    for name in ("once.png", "again.png"):
        figure.draw(tmp_path / name, report(layers=14, dilation_cycle=64))
    once = tmp_path / "once.png"
    assert once.read_bytes() == (tmp_path / "again.png").read_bytes()
    drawn = matplotlib.image.imread(once)
    assert drawn.shape[1] == 2000
    assert 900 < len(drawn) < 2000


@pytest.mark.parametrize("kind", ["svg", "pdf"])
def test_a_measurement_drawn_twice_is_the_same_drawing(kind: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.{kind}" for name in ("once", "again")]
    for path in files:
        figure.draw(path, report(measured=True, dilations=[1, 2]))
    assert files[0].read_bytes() == files[1].read_bytes()


def test_every_panel_names_its_axes() -> None:
    whole = composed(report(measured=True))
    stack, paths, influence = whole.axes
    assert [axes.get_ylabel() for axes in whole.axes] == [
        "dilation of\neach layer",
        "paths to\neach sample",
        "influence of\na sample, %",
    ]
    assert stack.get_xlim() == paths.get_xlim()
    assert paths.get_xlabel().startswith("lag in samples")
    assert influence.get_xlabel().startswith("lag, logarithmic, in samples")
    # Time runs to the right.
    for axes in whole.axes:
        left, right = axes.get_xlim()
        assert left > right


def test_paths_stand_on_zero_and_gaps_are_hatched() -> None:
    _, paths = composed(report(**SETTINGS["gaps"])).axes
    assert [bar.get_height() for bar in paths.patches][:5] == [1, 0, 0, 0, 4]
    assert all(bar.get_y() == 0 for bar in paths.patches[:17])
    (hatched,) = paths.collections
    assert hatched.get_hatch()
    spans = [(path.vertices[:, 0].min(), path.vertices[:, 0].max()) for path in hatched.get_paths()]
    assert spans == [(0.5, 3.5), (4.5, 7.5), (8.5, 11.5), (12.5, 15.5)]
    legend = paths.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["never heard"]


def test_brackets_end_where_a_part_of_the_influence_does() -> None:
    drawn = report(measured=True)
    assert drawn.effective_field is not None
    influence = composed(drawn).axes[-1]
    ends = [line.get_xdata() for line in influence.lines if line.get_marker() == "|"]
    extents = list(drawn.effective_field.extents.values())
    assert [float(np.max(end)) for end in ends] == [extent - 0.5 for extent in extents]
    names = [text.get_text() for text in influence.texts]
    assert names == ["half: 7.8 ms", "90 %: 25.6 ms", "99 %: 51.2 ms"]


def test_the_context_module_is_named() -> None:
    stack = composed(report(context="pyramid")).axes[0]
    written = "\n".join(text.get_text() for text in stack.texts)
    assert "wedge: the mean of the last 256 skip sums" in written
    assert "dashed: the skip sums 1, 6, 12, 18 samples ago" in written
    dashed = [line.get_xdata() for line in stack.lines if line.get_linestyle() == "--"]
    assert [list(lags) for lags in dashed] == [[0, 1], [0, 6], [0, 12], [0, 18]]


def test_a_long_name_is_shortened_to_fit() -> None:
    config = loading.load("small", {"model.dilations": [1, 2]})
    assert overlapping(StackReport("runs/" + 30 * "very-long/", config, 100)) == []


def test_fields_that_are_too_long_are_refused(tmp_path: Path) -> None:
    endless = report(layers=42, dilation_cycle=2**20, kernel_size=64)
    with pytest.raises(OutputError, match="too many to draw"):
        figure.draw(tmp_path / "a.png", endless)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", [r"runs/$\x$", "日本"])
def test_a_name_of_any_letters_is_drawn(name: str, tmp_path: Path) -> None:
    figure.draw(tmp_path / "a.png", StackReport(name, loading.load("tiny"), 100.0))
    assert (tmp_path / "a.png").exists()
