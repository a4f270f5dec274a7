"""What is measured, and measuring it: each number of the paper's that labelled files allow, under its own protocol."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from twelve.data.examples.columns import distinct_images
from twelve.data.examples.reading import read_examples
from twelve.evaluation.results import TaskResult, read_results, write_results
from twelve.formats.data_root import DataRoot
from twelve.reproduce.folders import Folders
from twelve.tasks.base import Task, get

QUIET = Console(quiet=True)


@dataclass(frozen=True, slots=True)
class Measure:
    """One evaluation.

    Attributes:
        task: name.
        split: labelled split of the official files.
        protocol: one of the task's protocols.
    """

    task: str
    split: str
    protocol: str

    @property
    def name(self) -> str:
        """As a file is called."""
        return re.sub(r"[^A-Za-z0-9+_-]", "-", f"{self.task}-{self.split}-{self.protocol}")

    def __str__(self) -> str:
        return f"{self.task}, {self.split}, protocol {self.protocol}"


class Counts(NamedTuple):
    """Of the files of a split."""

    examples: int
    images: int


def images(folders: Folders, measures: Sequence[Measure]) -> list[str]:
    """Ids of the images that measurements read.

    Raises:
        DataError: a file is missing or malformed.
    """
    root = DataRoot(folders.root)
    splits = dict.fromkeys((measure.task, measure.split) for measure in measures)
    return distinct_images(*(read_examples(get(task), root, split) for task, split in splits))


def result_file(folders: Folders, measure: Measure) -> Path:
    return folders.results / f"{measure.name}.json"


def result(folders: Folders, measure: Measure) -> tuple[TaskResult, Counts]:
    """The result of a finished measurement, and the number of examples and images that were read.

    Raises:
        DataError: its file is missing or damaged.
    """
    (found,), facts = read_results(result_file(folders, measure))
    return found, Counts(*(int(facts.get(name, 0)) for name in ("examples", "images")))


def official_files(folders: Folders, task: Task, measure: Measure) -> tuple[Path, ...]:
    """The official files that a measurement reads."""
    return task.input_files(DataRoot(folders.root), measure.split)


def evaluate(folders: Folders, measure: Measure) -> TaskResult:
    """Measure, and write the result.

    Raises:
        TwelveError: see :func:`twelve.runs.evaluate.evaluate_run`.
    """
    from twelve.runs.evaluate import evaluate_run

    (found,) = evaluate_run(
        folders.run.path,
        tasks=[measure.task],
        split=measure.split,
        protocols=[f"{measure.task}={measure.protocol}"],
        baselines=False,
        settings=[f"{key}={json.dumps(str(path))}" for key, path in folders.places.items()],
        console=QUIET,
    )
    examples = read_examples(get(measure.task), DataRoot(folders.root), measure.split)
    facts = {"parameters": 0, "training_seconds": 0, "evaluation_seconds": found.seconds}
    facts |= Counts(len(examples), len(distinct_images(examples)))._asdict()
    write_results(result_file(folders, measure), [found], facts)
    return found
