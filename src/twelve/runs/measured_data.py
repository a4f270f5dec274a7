"""Whether what training and evaluation have read is still there, and as it was: files of one's own that a run was
trained on, the files of evaluated splits, and the regions."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twelve.errors import DataError, RegionError, TwelveError
from twelve.evaluation.results import TaskResult
from twelve.formats.data_root import DataRoot
from twelve.settings import RunConfig
from twelve.tasks.base import Task
from twelve.tasks.custom import FileTask, PretrainingFile, own_tasks

if TYPE_CHECKING:
    from twelve.regions.store.region_store import RegionStore


def other_files(root: Path, results: Sequence[TaskResult]) -> tuple[list[str], list[str]]:
    """The evaluated files that are not as they were, and those that are gone from a data root that is there."""
    from twelve.data.examples.store import checksum  # imports pyarrow, which an early error does not need

    found, changed = {name: digest for result in results for name, digest in result.files.items()}, list[str]()
    for name, digest in found.items():
        with contextlib.suppress(OSError, ValueError):  # it is not there, or cannot be read
            changed += [name] if checksum(root / name) != digest else []
    return changed, [name for name in found if root.is_dir() and not (root / name).exists()]


def taught(tasks: Mapping[str, Task], root: DataRoot) -> dict[str, str]:
    """Each task with a training file of one's own -> a digest of what it teaches: of all but the ids of its examples,
    which change when another line of a table is removed."""
    fields, found = ("text", "images", "target", "candidates"), dict[str, str]()
    for name, task in tasks.items():
        if isinstance(task, FileTask) and not isinstance(task, PretrainingFile):  # that may have millions of lines
            digest = hashlib.sha256()
            for example in task.read(root, task.train_split):
                digest.update(repr([getattr(example, field) for field in fields]).encode("utf-8", "surrogatepass"))
            found[name] = digest.hexdigest()
    return found


def other_training(config: RunConfig, files: object, before: Mapping[str, str]) -> dict[str, str]:
    """Each task whose training file, of one's own, is not what it was trained on -> the name of this file.

    Args:
        files: file, relative to the data root -> its "sha256" in the training.
        before: :func:`taught` in the training.
    """
    from twelve.data.examples.store import checksum  # imports pyarrow, as above

    own, found = own_tasks(config.tasks), dict[str, str]()
    for name in [name for name in own if name in before]:
        split = own[name].train_split
        known = files.get(split) if isinstance(files, Mapping) else None
        with contextlib.suppress(OSError, ValueError):  # it is not there, or cannot be read
            if isinstance(known, Mapping) and checksum(Path(config.data, split)) != known.get("sha256"):
                found[name] = split
        with contextlib.suppress(DataError):  # a line is wrong, so the file has changed
            root = DataRoot(config.data, config.sources, own)
            if name in found and taught({name: own[name]}, root)[name] == before[name]:
                del found[name]
    return found


def other_regions(
    config: RunConfig, model: Path, samples: Mapping[str, str], sources: Collection[str]
) -> dict[str, str]:
    """The image sources whose regions are not those of the training -> the command that makes such regions again; ""
    if they are of the same extractor, so that they can be evaluated.

    Args:
        samples: image id -> digest of its regions in the training.
        sources: those that are compared. Of regions that cannot be read, nothing is known.
    """
    from twelve.regions.store.region_store import RegionStore  # imports pyarrow, which an early error does not need
    from twelve.regions.store.samples import changed

    store, found = RegionStore(config.regions_folder, data=config.data), dict[str, str]()
    for source in sources:
        with contextlib.suppress(TwelveError, OSError):
            if changed(store, source, samples) is not None:
                found[source] = _made_again(store, model, source)
    return found


def _made_again(store: RegionStore, model: Path, source: str) -> str:
    from twelve.model.processor import TwelveProcessor  # imports torch, which few reports need

    try:
        TwelveProcessor.from_pretrained(model).check_regions(store, [source])
    except TwelveError as error:  # another one is about the model, which says nothing of the regions
        return error.remedy or "" if isinstance(error, RegionError) else ""
    return ""
