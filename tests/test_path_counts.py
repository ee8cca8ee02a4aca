"""Path counts and gaps of small stacks, against enumeration, and what reports say about them."""

import itertools
from collections import Counter

import numpy as np
import pytest

from wavenet.analysis.path_counts import (
    EffectiveReceptiveField,
    count_paths,
    gap_closing_dilations,
    last_cycle,
    levels,
    name_gaps,
    within,
)
from wavenet.analysis.report import stack_report
from wavenet.config import ModelConfig, loading, schema

STACKS = [
    ((1, 2, 4), 2),
    ((1, 2, 4, 1, 2), 2),
    ((4, 4, 4, 4), 2),
    ((1, 3, 9), 3),
    ((1, 2, 3, 5, 8), 2),
    ((3, 5, 11), 3),
    ((7,), 4),
]


def offsets(dilations: tuple[int, ...], kernel: int) -> tuple[tuple[int, ...], ...]:
    return ModelConfig(dilations=dilations, kernel_size=kernel).offsets


@pytest.mark.parametrize(("dilations", "kernel"), STACKS)
def test_path_counts_equal_those_of_walking_every_path(
    dilations: tuple[int, ...], kernel: int
) -> None:
    taps = offsets(dilations, kernel)
    walked = Counter(sum(path) for path in itertools.product(*taps))
    counts = count_paths(taps)
    assert counts is not None
    assert np.rint(np.exp2(counts.log2_paths)).tolist() == [
        walked[lag] for lag in range(counts.size)
    ]
    assert counts.covered.tolist() == [lag in walked for lag in range(counts.size)]


def test_any_taps_count_not_only_those_of_one_dilation() -> None:
    taps = ((0, 1, 6), (0,), (0, 2, 3))
    walked = Counter(sum(path) for path in itertools.product(*taps))
    counts = count_paths(taps)
    assert counts is not None
    assert np.rint(np.exp2(counts.log2_paths)).tolist() == [walked[lag] for lag in range(10)]


def test_levels_go_from_the_top_layers_input_down_to_the_samples() -> None:
    top, bottom = (
        np.rint(np.exp2(level)).astype(int).tolist() for level in levels(offsets((1, 2), 2))
    )
    assert top == [1, 0, 1]
    assert bottom == [1, 1, 1, 1]


def test_path_counts_beyond_every_float_keep_their_shape() -> None:
    counts = count_paths(offsets((1,) * 1000, 4))
    assert counts is not None
    assert counts.size == 3001
    assert not counts.gaps
    assert counts.log2_paths[[0, -1]].tolist() == [0, 0]
    assert counts.log2_paths[1] == pytest.approx(np.log2(1000))
    assert np.exp2(counts.log2_paths - 2000).sum() == pytest.approx(1)


def test_a_receptive_field_of_hundreds_of_millions_is_not_counted() -> None:
    model = ModelConfig(layers=42, dilation_cycle=2**20, kernel_size=64)
    assert count_paths(model.offsets) is None
    report = stack_report("long", schema.Config(model=model), 100)
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
    counts = count_paths(offsets(dilations, 2))
    assert counts is not None
    assert name_gaps(counts) == words


@pytest.mark.parametrize("dilations", [(4, 4, 4, 4), (1, 3), (3, 9, 27, 81), (3, 5, 11), (2, 100)])
def test_the_layers_that_are_said_to_close_all_gaps_do(dilations: tuple[int, ...]) -> None:
    counts = count_paths(offsets(dilations, 2))
    assert counts is not None
    added = gap_closing_dilations(counts)
    both = count_paths(offsets((*dilations, *added), 2))
    assert both is not None
    assert not both.gaps
    fewer = count_paths(offsets((*dilations, *added[:-1]), 2))
    assert fewer is not None
    assert fewer.gaps


def test_the_last_cycle_begins_where_dilations_fall_back_to_the_smallest() -> None:
    assert last_cycle(ModelConfig(layers=30, dilation_cycle=512).schedule) == 20
    assert last_cycle((1, 2, 4, 1, 2)) == 3
    assert last_cycle((1, 2, 4)) is None
    assert last_cycle((4, 4, 4, 4)) is None
    assert last_cycle((1, 2, 5, 3, 7)) is None


def test_fractions_of_a_known_influence_lie_where_they_were_put() -> None:
    influence = np.zeros(101)
    influence[[0, 9, 49, 100]] = 0.5, 0.4, 0.09, 0.01
    spread = EffectiveReceptiveField(influence, 1, "by hand")
    assert [spread.within(fraction) for fraction in (0.5, 0.9, 0.99, 1)] == [1, 10, 50, 101]
    assert within(np.ones(8), 0.5) == 4


def test_advice_says_what_the_figures_mean() -> None:
    report = stack_report("paper", loading.load("paper"), 100)
    assert report.advice() == [
        "reaches 191.9 ms back: a 100 Hz voice repeats 19.2 times in it",
        "hears every sample of it; half of all paths lead 73.3 to 118.5 ms back",
        "the last cycle (layers 21 to 30) adds what lies 127.9 to 191.9 ms back; "
        "nearer, only paths",
    ]
    assert stack_report("paper", loading.load("paper"), 2.5).advice()[0] == (
        "reaches 191.9 ms back: less than one period of 2.5 Hz (400.0 ms), "
        "so it cannot hear that pitch repeat"
    )


def test_advice_says_what_a_cycle_closes_and_what_would() -> None:
    config = loading.load("small", ["model.dilations=[2,8,2,7]"])
    advice = stack_report("gappy", config, 100).advice()
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
    advice = stack_report("paper", loading.load("paper"), 100, measured).advice()
    assert advice[3:] == [
        "half of what it uses lies within 1.0 ms of 191.9, 90 % within 10.0, 99 % within 100.0 "
        "(at 64 moments of here)",
        "that is 0.1, 1.0 and 10.0 periods of 100 Hz",
        "what only the last cycle reaches, beyond 127.9 ms, holds 0.5 % of it",
    ]
