"""The findings of a study, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from twelve.metrics.bootstrap import Interval
from twelve.progress import clock, counted, with_sign
from twelve.study import base_model, multiple
from twelve.study.bootstrap import by_bootstrap_alone, sign
from twelve.study.cells import MARK, REMAINS, UNCOUNTED, gain_of, plain, spread, table
from twelve.study.converged import convergence, unconverged
from twelve.study.costs import lengths
from twelve.study.equal_updates import by_updates
from twelve.study.finding_types import Comparison, Findings, Row, Score
from twelve.study.identical import same_scores
from twelve.study.losses import meaning
from twelve.study.memorised import by_training
from twelve.study.pooled import by_pooling
from twelve.study.report.unlearned import doubts, warnings
from twelve.study.tables import OWN
from twelve.study.trunk_rates import rates_differ, trunk_rates, written
from twelve.study.unseen import by_part

NOT_LEARNED = "not learned"
SHARES = (50, 70, 80, 90, 95, 97, 99, 100)
COVERAGE = {
    3: (98.5, 93.5, 89.8, 83.7, 80.0, 78.5, 76.2, 75.0),
    5: (98.7, 95.8, 93.8, 90.7, 89.3, 88.2, 87.5, 87.1),
}
"""Number of seeds -> how often 95% bootstrap intervals contain the true value, per cent, for each of :data:`SHARES` of
the variance that come from the seeds; from benchmarks/interval_coverage.py."""
NUMBERS = {3: "three", 5: "five"}
T_COVERAGE = 95
"""The same of t intervals over the seeds, for each of these numbers and shares: 94 to 96."""
LEAST_COVERAGE = 92
"""Coverage, per cent, below which the seeds are said to be few: at a share of 75% for three, and 86% for five."""
ALONE = "*: by the bootstrap interval alone, and not significant: the t interval over the seeds contains 0."
"""What the mark says."""
WHY_UNCOUNTED = (
    "†: not counted: most of its tasks are learned by none of its arms, the subtracted arm learned none, or a warning "
    "says why."
)
"""What that says."""


def markdown(found: Findings) -> str:
    """The whole page."""
    parts = [
        f"**{found.question}**" if found.question else "",
        *said_first(found),
        " ".join(found.sentences) or "There is nothing to compare.",
        over_seeds(found) or "",
        *(f"Note: {escape(note, quote=False)}" for note in found.notes),
        *same_scores(found),
        " ".join(doubts(found)),
        " ".join(filter(None, [no_search(found), *rates_differ(found), *lengths(found)])),
        _who(found),
        origins(found) or "",
        _titled("Arms", _arms(found)),
        _titled("Differences, means over the tasks", _contrasts(found)),
        _titled(OWN, "\n\n".join(found.sections)),
        _titled("Differences on each task", _differences(found)),
        _titled("Differences on each task, by seed", _by_task(found)),
        _titled("Differences on seen and unseen examples", by_part(found)),
        _titled("Differences at equal updates", by_updates(found)),
        _titled("Pooled over arms (added afterwards; assumes equal variance)", by_pooling(found)),
        _titled("Scores", _scores(found)),
        _titled("Scores by seed", scores_by_seed(found)),
        _titled("Scores on training examples", by_training(found)),
        _titled("Gain from the correct image", _looking(found)),
        _titled("Convergence", "\n\n".join(filter(None, [convergence(found), unconverged(found)]))),
        _titled("Normalised scores by seed", _seeds(found)),
        _titled("Searches of learning rates", _rates(found)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _titled(title: str, part: str) -> str:
    """A part of the page under its heading, from which its first table has its title (tables.py); empty if it is."""
    return part and f"## {title}\n\n{part}"


def _who(found: Findings) -> str:
    plan = found.plan
    several = len(found.seeds) > 1
    own = "its own microworld and models" if plan.worlds else "its own models" + ", on the same data" * several
    lines = [
        f"{counted(len(found.seeds), 'seed')} ({', '.join(map(str, found.seeds))}), {'each ' * several}with {own}.",
        "Differences have two-level bootstrap intervals of 95%.",
    ]
    if (few := few_seeds(found)) is not None:
        lines.append(few)
    if (missing := incomplete(found)) is not None:
        lines.append(missing)
    lines += [f"{title} is not counted: {why}." for title, why in found.left_out.items()]
    return " ".join(lines)


def incomplete(found: Findings) -> str | None:
    """Which arms and seeds are not complete; None if all are."""
    return f"Not complete, and not counted: {', '.join(found.missing)}." if found.missing else None


def said_first(found: Findings) -> list[str]:
    """What is said before the answer: which models and tasks have not learned, and what all arms begin with."""
    return [*warnings(found), *filter(None, [base_model.told(found.plan)])]


def no_search(found: Findings) -> str | None:
    """That no learning rate was searched; None if one was."""
    searched = any(arm.rates.searches(model) for arm in found.arms for model in arm.models)
    return None if searched else "No learning rate was searched."


def origins(found: Findings) -> str | None:
    """That the results come from several commits or processors, and from which; None if they do not."""
    commits = [commit[:12] + "+" * (len(commit) > 12 and commit.endswith("+")) for commit in found.commits]
    told = [
        f"{counted(len(names), kind)} ({', '.join(names)})"
        for kind, names in (("commit", commits), ("processor", found.processors))
        if len(names) > 1
    ]
    return f"The results come from {' and '.join(told)}." if told else None


def over_seeds(found: Findings) -> str | None:
    """The first difference with both of its intervals; None without one, where the t interval is not known, and where
    the sentences say what the t intervals of those that count contain."""
    told = " ".join(found.sentences)
    for each in found.comparisons[:1]:
        if (low_high := spread(each.seeds)) and "t interval" not in told and "by the bootstrap alone" not in told:
            return f"{each.contrast.name}: {gain_of(each.every)}, t interval over the seeds {low_high}."
    return None


def few_seeds(found: Findings, *, short: bool = False) -> str | None:
    """What too few seeds leave unknown; None if there are enough.

    Args:
        short: leave it out where the sentences have the share of the variance, and with it the t interval.
    """
    if len(found.seeds) == 1:
        return (
            "With one seed, the spread between seeds is not known: the intervals hold for these models only, not for "
            "others trained in the same way."
        )
    if len(found.seeds) == 2:
        return "With two seeds, the spread between seeds is hardly known: the intervals may be much too narrow."
    most = max((each.between or 0 for each in found.comparisons), default=0)
    if len(found.seeds) not in COVERAGE:
        return None
    # Of the share as it is shown, and a half is rounded up: the same numbers as in docs/study-scores.md.
    covered = float(np.interp(round(most), SHARES, COVERAGE[len(found.seeds)]))
    if covered >= LEAST_COVERAGE:
        return None
    covered = math.floor(covered + 0.5)
    share = f"{most:.0f}% of the variance"
    if short and f"{share} comes from the seeds" in " ".join(found.sentences):
        return None
    of = "of a difference" if len(found.comparisons) > 1 else "of the difference"
    return (
        f"{'Up to ' * (len(found.comparisons) > 1)}{share} {of} comes from the {NUMBERS[len(found.seeds)]} seeds: in "
        f"simulated studies with this share, 95% bootstrap intervals contain the true value only about {covered}% "
        f"of the time, and t intervals over the seeds about {T_COVERAGE}%."
    )


def short_limits(found: Findings) -> list[str]:
    """What limits the findings but their notes and convergence; empty if nothing does."""
    rates = " ".join(filter(None, [no_search(found), *rates_differ(found)]))
    told = [*same_scores(found), *doubts(found), rates, over_seeds(found), multiple.told(found, short=True)]
    told += [few_seeds(found, short=True), *lengths(found)]
    return [each for each in told if each]


def _arms(found: Findings) -> str:
    rows = []
    for arm in found.arms:
        cost = found.costs[arm.name]
        examples = "not recorded" if cost.examples is None else f"{cost.examples:,.0f}"
        processor = "not recorded" if cost.processor_seconds is None else clock(cost.processor_seconds)
        rows.append(
            [
                arm.name,
                meaning(arm),
                plain(found.closed[arm.name]),
                f"{cost.models}",
                f"{cost.parameters / 1e6:.2f}",
                written(trunk_rates(found.plan, arm)),
                f"{cost.updates:,.0f}",
                f"{cost.updates / cost.models:,.0f}",
                *([examples] if found.batches_differ else []),
                clock(cost.seconds),
                processor,
                f"{cost.search_updates:,}" if cost.search_updates else "",
            ]
        )
    header = ["arm", "meaning", "normalised score", "models", "parameters, M"]
    header += ["trunk's rate" + ", before the search" * bool(found.searches), "updates", "updates per model"]
    header += [*(["examples"] if found.batches_differ else []), "training", "processor", "search, updates"]
    return table(header, rows)


def _contrasts(found: Findings) -> str:
    """The means over the tasks of each contrast."""
    rows, several = [], len(found.seeds) > 1
    for each in found.comparisons:
        unlearned = [cell.task for cell in each.cells if not cell.learned]
        by_seed = [", ".join(map(with_sign, each.seeds)), spread(each.seeds)]
        rows.append(
            [
                each.contrast.name,
                _of_all(each),
                *(by_seed if several else []),
                gain_of(each.image_free),
                NOT_LEARNED if each.learned is None else _marked(each.learned, each.learned_seeds),
                NOT_LEARNED if each.learned_points is None else _marked(each.learned_points, each.learned_points_seeds),
                ", ".join(unlearned),
            ]
        )
    header = [
        "difference",
        "normalised score, all tasks",
        *(["by seed", "t interval over the seeds"] if several else []),
        "the same, baselines without a model",
        "normalised score, learned tasks",
        "official metric, learned tasks",
        NOT_LEARNED,
    ]
    if not rows:
        return ""
    marks = [ALONE] * any(_is_marked(each) for each in found.comparisons)
    marks += [WHY_UNCOUNTED] * any(_of_all(each).endswith(UNCOUNTED) for each in found.comparisons)
    told = [" ".join([*marks, "Baselines without a model: not marked."])] if marks else []
    return "\n\n".join([table(header, rows), *told])


def _of_all(comparison: Comparison) -> str:
    """The mean over all tasks, marked where it is not significant in spite of its bootstrap interval."""
    if comparison.uncounted:
        return gain_of(comparison.every) + UNCOUNTED * (sign(comparison.every) != 0)
    return _marked(comparison.every, comparison.seeds) + REMAINS * comparison.every_remains


def _is_marked(comparison: Comparison) -> bool:
    """Whether a table marks the difference, or that of a task."""
    cells = [(cell.points, cell.seeds) for cell in comparison.cells if cell.learned]
    if comparison.learned_points is not None:
        cells.append((comparison.learned_points, comparison.learned_points_seeds))
    means = comparison.every_by_bootstrap_alone or comparison.by_bootstrap_alone
    return means or any(by_bootstrap_alone(*each) for each in cells)


def _marked(gain: Interval, seeds: Sequence[float]) -> str:
    return gain_of(gain) + MARK * by_bootstrap_alone(gain, seeds)


def _differences(found: Findings) -> str:
    """Differences of the official metric for each contrast, task by task."""
    if not found.comparisons:
        return ""
    rows = [[each.contrast.name, *(_of_task(each, row.name) for row in found.rows)] for each in found.comparisons]
    differences = table(["difference, official metric", *(row.title for row in found.rows)], rows)
    return "\n\n".join(filter(None, [differences, multiple.told(found)]))


def _by_task(found: Findings) -> str:
    """The same differences by seed, with the t interval over the seeds; empty for one seed."""
    rows = [
        [each.contrast.name, row.title, ", ".join(map(with_sign, cell.seeds)), spread(cell.seeds)]
        for each in found.comparisons
        for cell in each.cells
        if (row := found.row(cell.task)) is not None
    ]
    header = ["difference, official metric", "task", "by seed", "t interval over the seeds"]
    return table(header, rows) if rows and len(found.seeds) > 1 else ""


def _of_task(comparison: Comparison, task: str) -> str:
    cell = next((cell for cell in comparison.cells if cell.task == task), None)
    if cell is None:
        return ""
    if cell.learned:
        return _marked(cell.points, cell.seeds) + REMAINS * cell.remains
    return f"{NOT_LEARNED} ({with_sign(cell.points.mean)})"


def _scores(found: Findings) -> str:
    """The score of every arm and, in brackets, that with shuffled images."""

    def said(score: Score | None) -> str:
        if score is None:
            return ""
        return f"{score.score.mean:.1f}" + ("" if score.shuffled is None else f" ({score.shuffled:.1f})")

    names = [arm.name for arm in found.arms]
    rows = [
        [
            f"{row.title}, {row.metric}",
            f"{row.baseline:.1f}",
            f"{row.upper_bound:.1f}",
            *(said(row.scores.get(name)) for name in names),
        ]
        for row in found.rows
    ]
    return table(["task: score (with shuffled images)", "baseline", "upper bound", *names], rows)


def scores_by_seed(found: Findings) -> str:
    """For each task, the best baseline and the score of every arm, by seed; empty for one seed."""
    if len(found.seeds) == 1:
        return ""
    rows = []
    for row in found.rows:
        rows.append(["best baseline", row.title, *(f"{each:.1f}" for each in row.baseline_seeds)])
        for arm, score in row.scores.items():
            rows.append([arm, row.title, *(f"{each:.1f}" for each in score.seeds)])
    return table(["score by seed, official metric", "task", *map(str, found.seeds)], rows)


def _looking(found: Findings) -> str:
    """How much of each score comes from the correct image."""
    names = [arm.name for arm in found.arms]
    rows = [[row.title, *(_looked(row, name) for name in names)] for row in found.rows]
    if not any(any(row[1:]) for row in rows):
        return "Scores with shuffled images were not recorded for every arm."
    return table(["score minus that with shuffled images", *names], rows)


def _looked(row: Row, arm: str) -> str:
    score = row.scores.get(arm)
    return "" if score is None or score.looking is None else gain_of(score.looking)


def _seeds(found: Findings) -> str:
    header = ["normalised score, by seed", *(str(seed) for seed in found.seeds)]
    return table(header, [[arm, *(f"{value:z.1f}" for value in each)] for arm, each in found.closed_seeds.items()])


def _rates(found: Findings) -> str:
    if not found.searches:
        return ""
    factors = sorted({factor for each in found.searches for factor in each.validations})
    shares = {arm.rates.share for arm in found.arms if len(arm.rates.factors) > 1}
    of = " or ".join(f"{share:.0%}" for share in sorted(shares))
    said = f"Learning rates, by the mean validation score (%) of runs of {of} of the length, "
    said += f"seed {found.plan.seeds[0]}."
    rows, at = list[list[str]](), list[str]()
    for each in found.searches:
        name = found.plan.arm(each.arm).key(each.model)
        at += [name] * each.at_edge
        shown = ["diverged" if score is None else f"{score:.1f}" for score in map(each.validations.get, factors)]
        rows.append([name, *shown, f"{each.chosen:g}"])
    if at:
        said += f" At the edge of the grid: {', '.join(at)}."
    return f"{said}\n\n" + table(["arm", *(f"x {factor:g}" for factor in factors), "chosen"], rows)
