"""The findings of a study on one screen: its question, the answer, what its notes say of it, and every arm's score."""

from __future__ import annotations

import textwrap

from twelve.progress import WIDTH
from twelve.study.finding_types import Findings
from twelve.study.table import convergence, few_seeds


def brief(found: Findings, page: str) -> str:
    """Question, sentences, notes, normalised scores and convergence; ``page`` has all tables."""
    plan, seeds = found.plan, ", ".join(map(str, found.seeds))
    sentences = found.sentences or ["There is nothing to compare."]
    told = [" ".join(sentences), *(f"Note: {note}" for note in found.notes)]
    answer = "\n".join(textwrap.fill(each, WIDTH) for each in told)
    width = max(len(arm.name) for arm in found.arms)
    rows = [f"{'arm':<{width}}  normalised score [95%]"]
    for arm in found.arms:
        score = found.closed[arm.name]
        rows.append(f"{arm.name:<{width}}  {score.mean:5.1f} [{score.low:.1f}, {score.high:.1f}]")
    own = "its own microworld" if plan.worlds else "the same data"
    ends = [convergence(found), few_seeds(found)]
    ends += [f"{len(found.seeds)} seed{'s' * (len(found.seeds) != 1)} ({seeds}), each with {own}; all tables: {page}"]
    if found.missing:
        ends.append(f"not complete, and not counted: {', '.join(found.missing)}")
    last = "\n".join(textwrap.fill(each, WIDTH) for each in ends if each is not None)
    return "\n\n".join(filter(None, [textwrap.fill(found.question, WIDTH), answer, "\n".join(rows), last]))
