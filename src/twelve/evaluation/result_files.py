"""``twelve evaluate --results``: every evaluated task's result file in its dataset's official format, and an index.

    FOLDER/vqa/v2_OpenEnded_mscoco_val2014_twelve_results.json    as a data root has the official files
    FOLDER/flickr30k/flickr30k_test_scores.npz
    FOLDER/results.json                                           which files there are, and how to score them

A file appears when it is complete. ``twelve score`` gives the numbers of the evaluation to the last digit; the command
is in the index. A task whose dataset has no format is listed with a null file.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from twelve.errors import ConfigError, DataError
from twelve.evaluation.results import TaskResult
from twelve.evaluation.submission import write_content
from twelve.formats.data_root import DataRoot
from twelve.formats.records import read_object
from twelve.formats.results import mended_by
from twelve.io import files
from twelve.tasks.base import Task
from twelve.types.examples import Example

INDEX = "results.json"


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A task's entry in the index.

    Attributes:
        file: path in the folder; None if the dataset has no format.
        protocol: the protocol of ``twelve score`` with which the file gives ``metrics``.
        truth: the official files, where there are files of just this split.
        command: how to score the file, as a shell reads it; None without truth.
        metrics: what was measured, by name.
    """

    task: str
    split: str
    file: str | None
    protocol: str | None
    truth: tuple[str, ...]
    command: str | None
    metrics: dict[str, float]


class ResultFolder:
    """The folder of one run's result files.

    Args:
        run: the run's folder.

    Raises:
        ConfigError: the folder holds the results of another run, or a link that leads out of it.
        DataError: its index is damaged.
    """

    def __init__(self, path: Path, run: Path) -> None:
        self.path, self.run = path, str(run.resolve())
        self.entries: dict[str, dict[str, Any]] = {}
        self._own: set[str] = set()
        self._read()

    def _read(self) -> None:
        index = self.path / INDEX
        files.check_links([index], self.path, "folder of results")
        if files.is_there(index, DataError):
            with mended_by(index, f"give another folder, or remove {INDEX} and the files beside it"):
                content = read_object(index)
                if content.text("run") != self.run:
                    problem = f"holds the results of another run, {content.text('run')}"
                    raise ConfigError(problem, file=self.path, remedy="give another folder, or remove this one")
                tasks = content.record("tasks")
                self.entries |= {name: dict(tasks.record(name).fields) for name in tasks.fields}
                self._own |= set(content.strings("files")) if "files" in content.fields else set()
        self._own |= {file for entry in self.entries.values() if isinstance(file := entry.get("file"), str)}

    def check(self, task: Task, split: str) -> None:
        """Refuse what :meth:`write` would refuse, before anything is computed.

        Raises:
            ConfigError: as :meth:`write`.
            TwelveError: the file cannot be written.
        """
        if name := task.result_name(split):
            self._check(self.path / task.name / name, f"{task.name}/{name}")

    def write(
        self, task: Task, root: DataRoot, result: TaskResult, examples: Sequence[Example], predictions: Any
    ) -> ResultFile:
        """Write a task's file, then the index.

        Args:
            examples, predictions: all that was predicted, as :meth:`twelve.tasks.base.Task.measure` takes it.

        Raises:
            ConfigError: the file is a link that leads out of the folder, or is there and not in the index.
        """
        split, name = result.protocol.split, task.result_name(result.protocol.split)
        if not name:
            entry = ResultFile(task.name, split, None, None, (), None, dict(result.metrics))
        else:
            path = self.path / task.name / name
            file, content = f"{task.name}/{name}", task.submission(examples, predictions)
            self._claim(path, file)
            write_content(path, content)
            protocol, truth = task.result_protocol(result.protocol, examples), task.truth_files(root, split)
            command = None
            if truth:
                words = ["twelve", "score", task.name, *(word for file in truth for word in ("--truth", str(file)))]
                words += ["--predictions", str(path)]
                default = next(iter(task.scoring_protocols))
                command = shlex.join(words + (["--protocol", protocol] if protocol != default else []))
            entry = ResultFile(task.name, split, file, protocol, tuple(map(str, truth)), command, dict(result.metrics))
        self._note(entry=entry)
        return entry

    def _claim(self, path: Path, file: str) -> None:
        """Name a file in the index before it is written, so that it is known as the run's own if that is cut off."""
        self._check(path, file)
        path.parent.mkdir(parents=True, exist_ok=True)
        if file not in self._own:
            self._note(file=file)

    def _check(self, path: Path, file: str) -> None:
        """Raise ConfigError if a file is not the run's own, or leads out of the folder."""
        files.check_links([path.parent], self.path, "folder of results")
        files.check_links([path], path.parent, "folder of results")
        if file not in self._own and os.path.lexists(path):
            problem = f"is there, and {INDEX} does not name it as a result of this run"
            raise ConfigError(problem, file=path, remedy="give another folder, or move this file away")
        files.check_file(path)

    def _note(self, *, file: str | None = None, entry: ResultFile | None = None) -> None:
        """Write the index with one thing more; other processes may evaluate other tasks of the run meanwhile."""
        with files.alone(self.path, wait=True):
            self._read()
            self._own |= {file} if file is not None else set()
            self.entries |= {entry.task: asdict(entry)} if entry is not None else {}
            index = {"run": self.run, "files": sorted(self._own), "tasks": self.entries}
            write_content(self.path / INDEX, json.dumps(index, indent=1))


def told(entry: ResultFile, folder: Path) -> str:
    """One line about a task's file."""
    if entry.file is None:
        return f"{entry.task}: no result file, the dataset has no format that twelve score reads"
    if entry.command is None:
        return (
            f"{folder / entry.file}: no official files hold just the split {entry.split}, so twelve score has no truth"
        )
    return f"{folder / entry.file}: score it with {entry.command}"
