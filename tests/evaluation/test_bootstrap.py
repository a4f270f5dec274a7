"""Intervals against closed forms, and wider when examples of a group agree."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from twelve.metrics.bootstrap import interval


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


def test_same_seed_same_interval_and_constant_has_none() -> None:
    values, groups = np.ones(10), list("abcdefghij")
    found = interval(values, groups)
    assert (found.low, found.mean, found.high) == (1.0, 1.0, 1.0)
    assert interval(np.arange(10.0), groups) == interval(np.arange(10.0), groups)


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
