"""What a task of another package reads, checked: an error names the task, where a later one would name this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twelve.errors import DataError
from twelve.outputs import get_output
from twelve.outputs.base import Output
from twelve.progress import counted
from twelve.tasks.base import Task, file_of, foreign
from twelve.types.examples import Example

_WORDS: Mapping[type, str] = {
    int: "a whole number",
    bool: "True or False",
    str: "a string",
    list: "a box (x1, y1, x2, y2)",
}


def check_examples(task: Task, split: str, examples: Sequence[Any]) -> None:
    """Check what ``task.read`` returned, unless the task is one of this package.

    Raises:
        DataError: an example is not as :class:`Example` describes it; names the first one.
    """
    if not foreign(task):
        return
    output = get_output(task.kind)
    counts = output.needs_vocabulary and split == task.train_split  # the vocabulary counts labels, if there are any
    unlabelled = counts and not any("label" in getattr(example, "facts", ()) for example in examples)
    for number, example in enumerate(examples, 1):
        if problem := _problem(output, example, unlabelled):
            raise DataError(
                problem,
                file=file_of(task),
                record=f"example {getattr(example, 'id', number)}",
                remedy=f"correct what {type(task).__name__}.read() returns",
            )


def _problem(output: Output, example: Any, unlabelled: bool) -> str:
    """What is wrong with an example; "" if nothing is."""
    if not isinstance(example, Example):
        return f"expected an Example, found {example!r}"
    images, target = example.images, example.target
    if not isinstance(example.text, str):
        return f"expected a string as text, found {example.text!r}"
    named = isinstance(images, tuple) and all(isinstance(each, str) and "/" in each for each in images)
    if not named or len(images) != output.images:
        return f"expected a tuple of {counted(output.images, 'image id')} SOURCE/NAME, found {images!r}"
    if target is None or not output.own_head:
        return ""
    if not output.ranks_gallery and not _fits(output, target):
        words = (
            "{answer: score}"
            if output.graded
            else " or ".join(_WORDS.get(kind, kind.__name__) for kind in output.values)
        )
        return f"expected {words} as target, found {target!r}"
    if unlabelled:
        return "expected facts={'label': ANSWER}, which the vocabulary counts, found no label"
    return ""


def _fits(output: Output, target: Any) -> bool:
    """Whether a target is of one of the types that the output has."""
    if output.graded:
        return isinstance(target, Mapping) and all(isinstance(score, int | float) for score in target.values())
    if isinstance(target, list | tuple):
        return list in output.values and len(target) == 4
    return type(target) in output.values
