"""The two-level bootstrap on numbers that are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from twelve.metrics.bootstrap import Interval
from twelve.study.bootstrap import (
    Sampled,
    between,
    detected,
    interval,
    observed,
    t_interval,
    t_quantile,
    two_level,
    welch_interval,
)


def cell(
    values: list[list[float]], groups: list[str] | None = None, baseline: float = 0.0, upper_bound: float = 1.0
) -> Sampled:
    array = np.array(values, dtype=np.float64)
    return Sampled(array, groups or [str(n) for n in range(array.shape[1])], baseline, upper_bound)


def test_the_common_scale_is_each_seeds_own() -> None:
    cells = {"a": [cell([[0.6] * 4], baseline=0.2, upper_bound=1.0), cell([[0.6] * 4], baseline=0.4, upper_bound=0.8)]}
    assert observed(cells).closed["a"][:, 0] == pytest.approx([0.5, 0.5])
    drawn = two_level(cells, resamples=50, shared=False)
    assert drawn.points["a"] == pytest.approx(0.6) and drawn.closed["a"] == pytest.approx(0.5)
    cells["b"] = [cell([[1.0] * 2])] * 2
    assert observed(cells).main_measure[:, 0] == pytest.approx([0.75, 0.75])


@pytest.mark.parametrize("shared", [True, False])
def test_arms_are_paired(shared: bool) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(3):
        values = rng.random(40)
        rows.append(cell([values.tolist(), (values - 0.1).tolist()], [str(n // 4) for n in range(40)]))
    drawn = two_level({"a": rows}, resamples=100, shared=shared).points["a"]
    assert np.ptp(drawn[:, 0]) > 0.01
    assert drawn[:, 0] - drawn[:, 1] == pytest.approx(0.1)


def test_groups_are_resampled_whole() -> None:
    values = np.random.default_rng(1).integers(0, 2, 50).astype(float)
    alone = two_level({"a": [cell([values.tolist()])]}, shared=False).points["a"]
    copies = cell([np.repeat(values, 6).tolist()], [str(n) for n in range(50) for _ in range(6)])
    assert two_level({"a": [copies]}, shared=False).points["a"].std() == pytest.approx(alone.std(), rel=0.1)


def test_examples_that_all_seeds_share_are_drawn_once() -> None:
    """Ten equal models are no more evidence about the examples than one."""
    values = np.random.default_rng(2).integers(0, 2, 100).astype(float).tolist()
    spread = {
        (count, shared): two_level({"a": [cell([values])] * count}, shared=shared).points["a"].std()
        for count in (1, 10)
        for shared in (True, False)
    }
    assert spread[10, True] == pytest.approx(spread[1, True], rel=0.1)
    assert spread[10, False] == pytest.approx(spread[1, False] / 3, rel=0.1)  # means of nine


def test_how_much_of_the_variance_comes_from_the_seeds() -> None:
    """All of it where examples are constant in a seed, none where all seeds are equal."""
    alike = np.random.default_rng(3).integers(0, 2, 100).astype(float)
    for shared in (True, False):
        for rows, share in (
            ([np.full(100, mean) for mean in (0.1, 0.4, 0.6)], 100),
            ([alike] * 3, 0),
            ([alike * scale for scale in (0.9, 1.0, 1.1)], None),
        ):
            cells = {"a": [cell([row.tolist()]) for row in rows]}
            seen, drawn = observed(cells).points["a"][:, 0], two_level(cells, shared=shared).points["a"][:, 0]
            found = between(drawn, seen)
            assert found is not None
            assert 10 < found < 90 if share is None else found == pytest.approx(share, abs=6)
    assert between(np.ones(10), np.ones(1)) is None and between(np.ones(10), np.ones(3)) is None


def test_seeds_vary_as_they_should() -> None:
    """Constant within a seed: the variance of the mean of n seeds is their variance (n - 1 in it) over n."""
    means = np.array([0.1, 0.4, 0.5, 0.9])
    drawn = two_level({"a": [cell([[mean] * 3]) for mean in means]}, resamples=20000, shared=False).points["a"]
    assert drawn.var() == pytest.approx(means.var(ddof=1) / 4, rel=0.05)
    tasks = {name: [cell([[mean] * 3]) for mean in means] for name in "ab"}
    both = two_level(tasks, resamples=20000, shared=False)  # a seed is one model of all tasks: they vary together
    assert both.main_measure.var() == pytest.approx(means.var(ddof=1) / 4, rel=0.05)


@pytest.mark.parametrize(("between", "within"), [(0.05, 0.3), (0.02, 0.45)])
def test_intervals_cover_the_truth(between: float, within: float) -> None:
    """Difference of two arms, five seeds with data of their own; how much it varies between seeds and groups."""
    rng, truth, hits, rounds = np.random.default_rng(3), 0.03, 0, 200
    for number in range(rounds):
        cells = {
            task: [
                cell([(truth + effect + within * rng.standard_normal(30)).tolist(), [0.0] * 30])
                for effect in between * rng.standard_normal(5)
            ]
            for task in "ab"
        }
        drawn, seen = (
            two_level(cells, resamples=200, shared=False, seed=number).main_measure,
            observed(cells).main_measure,
        )
        found = interval(drawn[:, 0] - drawn[:, 1], float((seen[:, 0] - seen[:, 1]).mean()))
        hits += found.low <= truth <= found.high
    assert 0.9 < hits / rounds <= 1


def test_t_intervals_leave_out_the_variance_between_shared_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """As simulated for docs/study-scores.md, here in few studies; with examples of their own, seeds include it."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import interval_coverage

    shared = interval_coverage.coverage(3, 0, 60, True)
    assert shared is not None and shared[1] == 0 and shared[2] == shared[0] > 85
    assert interval_coverage.coverage(3, 0.39, 1, False) is None
    own = interval_coverage.coverage(3, 0.41, 60, False)
    assert own is not None and own[0] > 95 and own[2] >= own[1] > 85


def test_the_same_seed_gives_the_same_interval() -> None:
    cells = {"a": [cell([np.linspace(0, 1, 20).tolist()])] * 2}
    first, second = (two_level(cells, resamples=100, shared=True).points["a"] for _ in range(2))
    assert np.array_equal(first, second)


def test_a_difference_that_is_detected_is_shown_by_four_of_five_studies() -> None:
    """And the table of the page is computed."""
    rng, count = np.random.default_rng(0), 4
    seeds = rng.standard_normal((20_000, count)) + detected(count)
    half = t_quantile(count - 1) * seeds.std(1, ddof=1) / count**0.5
    assert (np.abs(seeds.mean(1)) > half).mean() == pytest.approx(0.8, abs=0.01)
    text = (Path(__file__).parents[2] / "docs" / "study-scores.md").read_text(encoding="utf-8")
    counts, _, sizes = text.partition("| seeds | 3")[2].partition("\n\n")[0].splitlines()
    found = [f"{detected(int(each)):.1f}" for each in ["3", *counts.strip(" |").split(" | ")]]
    assert sizes == f"| difference, standard deviations | {' | '.join(found)} |"


def test_the_t_interval_covers_the_mean_of_few_seeds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    for count in range(2, 12):
        found = [t_interval(rng.standard_normal(count).tolist()) for _ in range(2000)]
        assert 0.935 < np.mean([each.low <= 0 <= each.high for each in found if each is not None]) < 0.965
    assert t_interval([1.0]) is None
    two = t_interval([1.0, 3.0])
    assert two is not None and (two.mean, two.low, two.high) == pytest.approx((2, 2 - 12.7062, 2 + 12.7062), rel=1e-5)


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (30, 2.042), (100, 1.984)],
)
def test_quantiles_are_those_of_a_table(freedom: float, quantile: float) -> None:
    """NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.6.7.2."""
    assert t_quantile(freedom) == pytest.approx(quantile, abs=5e-4)
    assert t_quantile(freedom) > t_quantile(freedom + 0.5) > t_quantile(freedom + 1)


def test_welch_covers_the_difference_of_two_means_that_vary_differently() -> None:
    rng = np.random.default_rng(0)
    for spread in (1.0, 6.0):
        pairs = [(rng.standard_normal(3).tolist(), (1 + spread * rng.standard_normal(4)).tolist()) for _ in range(2000)]
        found = [welch_interval(*pair) for pair in pairs]
        assert 0.93 < np.mean([each.low <= -1 <= each.high for each in found]) < 0.97
    one, other = [5.9, 15.2, 7.1], [2.0, 2.0, 2.0]  # no variance: the interval of the first alone
    alone, found_one = t_interval(one), welch_interval(one, other)
    assert alone is not None
    assert (found_one.low, found_one.high) == pytest.approx((alone.low - 2, alone.high - 2))
    assert welch_interval([3.0, 3.0], [1.0, 1.0]) == Interval(2, 2, 2)
