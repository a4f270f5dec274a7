"""Kinds of examples that a data root names itself, beside those of kinds.py.

``<task>/kinds.json`` may divide the examples of any split: ``{split: {example id: {kind: value}}}``, with every example
of the split. Two values, ``seen`` and ``unseen``, tell what training has from what it lacks (the microworld writes
such kinds: ``wording`` and ``combination``); studies compare their arms on both parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from twelve.errors import DataError
from twelve.formats.data_root import DataRoot
from twelve.formats.records import Record, read_object
from twelve.io.files import is_there
from twelve.tasks.base import Task
from twelve.types.examples import Example

FILE = "kinds.json"
SEEN, UNSEEN = "seen", "unseen"
"""The values of a kind that tells what training has."""


def with_own_kinds(task: Task, root: DataRoot, split: str, examples: Sequence[Example]) -> Sequence[Example]:
    """The examples with the kinds of the data root's file among their facts; unchanged without such a file.

    Raises:
        DataError: the file lacks an example, names a kind that the dataset has already, or a value is no text.
    """
    path = root.path / task.name / FILE
    if not is_there(path, DataError):
        return examples
    splits = read_object(path)
    if split not in splits.fields:
        return examples
    listed = splits.record(split)
    return [_with(example, listed) for example in examples]


def _with(example: Example, listed: Record) -> Example:
    if example.id not in listed.fields:
        problem, remedy = "expected the kinds of this example, found none", "list every example of the split"
        raise DataError(problem, file=listed.file, record=example.id, remedy=remedy)
    own = listed.record(example.id)
    kinds = {name: own.text(name) for name in own.fields}
    if taken := sorted(kinds.keys() & example.facts.keys()):
        problem = f"the kind {taken[0]!r} is one that the dataset names already"
        raise DataError(problem, file=listed.file, record=example.id, remedy="choose another name")
    return replace(example, facts={**example.facts, **kinds})
