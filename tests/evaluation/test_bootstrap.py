"""Intervals against closed forms, and wider when examples of a group agree."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from twelve.metrics.bootstrap import interval, part_intervals


def test_matches_the_normal_approximation() -> None:
    values = np.random.default_rng(1).binomial(1, 0.3, 4000).astype(float)
    found = interval(values, [str(i) for i in range(4000)], resamples=4000)
    half = 1.96 * values.std() / np.sqrt(4000)
    assert found.mean == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * half, rel=0.05)


def test_groups_of_equal_examples_count_once() -> None:
    values = np.random.default_rng(1).binomial(1, 0.5, 200).astype(float)
    alone = interval(values, [str(i) for i in range(200)])
    copies = interval(np.repeat(values, 10), [str(i) for i in range(200) for _ in range(10)])
    assert copies.high - copies.low == pytest.approx(alone.high - alone.low, rel=0.05)


def test_same_seed_same_interval() -> None:
    groups = list("abcdefghij")
    assert interval(np.arange(10.0), groups) == interval(np.arange(10.0), groups)


@pytest.mark.parametrize("count", [1, 3, 100])
def test_groups_that_all_agree_have_the_interval_of_wilson(count: int) -> None:
    """Scores of N right answers of N: from N / (N + z²), as in Wilson's formula with p = 1."""
    groups, z = [str(k) for k in range(count)], 1.959964
    centre, half = (1 + z**2 / (2 * count)) / (1 + z**2 / count), z**2 / (2 * count) / (1 + z**2 / count)
    right, wrong = interval(np.ones(count), groups), interval(np.zeros(count), groups)
    assert (right.low, right.mean, right.high) == (pytest.approx(centre - half, abs=1e-6), 1.0, 1.0)
    assert (wrong.low, wrong.mean, wrong.high) == (0.0, 0.0, pytest.approx(half + 1 - centre, abs=1e-6))
    copies = interval(np.ones(5 * count), groups * 5)
    assert copies.low == right.low  # equal examples of a group count once
    (part,) = part_intervals(np.ones(2 * count), [*groups, *"x" * count], np.arange(2 * count)[None] < count)
    assert part == right


def test_differences_that_all_agree_have_a_width_to_both_sides() -> None:
    groups = [str(k) for k in range(10)]
    same = interval(np.zeros(10), groups, bounds=(-1.0, 1.0))
    assert same.high == -same.low == pytest.approx(3.8415 / 13.8415, abs=1e-4)
    assert interval(np.full(10, 0.3), groups, bounds=(-1.0, 1.0)).low == pytest.approx(0.3 - 1.3 * same.high)


def test_one_long_name_does_not_cost_as_much_for_each() -> None:
    groups = ["x" * 100_000, *["a", "b"] * 1000]
    tracemalloc.start()
    interval(np.ones(len(groups)), groups, resamples=10)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 50_000_000


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="3 values and 2 groups"):
        interval(np.ones(3), ["a", "b"])
