"""Path counts and gaps of small stacks, against enumeration, and what reports say about them."""

import itertools
from collections import Counter

import numpy as np
import pytest

from wavenet.analysis import path_counts
from wavenet.analysis.path_counts import EffectiveReceptiveField, Offsets, PathCounts
from wavenet.analysis.report import StackReport
from wavenet.config import ModelConfig, loading, schema

STACKS = [((1, 2, 4, 1, 2), 2), ((4, 4, 4, 4), 2), ((1, 3, 9), 3), ((3, 5, 11), 3), ((7,), 4)]


def offsets(dilations: tuple[int, ...], kernel: int = 2) -> Offsets:
    return ModelConfig(dilations=dilations, kernel_size=kernel).offsets


def counted(taps: Offsets) -> PathCounts:
    counts = path_counts.count_paths(taps)
    assert counts is not None
    return counts


# The last one's taps are of no one dilation.
@pytest.mark.parametrize("taps", [*(offsets(*s) for s in STACKS), ((0, 1, 6), (0,), (0, 2, 3))])
def test_path_counts_equal_those_of_walking_every_path(taps: Offsets) -> None:
    walked = Counter(sum(path) for path in itertools.product(*taps))
    counts = counted(taps)
    lags = range(counts.size)
    assert counts.size == 1 + max(walked)
    assert np.rint(np.exp2(counts.log2_paths)).tolist() == [walked[lag] for lag in lags]
    assert counts.covered.tolist() == [lag in walked for lag in lags]


def test_levels_go_from_the_output_down_to_the_samples() -> None:
    paths = [np.rint(np.exp2(level)).tolist() for level in path_counts.levels(offsets((1, 2)))]
    assert paths == [[1], [1, 0, 1], [1, 1, 1, 1]]


def test_path_counts_beyond_every_float_keep_their_shape() -> None:
    counts = counted(offsets((1,) * 1000, 4))
    assert counts.size == 3001
    assert not counts.gaps
    assert counts.log2_paths[[0, -1]].tolist() == [0, 0]
    assert counts.log2_paths[1] == pytest.approx(np.log2(1000))
    assert np.exp2(counts.log2_paths - 2000).sum() == pytest.approx(1)


def test_a_receptive_field_of_hundreds_of_millions_is_not_counted() -> None:
    model = ModelConfig(layers=42, dilation_cycle=2**20, kernel_size=64)
    assert path_counts.count_paths(model.offsets) is None
    report = StackReport("long", schema.Config(model=model), 100)
    assert "paths and gaps are not counted: the field is too long" in report.advice()
    assert report.to_dict()["coverage"] is None


@pytest.mark.parametrize(
    ("dilations", "words"),
    [
        (
            (4, 4, 4, 4),
            "only every 4th sample is heard; 12 of 17 samples are never heard: "
            "lags 1-3, 5-7, 9-11, 13-15",
        ),
        ((8,) * 12, "only every 8th sample is heard; 84 of 97 samples are never heard"),
        ((1, 3), "1 of 5 samples is never heard: lag 2"),
        (
            (3, 5, 11),
            "12 of 20 samples are never heard: "
            "lags 1-2, 4, 6-7 and 4 more gaps; the longest is lags 1-2",
        ),
        (
            (3, 9, 27, 81),
            "at most every 3rd sample is heard; 105 of 121 samples are never heard: "
            "lags 1-2, 4-8, 10-11 and 12 more gaps; the longest is lags 40-80",
        ),
    ],
)
def test_gaps_are_named(dilations: tuple[int, ...], words: str) -> None:
    assert path_counts.name_gaps(counted(offsets(dilations))) == words


@pytest.mark.parametrize("dilations", [(4, 4, 4, 4), (1, 3), (3, 9, 27, 81), (3, 5, 11), (2, 100)])
def test_the_layers_that_are_said_to_close_all_gaps_do(dilations: tuple[int, ...]) -> None:
    added = path_counts.gap_closing_dilations(counted(offsets(dilations)))
    assert not counted(offsets((*dilations, *added))).gaps
    assert counted(offsets((*dilations, *added[:-1]))).gaps


def test_the_last_cycle_begins_where_dilations_fall_back_to_the_smallest() -> None:
    assert path_counts.last_cycle(ModelConfig(layers=30, dilation_cycle=512).schedule) == 20
    assert path_counts.last_cycle((1, 2, 4, 1, 2)) == 3
    assert path_counts.last_cycle((1, 2, 4)) is None
    assert path_counts.last_cycle((4, 4, 4, 4)) is None
    assert path_counts.last_cycle((1, 2, 5, 3, 7)) is None


def test_fractions_of_a_known_influence_lie_where_they_were_put() -> None:
    influence = np.zeros(101)
    influence[[0, 9, 49, 100]] = 0.5, 0.4, 0.09, 0.01
    spread = EffectiveReceptiveField(influence, 1, "by hand")
    assert spread.extents == {"half": 1, "90 %": 10, "99 %": 50}
    assert path_counts.within(np.ones(8), 0.5) == 4


def test_advice_says_what_the_figures_mean() -> None:
    report = StackReport("paper", loading.load("paper"), 100)
    assert report.advice() == [
        "reaches 191.9 ms back: a 100 Hz voice repeats 19.2 times in it",
        "hears every sample of it; half of all paths lead 73.3 to 118.5 ms back",
        "the last cycle (layers 21 to 30) adds what lies 127.9 to 191.9 ms back; "
        "nearer, only paths",
    ]
    assert StackReport("paper", loading.load("paper"), 2.5).advice()[0] == (
        "reaches 191.9 ms back: less than one period of 2.5 Hz (400.0 ms), "
        "so it cannot hear that pitch repeat"
    )


def test_advice_says_what_a_cycle_closes_and_what_would() -> None:
    config = loading.load("small", {"model.dilations": [2, 8, 2, 7]})
    advice = StackReport("gappy", config, 100).advice()
    assert advice[1:3] == [
        "8 of 20 samples are never heard: lags 1, 3, 5-6, 13-14, 16, 18",
        "two-tap layers of dilations 1 and 2 would close all gaps",
    ]
    assert advice[3] == (
        "the last cycle (layers 3 to 4) adds what lies 0.69 to 1.2 ms back; "
        "nearer, 3 samples that had been gaps"
    )


def test_advice_says_what_is_used_and_what_the_last_cycle_holds_of_it() -> None:
    influence = np.zeros(3070)
    influence[[15, 159, 1599, 2500]] = 0.6, 0.32, 0.075, 0.005
    measured = EffectiveReceptiveField(influence, 64, "here")
    advice = StackReport("paper", loading.load("paper"), 100, measured).advice()
    assert advice[3:] == [
        "half of what it uses lies within 1.0 ms of 191.9, 90 % within 10.0, 99 % within 100.0 "
        "(at 64 moments of here)",
        "that is 0.1, 1.0 and 10.0 periods of 100 Hz",
        "what only the last cycle reaches, beyond 127.9 ms, holds 0.5 % of it",
    ]
