"""Dilations of every growth, and the offsets of every kind of layer."""

from itertools import combinations, pairwise
from math import gcd

import pytest

from wavenet.config import ModelConfig, dilations


def test_known_growths() -> None:
    assert dilations.cycle("doubling", 512) == tuple(2**i for i in range(10))
    assert dilations.cycle("fibonacci", 512) == (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377)
    assert dilations.cycle("coprime", 100) == (1, 2, 3, 5, 7, 11, 17, 29, 47, 73)


@pytest.mark.parametrize("growth", dilations.GROWTHS)
def test_a_growth_starts_again_at_its_bound(growth: str) -> None:
    cycle = dilations.cycle(growth, 8)
    model = ModelConfig(growth=growth, dilation_cycle=8, layers=2 * len(cycle) + 1)  # type: ignore[arg-type]
    assert model.schedule == (*cycle, *cycle, 1)
    assert cycle[-1] <= 8 < dilations.cycle(growth, 20)[len(cycle)]


def test_coprime_dilations_share_no_divisor_and_grow_like_fibonaccis() -> None:
    cycle = dilations.cycle("coprime", 2**20)
    assert all(gcd(a, b) == 1 for a, b in combinations(cycle, 2))
    assert all(1.3 < b / a <= 2 for a, b in pairwise(cycle))
    assert (cycle[-1] / cycle[9]) ** (1 / (len(cycle) - 10)) == pytest.approx(1.6, abs=0.01)


@pytest.mark.parametrize("growth", dilations.GROWTHS)
def test_a_cycle_of_two_taps_leaves_no_gap(growth: str) -> None:
    lags = {0}
    for dilation in dilations.cycle(growth, 60):
        lags |= {lag + dilation for lag in lags}
    assert lags == set(range(max(lags) + 1))


def test_offsets_of_every_pattern() -> None:
    assert ModelConfig(dilations=(4, 5), kernel_size=(3, 2)).offsets == ((0, 4, 8), (0, 5))
    assert ModelConfig(dilations=(4, 1), layer="hybrid", kernel_size=3).offsets == (
        (0, 1, 2, 4, 8),
        (0, 1, 2),
    )
    assert ModelConfig(dilations=(4, 1), smooth=True).offsets == ((0, 1, 4, 5), (0, 1, 2))
    assert ModelConfig(dilations=(2,), layer="hybrid", smooth=True).offsets == ((0, 1, 2, 3),)
    for layer in ("separable", "bottleneck"):
        assert ModelConfig(dilations=(4,), layer=layer).offsets == ((0, 4),)


def test_where_the_taps_of_a_kernel_lie() -> None:
    assert dilations.tap_matrix(2, 4, False, (0, 1, 4)) == [[1, 0], [0, 0], [0, 1]]
    assert dilations.tap_matrix(2, 1, True, (0, 1, 2)) == [[0.5, 0], [0.5, 0.5], [0, 0.5]]
