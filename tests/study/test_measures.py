"""Measures of studies on numbers that are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from twelve.evaluation import kinds
from twelve.metrics.gqa import GQAQuestion
from twelve.study.by_type import by_type
from twelve.study.measures import cka, errors, grouping
from twelve.study.measures.grouping import CellOf
from twelve.types.examples import Box, Example


# --- kinds and errors ---------------------------------------------------------------------------------------------
def example(text: str, *, candidates: Sequence[Box] = (), target: str | bool | None = None, **facts: object) -> Example:
    return Example("1", text, ("coco/1",), target, "coco/1", tuple(candidates), facts=facts)


def test_kinds_need_no_dataset() -> None:
    box = (0.0, 0.0, 1.0, 1.0)
    question = GQAQuestion("red", "query", "attr", "color", None, 2)
    found = kinds.kinds_of(
        [
            example("How many red boats are there?", candidates=[box] * 3, question=question, question_type="how many"),
            example("the left one", candidates=[box] * 12, question=question, question_type="other"),
            example("two blue dogs and 3 red cats", candidates=[box] * 6, question=question, question_type="other"),
        ]
    )
    assert found == {
        "words": ("4-6", "1-3", "7-10"),
        "opening": ("how many", "the left", "two blue"),
        "colour": ("red", "none", "several"),
        "count": ("how many", "none", "a number"),
        "candidates": ("1-5", "11-15", "6-10"),
        "question_type": ("how many", "other", "other"),
    }


def test_what_divides_nothing_or_everything_is_no_kind() -> None:
    texts = [f"word{number} here" for number in range(100)]
    found = kinds.kinds_of([example(text, target=text, same="x") for text in texts])
    assert found.keys() == {"opening"} and len(set(found["opening"])) == kinds.OPENINGS + 1
    assert kinds.kinds_of([example("a", target=True), example("b", target=False)])["target"] == ("True", "False")
    assert "target" not in kinds.kinds_of([example("a", target=True), example("b", target=None)])


def test_ranges_of_lengths() -> None:
    found = [kinds.length_type(count, (3, 6)) for count in (1, 3, 4, 6, 7, 40)]
    assert found == ["1-3", "1-3", "4-6", "4-6", "7+", "7+"]


def test_scores_by_kind() -> None:
    values = np.array([1.0, 0.0, 0.5])
    assert by_type({"colour": ("red", "red", "none")}, values) == {"colour": {"none": (50.0, 1), "red": (50.0, 2)}}


def test_differences_are_paired() -> None:
    """The first arm is better by a tenth on every example of one kind, and equal on the others."""
    rng = np.random.default_rng(0)
    seeds = []
    for _ in range(3):
        names = rng.permutation(["red"] * 30 + ["blue"] * 30 + ["rare"] * 3).tolist()
        second = rng.random(63) * 0.9
        first = second + 0.1 * (np.array(names) == "red")
        seeds.append(
            errors.Compared(first, second, [str(row // 2) for row in range(63)], {"colour": names, "shade": names})
        )
    twice = errors.differences(seeds, shared=False, resamples=200)
    assert [(each.kind, each.same) for each in twice] == [("colour", "")] * 2 + [("shade", "colour")] * 2
    found = {each.value: each for each in twice if not each.same}
    assert found.keys() == {"red", "blue"}  # nine examples are too few
    assert (found["red"].gain.mean, found["red"].gain.low, found["red"].gain.high) == pytest.approx((10, 10, 10))
    assert found["red"].significant and not found["blue"].significant and found["red"].examples == 90
    assert found["red"].first - found["red"].second == pytest.approx(10)
    assert not replace(found["red"], seeds=(0.1, 25.0, 4.9)).significant  # its t interval contains 0
    assert replace(found["red"], seeds=(0.1, 25.0, 4.9)).by_bootstrap_alone and not found["red"].by_bootstrap_alone
    assert errors.spread(list(found.values()))["colour"] == pytest.approx(5)


# --- alignment of states ------------------------------------------------------------------------------------------
def test_alignment_of_equal_and_of_rotated_states_is_one() -> None:
    torch.manual_seed(0)
    same, rotated, other = cka.Similarity(), cka.Similarity(), cka.Similarity()
    turn = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))[0]
    for _ in range(5):
        states = torch.randn(40, 6, dtype=torch.float64)
        same.add(states, states)
        rotated.add(states, 3 * states @ turn + 7)
        other.add(states, torch.randn(40, 6, dtype=torch.float64))
    assert same.value().mean == pytest.approx(1) and rotated.value().mean == pytest.approx(1)
    assert abs(other.value().mean) < 0.1 and other.value().low < other.value().mean < other.value().high


def test_alignment_by_hand() -> None:
    """K of (1, 1, 0, 0), L of (1, 0, 1, 0): off the diagonal one pair of ones each, and none in common."""
    first, second = torch.tensor([[1.0], [1], [0], [0]]), torch.tensor([[1.0], [0], [1], [0]])
    # tr(KL) = 0, both sums 2, sum(K) sum(L) / (3 * 2) = 4 / 6, 1'KL1 = 1: (0 + 4 / 6 - 2 / 2) / (4 * 1)
    assert cka.hsic(first @ first.T, second @ second.T) == pytest.approx((4 / 6 - 1) / 4)
    # tr(KK) = 2, 1'KK1 = 2: (2 + 4 / 6 - 2) / 4
    assert cka.hsic(first @ first.T, first @ first.T) == pytest.approx((4 / 6) / 4)
    with pytest.raises(ValueError, match="at least 4 positions, found 3"):
        cka.hsic(torch.eye(3), torch.eye(3))


def test_the_estimate_has_no_bias() -> None:
    """Wide independent states look alike to the plain estimate, not to this one."""
    torch.manual_seed(1)
    wide = cka.Similarity()
    for _ in range(200):
        wide.add(torch.randn(8, 50), torch.randn(8, 50))
    assert wide.value().mean == pytest.approx(0, abs=0.03)


# --- groupings ----------------------------------------------------------------------------------------------------
GROUPS = {"a": ("a1", "a2"), "b": ("b1",), "c": ("c1",)}


def test_affinity_of_groups() -> None:
    tasks = ("a1", "a2", "b1", "c1")
    affinity = np.arange(16, dtype=np.float64).reshape(4, 4)
    found = grouping.group_affinity(tasks, affinity, GROUPS)
    assert found[0].tolist() == [(1 + 4) / 2, (2 + 6) / 2, (3 + 7) / 2]
    assert found[1, 0] == (8 + 9) / 2 and np.isnan(found[1, 1]) and found[2, 1] == 14
    assert grouping.predicted(CellOf("a", ("a", "b", "c")), list(GROUPS), found) == (8.5 + 12.5) / 2
    assert grouping.predicted(CellOf("a", ("a",)), list(GROUPS), found) == 0


def test_every_cell_and_every_partition() -> None:
    names = ["a", "b", "c", "d"]
    found = grouping.cells(names)
    assert len(found) == 12 + 12 + 4 and found[0] == ("a", ("a", "b"))
    counts = [len(set(grouping.partitions(names, count))) for count in range(6)]
    assert counts == [0, 1, 7, 6, 1, 0]  # Stirling numbers of the second kind
    assert (("a", "c"), ("b",), ("d",)) in set(grouping.partitions(names, 3))


def test_rank_correlation() -> None:
    assert grouping.ranks(np.array([3.0, 1.0, 3.0])).tolist() == [2.5, 1, 2.5]
    assert grouping.spearman(np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])) == pytest.approx(0.8)  # 1 - 6 * 2 / 60
    assert np.isnan(grouping.spearman(np.ones(3), np.arange(3.0)))
    truth = np.arange(12.0)
    rng = np.random.default_rng(0)
    measured = truth**3 + rng.normal(0, 1e-6, (3, 12))
    found = grouping.rank_correlation(truth[None], measured, resamples=200)
    assert (found.mean, found.low, found.high) == pytest.approx((1, 1, 1))
    noise = grouping.rank_correlation(rng.random((1, 28)), rng.random((3, 28)), resamples=500)
    assert noise.low < 0 < noise.high
    opposite = grouping.rank_correlation(truth[None], np.stack([truth, truth, -truth]), resamples=200)
    assert opposite.seeds == pytest.approx((1, 1, -1)) and opposite.mean == pytest.approx(1)
    assert opposite.median == pytest.approx(1) and opposite.low == pytest.approx(-1)


def test_the_best_partition() -> None:
    """a and b help each other, c hurts both."""
    affinity = np.array([[np.nan, 1, -1], [1, np.nan, -1], [-1, -1, np.nan]])
    gains = {cell: 5.0 if set(cell.together) == {"a", "b"} else -2.0 for cell in grouping.cells(list(GROUPS))}
    best, *rest = grouping.ranked(list(GROUPS), 2, affinity, gains)
    assert set(best.partition) == {("a", "b"), ("c",)} and len(rest) == 2
    assert best.expected == pytest.approx(2 / 3) and best.gain == pytest.approx(10 / 3)
    assert all(each.gain == pytest.approx(-4 / 3) for each in rest)
