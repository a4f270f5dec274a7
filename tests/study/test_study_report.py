"""``twelve study report``: what the page says, what it must never say, and plots that a paper could print."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import made_findings
import pytest
from typer.testing import CliRunner

from twelve import cli, published
from twelve.errors import ConfigError, DataError
from twelve.extras import install
from twelve.metrics.bootstrap import Interval
from twelve.study import multiple
from twelve.study.bootstrap import t_interval
from twelve.study.brief import brief
from twelve.study.cells import gain_of
from twelve.study.converged import convergence
from twelve.study.finding_types import Comparison, Curve, Findings
from twelve.study.findings import findings
from twelve.study.report import page, plots
from twelve.study.report.beside import minus
from twelve.study.report.relations import relations
from twelve.study.report.unlearned import doubts, warnings
from twelve.study.results import Event
from twelve.study.studies.groups import Groups
from twelve.study.table import few_seeds, markdown, no_search
from twelve.training.convergence import Gain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
needs_plots = pytest.mark.skipif(
    not plots.available(), reason="matplotlib is not installed (pip install 'twelve-vl[plots]')"
)


@pytest.fixture(scope="module")
def parts() -> list[page.StudyPart]:
    found = [made_findings.joint_vs_single(), made_findings.groups()]
    return [page.part_of(each, each.title) for each in found]


@pytest.fixture(scope="module")
def html(parts: list[page.StudyPart]) -> str:
    return page.render(parts)


def test_a_falling_curve_is_called_so_and_all_tasks_come_first(html: str) -> None:
    found = made_findings.joint_vs_single()
    score = found.rows[0].scores["single"]
    ends = {"converged": (True, False, False), "falling": (False, True, False)}
    late_gains = None, Gain(-0.01, 0.004, 2), Gain(0.02, 0.002, 3)
    found.rows[0].scores["single"] = replace(score, **ends, late_gains=late_gains)  # type: ignore[index, arg-type]
    falls = page.render([page.part_of(found, "key")])
    assert "<td>level; falling (unclear); rising</td>" in falls and html.count("falling") == 1  # the legend
    header = html.partition('<th scope="col">contrast</th>')[2].partition("</tr>")[0]
    assert header.index("all tasks") < header.index("learned tasks")


def test_the_mean_over_all_tasks_includes_those_not_learned(html: str) -> None:
    assert "excluded from the mean over learned tasks. The mean over all tasks\nincludes it" in html
    found = made_findings.joint_vs_single()
    if plots.available():
        axes = plots.tasks(found, found.comparisons[:1]).axes[0]
        labels = [label.get_text() for label in axes.get_yticklabels()]
        assert labels[-2:] == ["mean of all", "mean of learned"]
        means = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata()) == 1]
        assert {found.comparisons[0].every.mean, found.comparisons[0].learned.mean} <= set(means)
        assert {cell.closed.mean for cell in found.comparisons[0].cells if cell.learned} <= set(means)
        assert "normalised score" in axes.get_xlabel()


def test_plots_of_a_study_that_learns_nothing_with_one_validation() -> None:
    """No row without a mark; hollow marks; a single point is a mark, since it makes no line."""
    if not plots.available():
        pytest.skip("matplotlib is not installed")
    found = made_findings.joint_vs_single()
    first = found.comparisons[0]
    none = tuple(replace(cell, learned=False, by_none=True) for cell in first.cells)
    nothing = replace(first, learned=None, cells=none)
    axes = plots.tasks(found, [nothing]).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == "mean of all"
    assert {line.get_markerfacecolor() for line in axes.lines if len(line.get_xdata()) == 1} == {"white"}
    once = replace(found, curves=tuple(replace(curve, points=curve.points[:1]) for curve in found.curves))
    lines = plots.curves(once, ["stop-and-go"]).axes[0].lines
    assert "o" in {line.get_marker() for line in lines}
    assert {line.get_marker() for line in plots.curves(found, ["stop-and-go"]).axes[0].lines} == {"None"}


def test_plots_mark_what_only_the_bootstrap_finds(parts: list[page.StudyPart]) -> None:
    if not plots.available():
        pytest.skip("matplotlib is not installed")
    found, wide, sure = made_findings.joint_vs_single(), (0.1, 30.0, 1.0), Interval(5.0, 3.0, 7.0)
    first = replace(found.comparisons[0], every=sure, learned=sure, seeds=(5.0, 5.1, 4.9), learned_seeds=wide)
    cells = tuple(replace(cell, closed=sure, closed_seeds=wide) for cell in first.cells[:1])
    cells += tuple(replace(cell, closed=sure, closed_seeds=(5.0, 5.1, 4.9)) for cell in first.cells[1:])

    def stars(figure: Figure) -> list[tuple[float, float]]:
        return [text.xy for text in figure.axes[0].texts if text.get_text() == "+5.0 [+3.0, +7.0] *"]

    assert stars(plots.contrasts([first, replace(first, learned_seeds=first.seeds)])) == [(1, 0.23)]
    assert stars(plots.tasks(found, [replace(first, cells=cells)])) == [(1, 0), (1, len(cells) + 1)]
    many = [first, replace(first, learned_seeds=first.seeds)] * plots.MOST_ROWS
    panels = plots.contrasts(many).axes  # too many rows for numbers: the star is beside the interval
    assert {text.get_text() for text in panels[0].texts} == {"*"} and panels[0].texts[0].xy == (7.0, 0.17)
    unlearned = replace(first, cells=(replace(cells[0], learned=False),), learned_seeds=())
    assert stars(plots.tasks(found, [unlearned])) == []
    known = relations(parts[1].found)
    gain = next(each for each in known if each.significant)
    changed = [replace(each, points_seeds=wide) if each is gain else each for each in known]
    shown = {text.get_text(): text.get_weight() for text in plots.matrix(parts[1].found, changed).axes[0].texts}
    assert shown[minus(f"{gain_of(gain.points)} *")] == "normal"
    assert all(
        "by the bootstrap alone, the t interval contains 0." in plot.caption
        for part in parts
        for plot in part.plots[:1]
    )


@needs_plots
def test_a_legend_has_only_marks_that_are_drawn_and_ticks_do_not_change_with_the_layout() -> None:
    """Ticks that depend on the width of the axes get labels that the layout has left no room for."""
    for name in ("study-real-sample", "study-real-photographs-small", "study-microworld"):
        found = findings(RESULTS / name)
        compared = [each for each in found.comparisons if len(each.cells) > 1][: plots.SHOWN]
        axes = plots.tasks(found, compared).axes[0]
        lines = [(line.get_marker(), line.get_markerfacecolor(), len(line.get_xdata())) for line in axes.lines]
        named, drawn = ({line[:2] for line in lines if line[2] == size} for size in (0, 1))
        assert named and named <= drawn
        ticks = axes.get_xticks().tolist()
        axes.figure.set_size_inches(1.0, 5.0)
        assert axes.get_xticks().tolist() == ticks


@needs_plots
def test_plots_of_differences_have_both_intervals(parts: list[page.StudyPart]) -> None:
    """A t interval so long that it would hide the others is cut off."""
    found = made_findings.joint_vs_single()
    some = replace(found.comparisons[0], every=Interval(5.0, 3.0, 7.0), learned=None, learned_seeds=())
    for seeds, shown in (((4.0, 5.0, 6.0), True), ((-95.0, 5.0, 105.0), False), ((5.0,), None)):
        axes = plots.contrasts([replace(some, seeds=seeds)]).axes[0]
        thin = [line for line in axes.lines if line.get_gid() == plots.T]
        (thick,) = (line for line in axes.lines if [*line.get_xdata()] == [3.0, 7.0])
        wanted = t_interval(seeds)
        assert [[*line.get_xdata()] for line in thin] == ([] if wanted is None else [[wanted.low, wanted.high]])
        assert all(line.get_linewidth() < thick.get_linewidth() / 2 for line in thin)
        low, high = axes.get_xlim()
        assert low < 3.0 and high > 7.0 and high - low < 20
        assert wanted is None or (low < wanted.low and wanted.high < high) == shown
    assert any(page.INTERVALS in plot.caption for part in parts for plot in part.plots)
    one = page.plots_of(replace(found, seeds=(0,)), "one")
    assert not any(page.INTERVALS in plot.caption for plot in one)


@needs_plots
def test_a_legend_names_no_mark_twice() -> None:
    """Where all rows of a contrast are hollow, its entry says what that means."""
    found = made_findings.joint_vs_single()
    some = found.comparisons[0]
    none = replace(some, cells=tuple(replace(cell, learned=False, by_none=True) for cell in some.cells), learned=None)
    assert none.uncounted and not some.uncounted and not all(cell.learned for cell in some.cells)

    def legend(*compared: Comparison) -> list[str]:
        lines = [line for line in plots.tasks(found, compared).axes[0].lines if len(line.get_xdata()) == 0]
        assert len({(line.get_marker(), line.get_markerfacecolor()) for line in lines}) == len(lines)
        return [str(line.get_label()) for line in lines]

    name = some.contrast.name
    assert legend(none) == [f"{name}: {plots.NOT_COUNTED}"]
    assert legend(some) == [name, plots.NOT_COUNTED]
    assert legend(none, some) == [f"{name}: {plots.NOT_COUNTED}", name, plots.NOT_COUNTED]
    assert legend(some, none) == [name, f"{name}: {plots.NOT_COUNTED}", plots.NOT_COUNTED]


def test_bars_of_stopped_tasks_lie_inside_the_panel_and_below_the_curves() -> None:
    if not plots.available():
        pytest.skip("matplotlib is not installed")
    found = made_findings.joint_vs_single()
    stop = next(curve.events for curve in found.curves if curve.events)
    every = replace(found, curves=tuple(replace(curve, events=stop) for curve in found.curves))
    axes = plots.curves(every, ["stop-and-go", "single"]).axes[0]
    boxes = [path.get_extents() for bars in axes.collections for path in bars.get_paths()]
    edges = sorted({(round(box.y0, 6), round(box.y1, 6)) for box in boxes})
    assert len(edges) == 2 and edges[0][0] > 0 and edges[0][1] < edges[1][0]
    low, high = axes.get_ylim()
    lowest = min(min(line.get_ydata()) for line in axes.lines if len(line.get_ydata()))
    assert edges[1][1] < (lowest - low) / (high - low)


def test_bold_means_significant_in_every_table_of_differences(html: str) -> None:
    """Where neither interval contains 0, in every column; never where the task or group is not learned."""
    assert '<span class="sure">bold</span> if it is significant' in html
    bodies = re.findall(r"<tr>(.*?)</tr>", html.partition("<main>")[2], flags=re.S)
    rows = [row for row in bodies if "[" in row and "from the image" not in row and "range" not in row]
    bold = plain = 0
    for row in rows:
        for sure, low, high, star in re.findall(
            r"<span( class=\"sure\")?>[+−][\d.]+ \[([+−][\d.]+), ([+−][\d.]+)\]</span>( \*)?", row
        ):
            excluded = low[0] == high[0] and float(low[1:]) != 0 != float(high[1:])
            of_all = "all tasks" in row
            if "not learned</span>" in row and not of_all:
                assert not sure
            elif float(low[1:]) and float(high[1:]):
                assert bool(sure) == (excluded and not star) and (excluded or not star)
            bold, plain = bold + bool(sure), plain + (not sure)
    assert bold and plain


def test_a_mean_that_does_not_count_is_hollow_and_not_bold_on_the_page() -> None:
    """Of the study on the small sample, no arm learned most tasks; the other one has a warning."""
    names, means = ("study-real-sample", "study-real-photographs-small"), ("−13.4", "−1.3", "−7.8", "+4.8")
    for name in names:
        found = findings(RESULTS / name)
        differences = page.render([page.part_of(found, name)]).partition("<h3>Differences</h3>")[2]
        cells = re.findall(r'data-label="normalised score, all tasks">(.*?)</td>', differences)
        told = [minus(gain_of(each.every)) for each in found.comparisons]
        assert [cell.partition("</span>")[0] for cell in cells] == [f"<span>{each}" for each in told]
        assert all(each.startswith(means) for each in told) and all(
            each.uncounted in cell for each, cell in zip(found.comparisons, cells, strict=True)
        )
        if plots.available():
            for figure in (plots.contrasts(found.comparisons[:1]), plots.tasks(found, found.comparisons[:1])):
                mean = [
                    line for line in figure.axes[0].lines if [*line.get_xdata()] == [found.comparisons[0].every.mean]
                ]
                assert [line.get_markerfacecolor() for line in mean] == ["white"]


def test_negative_numbers_have_one_minus_sign(html: str) -> None:
    text = re.sub(r"<[^>]*>", " ", html.partition("<main>")[2])
    assert "−" in text and not re.findall(r"(?<![\w.)-])-\d\S*", text)


def test_differences_of_groups_are_folded_and_in_the_table_of_relations(html: str) -> None:
    differences = html.partition('id="groups"')[2].partition("<h3>Differences")[2].partition("<h3>Scores")[0]
    shown, _, folded = differences.partition("<details>")
    names = r"<th scope=\"row\">([^<]*)</th>"
    assert "The 28 differences below" in folded and len(re.findall(names, folded)) == 28
    assert all(name.startswith("all minus") and "+" in name for name in re.findall(names, shown))


def test_what_qualifies_a_count_of_gains_stands_beside_it(parts: list[page.StudyPart]) -> None:
    found, words = parts[1].found, "The intervals are not corrected for the number of comparisons."
    one = replace(found, comparisons=found.comparisons[:1])
    assert len(one.comparisons[0].cells) > 1 and page.part_of(one, "groups").uncorrected == multiple.told(one)
    text = unescape(page.render(parts))
    assert all(f'</blockquote>\n<p class="gloss">{part.uncorrected}</p>' in text for part in parts)
    assert all(part.uncorrected == f"{words} {multiple.told(part.found)}".rstrip() for part in parts)
    assert "significant; by chance alone, up to about " in multiple.told(found)


def test_the_page_lists_gains_of_validation_scores_and_folds_counts_of_curves() -> None:
    name = "study-six-tasks-joint-vs-single"
    text = page.render([page.part_of(findings(RESULTS / name), name)])
    shown, _, folded = text.partition("Convergence, extensions, stop and go")
    gain = "stop-and-go +6.4 [+5.3, +7.5], 4 validations per curve there; single-longer +0.9 [−0.5, +2.4] "
    gain += "(but Flickr30k retrieval +4.4 [+1.8, +7.0]), 5 to 7."
    assert f"Validation gain, last third (points, t interval): {gain}" in shown
    assert "28 of 30" not in shown and "28 of 30 of stop-and-go (9 clearly)" in folded
    assert "Noise alone would make about 39 of 60" in folded and "<td>5 to 7</td>" in folded
    assert convergence(findings(RESULTS / "study-four-tasks-ablations")) == (
        "In the last third, validation rose in all 7 arms, by 1.2 (single) to 8.2 points (anti-curriculum); t interval "
        "above 0 in 3; 3 to 4 validations per curve."
    )
    assert convergence(findings(RESULTS / "study-three-photograph-tasks")) == (
        "In the last third, validation changed by -0.5 (fine-tuned) to +0.9 points (joint) in 4 arms; t interval above "
        "0 in none, below 0 in 1; 8 to 56 validations per curve."
    )


def test_many_arms_are_rows_of_the_scores_and_tasks_its_columns(parts: list[page.StudyPart], html: str) -> None:
    """With every number of the usual table: scores, baselines, upper bounds, normalised scores and the paper's."""
    few, many = parts
    assert not few.table.by_arm and many.table.by_arm
    scores = html.partition('id="groups"')[2].partition("<h3>Scores")[2].partition("</table>")[0]
    assert scores.count('<th scope="col"') == len(many.table.lines) + 2
    rows = re.findall(r'<tr><th scope="row"[^>]*>(.*?)</tr>', scores, flags=re.S)
    arms = [arm.name.replace("+", "+\u200b") for arm in many.found.arms]
    assert [row.partition("</th>")[0] for row in rows[: 2 + len(arms)]] == ["best baseline", "upper bound", *arms]
    assert len(rows) == 2 + len(arms) + len(many.table.paper) and many.table.paper
    for place, arm in enumerate(many.found.arms):
        row, closed = rows[2 + place], many.found.closed[arm.name]
        for line in many.table.lines:
            score = line.row.scores.get(arm.name)
            cell = row.partition(f'data-label="{page.short(many.found, line.row.name)}">')[2].partition("</td>")[0]
            assert cell.startswith("–" if score is None else minus(f"{score.score.mean:.1f}"))
            assert ("not learned" in cell) == (score is not None and not score.learned)
        assert f'data-label="normalised score">{minus(f"{closed.mean:.1f}")}' in row
    for line in many.table.lines:
        assert f">{line.row.baseline:.1f}</td>" in rows[0] and f">{line.row.upper_bound:.1f}</td>" in rows[1]
    for place, (name, _) in enumerate(many.table.paper):
        row = rows[2 + len(arms) + place]
        numbers = [line.paper[place] for line in many.table.lines]
        assert row.startswith(name) and all(f">{each.plain()}</td>" in row for each in numbers if each is not None)
    assert "<em>Sign</em>: + a gain" in html


@needs_plots
def test_the_curves_say_that_retrieval_validates_otherwise(parts: list[page.StudyPart]) -> None:
    (curves,) = [plot for plot in parts[0].plots if plot.name.endswith("curves")]
    assert "validation is a choice among a few pairs" in curves.caption
    retrieval = [row for row in parts[0].found.rows if row.group == "retrieval"]
    assert retrieval and all(row.title.split(",")[0] in curves.caption for row in retrieval)
    assert "VQA" not in curves.caption


def test_the_page_needs_nothing_else(html: str) -> None:
    assert "<script" not in html
    links = re.findall(r"(?:src|href)=\"([^\"]*)\"", html)
    assert links and all(link.startswith(("#", "data:image/svg+xml;base64,")) for link in links)
    assert "@import" not in html and not re.search(r"url\((?!#)", html)


def test_what_a_study_says_is_there_and_escaped(html: str) -> None:
    assert "Is one model for all tasks as good as a model for each?" in html
    assert "<blockquote>The first thing that it found: &lt;b&gt;+1.0&lt;/b&gt;.</blockquote>" in html
    assert html.count("<blockquote>") == 2 == html.count('<ul class="also"')
    assert "0.3: 51.0, <b>1: 53.2</b>, 3: infinite loss" in html
    assert "400 to 600, 700 to 800" in html  # when stop-and-go had stopped a task
    assert "<td>level; level; rising</td>" in html and 'from the image <span class="range">+' in html


def test_a_finding_says_what_its_arms_are() -> None:
    found = replace(made_findings.joint_vs_single(), sentences=("single-longer beats <b>others</b>.", "stop-and-go"))
    text = page.render([page.part_of(found, "key"), page.part_of(found, "other")])
    told = (
        "stop-and-go: one model, a task that no longer improves is stopped; single-longer: a model for each task, twice"
        "; and 1 more arm"
    )
    assert text.count(f"<p>{told}</p>") == 2
    assert page.part_of(replace(found, sentences=()), "key").named_arms == ""
    study = RESULTS / "study-four-tasks-groups"
    assert page.part_of(findings(study), "groups").named_arms == (
        "all: one model for all groups; answering, retrieval, pointing, verification, retrieval+pointing, "
        "answering+retrieval+pointing, answering+retrieval+verification, answering+pointing+verification, "
        "retrieval+pointing+verification: one model for each, with as many iterations as the joint model; and 5 more "
        "arms"
    )


def test_data_that_stand_in_for_a_dataset_have_no_number_of_the_paper() -> None:
    found = made_findings.joint_vs_single()
    first, *others = found.rows
    assert all(any(line.paper) for line in page.beside(found).lines)
    table = page.beside(replace(found, rows=(replace(first, title="Rooms"), *others)))
    assert not any(table.lines[0].paper) and all(any(line.paper) for line in table.lines[1:])


def test_a_task_that_is_not_learned_is_no_gain(parts: list[page.StudyPart], html: str) -> None:
    score = html.partition('id="joint-vs-single"')[2].partition("<h3>Scores")[2].partition("<h3>Arms")[0]
    rows = {row.partition("<span")[0]: row for row in score.split('<th scope="row">')}
    assert rows["NLVR2"].count("not learned") == 2 and "not learned" not in rows["VQA v2"]
    known = relations(parts[1].found)
    assert {each.sign for each in known if each.group == "retrieval"} == {""}
    assert {each.sign for each in known if each.group != "retrieval"} == {"+", "−", "0"}


def test_a_relation_by_the_bootstrap_alone_has_its_sign_in_parentheses(parts: list[page.StudyPart]) -> None:
    found = parts[1].found
    gain = next(each for each in relations(found) if each.sign == "+")
    assert gain.significant and not gain.by_bootstrap_alone
    wide = replace(gain, points_seeds=(0.1, 30.0, 1.0))
    assert wide.sign == "(+)" and wide.by_bootstrap_alone and not wide.significant
    assert replace(wide, learned=False).sign == "" and not replace(wide, learned=False).by_bootstrap_alone
    assert replace(gain, points_seeds=(0.1,)).sign == "+"  # one seed: there is no t interval
    losses = Interval(-3.0, -4.0, -2.0)
    assert replace(wide, points=losses).sign == "(−)" and replace(wide, points=Interval(1.0, -1.0, 2.0)).sign == "0"


def test_only_significant_relations_have_a_full_colour() -> None:
    found = findings(RESULTS / "study-four-tasks-groups")
    known = [each for each in relations(found) if each.learned]
    marks = plots.matrix(found, known).axes[0].patches
    strengths = [3 - sum(mark.get_facecolor()[:3]) for mark in marks]  # 0 is white
    full = [strength for strength, each in zip(strengths, known, strict=True) if each.significant]
    pale = [strength for strength, each in zip(strengths, known, strict=True) if not each.significant]
    assert len(full) == 8 and min(full) > 2 * max(pale)


def test_relations_are_of_pairs_triples_and_all(parts: list[page.StudyPart]) -> None:
    known = relations(parts[1].found)
    assert [len(each.partners) for each in known] == [1] * 12 + [2] * 12 + [3] * 4
    numbers = {(each.group, *each.partners): each.published for each in known}
    assert numbers["retrieval", "verification"] == published.find("relations", "retrieval", "verification")
    assert numbers["answering", "retrieval", "pointing"] is None
    assert relations(parts[0].found) == ()


def test_recalled_numbers_say_so(parts: list[page.StudyPart], html: str) -> None:
    """In their cell, or in the head of their column."""
    for section in html.split("<section ")[1:]:
        for table in re.findall(r"<table.*?</table>", section, flags=re.S):
            heads = re.findall(r"<th scope=\"col\" class=\"num paper\">(.*?)</th>", table, flags=re.S)
            cells = re.findall(r"<td class=\"num paper[^>]*>([^<]*\d[^<]*)</td>", table)
            assert cells or not heads
            assert all("recalled" in head for head in heads) or all("recalled" in cell for cell in cells)
    joint, _ = parts
    assert [name for name, _ in joint.table.paper] == ["single-task, clean", "all tasks, clean"]
    assert [number.value for number in joint.table.average if number] == [67.03, 69.08]
    assert all(line.paper[0] and line.paper[0].column == line.row.name for line in joint.table.lines)


def everywhere(found: Findings, score: float, closed: float) -> Findings:
    """With these scores of every arm on every task, none of them learned."""
    low = Interval(score, score - 1, score + 1)
    rows = tuple(
        replace(row, scores={arm: replace(each, score=low, learned=False) for arm, each in row.scores.items()})
        for row in found.rows
    )
    means = {arm.name: Interval(closed, closed - 2, closed + 2) for arm in found.arms}
    return replace(found, rows=rows, closed=means)


def test_models_below_the_best_baseline_are_told_first() -> None:
    """Before any difference between them: joint and single models alike are worse than a baseline (31.0)."""
    found = made_findings.joint_vs_single()
    assert warnings(found) == ()  # every task is learned by some arm
    below = warnings(everywhere(found, 25.0, -9.0))
    assert below[0].startswith("Every model lies below the best baselines, on average over its tasks")
    assert "stop-and-go -9.0 [-11.0, -7.0]" in below[0] and "single -9.0" in below[0]
    assert "(7 of 7 tasks): no model is significantly above" in below[1]
    assert "every model is significantly below the best baseline" in below[1]
    near = warnings(everywhere(found, 31.5, 0.5))
    assert near[0].startswith("No model is significantly above") and "every model is significantly" not in near[1]
    text = page.render([page.part_of(everywhere(made_findings.joint_vs_single(), 25.0, -9.0), "low")])
    assert "stop-and-go −9.0 [−11.0, −7.0]" in text
    assert text.index("Every model lies below") < text.index("<blockquote>") < text.index("<h3>")


def test_one_task_that_nobody_learns_is_told_first() -> None:
    study = RESULTS / "study-real-sample"
    text = page.render([page.part_of(findings(study), "real")])
    first = text.partition("</h2>")[2].partition("<blockquote>")[0]
    told = (
        "DAQUAR, NLVR, SNLI-VE (3 of 5 tasks): no model is significantly above the best baseline (DAQUAR, SNLI-VE: bag "
    )
    assert f"{told}of words; NLVR: majority), so a difference is neither a gain nor a loss." in first


def test_a_task_above_its_baseline_but_not_above_shuffled_images_says_both() -> None:
    found = made_findings.joint_vs_single()
    first, *others = found.rows
    scores = {arm: replace(score, learned=False) for arm, score in first.scores.items()}
    changed = replace(found, rows=(replace(first, scores=scores), *others))
    told = "VQA v2 (1 of 7 tasks): no model is significantly above the best baseline (majority and its own score with "
    assert warnings(changed)[0].startswith(f"{told}shuffled images), so")


def test_doubts_about_what_is_learned_are_told() -> None:
    """By the t interval, and by the score with shuffled images, where the baselines are those of another arm."""
    found = findings(RESULTS / "study-three-photograph-tasks")
    weakly, text = doubts(found)
    assert weakly == "Learned by the bootstrap alone, not by the t interval over the seeds: SNLI-VE (single-longer)."
    assert text.startswith(
        "With shuffled images, these score above the best baseline: single-longer 63.4 on SNLI-VE (best baseline 60.6)."
    )
    assert all(minus(each) in unescape(page.render([page.part_of(found, "key")])) for each in (weakly, text))
    assert weakly in markdown(found) and text in markdown(found) and weakly in " ".join(brief(found, "").split())
    row = found.rows[-1]
    score = row.scores["single-longer"]
    lower = replace(score, shuffled=row.baseline + 0.4, closed_seeds=(9.0, 9.1, 9.2), looking_seeds=(1.0, 1.1))
    assert not doubts(replace(found, rows=(replace(row, scores={**row.scores, "single-longer": lower}),)))
    by_text = replace(lower, looking_seeds=(0.1, 2.0))
    assert doubts(replace(found, rows=(replace(row, scores={**row.scores, "single-longer": by_text}),))) == (weakly,)
    unlearned = replace(score, learned=False)
    assert not doubts(replace(found, rows=(replace(row, scores={**row.scores, "single-longer": unlearned}),)))


def test_the_list_of_several_studies_has_their_answers_and_warnings() -> None:
    """Somebody may read no further. Limits are in each study's own part, not twice."""
    names = "study-real-sample", "study-real-photographs-small", "study-four-tasks-static-weights"
    parts = [page.part_of(findings(RESULTS / name), name) for name in names]
    shown, _, below = unescape(page.render(parts).partition('<nav aria-label="Contents">')[2]).partition("</nav>")
    for part in parts:
        assert all(minus(each) in shown and minus(each) in below for each in part.warnings)
        answer, by_seed = map(minus, page.apart(part.found.sentences[0]))
        assert f"<p>{answer}" in shown and by_seed in shown
        assert all(minus(each) in shown and minus(each) in below for each in part.found.notes)
        told = [part.named_arms, *filter(None, [no_search(part.found), few_seeds(part.found)])]
        assert all(minus(each) in below and (not each or minus(each) not in shown) for each in told)
    assert "Warning: The lead over all tasks comes from retrieval" in shown
    assert shown.count('<p class="notice first">') == 3 == sum(len(part.warnings) for part in parts)
    notes = [note for part in parts for note in part.found.notes]
    assert len(notes) > 4 and shown.index("DAQUAR, NLVR, SNLI-VE (3 of 5 tasks)") < shown.index("scores lower than")


def test_a_change_by_the_bootstrap_alone_says_so_where_it_is_quoted() -> None:
    first, *_ = findings(RESULTS / "study-four-tasks-ablations").sentences
    assert first.endswith("anti-curriculum +9.8 [+4.6, +14.0] (bootstrap alone).")
    assert first.count("(bootstrap alone)") == 1


def test_the_run_without_weights_is_not_compared_with_itself() -> None:
    first, *_ = findings(RESULTS / "study-four-tasks-static-weights").sentences
    told = "none has a better mean validation score than the run without weights (weights-0): 78.9."
    assert first == f"Of 12 sets of weights, {told}"


def test_what_only_a_study_has_is_on_the_page_as_in_its_table() -> None:
    found = findings(RESULTS / "study-four-tasks-affinity")
    text = page.render([page.part_of(found, "affinity")])
    assert len(found.sections) == text.count('<div class="own">') > 2
    for section in found.sections:
        words, _, table = section.partition("\n\n")
        assert escape(words, quote=False) in text
        table = minus(table)
        cells = [cell.strip() for line in table.splitlines()[2:] for cell in line.strip("|").split("|")]
        assert cells and all(f">{escape(cell, quote=False)}</t" in text for cell in cells if cell)
    if plots.available():
        assert text.count("<figcaption>") >= len(found.plots) == 2


def test_a_section_of_a_study_cannot_carry_tags_or_fetch() -> None:
    section = "<b onclick=x>bold</b> ![x](http://bad.example/x.png) [y](javascript:z)"
    section += "\n\n| a | b |\n| --- | --- |\n| <i> | 2 |"
    made = page.html_of(section)
    assert "<b" not in made and "&lt;b onclick" in made and "<img" not in made and "href" not in made
    assert '<div class="scroll" tabindex="0"' in made and "<td>&lt;i&gt;</td>" in made


@needs_plots
def test_plots_fit_the_page_of_a_paper(parts: list[page.StudyPart]) -> None:
    names = [plot.name for part in parts for plot in part.plots]
    assert names == ["joint-vs-single-tasks", "joint-vs-single-curves", "groups-relations"]
    for plot in (plot for part in parts for plot in part.plots):
        width = float(ElementTree.fromstring(plot.svg).attrib["width"].removesuffix("pt")) / 72
        assert width == pytest.approx(plots.TEXT)
        assert plot.pdf.startswith(b"%PDF") and b"/Type3" not in plot.pdf and b"/Subtype /Image" not in plot.pdf


@needs_plots
def test_the_same_findings_give_the_same_bytes(parts: list[page.StudyPart]) -> None:
    again = page.part_of(made_findings.groups(), "groups")
    assert [(plot.svg, plot.pdf) for plot in again.plots] == [(plot.svg, plot.pdf) for plot in parts[1].plots]


def test_the_best_and_the_worst_change_of_groups_are_said_in_one_clause_each() -> None:
    found = made_findings.groups()
    said = Groups().sentences(found)[-1]
    low_high = r"\[[+-]\d+\.\d, [+-]\d+\.\d\]"
    change, seeds = rf"[+-]\d+\.\d {low_high}", rf" \(t interval over the seeds {low_high}\)"
    trained = r"(\w+) when it is trained with (\w+(?: and \w+)*)"
    match = re.fullmatch(
        rf"The differences range from {change}{seeds}, of {trained}, to {change} points of the official metric{seeds}, "
        rf"of {trained}\.",
        said,
    )
    assert match is not None and match[1] not in match[2] and match[3] not in match[4]


def test_without_matplotlib_the_page_says_how_to_get_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "available", lambda: False)
    text = page.render([page.part_of(made_findings.joint_vs_single(recorded=False), "old")])
    assert f"<code>{escape(install('plots')).replace('&#x27;', '&#39;')}</code>" in text and "<img" not in text
    assert "from the image" not in text.partition("<tbody>")[2]  # was not measured


def test_when_a_task_was_stopped() -> None:
    def spans(*events: tuple[int, str]) -> list[tuple[int, int]]:
        given = tuple(Event(iteration=at, event=event) for at, event in events)
        return plots.stopped(Curve("arm", "vqa", 0, ((50, 1.0), (100, 2.0)), given, (), (100, 50)))

    assert spans() == []
    assert spans((20, "stop"), (40, "go"), (60, "stop")) == [(20, 40), (60, 150)]
    assert spans((20, "go"), (30, "stop"), (40, "stop"), (60, "go")) == [(30, 60)]
    assert spans((150, "stop")) == []


def test_the_command_writes_the_page_and_its_plots(tmp_path: Path) -> None:
    study = shutil.copytree(RESULTS / "study-real-sample", tmp_path / "study-real-sample")
    out = tmp_path / "pages" / "found.html"
    done = CliRunner().invoke(cli.app, ["study", "report", str(study), "--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0 and "study-real-sample" in out.read_text(encoding="utf-8")
    written = sorted(file.relative_to(out.parent).as_posix() for file in out.parent.rglob("*") if file.is_file())
    name = "found-plots/study-real-sample-"
    endings = ("tasks.pdf", "tasks.svg")
    assert written == [*(name + ending for ending in endings if plots.available()), "found.html"]
    assert [line for line in done.output.splitlines() if line.endswith(".html")] == [str(out)]
    with pytest.raises(ConfigError, match="expected each study once, found 2 folders"):
        page.write_study_report([study, study / "."], out)
    with pytest.raises(DataError, match="no study here"):
        page.write_study_report([tmp_path / "elsewhere"], out)


BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture
def browser() -> Iterator[object]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


def test_several_studies_are_folded_but_for_the_answer(parts: list[page.StudyPart], html: str) -> None:
    """Open: the sentences, the first plot and the first table. One study is folded on narrow screens only."""
    shown = re.sub(
        r"<details.*?</details>", "", html.partition("<main>")[2].partition('id="groups"')[0], flags=re.DOTALL
    )
    assert html.count('<details class="fold">') >= 6 and 'class="fold narrow"' not in html
    assert (
        shown.count("<blockquote>") == 1 == shown.count('<ul class="also"')
        and "<h3>Differences</h3>" in shown
        and "<h3>Scores" not in shown
    )
    assert shown.count("<table") == 1 and shown.count("<figure") == plots.available()
    alone = page.render(parts[:1])
    assert '<details class="fold">' not in alone and alone.count('class="fold narrow"') >= 3
    assert "@media print { details::details-content { content-visibility: visible" in alone


@needs_plots
def test_contrasts_have_the_mean_over_all_tasks_and_over_the_learned_ones() -> None:
    """The answer states both, where fewer tasks are learned."""
    found = made_findings.joint_vs_single()
    (main, *_), learned = found.comparisons, [cell for cell in found.comparisons[0].cells if cell.learned]
    assert main.learned is not None and len(learned) < len(main.cells)

    def marks(figure: Figure) -> list[float]:
        lines = (line for axes in figure.axes for line in axes.lines)
        means = [mark for _, mark in plots.MEANS.values()]
        return sorted(
            line.get_xdata()[0] for line in lines if line.get_marker() in means and len(line.get_xdata()) == 1
        )

    assert marks(plots.contrasts([main])) == sorted([main.every.mean, main.learned.mean])
    every = replace(main, cells=tuple(learned), every=main.learned)
    assert marks(plots.contrasts([every])) == [main.learned.mean]
    figure = plots.contrasts([main] * (plots.MOST_ROWS + 1))
    left, right = figure.axes
    assert left.get_xlim() == right.get_xlim() and len(left.get_yticks()) == len(right.get_yticks()) + 1
    assert len(marks(figure)) == 2 * (plots.MOST_ROWS + 1)
    drawn = {(line.get_color(), line.get_marker()) for line in plots.tasks(found, found.comparisons[:3]).axes[0].lines}
    for colour, mark in plots.MEANS.values():  # these tell means apart, and contrasts on the other plot
        assert not any(colour == other or mark == same for other, same in drawn if same != "None")


@pytest.mark.slow
@pytest.mark.parametrize("media", ["print", "screen"])
def test_paper_shows_what_is_folded(media: str, browser: object, html: str, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(html, encoding="utf-8")
    seen = browser.new_page(java_script_enabled=False)  # type: ignore[attr-defined]
    seen.goto(file.as_uri())
    seen.emulate_media(media=media)
    assert seen.get_by_text("Means over the seeds.").first.is_visible() == (media == "print")


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_the_window(width: int, browser: object, html: str, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(html, encoding="utf-8")
    seen = browser.new_page(viewport={"width": width, "height": 844}, java_script_enabled=True)  # type: ignore[attr-defined]
    asked: list[str] = []
    seen.on("request", lambda request: asked.append(request.url))
    seen.goto(file.as_uri())
    assert seen.evaluate("document.documentElement.scrollWidth") == width
    seen.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    tables = "[...document.querySelectorAll('.stack')].map(each => each.parentNode)"
    cut = f"{tables}.filter(each => each.scrollWidth > each.clientWidth).map(each => each.ariaLabel)"
    assert "Differences" not in seen.evaluate(cut)
    if width < 640:  # a row is a card
        assert seen.evaluate("document.querySelectorAll('.scores.stack').length") == 2 and seen.evaluate(cut) == []
    assert seen.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
