"""Intervals against closed forms, and wider when examples of a group agree."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelve.metrics.bootstrap import bounds_of_lead, interval, part_intervals, wilson


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
    assert copies.high - copies.low == pytest.approx(alone.high - alone.low, rel=0.1)  # of one each, Wilson's


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


@pytest.mark.parametrize(("right", "of", "low", "high"), [(57, 60, 0.8630, 0.9829), (17, 20, 0.6396, 0.9476)])
def test_a_share_with_one_example_a_group_has_the_interval_of_wilson(
    right: int, of: int, low: float, high: float
) -> None:
    """With errors seen, 1 cannot be the true share; the percentile interval of these reaches it."""
    values, groups = np.array([1.0] * right + [0.0] * (of - right)), [str(k) for k in range(of)]
    found = interval(values, groups)
    assert (found.mean, found.low, found.high) == pytest.approx((right / of, low, high), abs=1e-4)
    padded = np.append(values, [1.0, 1.0])  # two more examples, of one group, are not in the part
    (part,) = part_intervals(padded, [*groups, "x", "x"], (np.arange(of + 2) < of)[None])
    assert part == found == wilson(right / of, of)


def test_several_examples_a_group_soft_scores_and_differences_are_resampled() -> None:
    values, groups = np.array([1.0] * 17 + [0.0] * 3), [str(k) for k in range(20)]
    bounds = wilson(0.85, 20).low, wilson(0.85, 20).high
    pairs, soft = [str(k // 2) for k in range(20)], np.where(values > 0, 0.9, 0.0)
    for found in (interval(values, pairs), interval(soft, groups), interval(values, groups, bounds=(-1.0, 1.0))):
        assert (found.low, found.high) != pytest.approx(bounds, abs=1e-3)
    whole = np.ones((1, 20), bool)
    parts = [*part_intervals(values, pairs, whole), *part_intervals(values, groups, whole, bounds=[(-1.0, 1.0)])]
    assert [each.high for each in parts] == pytest.approx([1.0, 1.0])


def test_differences_that_all_agree_have_a_width_to_both_sides() -> None:
    groups = [str(k) for k in range(10)]
    same = interval(np.zeros(10), groups, bounds=(-1.0, 1.0))
    assert same.high == -same.low == pytest.approx(3.8415 / 13.8415, abs=1e-4)
    assert interval(np.full(10, 0.3), groups, bounds=(-1.0, 1.0)).low == pytest.approx(0.3 - 1.3 * same.high)


@given(score=st.floats(0, 1), chance=st.floats(0, 1), count=st.integers(1, 60))
def test_a_lead_over_a_known_baseline_has_the_interval_of_the_score(score: float, chance: float, count: int) -> None:
    """A score of at most 1 cannot lead a chance of 0.02 by more than 0.98."""
    groups, ours, theirs = [str(k) for k in range(count)], np.full(count, score), np.full(count, chance)
    alone = interval(ours, groups, resamples=20)
    known = bounds_of_lead(theirs, known=True)
    lead = interval(ours - theirs, groups, resamples=20, bounds=known)
    assert (lead.low, lead.high) == pytest.approx((alone.low - chance, alone.high - chance), abs=1e-9)
    (part,) = part_intervals(ours - theirs, groups, np.ones((1, count), bool), resamples=20, bounds=[known])
    assert (part.low, part.high) == pytest.approx((lead.low, lead.high), abs=1e-9)


@given(score=st.floats(0, 1), baseline=st.floats(0, 1), count=st.integers(1, 60))
def test_a_lead_over_a_measured_baseline_is_as_uncertain_as_both(score: float, baseline: float, count: int) -> None:
    groups, ours, theirs = [str(k) for k in range(count)], np.full(count, score), np.full(count, baseline)
    ends = [interval(values, groups, resamples=20) for values in (ours, theirs)]
    lead = interval(ours - theirs, groups, resamples=20, bounds=bounds_of_lead(theirs, known=False))
    expected = ends[0].low - ends[1].high, ends[0].high - ends[1].low
    assert (lead.low, lead.high) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=12, max_size=40).filter(lambda values: 3 < sum(values) < 9))
def test_bounds_do_not_matter_where_resamples_differ(values: list[float]) -> None:
    lead, groups = np.array(values) - 0.25, [str(k) for k in range(len(values))]
    bounds = bounds_of_lead(np.full(len(values), 0.25), known=True)
    assert interval(lead, groups, bounds=bounds) == interval(lead, groups, bounds=(-1.0, 1.0))


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


def test_a_bound_of_zero_is_zero_whatever_the_sums_leave() -> None:
    """Differences that cancel out leave about 1e-17, which would make a lead "better" than 0."""
    values = np.array([0.1, 0.1, 1, 0.1, 0.1, 0.6, 0.3, 0.3, 1, 0.3, 0.3, 0.9, -0.6, -0.3, 0.9, 0.2, -0.1, -0.6])
    groups = [str(number // 2) for number in range(len(values))]
    found = interval(values, groups, resamples=200, bounds=(-1.0, 1.0))
    assert found.low == 0 and found.high > 0.4
    every = np.ones((1, len(values)), dtype=bool)
    assert part_intervals(values, groups, every, resamples=200, bounds=[(-1.0, 1.0)]) == [found]
