"""What a study says of models that have not learned, before its answer, and of those of which this is in doubt, after
it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from twelve.metrics.bootstrap import Interval
from twelve.progress import enumerated
from twelve.study.cells import gain_of
from twelve.study.finding_types import Findings, Row
from twelve.study.report.beside import short

ABOVE = 0.5
"""Points above the best baseline from which on a score with shuffled images is told."""


def warnings(found: Findings) -> tuple[str, ...]:
    """Sentences that stand before the answer: those that somebody wrote, and on models and tasks that are not above the
    best baseline."""
    return (*(f"Warning: {note}" for note in found.warned), *_warnings(found))


def doubts(found: Findings) -> tuple[str, ...]:
    """Sentences on tasks that count as learned: by the bootstrap interval alone; not in every seed by itself; and by a
    model that is above the best baseline with shuffled images too, because the baselines are those of another arm."""
    weakly: dict[str, list[str]] = {}
    text: list[str] = []
    compared = {judge for each in found.comparisons for judge in each.contrast.judges}
    for row in found.rows:
        for arm, score in row.scores.items():
            if arm not in compared or not score.learned:
                continue
            if score.learned_by_bootstrap_alone:
                weakly.setdefault(short(found, row.name), []).append(arm)
            if score.shuffled is not None and score.shuffled >= row.baseline + ABOVE:
                text.append(
                    f"{arm} {score.shuffled:.1f} on {short(found, row.name)} (best baseline {row.baseline:.1f})"
                )
    told = list[str]()
    if weakly:
        named = "; ".join(f"{task} ({', '.join(arms)})" for task, arms in weakly.items())
        told.append(f"Learned by the bootstrap alone, not by the t interval over the seeds: {named}.")
    told += _in_some_seeds(found)
    if text:
        told.append(
            f"With shuffled images, these score above the best baseline: {'; '.join(text)}. This part of their lead "
            "does not come from the image."
        )
    return tuple(told)


def _in_some_seeds(found: Findings) -> Iterator[str]:
    """Which compared arms have learned a task on average, but not in every seed by itself."""
    compared, parts = {arm for each in found.comparisons for arm in each.contrast.arms}, list[str]()
    for row in found.rows:
        named = []
        for arm, score in row.scores.items():
            lost = [str(seed) for seed, own in zip(found.seeds, score.learned_seeds, strict=False) if not own]
            if arm in compared and score.learned and lost:
                named.append(f"{arm} in seed{'s' * (len(lost) > 1)} {enumerated(lost)}")
        if named:
            parts.append(f"{row.short} ({', '.join(named)})")
    if parts:
        yield f"Learned on average, but not in every seed by itself: {'; '.join(parts)}."


def _warnings(found: Findings) -> Iterator[str]:
    means = {arm.name: found.closed[arm.name] for arm in found.arms}
    if means and all(mean.low <= 0 for mean in means.values()):
        below = all(mean.high < 0 for mean in means.values())
        subject = "Every model lies below" if below else "No model is significantly above"
        told = ", ".join(f"{name} {gain_of(mean)}" for name, mean in means.items())
        yield (
            f"{subject} the best baselines, on average over its tasks (normalised score, 0: the best baseline): "
            f"{told}. The differences here are between models that have not learned: they do not say which way of "
            "training is better."
        )
    unlearned = [row for row in found.rows if row.scores and not any(score.learned for score in row.scores.values())]
    if unlearned:
        names = [short(found, row.name) for row in unlearned]
        worse = [
            name
            for row, name in zip(unlearned, names, strict=True)
            if all(_below(score.score, row.baseline) for score in row.scores.values())
        ]
        some = f" On {', '.join(worse)}, every model is significantly below the best baseline." if worse else ""
        yield (
            f"{', '.join(names)} ({len(unlearned)} of {len(found.rows)} tasks): no model is significantly above "
            f"{_not_exceeded(found, unlearned)}, so a difference is neither a gain nor a loss.{some}"
        )


def _not_exceeded(found: Findings, unlearned: Sequence[Row]) -> str:
    """What no model exceeds on these tasks: the best baseline, by its name; and its own score with shuffled images,
    where a model exceeds the baseline alone. With the tasks, where it is not the same on all."""
    tasks: dict[str, list[str]] = {}
    for row in unlearned:
        what = max(row.baselines, key=row.baselines.__getitem__, default="none")
        if any(score.closed.low > 0 for score in row.scores.values()):
            what += " and its own score with shuffled images"
        tasks.setdefault(what, []).append(short(found, row.name))
    if len(tasks) == 1:
        return f"the best baseline ({next(iter(tasks))})"
    told = (f"{', '.join(names)}: {what}" for what, names in tasks.items())
    return f"the best baseline ({'; '.join(told)})"


def _below(score: Interval, baseline: float) -> bool:
    return score.high < baseline
