"""The findings of a study on one screen: its question, the answer, what its notes say of it, and every arm's score."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from twelve.progress import WIDTH, counted
from twelve.study.converged import convergence
from twelve.study.finding_types import Findings
from twelve.study.table import incomplete, said_first, short_limits


def brief(found: Findings, page: str) -> str:
    """Question, sentences, notes, normalised scores and convergence; ``page`` has all tables."""
    plan, seeds = found.plan, ", ".join(map(str, found.seeds))
    sentences = found.sentences or ["There is nothing to compare."]
    notes = [f"Note: {note}" for note in found.notes]
    answer = _listed([*said_first(found), *sentences, *notes, short_limits(found) or None])
    several = len(found.seeds) > 1
    rows = _scores(found)
    if len({frozenset(arm.tasks) for arm in found.arms}) > 1:
        rows.append("Each score is the mean of the arm's own tasks.")
    own = "its own microworld" if plan.worlds else "its own models" + ", on the same data" * several
    last = _listed([convergence(found), incomplete(found)])
    last += (
        f"\n- {counted(len(found.seeds), 'seed')} ({seeds}), {'each ' * several}with {own}. Tasks are scored in their "
    )
    last += f"official metrics, per cent. All tables: {page}"
    return "\n\n".join([f"{textwrap.fill(found.question, WIDTH)}\n{answer}", "\n".join(rows), last])


def _scores(found: Findings) -> list[str]:
    """A line for each arm: its normalised score and, as far as they fit, its interval and the score in each task; by
    seed in place of the tasks if these are too many."""
    arms = max(len(arm.name) for arm in found.arms)
    tasks = [f"{row.name:>5}" for row in found.rows]
    heads = [f"{'arm':<{arms}}  {head}" for head in ("normalised score [95%]", "normalised")]
    fit = [head for head in heads if len("  ".join([head, *tasks])) <= WIDTH]
    several = len(found.seeds) > 1 and not fit
    lines = ["  ".join([*(fit or heads)[:1], *(tasks if fit else ["by seed"] * several)])]
    for arm in found.arms:
        score = found.closed[arm.name]
        mean = f"{score.mean:5.1f}"
        mean = f"{mean} [{score.low:.1f}, {score.high:.1f}]".ljust(22) if fit != heads[1:] else mean.ljust(10)
        more = [", ".join(f"{each:.1f}" for each in found.closed_seeds[arm.name])] * several
        if fit:
            known = [row.scores.get(arm.name) for row in found.rows]
            shown = ["" if each is None else f"{each.score.mean:.1f}" for each in known]
            more = [each.rjust(len(title)) for each, title in zip(shown, tasks, strict=True)]
        lines.append("  ".join([f"{arm.name:<{arms}}", mean, *more]).rstrip())
    return lines


def _listed(told: Iterable[str | None]) -> str:
    return "\n".join(textwrap.fill(f"- {each}", WIDTH, subsequent_indent="  ") for each in told if each is not None)
