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
    width = max(len(arm.name) for arm in found.arms)
    several = len(found.seeds) > 1
    rows = [f"{'arm':<{width}}  normalised score [95%]{'  by seed' * several}"]
    for arm in found.arms:
        score, by_seed = found.closed[arm.name], ", ".join(f"{each:.1f}" for each in found.closed_seeds[arm.name])
        mean = f"{score.mean:5.1f} [{score.low:.1f}, {score.high:.1f}]"
        rows.append(f"{arm.name:<{width}}  {mean:<22}  {by_seed if several else ''}".rstrip())
    if len({frozenset(arm.tasks) for arm in found.arms}) > 1:
        rows.append("Each score is the mean of the arm's own tasks.")
    own = "its own microworld" if plan.worlds else "its own models" + ", on the same data" * several
    last = _listed([convergence(found), incomplete(found)])
    last += f"\n- {counted(len(found.seeds), 'seed')} ({seeds}), {'each ' * several}with {own}. All tables: {page}"
    return "\n\n".join([f"{textwrap.fill(found.question, WIDTH)}\n{answer}", "\n".join(rows), last])


def _listed(told: Iterable[str | None]) -> str:
    return "\n".join(textwrap.fill(f"- {each}", WIDTH, subsequent_indent="  ") for each in told if each is not None)
