"""Where a model is weak: the lowest parts over all tasks, with the number of their examples and their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from twelve.evaluation.compared import WORSE, compared, height, standing, unbeaten
from twelve.evaluation.parts import FEWEST_EXAMPLES, FEWEST_GROUPS
from twelve.evaluation.results import Baseline, ScoredPart, TaskResult, normalised
from twelve.metrics.bootstrap import Interval, wilson
from twelve.report import words
from twelve.report.gallery import HALF
from twelve.report.one_answer import ASKED
from twelve.report.reading import Run
from twelve.report.scores import LITTLE

SHOWN, PER_TASK, WORSE_PER_TASK = 9, 2, 4
"""Most parts that are listed, most of one task, and most of one task where they are worse than a baseline."""
LISTED = 100
"""Fewest examples of a part of a task that is listed: of many smaller ones, the lowest are low by chance. A smaller
one is listed if it is far below a baseline (see :func:`_failed`)."""
FEWEST_OF_ANSWER = 5
"""Fewest examples of a correct answer that is listed."""


@dataclass(frozen=True, slots=True)
class WeakPart:
    """A task, or a part of it, with a low score.

    Attributes:
        task, title: of the task.
        part: in words; "" for the whole task.
        score: per cent.
        normalised: place between the best baseline on these examples (0) and the task's upper bound (100).
        baseline: how it compares with that baseline, or with the best one that is not beaten, in words; "" if none was
            measured.
        beaten, worse: whether it is better than that, or worse; with neither, chance may decide.
        chance: whether its interval contains the score of its task, so that it may be low by chance.
    """

    task: str
    title: str
    part: str
    score: Interval
    examples: int
    normalised: float | None
    baseline: str
    beaten: bool = True
    worse: bool = False
    chance: bool = False


@dataclass(frozen=True, slots=True)
class Weak:
    """The lowest parts, the lowest first.

    Attributes:
        compared: number of parts that were compared.
        measured: whether they are official scores; else validation scores of a run that has not been evaluated.
        nothing: why no part is listed, in words; "" if there are some.
        by_answer: whether the parts are the correct answers of the only task, of which no other part is weak.
        without: sentences about the tasks that are left out because their score has no interval.
    """

    parts: Sequence[WeakPart]
    compared: int
    measured: bool
    nothing: str = ""
    by_answer: bool = False
    without: Sequence[str] = ()


def weak(run: Run) -> Weak:
    """The weakest parts of an evaluated run; else its lowest validation scores."""
    results = list(run.results.values())
    if not results:
        found = sorted(_validated(run), key=lambda each: each.score.mean)
        nothing = "Too few validation examples to tell." if run.history.scores else "Nothing has been measured yet."
        return Weak(found[:SHOWN], len(found), measured=False, nothing="" if found else nothing)
    results = [replace(result, title=run.task(result.task).title) for result in results]
    alone = len(results) == 1  # its score as a whole is that of the verdict
    without = [f"{result.title}: {result.interval_note}" for result in results if result.no_interval]
    wholes = [] if alone else [each for result in results for each in _whole(result)]
    candidates = [*wholes, *(each for result in results for each in low_parts(result))]
    kept, counts = list[WeakPart](), dict[str, int]()
    for each in sorted(candidates, key=_order):
        counts[each.task] = counts.get(each.task, 0) + 1
        if counts[each.task] <= (WORSE_PER_TASK if each.worse else PER_TASK):
            kept.append(each)
    if alone and not kept and (answers := _answers(run, results[0])):
        return Weak(answers[:SHOWN], len(answers), measured=True, by_answer=True, without=without)
    compared = len(wholes) + sum(len(_judged(result)) for result in results)
    nothing = (
        "No part is clearly weaker than its task as a whole."
        if compared or any(map(_told, results))
        else "Too few test examples to compare parts."
    )
    if not kept and alone and (told := _wrong(run, results[0])):
        nothing += f" {told}: see the wrong examples below."
    return Weak(kept[:SHOWN], compared, measured=True, nothing="" if kept else nothing, without=without)


def _wrong(run: Run, result: TaskResult) -> str:
    """How many examples are wrong, in words; "" if none is. Exactly where every prediction is recorded; a score alone
    does not tell, because an answer can be correct in part."""
    records = run.predictions.get(result.task, ())
    about, wrong = "About ", round(result.examples * (1 - result.score.mean / 100))
    if len(records) == result.examples:
        about, wrong = "", sum(record.right < HALF for record in records)
    return f"{about}{wrong:,} of {result.examples:,} {'is' if wrong == 1 else 'are'} wrong" if wrong else ""


def _order(each: WeakPart) -> tuple[float, float]:
    return each.score.mean if each.normalised is None else each.normalised, each.score.mean


def _answers(run: Run, result: TaskResult) -> list[WeakPart]:
    """The task's examples by those correct answers of which fewer are correct than of all, by one example at least, the
    lowest share first. If the score leaves little room, an answer is listed only if its whole interval is below that
    score. None if an answer is wrong only once, or if the confusions do not tell them all."""
    wrong, of = dict[str, int](), dict[str, int]()
    for each in result.confusions:
        of[each.wanted] = each.of
        wrong[each.wanted] = wrong.get(each.wanted, 0) + each.examples * (each.wanted != each.said)
    # Where many answers are confused, not all are kept; and an answer can be correct in part.
    if (
        result.groups < FEWEST_GROUPS
        or abs(sum(wrong.values()) - result.examples * (1 - result.score.mean / 100)) > 0.5
    ):
        return []
    asked = ASKED.get(run.task(result.task).kind, "examples")
    scores = {name: _wilson(1 - wrong[name] / of[name], of[name]) for name in of if of[name] >= FEWEST_OF_ANSWER}
    names = sorted(scores, key=lambda name: scores[name].mean)
    if not names or wrong[names[0]] < 2:
        return []
    return [
        WeakPart(
            result.task,
            result.title,
            words.with_answer(asked, name),
            scores[name],
            of[name],
            None,
            "",
            chance=scores[name].high >= result.score.mean,
        )
        for name in names
        # Rounded, because the difference is often a whole number but for the last digit.
        if round(of[name] * (result.score.mean - scores[name].mean) / 100, 3) >= 1
        and (_bound(result) - result.score.mean > LITTLE or scores[name].high < result.score.mean)
    ]


def _told(result: TaskResult) -> bool:
    """Whether the task was measured on enough examples to tell something."""
    return result.examples >= FEWEST_EXAMPLES and result.groups >= FEWEST_GROUPS and not result.no_interval


def _whole(result: TaskResult) -> Iterator[WeakPart]:
    """The task itself, unless its score says little."""
    if not _told(result):
        return
    best = unbeaten(result.baselines) or max(
        result.baselines.values(), key=lambda each: height(each.name, each.score), default=None
    )
    place = normalised(result.score.mean, [each.score for each in result.baselines.values()], _bound(result))
    yield WeakPart(result.task, result.title, "", result.score, result.examples, place, *_beside(best))


def low_parts(result: TaskResult) -> Iterator[WeakPart]:
    """The parts whose whole interval is below the score of their task."""
    for part in _judged(result):
        if part.score.high < result.score.mean:
            best = part.baseline
            place = None if best is None else normalised(part.score.mean, [best.score], _bound(result))
            name = words.part(part.kind, part.value)
            yield WeakPart(result.task, result.title, name, part.score, part.examples, place, *_beside(best))


def _beside(best: Baseline | None) -> tuple[str, bool, bool]:
    """How a score compares with a baseline, in words, whether it is better, and whether it is worse."""
    if best is None:
        return "", True, False
    stands = standing(best.advantage.low, best.advantage.high)
    return compared(best.name, best.score, stands), best.beaten, stands == WORSE


def _judged(result: TaskResult) -> list[ScoredPart]:
    return [part for part in result.parts if part.examples >= LISTED or _failed(part)]


def _failed(part: ScoredPart) -> bool:
    """Whether a part is so far below its baseline that chance does not explain it, though many parts are compared: the
    interval of the lead, twice as wide, is still below zero (four standard errors)."""
    if part.baseline is None:
        return False
    low, high = part.baseline.advantage.low, part.baseline.advantage.high
    return high + (high - low) / 2 < 0


def _bound(result: TaskResult) -> float:
    return 100.0 if result.upper_bound is None else result.upper_bound


def _wilson(share: float, count: int) -> Interval:
    """A share of ``count`` examples, per cent, with its interval."""
    found = wilson(share, count)
    return Interval(100 * share, 100 * found.low, 100 * found.high)


def _validated(run: Run) -> Iterator[WeakPart]:
    """The last validation score of each task."""
    for name, points in run.history.scores.items():
        count = run.validation_examples(name) or 0
        if name not in run.config.tasks or count < FEWEST_EXAMPLES:
            continue
        mean = min(1.0, max(0.0, points[-1][1]))
        yield WeakPart(name, run.task(name).title, "", _wilson(mean, count), count, None, "")
