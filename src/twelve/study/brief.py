"""The findings of a study on one screen: its question, the answer, what its notes say of it, and every arm's score."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from twelve.progress import WIDTH, counted
from twelve.study.cells import bounds
from twelve.study.converged import convergence
from twelve.study.finding_types import Findings, Row
from twelve.study.table import incomplete, said_first, short_limits

SCALE = "Normalised score: 0 best baseline, 100 upper bound."


def brief(found: Findings, page: str) -> str:
    """Question, answer and notes, every arm's scores, and what limits both; ``page`` has all tables."""
    plan, seeds = found.plan, ", ".join(map(str, found.seeds))
    sentences = found.sentences or ["There is nothing to compare."]
    notes = [f"Note: {note}" for note in found.notes]
    answer = _listed([*said_first(found), *sentences, *notes])
    rows, several = _scores(found), len(found.seeds) > 1
    if len({frozenset(arm.tasks) for arm in found.arms}) > 1:
        rows.append("Each normalised score is the mean of the arm's own tasks.")
    rows.append(SCALE + ("" if "by seed" in rows[0] else " Tasks: official metrics, %."))
    rows += [] if "by seed" in rows[0] else _renamed(found.rows)
    own = "its own microworld" if plan.worlds else "its own models" + ", on the same data" * several
    each = f"{counted(len(found.seeds), 'seed')} ({seeds}), {'each ' * several}with {own}. Brackets: 95% intervals."
    limits = _listed([convergence(found), incomplete(found), *short_limits(found), each])
    last = f"{limits} Differences on each task: --tables. All tables: {page}"  # a path is not broken
    return "\n\n".join([f"{textwrap.fill(found.question, WIDTH)}\n{answer}", "\n".join([*rows, last])])


def _scores(found: Findings) -> list[str]:
    """A line for each arm: its normalised score and, as far as they fit, its interval and the score in each task; by
    seed instead of the tasks if these are too many."""
    wide, narrow, width = "normalised score [95%]", "normalised", max(len(arm.name) for arm in found.arms)
    tasks = [f"{row.name:>5}" for row in found.rows]
    head = next((each for each in (wide, narrow) if len("  ".join([" " * width, each, *tasks])) <= WIDTH), None)
    by_seed = head is None and len(found.seeds) > 1
    lines = ["  ".join([f"{'arm':<{width}}", head or wide, *(["by seed"] * by_seed if head is None else tasks)])]
    for arm in found.arms:
        score = found.closed[arm.name]
        mean = f"{score.mean:z5.1f}" + f" {bounds(score.low, score.high, signed=False)}" * (head != narrow)
        more = [", ".join(f"{each:z.1f}" for each in found.closed_seeds[arm.name])] * by_seed
        if head is not None:
            known = [row.scores.get(arm.name) for row in found.rows]
            more = [f"{each.score.mean:.1f}" if each else "" for each in known]
            more = [each.rjust(len(title)) for each, title in zip(more, tasks, strict=True)]
        lines.append("  ".join([f"{arm.name:<{width}}", mean.ljust(len(head or wide)), *more]).rstrip())
    return lines


def _renamed(rows: Iterable[Row]) -> list[str]:
    """What the columns of tasks hold whose data has another name, such as a substitute; at most one paragraph."""
    names = [(row.name, row.title) for row in rows if not _letters(row.title).startswith(_letters(row.name))]
    return [textwrap.fill("; ".join(f"{name}: {title}" for name, title in names) + ".", WIDTH)] if names else []


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _listed(told: Iterable[str | None]) -> str:
    return "\n".join(textwrap.fill(f"- {each}", WIDTH, subsequent_indent="  ") for each in told if each is not None)
