"""The findings of a study on one screen: its question, the answer, and every arm's score."""

from __future__ import annotations

import textwrap

from twelve.progress import WIDTH
from twelve.study.finding_types import Findings


def brief(found: Findings, page: str) -> str:
    """Question, sentences and normalised scores; ``page`` has all tables."""
    plan, seeds = found.plan, ", ".join(map(str, found.seeds))
    sentences = found.sentences or ["There is nothing to compare."]
    paragraphs = [found.question, " ".join(sentences)]
    width = max(len(arm.name) for arm in found.arms)
    rows = [f"{'arm':<{width}}  normalised score [95%]"]
    for arm in found.arms:
        score = found.closed[arm.name]
        rows.append(f"{arm.name:<{width}}  {score.mean:5.1f} [{score.low:.1f}, {score.high:.1f}]")
    own = "its own microworld" if plan.worlds else "the same data"
    ends = [f"{len(found.seeds)} seed{'s' * (len(found.seeds) != 1)} ({seeds}), each with {own}; all tables: {page}"]
    if found.missing:
        ends.append(f"not complete, and not counted: {', '.join(found.missing)}")
    wrapped = ["\n".join(textwrap.wrap(each, WIDTH)) for each in filter(None, paragraphs)]
    return "\n\n".join([*wrapped, "\n".join(rows), "\n".join(textwrap.fill(each, WIDTH) for each in ends)])
