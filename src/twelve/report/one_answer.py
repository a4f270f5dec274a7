"""Whether a model gives the same answer to (almost) everything, as its confusions or recorded predictions show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from twelve.errors import shortened
from twelve.evaluation.results import TaskResult
from twelve.outputs import get_output
from twelve.report.reading import Run

SHARE = 0.9
"""Share of the examples with one answer from which this is said."""
FEWEST = 5
"""Examples below which the same answer to all may be chance."""
RIGHT = 0.75
"""Share of the examples of which an answer is correct, from which giving it to most of them is no fault."""
ASKED = {
    "answer": "questions",
    "reply": "questions",
    "pair": "statements",
    "truth": "statements",
    "entailment": "texts",
}
"""Outputs that choose among named values, and what their examples are called."""


def one_answer(run: Run) -> str:
    """Sentences on the tasks whose model gives one answer to almost everything; "" if there are none."""
    alone = len(run.results) == 1
    return " ".join(
        f"{'It' if alone else f'On {run.task(name).title}, it'} answers {answer} to {most:,} of {of}."
        for name, answer, most, of in _found(run)
    )


def _found(run: Run) -> Iterator[tuple[str, str, int, str]]:
    """(task, answer, how often, of how many examples in words) of every such task."""
    for name, result in run.results.items():
        asked = ASKED.get(run.task(name).kind)
        if asked is None:
            continue
        said, wanted = _confused(result) or _recorded(run, name)
        count = sum(said.values())
        if count < FEWEST:
            continue
        answer, most = max(said.items(), key=lambda each: each[1])
        right = wanted.get(answer, 0)
        if (most == count and right < count) or (most >= SHARE * count and right < RIGHT * count):
            drawn = "" if count == result.examples else "random "
            yield name, shortened(answer, 40), most, f"{count:,} {drawn}{asked}"


Counts = tuple[Mapping[str, int], Mapping[str, int]]
"""Answer -> how often it was given, and of how many examples it is correct."""


def _confused(result: TaskResult) -> Counts | None:
    """From the confusions, if they hold all examples (evaluation/confusions.py)."""
    if sum(each.examples for each in result.confusions) != result.examples:
        return None
    said, wanted = Counter[str](), Counter[str]()
    for each in result.confusions:
        said[each.said] += each.examples
        wanted[each.wanted] += each.examples
    return said, wanted


def _recorded(run: Run, name: str) -> Counts:
    """From the recorded predictions, which are some of the examples, drawn at random, or all if there are few."""
    said, wanted = Counter[str](), Counter[str]()
    for record in run.predictions.get(name, ()):
        known = get_output(record.kind).name
        said[known(record.value)] += 1
        target = record.target
        best = max(target, key=target.__getitem__, default="") if isinstance(target, Mapping) else target
        wanted[known(best)] += 1
    return said, wanted
