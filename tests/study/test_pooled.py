"""The pooled analysis of arms that share their seeds: numbers worked out by hand, and the recorded studies."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_study import made_up

from twelve.study.bootstrap import t_interval, t_probability
from twelve.study.finding_types import Findings
from twelve.study.findings import findings
from twelve.study.multiple import adjusted
from twelve.study.pooled import Pooled, by_pooling, pooled
from twelve.study.table import markdown
from twelve.study.tables import write_tables

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
THREE = {"a": (1.0, 2.0, 3.0), "b": (4.0, 5.0, 9.0), "c": (7.0, 8.0, 6.0)}


def layout(**scores: Sequence[float]) -> Pooled:
    found = pooled(scores)
    assert found is not None
    return found


def test_two_arms_give_the_paired_t_test() -> None:
    first, second = (3.0, 4.5, 7.0, 5.0), (1.0, 3.5, 2.0, 4.5)
    differences = [one - other for one, other in zip(first, second, strict=True)]
    found = layout(first=first, second=second)
    gain, p = found.difference(float(np.mean(differences)))
    expected = t_interval(differences)
    assert expected is not None and found.freedom == 3 and found.share == pytest.approx(50)
    assert (gain.mean, gain.low, gain.high) == pytest.approx((expected.mean, expected.low, expected.high))
    assert p == pytest.approx(t_probability(differences))


def test_three_arms_by_hand() -> None:
    """Means of arms 2, 6, 7, of seeds 4, 5, 6, of all 5: the residuals of a are 0, 0, 0, those of b -1, -1, 2, those of
    c 1, 1, -2. Their squares sum to 12, with 4 degrees of freedom: the variance is 3. A difference of two arms has the
    standard error (2 * 3 / 3) ** 0.5, and 2.776 of them are its interval; one of four arms, (4 * 3 / 3) ** 0.5."""
    found = layout(**THREE)
    assert (found.arms, found.seeds, found.freedom) == (3, 3, 4) and found.error**2 == pytest.approx(3)
    gain, p = found.difference(4.0)
    assert (gain.low, gain.high) == pytest.approx((4 - 2.7764 * 2**0.5, 4 + 2.7764 * 2**0.5), abs=1e-3)
    assert p == pytest.approx(0.0474, abs=1e-4)  # of t = 2.828 with 4 degrees of freedom
    assert found.difference(-4.0)[1] == p
    assert found.difference(4.0, 4)[0].high == pytest.approx(4 + 2.7764 * 2, abs=1e-3)
    assert found.most in ("b", "c") and found.share == pytest.approx(50) and not found.unlike


def test_effects_of_seeds_and_of_arms_cancel() -> None:
    """The residual is that without them, and an arm with the scores of another adds nothing."""
    rng = np.random.default_rng(0)
    noise, seeds = rng.standard_normal((4, 5)), 100 * rng.standard_normal(5)
    own = layout(**{f"arm-{place}": row.tolist() for place, row in enumerate(noise)})
    moved = {f"arm-{place}": (row + seeds + 10 * place).tolist() for place, row in enumerate(noise)}
    shifted = layout(**moved, twin=moved["arm-0"])
    assert shifted.error == pytest.approx(own.error) and shifted.share == pytest.approx(own.share)
    assert (shifted.most, shifted.freedom, shifted.by_chance) == (own.most, 12, own.by_chance) and not own.unlike


def test_one_arm_that_varies_more_is_found() -> None:
    """In most of the layouts; and in about 5% where all vary alike."""
    rng, found = np.random.default_rng(0), {1: 0, 10: 0}
    for times in found:
        for _ in range(100):
            noise = rng.standard_normal((7, 3)) * np.array([times, *[1] * 6])[:, None]
            found[times] += layout(**{f"arm-{place}": row.tolist() for place, row in enumerate(noise)}).unlike
    assert found[1] < 12 and found[10] > 80


def test_a_layout_with_gaps_is_refused() -> None:
    for gap in ((1.0, 2.0), (1.0, 2.0, float("nan"))):
        with pytest.raises(ValueError, match="expected a score of every arm in every seed"):
            pooled(THREE | {"d": gap})
    assert pooled({"a": (1.0, 2.0)}) is pooled({"a": (1.0,), "b": (2.0,)}) is None
    assert pooled({"a": (1.0, 2.0), "b": (3.0, 4.0), "c": (2.0, 3.0)}) is None  # no residual


def test_p_values_after_the_correction() -> None:
    assert adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjusted([0.9, 0.6]) == [1.0, 1.0] and adjusted([]) == []


def of(name: str) -> Findings:
    return findings(RESULTS / f"study-{name}")


def cells(page: str, difference: str) -> list[str]:
    """The row of a difference in the table."""
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {difference} |")]
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


def test_a_recorded_study_shows_more_with_the_residual_of_all_arms() -> None:
    text = by_pooling(of("four-tasks-ablations"))
    assert "standard deviation of 3.3 points and 12 degrees of freedom" in text
    assert cells(text, "joint minus curriculum") == ["+8.7 [+3.0, +14.5] §", "0.006", "0.026"]
    assert cells(text, "joint minus anti-curriculum")[-1] == "0.016"
    assert cells(text, "joint minus single")[1:] == ["<0.001", "<0.001"]
    assert cells(text, "joint minus no-token") == ["-1.2 [-6.9, +4.6]", "0.673", "0.942"]
    assert text.endswith("§: significant after Holm's correction, by this analysis.")


def test_it_is_a_table_of_its_own_that_changes_no_other(tmp_path: Path) -> None:
    found = of("four-tasks-balancing")
    page = markdown(found)
    assert "## Pooled over arms (added afterwards; assumes equal variance)\n\nA second analysis" in page
    assert "‡" not in page and page.count("] § |") == 10
    name = "*-pooled-over-arms-added-afterwards-assumes-equal-variance.{}"
    (table,) = write_tables(page, tmp_path, found.seeds) and tmp_path.glob(name.format("csv"))
    rows = {row["difference"]: row for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines())}
    column = "normalised score, all tasks, pooled"
    assert rows["famo minus static"][f"{column} mark"] == "" and rows["mixed minus static"][f"{column} mark"] == "§"
    assert rows["famo minus static"]["p after Holm's correction"] == "0.051"
    widths = [float(row[f"{column} high"]) - float(row[column]) for row in rows.values()]
    assert widths == [pytest.approx(4.1, abs=0.11)] * 14
    assert r"\S{} &" in next(tmp_path.glob(name.format("tex"))).read_text(encoding="utf-8")


def test_arms_that_vary_too_differently_are_told_and_nothing_is_marked() -> None:
    text = by_pooling(of("four-tasks-pretrained-fine-tuning"))
    assert "is that of single-equal, 64%; if all arms vary alike, this part is at most 57% in 95% of studies" in text
    assert "do not trust this table, in which no difference is marked as significant.\n" in text and "§" not in text
    assert cells(text, "joint minus single-equal")[1:] == ["<0.001", "0.001"]


def test_means_that_do_not_count_are_in_no_family() -> None:
    text = by_pooling(of("real-sample"))
    assert cells(text, "stop-and-go minus always-go") == ["-1.3 [-3.6, +1.1] †", "0.239", ""]
    assert text.endswith("†: not counted, as in the table of means.") and "§" not in text


@pytest.mark.parametrize("name", ["four-tasks-groups", "four-tasks-static-weights", "six-tasks", "four-tasks-affinity"])
def test_studies_without_a_complete_layout_are_left_out(name: str) -> None:
    """Arms with other tasks; one seed; two arms; no difference."""
    assert by_pooling(of(name)) == "" and "Pooled over arms" not in markdown(of(name))


def test_a_difference_on_some_of_the_tasks_is_left_out(tmp_path: Path) -> None:
    made_up(tmp_path, {"joint": (0.8, 0.6), "fine-tuned": (0.85, 0.7), "single-equal": (0.7, 0.5)}, study="fine-tuning")
    found = findings(tmp_path)
    first, *others = found.comparisons
    assert by_pooling(found).count(" minus ") > by_pooling(replace(found, comparisons=tuple(others))).count(" minus ")
    part = replace(first, cells=first.cells[:1])
    shown = by_pooling(replace(found, comparisons=(part, *others)))
    assert shown == by_pooling(replace(found, comparisons=tuple(others))) != ""
    assert by_pooling(replace(found, comparisons=(part,))) == ""
