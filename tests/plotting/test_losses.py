"""What pictures of losses show: validation first, training behind it, and what needs no network."""

from pathlib import Path

import pytest

from wavenet.plotting import losses, style
from wavenet.plotting.losses import BIGRAM, UNIFORM, UNIGRAM

# From nothing: the first steps fall from 8 bits.
FALLING = [
    {"step": step, "seconds": 6.0 * step, "train_bits": 3 + 5 / (1 + step / 4)}
    for step in range(10, 1010, 10)
]
SCORED = [
    {"step": step, "seconds": 6.0 * step, "validation_bits": 3.5 - step / 1000}
    for step in range(100, 1001, 100)
]


def drawn(runs, baselines=None, over="steps"):
    axes = style.blank(8, 4).subplots()
    losses.loss(axes, runs, over, baselines or {})
    return axes


def legend(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_validation_is_drawn_over_training_and_its_best_is_told() -> None:
    axes = drawn({"mine": FALLING + SCORED})
    assert legend(axes) == ["mine, at best 2.500", "training (thin)"]
    validation, training = axes.lines[:2]
    assert validation.get_xdata().tolist() == [m["step"] for m in SCORED]
    assert validation.get_zorder() > training.get_zorder()
    assert validation.get_linewidth() > training.get_linewidth()
    assert validation.get_color() != training.get_color()


def test_training_is_averaged_and_its_first_steps_do_not_stretch_the_axis() -> None:
    long = [m | {"step": m["step"] + 1000 * i} for i in range(5) for m in FALLING]
    axes = drawn({"": long})
    assert legend(axes)[0] == "training, not validated"
    xs = axes.lines[0].get_xdata()
    assert len(xs) <= losses.MOST_POINTS < len(long)
    assert 3 < axes.get_ylim()[1] < 7


def test_several_runs_have_colours_and_markers_of_their_own() -> None:
    axes = drawn({name: FALLING + SCORED for name in "abc"}, over="hours")
    scored = [line for line in axes.lines if line.get_marker() not in ("None", "")]
    assert len({line.get_color() for line in scored}) == 3
    assert len({line.get_marker() for line in scored}) == 3
    assert scored[0].get_xdata()[-1] == pytest.approx(6000 / 3600)
    assert axes.get_xlabel() == "hours of training"


def test_baselines_in_reach_are_lines_and_others_are_named() -> None:
    axes = drawn({"a": SCORED}, {BIGRAM: 3.2, UNIGRAM: 7.5, UNIFORM: 8.0})
    level = [line for line in axes.lines if set(line.get_ydata()) == {3.2}]
    assert len(level) == 1
    assert legend(axes)[-3:] == [f"{UNIFORM}: 8.00", f"{UNIGRAM}: 7.50", f"{BIGRAM}: 3.20"]
    assert axes.get_ylim()[1] < 4


def test_what_is_not_finite_is_left_out(tmp_path: Path) -> None:
    diverged = [m | {"validation_bits": float("nan")} for m in SCORED[:3]] + SCORED[3:]
    assert len(drawn({"a": diverged}).lines[0].get_xdata()) == len(SCORED) - 3
    losses.losses(tmp_path / "a.png", {"a": [{"step": 1, "seconds": 0.5}]}, "hours", {})
    assert (tmp_path / "a.png").exists()


def test_baselines_are_those_that_hold_for_all_runs() -> None:
    one, other = {"unigram_bits": 7.0, "bigram_bits": 5.0}, {"unigram_bits": 7.0}
    assert losses.baselines_of([256, 256], [one, one]) == {UNIFORM: 8, UNIGRAM: 7, BIGRAM: 5}
    assert losses.baselines_of([256, 65536], [one, other | {"bigram_bits": 4.0}]) == {UNIGRAM: 7}
    # What is not known of one holds for none.
    assert losses.baselines_of([256, None], [one, other]) == {UNIGRAM: 7}
    assert losses.baselines_of([256], [{"unigram_bits": [1], "bigram_bits": float("nan")}]) == {
        UNIFORM: 8
    }
    assert losses.baselines_of([], []) == {}


def test_a_baseline_below_the_picture_is_named_and_not_drawn_outside() -> None:
    axes = drawn({"a": [m | {"validation_bits": 7.0} for m in SCORED]}, {BIGRAM: 5.0})
    assert legend(axes)[-1] == f"{BIGRAM}: 5.00"
    assert not [line for line in axes.lines if set(line.get_ydata()) == {5.0}]
    assert axes.get_ylim()[0] > 6


def test_a_run_whose_name_begins_with_an_underscore_stands_in_the_legend() -> None:
    assert legend(drawn({"_old": SCORED}))[0].strip() == "_old, at best 2.500"
