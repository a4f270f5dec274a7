"""Which files a reproduction fetches, and what is found among the released ones once they are there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from twelve.downloads.download import Download
from twelve.downloads.registry import choose
from twelve.errors import DataError
from twelve.formats.data_root import DataRoot
from twelve.reproduce.folders import RELEASED
from twelve.reproduce.measures import Measure
from twelve.tasks.base import Task, all_tasks

MODEL = "multi_task_model.bin"
DETECTOR = "detectron_model.pth"
CONFIG = "bert_base_6layer_6conect.json"
VOCABULARY = "vocab.txt"
LABELS = "label2ans.pkl"
"""How the names of files with the answers of a head end."""
ANSWERS = "released-labels"
"""What the registry calls them: they are in an archive of all the authors' files."""
_GIVEN = re.compile(r"(?:^|_)gt(?:_|\.|$)")
"""In the name of a file of features: its boxes are candidates that a dataset gives."""


@dataclass(frozen=True, slots=True)
class Features:
    """Released region features.

    Attributes:
        path: an LMDB's folder.
        task: the one that its folder is called after.
        source: of its images.
        given: whether its boxes are candidates that the task gives.
    """

    path: Path
    task: str
    source: str
    given: bool


def shared(downloads: Iterable[Download], extract: bool, *, answers: bool) -> list[Download]:
    """The files that the model itself needs: weights, word pieces and, with ``answers``, the names of answers."""
    downloads = list(downloads)
    wanted = {MODEL, CONFIG, VOCABULARY, *((DETECTOR,) if extract else ())}
    found = [
        one
        for one in choose(downloads, [RELEASED], ("weight", "annotation"))
        if any(Path(place).name in wanted for _, place in one.places)
    ]
    if answers:
        found += [one for one in downloads if ANSWERS in one.tasks and one not in found]
    return found


def own(downloads: Iterable[Download], task: Task, measures: Iterable[Measure], extract: bool) -> list[Download]:
    """The files of one task: annotations of the splits that are measured, and features or images."""
    downloads = list(downloads)
    files = {f"{task.folder}/{name}" for measure in measures for name in task.files(measure.split)}
    kinds = ("image",) if extract else ("feature",)
    return [
        one
        for one in downloads
        if task.name in one.tasks
        and (one.kind in kinds or (one.kind == "annotation" and any(place in files for _, place in one.places)))
    ]


def released(root: Path, name: str) -> Path | None:
    """A file of this name in the folder of released files, the first one of several."""
    return next(iter(sorted((root / RELEASED).rglob(name))), None)


def labels(root: Path, tasks: Iterable[Task]) -> dict[str, Path]:
    """Output -> released file with the names of its answers; its folder is called after a dataset."""
    found: dict[str, Path] = {}
    for path in sorted((root / RELEASED).rglob(f"*{LABELS}")):
        for task in tasks:
            if any(_called(task, part) for part in path.relative_to(root / RELEASED).parts[:-1]):
                found.setdefault(task.output, path)
    return found


def features(root: DataRoot, tasks: Iterable[Task]) -> list[Features]:
    """The released features that are there; each lies in a folder that is called after a dataset.

    Raises:
        DataError: a folder is called after no dataset.
    """
    found, tasks, home = [], list(tasks), root.path / RELEASED
    for path in sorted(home.rglob("*.lmdb")):
        parts = path.relative_to(home).parts[:-1]
        task = next((task for part in reversed(parts) for task in tasks if _called(task, part)), None)
        if task is None:
            raise DataError(
                "which dataset's images these features are of is not known",
                file=path,
                remedy="move it into a folder with the dataset's name, or out of the data root",
            )
        found.append(Features(path, task.name, root.image_source(task), _GIVEN.search(path.name) is not None))
    return found


def without_features(root: Path, tasks: Iterable[Task], downloads: Iterable[Download]) -> list[Task]:
    """Tasks for which the released features are neither in the data root nor among the files to fetch: those of its
    images, and those of the candidate boxes that it gives.

    Args:
        root: the data root, which need not exist.

    Raises:
        DataError: as :func:`features`.
    """
    fetched = [
        (task, _GIVEN.search(Path(place).parent.name) is not None)
        for one in downloads
        if one.kind == "feature"
        for task in one.tasks
        for _, place in one.places
    ]
    known = features(DataRoot(root), twelve_tasks().values()) if root.is_dir() else []
    there = [(each.task, each.given) for each in known]
    found = []
    for task in tasks:
        kinds = {
            given for name, given in (*fetched, *there) if name == task.name or (not given and name == task.source)
        }
        if not kinds >= ({False, True} if task.has_candidates else {False}):
            found.append(task)
    return found


def twelve_tasks() -> dict[str, Task]:
    """The paper's tasks, in the order of the released model's table of tokens."""
    return {task.name: task for task in sorted(all_tasks().values(), key=lambda task: task.token) if not task.extra}


def _called(task: Task, folder: str) -> bool:
    """Whether a folder of the authors is a task's: ``VQA``, ``visual_genome``, ``visual7w``."""
    name = _plain(folder)
    return bool(name) and (name == _plain(task.name) or _plain(task.title).startswith(name))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", name.lower())
