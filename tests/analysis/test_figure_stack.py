"""The lines and regions that a picture of a stack is made of are those of its receptive field."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from wavenet.analysis import figure_stack, path_counts
from wavenet.config import ModelConfig, loading

SHORT: dict[str, dict[str, Any]] = {
    "one cycle": {"dilations": (1, 2, 4, 8)},
    "resets": {"layers": 10, "dilation_cycle": 16},
    "gaps": {"dilations": (4, 4, 4, 4)},
    "one layer": {"dilations": (1,)},
    "kernel 3": {"dilations": (1, 2, 4), "kernel_size": 3},
    "hybrid": {"layers": 5, "dilation_cycle": 16, "layer": "hybrid"},
    "smooth": {"layers": 5, "dilation_cycle": 16, "smooth": True},
    "pyramid": {"dilations": (1, 2), "context": "pyramid", "pyramid_window": 12},
}
LONG: dict[str, dict[str, Any]] = {
    "paper": {},
    "sixty layers": {"layers": 60},
    "kernel 3": {"layers": 24, "dilation_cycle": 32, "kernel_size": 3},
    "fibonacci": {"layers": 20, "growth": "fibonacci"},
    "gaps": {"dilations": (3, 9, 27, 81, 243)},
    "hybrid": {"layers": 20, "layer": "hybrid"},
    "smooth": {"layers": 20, "smooth": True},
    "pyramid": {"layers": 20, "context": "pyramid"},
    "falling": {"dilations": (512, 256, 128, 64, 32, 16, 8, 4, 2, 1)},
}


def reached(model: ModelConfig) -> list[list[int]]:
    """The lags of each level that the output depends on, the samples' first."""
    sums = list(path_counts.levels(model.all_offsets))
    return [np.flatnonzero(np.isfinite(paths)).tolist() for paths in sums[::-1]]


@pytest.mark.parametrize("settings", SHORT.values(), ids=SHORT)
def test_every_tap_of_a_short_field_is_a_line(settings: dict[str, Any]) -> None:
    model = ModelConfig(**settings)
    (tree,) = figure_stack.trees(model)
    lags = reached(model)
    assert (tree.top, tree.bottom, tree.shaded) == (len(model.schedule), 0, [])
    for level in range(tree.top + 1):
        assert tree.lags(level).tolist() == lags[level]
    for level, edges in zip(range(tree.top, 0, -1), tree.edges, strict=True):
        taps = {(lag, lag + tap) for lag in lags[level] for tap in model.offsets[level - 1]}
        assert {(start, end) for start, end in edges.tolist()} == taps
        assert len(edges) == len(taps)


@pytest.mark.parametrize("settings", LONG.values(), ids=LONG)
def test_the_trees_of_a_long_field_stand_side_by_side(settings: dict[str, Any]) -> None:
    model = ModelConfig(**settings)
    drawn = figure_stack.trees(model)
    assert drawn[0].top == len(model.schedule)
    assert drawn[-1].bottom == 0
    assert drawn[0].roots.tolist() == [model.context_lag]
    for above, below in pairwise(drawn):
        assert below.top == above.bottom
        assert below.roots.tolist() == [above.oldest]
    assert drawn[-1].oldest == model.receptive_field - 1


@pytest.mark.parametrize("settings", LONG.values(), ids=LONG)
def test_lines_of_a_long_field_are_taps_far_enough_apart_to_see(settings: dict[str, Any]) -> None:
    model = ModelConfig(**settings)
    for tree in figure_stack.trees(model):
        lags = tree.roots
        for level, edges in zip(range(tree.top, tree.lines_end, -1), tree.edges, strict=True):
            taps = model.offsets[level - 1]
            assert set(edges[:, 0]) == set(lags.tolist())
            assert set(edges[:, 1] - edges[:, 0]) == set(taps)
            assert len(edges) <= 1 + 240 * np.ptp(edges) / model.receptive_field
            lags = np.unique(edges[:, 1])
        below = [taps[-1] for taps in model.offsets[tree.bottom : tree.lines_end]]
        assert tree.shaded == below[::-1]


@pytest.mark.parametrize("settings", [*SHORT.values(), *LONG.values()], ids=[*SHORT, *LONG])
def test_the_shade_reaches_as_far_as_paths_lead(settings: dict[str, Any]) -> None:
    model = ModelConfig(**settings)
    assert figure_stack.reaches(model).tolist() == [lags[-1] for lags in reached(model)]


@pytest.mark.parametrize(
    ("schedule", "found"),
    [
        ([1, 2, 4], [range(3)]),
        ([1, 2, 1, 2], [range(2), range(2, 4)]),
        ([1, 2, 4, 1, 2], [range(3), range(3, 5)]),
        ([4, 4, 4], [range(3)]),
        ([4, 2, 1], [range(2), range(2, 3)]),
        ([2, 8, 2, 8, 1, 4, 1, 4], [range(4), range(4, 6), range(6, 8)]),
        ([7], [range(1)]),
    ],
)
def test_a_cycle_begins_where_dilations_fall_to_the_smallest(
    schedule: list[int], found: list[range]
) -> None:
    assert figure_stack.cycles(schedule) == found


@pytest.mark.parametrize(
    ("schedule", "first", "count"),
    [
        ([1, 2, 4], [(0.5, "1"), (1.5, "2"), (2.5, "4")], 3),
        ([1, 2, 1024] * 17, [(0.5, "1"), (1.5, "2"), (2.5, "1,024")], 51),
        ([1, 2, 4, 8, 16, 32] * 10, [(0.5, "1"), (2.5, "4"), (4.5, "16")], 30),
        ([1] * 60, [(0.5, "1"), (2.5, "1"), (4.5, "1")], 30),
        # Every third layer has dilation 1.
        ([1, 2, 4] * 40, [(1.5, "1 to 4"), (4.5, "1 to 4"), (7.5, "1 to 4")], 40),
        ([1, 2, 4] * 60, [(1.5, "1 to 4"), (7.5, "1 to 4"), (13.5, "1 to 4")], 30),
    ],
)
def test_rows_have_the_dilations_of_their_layers(
    schedule: list[int], first: list[tuple[float, str]], count: int
) -> None:
    heights, names = figure_stack.row_labels(schedule)
    assert list(zip(heights, names, strict=True))[:3] == first
    assert len(names) == count


def test_every_preset_of_eighteen_layers_or_more_shows_a_tree_for_each_cycle() -> None:
    cycles = {}
    for name in loading.preset_names():
        model = loading.load(name).model
        drawn = figure_stack.trees(model)
        cycles[name] = len(drawn)
        for tree in drawn:
            # The first layers down from a root, at the least, are lines.
            assert len(tree.edges) >= 3, name
    assert cycles["paper"] == 3
    assert cycles["small"] == cycles["tiny"] == 2
    assert cycles["r9y9-mol"] == 4
