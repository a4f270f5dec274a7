"""``twelve data stats`` and ``twelve data vocabulary``: statistics of a data root; the answers of a task as a file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twelve.data.check import splits_of
from twelve.data.examples.columns import distinct_images
from twelve.data.examples.reading import read_examples, reading
from twelve.data.vocabulary import OFFICIAL_MIN_COUNT, Coverage, build_vocabulary, coverage
from twelve.errors import ConfigError, MissingData, quoted
from twelve.formats.data_root import DataRoot
from twelve.io.files import check_file, replacing
from twelve.outputs import OUTPUTS, get_output
from twelve.progress import counted
from twelve.tasks.base import get, tasks_of
from twelve.types.examples import Example

FREQUENT = 5
"""Most frequent answers that are named."""


@dataclass(frozen=True, slots=True)
class SplitStats:
    """One split of a task.

    Attributes:
        words: minimum, median, mean and maximum number of words of a text.
        answers: number of distinct answers (labels, classes); 0 where there are none.
        frequent: the most frequent answers -> their shares, 0..1.
        candidates: mean number of candidate boxes of an example.
    """

    task: str
    split: str
    examples: int
    images: int
    words: tuple[int, float, float, int]
    answers: int
    frequent: Mapping[str, float]
    candidates: float

    def __str__(self) -> str:
        least, median, mean, most = self.words
        parts = [
            f"{self.task} {self.split}: {counted(self.examples, 'example')} on {counted(self.images, 'image')}",
            f"{least}-{most} words (median {median:g}, mean {mean:.1f})",
        ]
        if self.answers:
            named = ", ".join(f"{answer!r} {100 * share:.1f}%" for answer, share in self.frequent.items())
            parts.append(f"{counted(self.answers, 'answer')} ({named})")
        if self.candidates:
            parts.append(f"{self.candidates:.1f} boxes to choose from")
        return "; ".join(parts)


def root_stats(data: str | Path | DataRoot, tasks: Sequence[str] | None = None) -> list[SplitStats]:
    """Statistics of every split in the data root that training or evaluation reads.

    Raises:
        DataError: the data root does not exist, or a file is malformed.
        ConfigError: an unknown task.
    """
    root = data if isinstance(data, DataRoot) else DataRoot(data)
    chosen = (
        [get(name, root.own_tasks) for name in tasks] if tasks else [task for _, task in sorted(tasks_of(root).items())]
    )
    found = []
    wanted = [(task, split) for task in chosen for split in splits_of(task)]
    with reading(root, wanted) as read:
        for task, split in wanted:
            try:
                found.append(split_stats(task.name, split, read(task, split)))
            except MissingData:
                if tasks and split == task.train_split:
                    raise
    if not found:
        raise MissingData(
            "no split of any task is here",
            file=root.path,
            remedy=f"see what is missing: twelve data check {quoted(root.path)}",
        )
    return found


def split_stats(task: str, split: str, examples: Sequence[Example]) -> SplitStats:
    """Statistics of a split, which has at least one example."""
    lengths = np.array([len(example.text.split()) for example in examples])
    counts = Counter(answer for example in examples if (answer := answer_of(example)) is not None)
    total = sum(counts.values())
    frequent = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:FREQUENT]
    return SplitStats(
        task,
        split,
        len(examples),
        len(distinct_images(examples)),
        (int(lengths.min()), float(np.median(lengths)), float(lengths.mean()), int(lengths.max())),
        len(counts),
        {answer: count / total for answer, count in frequent},
        float(np.mean([len(example.candidates) for example in examples])),
    )


def answer_of(example: Example) -> str | None:
    """The right answer as text; None for boxes, and where there is none."""
    if "label" in example.facts:
        return str(example.facts["label"])
    if isinstance(example.target, bool | str):
        return str(example.target)
    return None


def write_vocabulary(
    data: str | Path | DataRoot,
    name: str,
    out: Path,
    *,
    min_count: int = OFFICIAL_MIN_COUNT,
    splits: Sequence[str] | None = None,
) -> Coverage:
    """Write the answers of a task, in the order of a head's rows, as a JSON list; returns their coverage.

    Args:
        splits: splits to count; by default the training split.

    Raises:
        DataError: a file is missing or malformed, or no answer is frequent enough.
        ConfigError: an unknown task or split.
    """
    check_file(out)
    root = data if isinstance(data, DataRoot) else DataRoot(data)
    task = get(name, root.own_tasks)
    if not get_output(task.kind).needs_vocabulary:
        kinds = " or ".join(kind for kind, output in OUTPUTS.items() if output.needs_vocabulary)
        problem = f"{name} has no answers to choose from (its kind is {task.kind})"
        raise ConfigError(problem, remedy=f"name a task of kind {kinds}")
    first, *others = (read_examples(task, root, split) for split in splits or (task.train_split,))
    examples = [*first, *(example for part in others for example in part)] if others else first
    vocabulary = build_vocabulary([examples], min_count=min_count)
    with replacing(out) as partial:
        partial.write_text(json.dumps(vocabulary, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    return coverage(examples, vocabulary)
