"""Many differences: which remain significant after Holm's correction, and what a study says of them."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tiny_study import made_up

from twelve.metrics.bootstrap import Interval
from twelve.study import multiple
from twelve.study.bootstrap import significant, t_probability, t_quantile
from twelve.study.brief import brief
from twelve.study.cells import gain_of
from twelve.study.finding_types import Findings
from twelve.study.findings import findings
from twelve.study.report import page
from twelve.study.report.beside import minus
from twelve.study.show import show
from twelve.study.studies.joint_vs_single import BASE, OPPONENT
from twelve.study.table import markdown

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.mark.parametrize(
    ("values", "remain"),
    [
        ([0.01, 0.04, 0.03, 0.005], [True, False, False, True]),  # the example of many textbooks
        ([0.03, 0.02], [True, True]),  # Bonferroni's correction would keep the second alone
        ([0.026, 0.026], [False, False]),
        ([0.04], [False]),  # nothing to correct for
        ([0.05, 0.02], [True, True]),
        ([], []),
    ],
)
def test_holm_compares_the_smallest_with_the_strictest_level(values: list[float], remain: list[bool]) -> None:
    assert multiple.holm(values) == remain


@pytest.mark.parametrize(
    ("t", "freedom", "p"), [(4.303, 2, 0.05), (9.925, 2, 0.01), (31.599, 2, 0.001), (2.776, 4, 0.05)]
)
def test_probabilities_are_those_of_a_table(t: float, freedom: int, p: float) -> None:
    """Seeds whose mean is ``t`` standard errors from 0, on either side."""
    seeds = np.arange(freedom + 1.0)
    error = seeds.std(ddof=1) / len(seeds) ** 0.5
    for sign in (1, -1):
        found = t_probability((seeds - seeds.mean() + sign * t * error).tolist())
        assert found == pytest.approx(p, rel=2e-3)
    assert t_quantile(freedom, 1 - p) == pytest.approx(t, abs=5e-4)


def test_probabilities_of_seeds_that_agree() -> None:
    assert (t_probability([0.0, 0.0]), t_probability([2.0, 2.0]), t_probability([-1.0, 1.0])) == (1, 0, 1)


def test_a_p_value_is_the_larger_of_both() -> None:
    seeds, samples = np.array([4.0, 5.0, 6.0]), np.linspace(1, 9, 1999)
    assert 0.01 < multiple.p_value(seeds, samples) == t_probability([4.0, 5.0, 6.0]) < 0.05
    assert multiple.p_value(seeds, samples - 1.5) == pytest.approx((1 + 125) * 2 / 2000, abs=2e-3)  # 125 below 0
    assert multiple.p_value(seeds[:1], samples) == multiple.least(1999) == 0.001
    assert multiple.p_value(0 * seeds, 0 * samples) == 1


def test_what_is_significant_alone_is_so_by_its_p_value() -> None:
    """On two recorded studies: significant means that neither interval contains 0."""
    cells = [
        cell
        for name in ("study-four-tasks-groups", "study-six-tasks-joint-vs-single")
        for each in findings(RESULTS / name).comparisons
        for cell in each.cells
    ]
    assert len(cells) > 40
    assert all((cell.p <= multiple.ERROR) == (significant(cell.points, cell.seeds) != 0) for cell in cells)


def of(name: str) -> Findings:
    return findings(RESULTS / f"study-{name}")


def test_the_tables_count_and_mark_what_remains() -> None:
    """As docs/joint-vs-single-studies.md and docs/relations.md have found by Bonferroni's correction."""
    six = of("six-tasks-joint-vs-single")
    (comparison,) = six.comparisons
    assert [cell.task for cell in comparison.cells if cell.remains] == ["vqa", "gqa", "flickr30k", "refcoco"]
    text = markdown(six)
    said = (
        "On learned tasks, 4 of 5 differences are significant; by chance alone, up to about 0.2 would be. After Holm's "
        "correction, 4 remain significant (‡). With 5 seeds, the first to remain must be 4.6 standard errors from 0."
    )
    assert said in text and text.count("] ‡ |") == 4 and said in page.part_of(six, "six").uncorrected
    groups = of("four-tasks-groups")
    said = (
        "On learned tasks, 14 of 24 differences are significant; by chance alone, up to about 1.2 would be. After "
        "Holm's correction, 2 remain significant (‡)."
    )
    assert f"{said} With 5 seeds, the first to remain must be 7.1 standard errors from 0." in markdown(groups)
    assert said.replace(" (‡)", "") in " ".join(brief(groups, "results.md").split())  # which has no marks
    kept = {each.contrast.compared: cell.task for each in groups.comparisons for cell in each.cells if cell.remains}
    assert kept == {
        ("answering+retrieval+pointing", "pointing"): "refcoco",
        ("answering+retrieval+verification", "answering"): "vqa",
    }
    assert "Holm" not in brief(six, "results.md")  # of a single contrast, the answer names every task


def test_means_over_all_tasks_are_a_family_of_their_own() -> None:
    """docs/balancing.md and docs/relations.md have these numbers."""
    balancing, groups = of("four-tasks-balancing"), of("four-tasks-groups")
    said = "Over all tasks, 10 of 14 means are significant (by chance: up to about 0.7); after the correction, none "
    said += "remains."
    limit = " With 3 seeds, the first to remain must be 16.7 standard errors from 0."
    assert f"{said}{limit}" in markdown(balancing) and f"{said}{limit}" in page.part_of(balancing, "key").uncorrected
    assert "‡" not in markdown(balancing) and said in " ".join(brief(balancing, "results.md").split())
    assert min(each.p for each in balancing.comparisons) == pytest.approx(0.0042, abs=5e-5)  # of 14: 0.05 / 14 = 0.0036
    said = (
        "Over all tasks, 3 of 4 means are significant (by chance: up to about 0.2); after the correction, 2 remain (‡)."
    )
    kept = [each for each in groups.comparisons if each.every_remains]
    means = markdown(groups).partition("## Differences, means over the tasks")[2].partition("\n## ")[0]
    assert [each.contrast.minus for each in kept] == [
        "answering+retrieval+verification",
        "answering+pointing+verification",
    ]
    assert said in markdown(groups) and all(means.count(f"{gain_of(each.every)} ‡ |") == 1 for each in kept)
    html = page.render([page.part_of(groups, "groups")])
    assert all(len(each.cells) == 3 and f"{minus(gain_of(each.every))}</span> ‡" in html for each in kept)


def test_the_answer_names_the_means_that_remain(tmp_path: Path) -> None:
    """With their numbers, unless it has these already: in the sentences, which the page and the tables have, too."""
    found = of("four-tasks-fine-tuning")
    assert [each.every_remains for each in found.comparisons] == [True, False, True, True, True]
    said = "Significant after Holm's correction (normalised score, mean of all tasks): fine-tuned minus joint; "
    said += "fine-tuned minus single-equal +32.0 [+28.8, +34.7], t [+28.1, +35.9]; joint-longer minus joint +7.2 "
    said += "[+5.7, +9.0], t [+5.3, +9.1]; joint minus single-equal +25.8 [+22.0, +29.0], t [+21.1, +30.6]."
    assert found.sentences.count(said) == 1 and said in page.part_of(found, "key").opening_sentences
    assert markdown(found).index(said) < markdown(found).index("| arm |")
    assert "".join(said.split()) in "".join(brief(found, "results.md").split())
    lost = replace(found, comparisons=tuple(replace(each, every_remains=False) for each in found.comparisons))
    assert multiple.named(lost) == []


def test_nothing_remains_of_two_seeds() -> None:
    """They may agree by chance: two values and their t interval then say too much."""
    found = of("four-tasks-fine-tuning")
    two = [
        replace(each, seeds=(9.1, 9.2), p=0.003, cells=tuple(replace(cell, seeds=(9.1, 9.2)) for cell in each.cells))
        for each in found.comparisons
    ]
    corrected = multiple.corrected(two)
    assert any(cell.remains for each in found.comparisons for cell in each.cells)
    assert not any(each.every_remains or any(cell.remains for cell in each.cells) for each in corrected)
    told = multiple.told(replace(found, comparisons=corrected, seeds=(0, 1)))
    assert told.endswith("Over all tasks, 4 of 5 means are significant (by chance: up to about 0.2); after the "
                         "correction, none remains. With fewer than 3 seeds, none can.")  # fmt: skip


def test_means_that_do_not_count_are_in_no_family() -> None:
    """A single one has no mark, and nothing is said of it."""
    found = of("four-tasks-groups")
    leaving = [each for each in found.comparisons if len(each.cells) == 3]
    sure = [replace(each, p=0.001, every=Interval(5.0, 4.0, 6.0), seeds=(5.0, 5.1, 4.9)) for each in leaving]
    assert [each.every_remains for each in multiple.corrected(sure)] == [True] * 4
    warned = [replace(sure[0], warned=True), *sure[1:]]
    assert [each.every_remains for each in multiple.corrected(warned)] == [False, True, True, True]
    none = tuple(replace(cell, by_none=True) for cell in sure[0].cells)
    assert not any(each.every_remains for each in multiple.corrected([sure[0], replace(sure[1], cells=none)]))
    alone = multiple.corrected(sure[:1])
    assert not alone[0].every_remains and "Over all tasks" not in multiple.told(replace(found, comparisons=alone))
    lost = [replace(each, cells=tuple(replace(cell, learned=False) for cell in each.cells)) for each in sure]
    said = "Over all tasks, 4 of 4 means are significant; by chance alone, up to about 0.2 would be. After Holm's"
    assert multiple.told(replace(found, comparisons=multiple.corrected(lost)), short=True).startswith(said)


def test_more_differences_than_resamples_can_tell() -> None:
    said = (
        "After Holm's correction, none remains significant. With 2,000 bootstrap resamples, no difference can remain "
        "if there are more than 50."
    )
    assert said in multiple.told(of("four-tasks-balancing"))


def test_without_two_differences_or_a_significant_one_nothing_is_said(tmp_path: Path) -> None:
    made_up(tmp_path, {BASE: (0.8, 0.6), OPPONENT: (0.7, 0.6)})
    found = findings(tmp_path)
    assert multiple.told(found).startswith("On learned tasks, 1 of 2 differences is significant; by chance alone")
    (comparison,) = found.comparisons
    one, same = comparison.cells
    for cells in ((one,), (same, same), (replace(one, learned=False), same)):
        assert multiple.told(replace(found, comparisons=(replace(comparison, cells=cells),))) == ""
    assert "‡" in show(tmp_path, console=Console(file=io.StringIO()))
    unlearned = replace(comparison, cells=(replace(one, learned=False, remains=False), one))
    assert [cell.remains for cell in multiple.corrected([unlearned])[0].cells] == [False, False]
