"""What a study says of results that are made up: whoever wins, it says so."""

from __future__ import annotations

import io
import json
import math
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from statistics import stdev

import numpy as np
import pytest
from made_findings import joint_vs_single
from rich.console import Console
from tiny_study import made_up

from twelve.errors import DataError
from twelve.metrics.bootstrap import Interval
from twelve.progress import with_sign
from twelve.study import multiple
from twelve.study import plan as plans
from twelve.study.brief import brief
from twelve.study.cells import bounds, gain_of, plain, spread
from twelve.study.costs import unequal
from twelve.study.finding_types import Comparison
from twelve.study.findings import findings
from twelve.study.memorised import by_training
from twelve.study.report import page
from twelve.study.report.beside import minus
from twelve.study.report.unlearned import doubts
from twelve.study.results import result_file
from twelve.study.show import show
from twelve.study.studies.base import said as sentence
from twelve.study.studies.base import uncertain
from twelve.study.studies.groups import Groups
from twelve.study.studies.joint_vs_single import BASE, OPPONENT, JointVsSingle
from twelve.study.table import COVERAGE, SHARES, few_seeds, markdown, scores_by_seed
from twelve.study.uneven import origin

TASKS = ("vqa", "nlvr2")
QUIET = Console(quiet=True)
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.mark.parametrize(
    ("joint", "single", "words", "counts"),
    [
        ((0.7, 0.7), (0.8, 0.8), "scores lower than single-longer", "better on none and worse on 2"),
        ((0.8, 0.8), (0.7, 0.7), "scores higher than single-longer", "better on 2 and worse on none"),
        ((0.8, 0.7), (0.7, 0.8), "do not differ significantly", "better on 1 and worse on 1"),
    ],
)
def test_the_winner_is_named(
    tmp_path: Path, joint: tuple[float, float], single: tuple[float, float], words: str, counts: str
) -> None:
    made_up(tmp_path, {BASE: joint, OPPONENT: single})
    said = show(tmp_path, console=QUIET)
    assert words in said and f"{counts} of the 2 tasks that single-task models (2.0 M in all) learn." in said


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(1.25, 1, "+1.2"), (-0.06, 1, "-0.1"), (-0.04, 1, "0.0"), (0.04, 1, "0.0"), (0.0, 1, "0.0"), (-0.04, 2, "-0.04")],
)
def test_a_difference_that_rounds_to_zero_has_no_sign(value: float, digits: int, text: str) -> None:
    assert with_sign(value, digits) == text


def test_intervals_that_end_near_zero() -> None:
    interval = Interval(-0.01, -3.0, 0.02)
    assert gain_of(interval) == "0.0 [-3.0, 0.0]" and plain(interval) == "0.0 [-3.0, 0.0]"
    assert spread((-1.0, 1.0, 0.0)) == "[-2.5, +2.5]" and spread((-0.02, 0.0)) == "[-0.1, +0.1]"
    assert spread((-0.01, -0.01)) == "[-0.01, -0.01]" and spread((0.0, 0.0)) == "[0.0, 0.0]"


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-1.924, -0.011, "[-1.9, -0.01]"),
        (0.004, 2.0, "[+0.004, +2.0]"),
        (-0.06, -0.04, "[-0.1, -0.04]"),
        (0.0, 2.0, "[0.0, +2.0]"),  # contains 0
        (-0.04, 2.0, "[0.0, +2.0]"),
        (-2.0, -1e-12, "[-2.0, 0.0]"),  # an error of rounding
    ],
)
def test_an_interval_that_excludes_zero_shows_so(low: float, high: float, text: str) -> None:
    """Also that of a score, which has no plus sign, and in the terminal."""
    interval = Interval((low + high) / 2, low, high)
    assert bounds(low, high) == text and gain_of(interval).endswith(f" {text}")
    assert plain(interval).endswith(f" {text.replace('+', '')}")
    joint = joint_vs_single()
    shown = brief(replace(joint, closed={name: interval for name in joint.closed}), "results.md")
    assert shown.count(f" {text.replace('+', '')}  ") == len(joint.arms)


def test_the_page_shows_that_an_interval_excludes_zero() -> None:
    joint = joint_vs_single()
    near = replace(joint, closed={name: Interval(2.0, 0.004, 4.0) for name in joint.closed}, comparisons=(), curves=())
    assert page.render([page.part_of(near, "key")]).count("[0.004, 4.0]") >= len(joint.arms)


def test_a_t_interval_that_excludes_zero_shows_so() -> None:
    """By as little as in a recorded study; and one with two digits."""
    (longer,) = (
        each
        for each in findings(RESULTS / "study-four-tasks-pretrained-fine-tuning").comparisons
        if each.contrast.name == "fine-tuned minus joint-longer"
    )
    assert spread(longer.seeds) == "[-1.9, -0.01]"
    assert bounds(-0.5, -0.004, 2) == "[-0.50, -0.004]"


def test_numbers_of_the_main_measure(tmp_path: Path) -> None:
    made_up(tmp_path, {BASE: (0.7, 0.5), OPPONENT: (0.6, 0.5)}, upper_bound=90.0)
    found = findings(tmp_path)
    row, other = found.rows
    (comparison,) = found.comparisons
    cell, same = comparison.cells
    assert (row.baseline, row.upper_bound) == (pytest.approx(40), pytest.approx(90))
    assert cell.points.mean == pytest.approx(10, abs=4)
    assert cell.closed.mean == pytest.approx(cell.points.mean / 0.5)
    assert same.closed.mean == same.closed.low == 0
    assert comparison.every.mean == pytest.approx(cell.closed.mean / 2) == pytest.approx(comparison.main_measure.mean)
    assert comparison.every_points.mean == pytest.approx(cell.points.mean / 2)
    assert comparison.image_free.mean == pytest.approx(cell.points.mean / 0.7 / 2)
    closed = [each.scores[BASE].closed.mean for each in (row, other)]
    assert found.closed[BASE].mean == pytest.approx(sum(closed) / 2)
    costs = found.costs
    assert (costs[OPPONENT].parameters, costs[BASE].parameters) == (2e6, 1e6)
    assert (costs[OPPONENT].models, costs[OPPONENT].updates, costs[OPPONENT].seconds) == (2, 14, 120)
    assert (costs[BASE].updates, costs[BASE].processor_seconds) == (14, None)


def test_what_its_reference_has_not_learned_is_no_gain(tmp_path: Path) -> None:
    """NLVR2's single model stands at its baseline: however good the joint model, that is no gain."""
    made_up(tmp_path, {BASE: (0.6, 0.9), OPPONENT: (0.7, 0.4)})
    found = findings(tmp_path)
    (comparison,) = found.comparisons
    assert [cell.learned for cell in comparison.cells] == [True, False]
    assert comparison.learned is not None and comparison.learned.high < 0 < comparison.every.low
    assert comparison.main_measure == comparison.learned
    said = show(tmp_path, console=QUIET)
    assert "scores lower than single-longer" in said and "not learned (+" in said
    assert "worse on the only task that single-task models (2.0 M in all) learn." in said
    every, learned = (
        f"{gain.mean:+.1f} [{gain.low:+.1f}, {gain.high:+.1f}]" for gain in (comparison.every, comparison.learned)
    )
    assert f"{BASE} scores higher than {OPPONENT}: {every} points of normalised score, mean of all 2 tasks" in said
    assert f"; {BASE} scores lower than {OPPONENT} over the only one that {OPPONENT} learned: {learned}." in said
    header = next(line for line in said.splitlines() if line.startswith("| difference |"))
    assert header.index("all tasks") < header.index("learned tasks")
    assert "<svg" in (tmp_path / "results-tasks.svg").read_text()


def test_a_mean_does_not_count_where_no_arm_learns_most_tasks_or_a_warning_says_why(tmp_path: Path) -> None:
    """Whatever its intervals; half of the tasks are not most of them."""
    made_up(tmp_path, {BASE: (0.38, 0.38), OPPONENT: (0.3, 0.3)})
    (none,) = findings(tmp_path).comparisons
    assert none.every.low > 0 and none.uncounted == "2 of 2 tasks learned by neither arm"
    assert (none.every_significant, none.significant) == (0, 0)
    apart = replace(none, seeds=(0.1, 30.0, 1.0))
    assert not apart.every_by_bootstrap_alone and not apart.by_bootstrap_alone
    said, mean = show(tmp_path, console=QUIET), gain_of(none.every)
    assert f"{mean} points of normalised score, mean of 2 tasks (which is not counted: {none.uncounted}); " in said
    assert f" | {mean} † | " in said and "†: not counted" in said
    made_up(tmp_path / "half", {BASE: (0.38, 0.9), OPPONENT: (0.3, 0.7)})
    (half,) = findings(tmp_path / "half").comparisons
    assert half.learned is not None and half.every_significant == half.significant == 1 and not half.uncounted
    assert "†" not in show(tmp_path / "half", console=QUIET)
    assert replace(half, seeds=(0.1, 30.0, 1.0)).every_by_bootstrap_alone
    (tmp_path / "half" / "notes.md").write_text("Warning: of other rates.\n")
    (warned,) = findings(tmp_path / "half").comparisons
    assert warned.uncounted == "see the warning" and warned.every_significant == 0
    assert f"{gain_of(warned.every)} †" in show(tmp_path / "half", console=QUIET)
    made_up(tmp_path / "lost", {BASE: (0.38, 0.7), OPPONENT: (0.3, 0.38)})
    (lost,) = findings(tmp_path / "lost").comparisons
    assert lost.learned is None and lost.uncounted == f"{OPPONENT} learned none of them"
    assert lost.every_significant == lost.significant == 0 and "†" in show(tmp_path / "lost", console=QUIET)


@pytest.mark.parametrize(
    ("scores", "who"),
    [
        ((0.38, 0.3), f"neither {BASE} nor {OPPONENT} learned (not counted)."),
        ((0.7, 0.3), f"only {BASE} learned."),
        ((0.8, 0.7), f"{OPPONENT} learned."),
    ],
)
def test_a_single_task_is_named_with_who_learned_it(scores: tuple[float, float], who: str, tmp_path: Path) -> None:
    made_up(tmp_path, {BASE: (scores[0],) * 2, OPPONENT: (scores[1],) * 2})
    (comparison,) = findings(tmp_path).comparisons
    comparison = replace(comparison, cells=comparison.cells[:1])
    told = f"{gain_of(comparison.every)} points of normalised score, on vqa, which {who} By seed: "
    assert told in sentence(comparison)
    if who.endswith("(not counted)."):
        warned = sentence(replace(comparison, warned=True))
        assert f"{who.removesuffix(').')}: see the warning)." in warned


def test_a_mean_that_a_warning_is_about_comes_after_the_one_over_the_learned_tasks(tmp_path: Path) -> None:
    """And in small print on the page, with one seed too."""
    for name, count in (("two", 2), ("one", 1)):
        folder = tmp_path / name
        made_up(folder, {BASE: (0.6, 0.7), OPPONENT: (0.7, 0.3)}, seeds=count)
        assert findings(folder).sentences[0].startswith(f"{BASE} ") and "Not counted" not in show(folder, console=QUIET)
        (folder / "notes.md").write_text("Warning: of other rates.\n")
        found = findings(folder)
        (warned,) = found.comparisons
        assert warned.learned is not None
        answer, small = page.apart(found.sentences[0])
        verdict = {1: "{} scores lower than {}", 2: "{} and {} do not differ significantly"}[
            count
        ]  # by two t intervals
        assert answer.startswith(f"{verdict.format(BASE, OPPONENT)} over the only one")
        over = f"over the only one of 2 tasks that {OPPONENT} learned: {gain_of(warned.learned)} points of normalised"
        assert over in answer and gain_of(warned.every) not in answer
        mean = f"Not counted (see the warning): the mean of all 2 tasks, {gain_of(warned.every)}."
        assert small.startswith(mean) and ("By seed, all tasks: " in small) == (count == 2)
        assert "this lead" not in " ".join(found.sentences)


def test_both_means_may_agree(tmp_path: Path) -> None:
    made_up(tmp_path, {BASE: (0.8, 0.9), OPPONENT: (0.7, 0.4)})
    (comparison,) = findings(tmp_path).comparisons
    told = sentence(comparison)
    assert told.startswith(f"{BASE} scores higher than {OPPONENT}: ") and told.count(" scores ") == 1
    assert f"mean of all 2 tasks; also over the only one that {OPPONENT} learned: +" in told
    alone = sentence(replace(comparison, learned_seeds=(0.1, 30.0, 1.0)))
    over = f"over the only one that {OPPONENT} learned: {gain_of(comparison.main_measure)}"
    assert f"mean of all 2 tasks; not significant by t {over}. By seed" in alone
    neither = replace(comparison, learned=Interval(5.0, -1.0, 11.0))
    assert f"mean of all 2 tasks; not significant over the only one that {OPPONENT} learned: +5.0" in sentence(neither)
    made_up(tmp_path / "none", {BASE: (0.6, 0.9), OPPONENT: (0.4, 0.4)})
    (comparison,) = findings(tmp_path / "none").comparisons
    assert comparison.learned is None and comparison.main_measure == comparison.every
    said = show(tmp_path / "none", console=QUIET)
    assert "mean of 2 tasks (which is not counted: single-longer learned none of them). By seed: +" in said
    assert "comes from the seeds. The joint model has 1.0 M parameters, the single-task models 2.0 M in all." in said
    assert "is better on" not in said
    made_up(tmp_path / "all", {BASE: (0.8, 0.9), OPPONENT: (0.7, 0.7)})
    told, _, seeds = sentence(findings(tmp_path / "all").comparisons[0]).partition(" By seed: ")
    assert told.endswith(f"mean of 2 tasks, all of which {OPPONENT} learned.") and seeds


def test_a_difference_that_comes_from_tasks_hardly_learned_says_so(tmp_path: Path) -> None:
    """Normalised scores are 0 at 40% and 100 at 100%: the second task of the arm that is behind has about 5."""
    made_up(tmp_path, {BASE: (0.75, 0.9), OPPONENT: (0.7, 0.43)})
    found = findings(tmp_path)
    (main,) = found.comparisons
    assert main.uneven is not None and main.uneven.tasks == ("nlvr2",) and main.uneven.rest == main.cells[0].closed
    told = f"{main.uneven.share:.0f}% of this lead comes from 1 task on which {OPPONENT} has a normalised score below "
    told += f"10; on the other: {gain_of(main.cells[0].closed)}."
    assert origin(replace(main, uneven=replace(main.uneven, share=104.0))).startswith("All of this lead comes from 1 ")
    assert main.uneven.share > 80 and found.sentences[1] == told and len(found.sentences) == 3
    assert told in show(tmp_path, console=QUIET) and told in " ".join(brief(found, "").split())
    part = page.part_of(found, "key")
    assert part.opening_sentences == list(found.sentences[:2])
    assert page.render([part, part]).count(f"<p>{minus(told)}</p>") == 2
    rest = replace(main.uneven, rest_seeds=(0.1, 30.0, 1.0))
    assert origin(replace(main, uneven=rest)).endswith("] (bootstrap alone).")
    made_up(tmp_path / "behind", {BASE: (0.7, 0.43), OPPONENT: (0.75, 0.9)})
    said = findings(tmp_path / "behind").sentences[1]
    assert f"% of this difference comes from 1 task on which {BASE} has" in said and "on the other: -" in said
    every = replace(main, uneven=replace(main.uneven, tasks=TASKS, share=100.0, rest=None))
    assert origin(every) == f"{OPPONENT} has a normalised score below 10 on each of the 2 tasks."
    assert origin(replace(every, learned=None)) == ""  # its own sentence says that none is learned
    made_up(tmp_path / "well", {BASE: (0.9, 0.6), OPPONENT: (0.7, 0.5)})
    made_up(tmp_path / "less", {BASE: (0.95, 0.5), OPPONENT: (0.7, 0.43)})  # less than half of the lead
    made_up(tmp_path / "none", {BASE: (0.7, 0.43), OPPONENT: (0.7, 0.43)})
    for name in ("well", "less", "none"):
        found = findings(tmp_path / name)
        assert found.comparisons[0].uneven is None and len(found.sentences) == 2


def test_how_much_comes_from_looking(tmp_path: Path) -> None:
    also = {"shuffled": 30.0, "shuffled_values": [0.3] * 400}
    made_up(tmp_path, {BASE: (0.7, 0.5), OPPONENT: (0.7, 0.5)}, also=also)
    score = findings(tmp_path).rows[0].scores[BASE]
    assert score.shuffled == 30 and score.looking is not None and score.learned
    assert score.looking.mean == pytest.approx(score.score.mean - 30) and score.looking.low > 0
    assert f"{score.score.mean:.1f} (30.0)" in show(tmp_path, console=QUIET)
    made_up(tmp_path / "old", {BASE: (0.7, 0.5), OPPONENT: (0.7, 0.5)})
    assert findings(tmp_path / "old").rows[0].scores[BASE].looking is None
    assert "shuffled images were not recorded" in show(tmp_path / "old", console=QUIET)
    also = {"shuffled": 70.0, "shuffled_values": [0.7] * 400}  # above the baseline of 40, but as good without the image
    made_up(tmp_path / "blind", {BASE: (0.7, 0.5), OPPONENT: (0.7, 0.5)}, also=also)
    score = findings(tmp_path / "blind").rows[0].scores[BASE]
    assert score.closed.low > 0 and not score.learned


def test_types_are_those_of_all_seeds_and_what_rises_has_not_converged(tmp_path: Path) -> None:
    recorded = {"curve": [[1, 0.1], [2, 0.2], [3, 0.3]], "events": [{"iteration": 2, "event": "stop"}]}
    also = {"by_type": {"words": {"1-3": [50.0, 10], "4-6": [20.0, 30]}}, "converged": False, "parts": [2, 1]}
    made_up(tmp_path, {BASE: (0.7, 0.5), OPPONENT: (0.7, 0.5)}, also=also | {"recorded": recorded})
    found = findings(tmp_path)
    assert found.rows[0].scores[BASE].by_type == {"words": {"1-3": (50.0, 30), "4-6": (20.0, 90)}}
    assert found.rows[0].scores[BASE].extensions == (1, 1, 1)
    curve = next(each for each in found.curves if each.arm == OPPONENT and each.seed == 4)
    assert curve.points == ((1, 10), (2, 20), (3, 30)) and curve.events[0].event == "stop" and curve.parts == (2, 1)
    assert "| single-longer | NLVR2 | 3, 4, 5 | 1, 1, 1 |" in show(tmp_path, console=QUIET)
    tree = json.loads((tmp_path / "results.json").read_text())
    assert tree["curves"][0]["events"] == [{"iteration": 2, "event": "stop"}]


def test_which_curves_had_not_converged_is_one_sentence(tmp_path: Path) -> None:
    """A result of an earlier version, which called a falling curve converged, is read as falling."""
    scores, points = {BASE: (0.7, 0.5), OPPONENT: (0.7, 0.5)}, [[step, 0.9 - step / 100] for step in range(1, 8)]
    made_up(tmp_path, scores, also={"converged": True, "recorded": {"curve": points}, "iterations": 7})
    path = result_file(tmp_path, 4, OPPONENT, "nlvr2")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"converged": False, "recorded": None}))
    path = result_file(tmp_path, 5, OPPONENT, "nlvr2")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"converged": None, "recorded": None}))
    said, score = show(tmp_path, console=QUIET), findings(tmp_path).rows[1].scores[OPPONENT]
    assert (score.converged, score.falling) == ((False, False, None), (True, False, False))
    told = "Not converged (validation curves, one per task and seed): 1 of 5 of single-longer still rose; 6 of"
    assert (
        f"{told} 6 of stop-and-go (6 clearly) and 4 of 5 of single-longer (4 clearly) fell; for 1 "
        "more, it is not known." in said
    )
    assert "| single-longer | NLVR2 | 3 (falling), 4 | 0, 0, 0 |" in said
    level = {"converged": True, "recorded": {"curve": [[step, 0.5] for step in range(1, 8)]}, "iterations": 7}
    made_up(tmp_path / "level", scores, also=level)
    curves = "12 of 12 validation curves (one per task and seed); all 12 were level at the end"
    assert f"Convergence is known for {curves}." in " ".join(brief(findings(tmp_path / "level"), "").split())
    made_up(tmp_path / "chance", {BASE: (0.7, 0.5), OPPONENT: (0.4, 0.4)}, also=level)
    path = result_file(tmp_path / "chance", 4, OPPONENT, "nlvr2")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"converged": None, "recorded": None}))
    found = findings(tmp_path / "chance")
    curves = (
        "11 of 12 validation curves (one per task and seed); all 11 were level at the end, 5 of them without having"
    )
    assert f"Convergence is known for {curves} learned the task." in show(tmp_path / "chance", console=QUIET)
    html = page.render([page.part_of(found, "key")])
    assert "level; level; level" in html and "level (not learned); unknown; level (not learned)" in html
    made_up(tmp_path / "old", scores)
    assert "Whether the runs had converged is not known" in " ".join(brief(findings(tmp_path / "old"), "").split())


def test_noise_alone_lets_level_curves_rise(tmp_path: Path) -> None:
    """Gains of 3 points over the last third: a clear one, and one that four noisy scores do not tell from none."""
    scores, late = {BASE: (0.7, 0.5), OPPONENT: (0.7, 0.5)}, (9, 10, 11, 12)
    straight, noisy = ([[step, 0.5 + 0.03 * step / 4 + noise] for step, noise in zip(late, up_down, strict=True)]
                       for up_down in ((0, 0.001, 0, 0.001), (0, 0.007, -0.007, 0.003)))  # fmt: skip
    made_up(tmp_path, scores, also={"converged": False, "recorded": {"curve": noisy}, "iterations": 12})
    path = result_file(tmp_path, 4, BASE, "vqa")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"recorded": {"curve": straight}}))
    found, said = findings(tmp_path), show(tmp_path, console=QUIET)
    told = f"6 of 6 of {BASE} (1 clearly) and 6 of 6 of {OPPONENT} (0 clearly) still rose."
    assert told in said and "still rose" not in brief(found, "")
    gains = re.fullmatch(
        rf".*Validation gain, last third \(points, t interval\): {BASE} \+2\.(\d) (\[\S+ \S+\]), 4 "
        rf"validations per curve there; {OPPONENT} \+(\d\.\d) (\[\S+ \S+\]), 4\. .*",
        " ".join(brief(found, "").split()),
    )
    assert gains is not None
    (row,) = [line for line in said.splitlines() if line.startswith(f"| {OPPONENT} | +")]
    mean, spread_, changed, validations, curves, noise = (cell.strip() for cell in row.strip("|").split("|")[1:])
    (slope, _), spreads = np.polyfit(late, [score for _, score in noisy], 1, cov=True)
    gain, by_noise = 400 * slope, 6 * math.erfc(0.005 / (4 * spreads[0, 0] ** 0.5) / 2**0.5)
    assert (mean, spread_, validations, curves) == (f"{gain:+.1f}", f"[{gain:+.1f}, {gain:+.1f}]", "4", "6")
    assert changed.startswith(f"VQA {mean} {spread_}, ") and changed.count("[") == 2  # in all three seeds alike
    assert (gains[3], gains[4]) == (f"{gain:.1f}", spread_)
    assert noise == f"{by_noise:.0f}" and 1 < by_noise < 5
    (clear,) = [line for line in said.splitlines() if line.startswith(f"| {BASE} | +")]
    every = by_noise + float(clear.strip("|").split("|")[-1])
    told = re.search(r"Noise alone would make about (\d+) of 12 level", page.render([page.part_of(found, "key")]))
    assert told is not None and abs(int(told[1]) - every) <= 1


def test_what_is_written_already_is_not_written_again(tmp_path: Path) -> None:
    made_up(tmp_path, {BASE: (0.7, 0.5), OPPONENT: (0.7, 0.5)})
    show(tmp_path, console=QUIET)
    for name, text in (("results.json", "{}"), ("results.md", "of other results")):
        (tmp_path / "results.json").write_text("{}")
        (tmp_path / name).write_text(text)
        show(tmp_path, console=QUIET)
        assert ((tmp_path / "results.json").read_text() == "{}") == (name == "results.json")


def test_an_arm_that_misses_its_length_is_told(tmp_path: Path) -> None:
    made_up(tmp_path, {BASE: (0.7, 0.5), OPPONENT: (0.7, 0.5)})
    found = findings(tmp_path)
    asked = found.plan.arm(OPPONENT).length
    assert asked.rule == "each" and asked.factor == 2
    told = f"{OPPONENT} trained on 50% fewer updates than planned."
    assert unequal(found) == [told] and told in " ".join(brief(found, "").split())
    costs = {**found.costs, OPPONENT: replace(found.costs[OPPONENT], updates=28)}
    assert unequal(replace(found, costs=costs)) == []
    more = {**found.costs, OPPONENT: replace(found.costs[OPPONENT], updates=29.5)}
    assert unequal(replace(found, costs=more)) == [told.replace("50% fewer", "5% more")]


def test_models_that_have_not_learned_are_told_before_the_answer(tmp_path: Path) -> None:
    """In the terminal and in results.md as on the page, whether or not a learning rate was searched."""
    made_up(tmp_path, {BASE: (0.4, 0.4), OPPONENT: (0.4, 0.4)})
    found = findings(tmp_path)
    for said in (show(tmp_path, console=QUIET), " ".join(brief(found, "").split())):
        first = said.index("No model is significantly above the best baselines")
        assert first < said.index("(2 of 2 tasks): no model is") < said.index(found.sentences[0])
        assert said.index(found.sentences[0]) < said.index("No learning rate was searched.")
    assert "No learning rate was searched." in page.render([page.part_of(found, "key")])
    options = {"factors": [0.3, 1.0]}
    made_up(tmp_path / "searched", {BASE: (0.7, 0.5), OPPONENT: (0.7, 0.5)}, options=options)
    said = show(tmp_path / "searched", console=QUIET)
    assert "No learning rate" not in said and "No model is" not in said


@pytest.mark.parametrize(("seeds", "words"), [(1, "With one seed, the spread"), (2, "hardly known"), (3, None)])
def test_what_few_seeds_leave_unknown_is_said(seeds: int, words: str | None, tmp_path: Path) -> None:
    made_up(tmp_path, {BASE: (0.7, 0.5), OPPONENT: (0.7, 0.5)}, seeds=seeds)
    for said in (show(tmp_path, console=QUIET), " ".join(brief(findings(tmp_path), "").split())):
        assert words in said if words else "the spread between seeds" not in said
        assert ("1 seed (3), with its own models" in said) == (seeds == 1) and ("each with its own" in said) == (
            seeds > 1
        )


def test_three_seeds_are_few_if_most_of_the_variance_is_theirs(tmp_path: Path) -> None:
    """In results.md, on the page and in the terminal, by the largest share; how often depends on it, and is said of
    both intervals. Five seeds are few, too, if almost all of the variance is theirs."""
    made_up(tmp_path, {BASE: (0.8, 0.8), OPPONENT: (0.7, 0.7)})
    three = findings(tmp_path)
    made_up(tmp_path / "five", {BASE: (0.8, 0.8), OPPONENT: (0.7, 0.7)}, seeds=5)
    five = findings(tmp_path / "five")
    for found, number, share, warned in (
        *((three, "three", share, share > 74) for share in (97.4, 97.0, 80.0, 74.0)),
        *((five, "five", share, share > 80) for share in (97.0, 90.0, 80.0)),
    ):
        first = replace(found.comparisons[0], between=share)
        changed = replace(found, comparisons=(first,))
        covered = int(0.5 + dict(zip(SHARES, COVERAGE[len(found.seeds)], strict=True)).get(round(share), 0))
        told = f"{share:.0f}% of the variance of the difference comes from the {number} seeds"
        assert (covered == 79) == (round(share) == 97 and number == "three")  # as docs/study-scores.md says
        both = f"{covered}% of the time, and t intervals over the seeds about 95%."
        rest = f"true value only about {both}" if warned else ""
        html = page.render([page.part_of(changed, "key")])
        for said in (markdown(changed), html, " ".join(brief(changed, "").split())):
            assert (told in said) == warned and rest in said
        sentence = f"{share:.0f}% of the variance comes from the seeds."
        short = " ".join(brief(replace(changed, sentences=(sentence,)), "").split())
        assert sentence in short and told not in short and not (warned and rest in short)
        two = few_seeds(replace(found, comparisons=(replace(first, between=10.0), first)))
        assert (two is not None and f"Up to {share:.0f}% of the variance of a difference" in two) == warned
    assert all(sorted(each, reverse=True) == [*each] for each in COVERAGE.values())
    assert all(few < many for few, many in zip(COVERAGE[3], COVERAGE[5], strict=True)) and COVERAGE[3][3] < 90


def test_the_t_interval_stands_beside_that_of_the_bootstrap(tmp_path: Path) -> None:
    """In the sentence, in the tables and on the page, for every contrast; the difference is named."""
    made_up(tmp_path, {BASE: (0.8, 0.8), OPPONENT: (0.7, 0.7), "single": (0.7, 0.72)})
    found = findings(tmp_path)
    main, other = found.comparisons
    shown, html = show(tmp_path, console=QUIET), page.render([page.part_of(found, "key")])
    for each in (main, other):
        mean, deviation = sum(each.seeds) / 3, stdev(each.seeds)
        low, high = (f"{mean + sign * 4.303 * deviation / 3**0.5:+.1f}" for sign in (-1, 1))
        seeds = ", ".join(f"{seed:+.1f}" for seed in each.seeds)
        every = f"{each.every.mean:+.1f} [{each.every.low:+.1f}, {each.every.high:+.1f}]"
        remains = " ‡" * each.every_remains
        assert f"| {each.contrast.name} | {every}{remains} | {seeds} | [{low}, {high}] |" in shown
        assert minus(f'{seeds}<span class="under">[{low}, {high}]</span>') in html
        if each is main:
            line = f"By seed: {seeds} (t interval [{low}, {high}]); "
            for said in (shown, " ".join(brief(found, "").split()), html):
                assert line in said and "t interval over the seeds [" not in said
            line = f"{main.contrast.name}: {every}, t interval over the seeds [{low}, {high}]."
            changed = replace(found, sentences=("Another difference.",))
            html_of_changed = page.render([page.part_of(changed, "key")])
            for said in (markdown(changed), " ".join(brief(changed, "").split()), html_of_changed):
                assert line in said or minus(line) in said
    made_up(tmp_path / "one", {BASE: (0.8, 0.8), OPPONENT: (0.7, 0.7)}, seeds=1)
    assert "t interval" not in show(tmp_path / "one", console=QUIET)


def test_what_only_the_bootstrap_finds_is_marked(tmp_path: Path) -> None:
    """Where the t interval over the seeds contains 0: in the sentence, in the tables and on the page."""
    made_up(tmp_path, {BASE: (0.8, 0.8), OPPONENT: (0.7, 0.7)})
    found = findings(tmp_path)
    (main,) = found.comparisons
    assert main.every.low > 0 and main.significant == 1 and not main.by_bootstrap_alone and " *" not in markdown(found)
    assert main.main_measure_seeds == main.learned_seeds
    assert sum(main.learned_seeds) / 3 == pytest.approx(main.main_measure.mean)
    wide = (0.1, 30.0, 1.0)
    alone = replace(main, seeds=wide, learned_seeds=wide)
    told, html = sentence(alone), page.render([page.part_of(replace(found, comparisons=(alone,)), "key")])
    assert alone.by_bootstrap_alone and alone.significant == 0
    assert "which contains 0); " in told and "contains 0" not in sentence(main)
    assert f"{BASE} and {OPPONENT} do not differ significantly: {gain_of(alone.every)} points" in told
    assert "bootstrap" not in sentence(main)
    assert html.count("]</span> *</td>") == 2 and "</span> *" not in page.render([page.part_of(found, "key")])
    assert f"<span>{minus(gain_of(alone.every))}</span> *</td>" in html  # not bold
    assert f'<span class="sure">{minus(gain_of(main.every))}</span></td>' in page.render([page.part_of(found, "key")])
    said = markdown(replace(found, comparisons=(alone,)))
    gains = [f"{gain.mean:+.1f} [{gain.low:+.1f}, {gain.high:+.1f}]" for gain in (main.every, main.cells[0].points)]
    assert f"| {gains[0]} * | +0.1, +30.0, +1.0 | [" in said and "*: by the bootstrap interval alone" in said
    assert f"| {gains[1]} ‡ |" in said
    cell = replace(main.cells[0], seeds=wide, remains=False)
    changed = replace(found, comparisons=(replace(main, cells=(cell, *main.cells[1:])),))
    said, html = markdown(changed), page.render([page.part_of(changed, "key")])
    assert f"| {gains[1]} * |" in said and "*: by the bootstrap interval alone" in said
    assert f"<span>{minus(gains[1])}</span> *</td>" in html.partition(", task by task</summary>")[2]
    counted = JointVsSingle().sentences(changed)[1]
    assert "is better on 1 (1 more by bootstrap alone) and worse on none of the 2 tasks" in counted
    assert "(1 by" not in found.sentences[1]
    for only, words in (
        (replace(cell, points=Interval(0.1, -1.0, 1.0)), "neither better nor worse"),
        (cell, "neither better nor worse"),  # by the t interval
        (main.cells[0], "better"),
    ):
        changed = replace(found, comparisons=(replace(main, cells=(only,)),))
        assert f" is {words} on the only task that single-task models (" in JointVsSingle().sentences(changed)[1]
    compared = {"a": main, "b": alone, "c": alone}
    assert uncertain(compared, 1, "better") == "; b, c are better by the bootstrap alone"
    assert uncertain(compared, -1, "worse") == uncertain({"a": main}, 1, "better") == ""


def test_counts_of_two_seeds_are_qualified(tmp_path: Path) -> None:
    for seeds in (2, 3):
        made_up(tmp_path / str(seeds), {BASE: (0.8, 0.8), OPPONENT: (0.7, 0.7)}, seeds=seeds)
        said = " ".join(findings(tmp_path / str(seeds)).sentences)
        assert ("in all) learn, by intervals of two seeds." in said) == (seeds == 2)
        assert ("in all) learn." in said) == (seeds == 3)


def test_what_is_printed_has_one_minus_sign(tmp_path: Path) -> None:
    """That of ASCII, in sentences and in tables."""
    made_up(tmp_path, {BASE: (0.2, 0.2), OPPONENT: (0.1, 0.1)})
    found = findings(tmp_path)
    for said in (markdown(found), brief(found, "")):
        assert "-" in said and "Every model lies below" in said and "\u2212" not in said


def test_the_lead_and_the_scores_of_every_seed_stand_beside_their_means(tmp_path: Path) -> None:
    made_up(tmp_path, {BASE: (0.8, 0.8), OPPONENT: (0.7, 0.7)})
    found = findings(tmp_path)
    (main,) = found.comparisons
    scores, leads = [f"{each:.1f}" for each in found.closed_seeds[BASE]], [f"{lead:+.1f}" for lead in main.seeds]
    low_high = f" (t interval {spread(main.seeds)})"
    seeds = f"By seed: {', '.join(leads)}{low_high}; {main.between:.0f}% of the variance comes from the seeds."
    html = page.render([page.part_of(found, "key")])
    for said in (show(tmp_path, console=QUIET), " ".join(brief(found, "").split())):
        assert f"learned. {seeds}" in said
    assert f'learned.</blockquote>\n<p class="gloss">{minus(seeds)} {multiple.told(found)}</p>' in unescape(html)
    assert f"| {BASE} | {' | '.join(scores)} |" in markdown(found)
    limits = html.partition('<ul class="notice"')[2].partition("</ul>")[0]
    assert "Whether the runs had converged" in limits and "Searches of learning rates" not in html
    made_up(tmp_path / "one", {BASE: (0.8, 0.8), OPPONENT: (0.7, 0.7)}, seeds=1)
    one = findings(tmp_path / "one")
    assert "by seed" not in brief(one, "").lower()
    assert "With one seed, the spread" in page.render([page.part_of(one, "key")])
    made_up(tmp_path / "some", {BASE: (0.8, 0.9), OPPONENT: (0.7, 0.4)})
    assert ". By seed, all tasks: +" in findings(tmp_path / "some").sentences[0]


def test_a_task_that_one_seed_has_not_learned_is_named_though_it_is_learned_on_average(tmp_path: Path) -> None:
    """By the rule of *learned*, within the seed; above the baseline, but not above shuffled images, is not learned."""
    made_up(tmp_path, {"stop-and-go": (0.7, 0.8), "single-longer": (0.6, 0.9)}, seeds=5)
    assert not doubts(findings(tmp_path))
    lost = {5: {"values": [0.4] * 400}, 7: {"values": [0.0, 1.0] * 200, "shuffled_values": [0.5] * 400}}
    for seed in range(3, 8):
        file = result_file(tmp_path, seed, "single-longer", "vqa")
        shuffled = {"shuffled": 20.0, "shuffled_values": [0.0] * 400} | lost.get(seed, {})
        file.write_text(json.dumps(json.loads(file.read_text()) | shuffled))
    found = findings(tmp_path)
    told = "Learned on average, but not in every seed by itself: VQA (single-longer in seeds 5 and 7)."
    scores = found.rows[0].scores["single-longer"]
    assert scores.learned and scores.learned_seeds == (True, True, False, True, False)
    assert told in doubts(found) and told in markdown(found) and told in " ".join(brief(found, "").split())
    assert told in page.render([page.part_of(found, "key")])
    assert found.rows[1].scores["single-longer"].learned_seeds == (True,) * 5
    for score in (replace(scores, learned=False), replace(scores, learned_seeds=(True,) * 5)):
        row = replace(found.rows[0], scores={**found.rows[0].scores, "single-longer": score})
        assert told not in doubts(replace(found, rows=(row,)))
    table = scores_by_seed(found).splitlines()
    assert table[0] == "| score by seed, official metric | task | 3 | 4 | 5 | 6 | 7 |"
    assert table[2] == "| best baseline | VQA | 40.0 | 40.0 | 40.0 | 40.0 | 40.0 |" and len(table) == 2 + 2 * 3
    assert table[4].startswith("| single-longer | VQA | ") and table[4].endswith(" | 50.0 |") and "| 40.0 |" in table[4]
    assert scores_by_seed(found) in markdown(found)
    assert page.html_of(scores_by_seed(found)) in page.render([page.part_of(found, "key")])
    (one := tmp_path / "one").mkdir()
    made_up(one, {"stop-and-go": (0.7, 0.8), "single-longer": (0.6, 0.9)}, seeds=1)
    found = findings(one)
    assert found.rows[0].scores["stop-and-go"].learned_seeds == () and not scores_by_seed(found)
    text = markdown(found) + page.render([page.part_of(found, "key")])
    assert "score by seed, official" not in text and "Scores by seed" not in text


def test_scores_on_training_examples_stand_beside_those_of_validation(tmp_path: Path) -> None:
    made_up(tmp_path / "old", {BASE: (0.8, 0.8), OPPONENT: (0.7, 0.7)})
    assert not by_training(findings(tmp_path / "old"))  # an earlier version did not measure them
    fit = {"on_training_examples": 0.95, "training_examples": 56, "examples": {"vqa": 140, "nlvr2": 112}}
    made_up(tmp_path / "new", {BASE: (0.8, 0.8), OPPONENT: (0.7, 0.7)}, also={**fit, "validation": 0.6})
    found = findings(tmp_path / "new")
    table = by_training(found)
    assert f"| VQA | {BASE} | 2.5 | 95.0 | 60.0 | 35.0 | 95.0, 95.0, 95.0 |" in table
    assert f"| NLVR2 | {OPPONENT} | 2.0 | 95.0 |" in table
    assert table in markdown(found) and page.html_of(table) in page.render([page.part_of(found, "key")])


def test_notes_stand_after_the_answer_and_nothing_of_them_is_a_tag(tmp_path: Path) -> None:
    made_up(tmp_path, {BASE: (0.8, 0.8), OPPONENT: (0.7, 0.7)})
    assert "Note: " not in show(tmp_path, console=QUIET)
    (tmp_path / "notes.md").write_text("The rates\nwere <b>not</b> searched.\n \n\nNor \x1b[31mthe seeds.\n")
    found, screen = findings(tmp_path), io.StringIO()
    assert found.notes == ("The rates were <b>not</b> searched.", "Nor \x1b[31mthe seeds.")
    said = show(tmp_path, console=Console(file=screen))
    answer, note = (
        f"{found.sentences[-1]}\n\n",
        "Note: The rates were &lt;b&gt;not&lt;/b&gt; searched.\n\nNote: Nor",
    )
    assert answer + note in said and "\x1b" not in screen.getvalue()
    shown = " ".join(screen.getvalue().split())
    assert "learn. - Note: The rates were <b>not</b> searched. - Note: Nor" in shown
    html = page.render([page.part_of(found, "key")])
    assert "<li>The rates were &lt;b&gt;not&lt;/b&gt; searched.</li>" in html
    (tmp_path / "notes.md").write_text("The first.\n\nWarning: The lead\nis gone.\n")
    found = findings(tmp_path)
    assert (found.warned, found.notes) == (("The lead is gone.",), ("The first.",))
    assert show(tmp_path, console=QUIET).index("The lead is gone.") < show(tmp_path, console=QUIET).index(answer)
    assert '<p class="notice first">Warning: The lead is gone.</p>' in page.render([page.part_of(found, "key")])
    (tmp_path / "notes.md").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"notes\.md cannot be read: .* -> write plain sentences in it, or .*: rm "):
        findings(tmp_path)


def test_groups_are_compared_on_their_own_tasks(tmp_path: Path) -> None:
    tasks = ("vqa", "refcoco", "snli_ve")  # three groups
    alone = {"answering": (0.6,), "pointing": (0.6,), "verification": (0.4,)}
    pairs = {
        "answering+pointing": (0.8, 0.5),
        "answering+verification": (0.6, 0.9),
        "pointing+verification": (0.6,) * 2,
    }
    made_up(tmp_path, {"all": (0.7, 0.7, 0.7)} | alone | pairs, study="groups", tasks=tasks)
    found = findings(tmp_path)
    helped, hurt = (found.comparison("answering+pointing", name) for name in ("answering", "pointing"))
    assert helped is not None and [cell.task for cell in helped.cells] == ["vqa"] and helped.main_measure.low > 0
    assert hurt is not None and hurt.main_measure.high < 0
    unlearned = found.comparison("answering+verification", "verification")
    assert unlearned is not None and unlearned.learned is None
    rest = found.comparison("all", "answering+pointing")
    assert rest is not None and [cell.task for cell in rest.cells] == ["vqa", "refcoco"]
    assert found.closed["answering"].mean == pytest.approx(100 / 3, abs=5)
    counted, only, lost, more, ranged = found.sentences[:5]
    assert lost.startswith("What the other tasks gain from each group, in points of normalised score: ")
    assert more.startswith("They gain more from answering than from verification (+")
    learned_with = "verification in 3 of 3 models (with answering +"
    assert only.startswith(f"Not learned alone, but learned with others: {learned_with}") and only.count(", with ") == 2
    assert ", with pointing +" in only and ", with all others +" in only
    assert counted.startswith("A group that is learned alone gains from others that train with it in ")
    assert " of 6 comparisons, and loses in 1. " in counted
    assert "of answering when it is trained with pointing" in ranged
    by_none = replace(unlearned, cells=tuple(replace(cell, by_none=True) for cell in unlearned.cells))
    others = tuple(by_none if each is unlearned else each for each in found.comparisons)
    told = Groups().sentences(replace(found, comparisons=others))[1]
    assert "with answering" not in told and told.count(", with ") == 1
    assert "others: verification in 2 of 2 models with pointing, in 0 of 1 without it (with pointing +" in told
    pairs_only = tuple(each for each in found.comparisons if each.contrast.arm != "all" and each is not unlearned)
    told = Groups().sentences(replace(found, comparisons=pairs_only))[1]
    assert told.startswith("Not learned alone, but learned with others: verification in 1 of 1 model (with pointing +")
    unknown = replace(found, comparisons=tuple(replace(each, learned=None) for each in found.comparisons))

    def widened(each: Comparison) -> Comparison:
        return replace(each, cells=tuple(replace(cell, seeds=(0.1, 30.0, 1.0)) for cell in each.cells))

    alone = tuple(widened(each) if each.learned is not None else each for each in found.comparisons)
    told = Groups().sentences(replace(found, comparisons=alone))[0]
    assert " train with it in none of 6 comparisons, and loses in none; " in told
    assert (
        told.endswith("gains and 1 loss are shown by the bootstrap alone, thus not significant.") and "more" not in told
    )
    one = tuple(widened(each) if each is hurt else each for each in found.comparisons)
    told = Groups().sentences(replace(found, comparisons=one))[0]
    counted, _, named = told.partition(" The gains, in points of the official metric: ")
    assert counted.endswith(" and loses in none; 1 loss is shown by the bootstrap alone, thus not significant.")
    assert named.startswith("answering when it is trained with pointing (+") and named.count("; ") == 2
    assert Groups().sentences(unknown)[1:] == ["No group learns alone, so nothing is compared."]
    untrained = replace(found, comparisons=(rest,))
    assert Groups().sentences(untrained) == ["No group was trained alone, so nothing is compared."]
    only = "In the only comparison of a group that is learned alone, it"
    level = replace(hurt, learned_points=Interval(0.0, -1.0, 1.0))
    for each, shows in ((helped, "gains from"), (hurt, "loses by"), (level, "neither gains from nor loses by")):
        told = Groups().sentences(replace(found, comparisons=(each,)))[0]
        assert told.startswith(f"{only} {shows} others that train with it.")
    two = Groups().sentences(replace(found, seeds=(3, 4)))[0].partition(" The gains")[0]
    assert two.endswith("and loses in 1, by intervals of two seeds.")


def test_without_an_upper_bound_all_can_be_right_and_a_task_without_room_is_left_out(tmp_path: Path) -> None:
    scores = {BASE: (0.7, 0.7), OPPONENT: (0.7, 0.7)}
    made_up(tmp_path / "none", scores, upper_bound=None)
    assert findings(tmp_path / "none").rows[0].upper_bound == 100
    made_up(tmp_path, scores)
    path = result_file(tmp_path, 3, BASE, "nlvr2")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"upper_bound": 40.0}))
    found = findings(tmp_path)
    assert [row.name for row in found.rows] == ["vqa"] and list(found.left_out) == ["NLVR2, accuracy"]
    assert "NLVR2, accuracy is not counted" in show(tmp_path, console=QUIET)


def test_what_is_incomplete_is_named_and_other_examples_refused(tmp_path: Path) -> None:
    made_up(tmp_path, {BASE: (0.7, 0.7), OPPONENT: (0.7, 0.7)})
    result_file(tmp_path, 4, OPPONENT, "vqa").unlink()
    assert "Not complete, and not counted: seed 4." in show(tmp_path, console=QUIET)
    path = result_file(tmp_path, 5, OPPONENT, "vqa")
    tree = json.loads(path.read_text())
    path.write_text(json.dumps(tree | {"groups": tree["groups"][::-1]}))
    with pytest.raises(DataError, match="other examples"):
        show(tmp_path, console=QUIET)
    path.unlink()
    result_file(tmp_path, 3, OPPONENT, "vqa").unlink()
    assert "not counted: the arm single-longer." in show(tmp_path, console=QUIET)
    (tmp_path / plans.FILE).write_text('{"plan": {"arms": 1}}')
    with pytest.raises(DataError, match=plans.FILE):
        show(tmp_path, console=QUIET)
    with pytest.raises(DataError, match="no study here"):
        show(tmp_path / "nowhere", console=QUIET)
