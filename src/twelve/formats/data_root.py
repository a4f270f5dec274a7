"""The data root: where the official files and images are.

A data root holds one folder for each dataset, named like its task, and ``images/<source>/...``::

    root/vqa/v2_mscoco_val2014_annotations.json
    root/images/coco/val2014/COCO_val2014_000000262148.jpg
    root/sources.json                                        (optional: {"task": "image source"})

Image ids are ``<source>/<key>``; :func:`image_key` makes the key from a file's name.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from twelve.errors import Again, DataError, MissingData, Own, nearest
from twelve.formats.mistaken import what_is
from twelve.formats.records import check_regular, read_object, unreadable
from twelve.formats.results import mended_by
from twelve.io import json_file
from twelve.io.files import folder_beside, from_here, is_there
from twelve.io.image_suffixes import SUFFIXES

IMAGES = "images"
SOURCES = "sources.json"
_WRITE = f'write an object such as {{"vqa": "coco"}}, from tasks to folders of {IMAGES}'
DRAWN = "microworld.json"
"""A file in the folder of a microworld."""
APART = "apart"
"""Its key that says that tasks share nothing."""
DRAW_WORDINGS = "draw_wordings"
"""Its key that says that the seed drew the wordings that only test sets have."""
FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
"""Names of image sources, which are names of folders."""
COCO = "coco"
_COCO_NAME = re.compile(r"(?:COCO_[A-Za-z0-9-]+_)?(\d{12})")
_V7W_NAME = re.compile(r"v7w_(\d+)")
"""An image of Visual Genome in the archive of Visual7W; the number is its id in both."""


NO_FILE = "no such file"


def image_key(name: str) -> str:
    """The part of an image id after its source, from the name of the image's file: its stem.

    COCO's zero-padded numbers (``COCO_val2014_000000262148.jpg``, ``000000262148.jpg``) become plain ones
    (``262148``), as every annotation file writes them; the ids of train2014 and val2014 are distinct. ``v7w_4.jpg`` and
    ``4.jpg`` are the same image of Visual Genome.
    """
    stem = name.rsplit("/", 1)[-1]
    if os.path.splitext(stem)[1].lower() in SUFFIXES:
        stem = os.path.splitext(stem)[0]
    match = _COCO_NAME.fullmatch(stem)
    if match:
        return str(int(match.group(1)))
    match = _V7W_NAME.fullmatch(stem)
    return match.group(1) if match else stem


class HasSource(Protocol):
    """What the data root needs of a task."""

    @property
    def name(self) -> str: ...

    @property
    def source(self) -> str: ...


def drawing_again(out: Path) -> str:
    """The command that generates the microworld in ``out`` again, with the seed and scale that are noted in it."""
    index = json_file.read_or_none(out / DRAWN)
    there = index if isinstance(index, dict) else {}
    seed, scale = there.get("seed"), there.get("scale")
    plain = float(scale) if isinstance(scale, int | float) and not isinstance(scale, bool) and scale > 0 else 1.0
    options = {name: there.get(name) is True for name in (APART, DRAW_WORDINGS)}
    return make_command(out, seed if type(seed) is int else 0, plain, **options)


def make_command(out: Path, seed: int, scale: float, *, apart: bool, draw_wordings: bool) -> str:
    """The command that generates a microworld in ``out``."""
    words = ["twelve", "data", "make-microworld", "--out", str(out)]
    words += ["--apart"] * apart + ["--draw-wordings"] * draw_wordings
    words += ["--seed", str(seed)] if seed > 0 else []
    words += ["--scale", f"{scale:g}"] if scale != 1 else []
    return shlex.join(words)


def is_drawn(root: Path) -> bool:
    """Whether the data root is a microworld."""
    return is_there(root / DRAWN, DataError)


def is_apart(root: Path) -> bool:
    """Whether the data root is a microworld whose tasks share nothing."""
    index = json_file.read_or_none(root / DRAWN)
    return isinstance(index, dict) and index.get(APART) is True


class DataRoot:
    """A folder with the official files of one or more datasets.

    Args:
        path: the folder.
        sources: task -> image source, where it is not the task's own. Precedes ``sources.json`` in the folder.
        own_tasks: tasks of a run, by name, that read their files here as the registered tasks do.

    Raises:
        DataError: the folder does not exist, or its ``sources.json`` is not an object of strings.
    """

    def __init__(
        self,
        path: str | Path,
        sources: Mapping[str, str] | None = None,
        own_tasks: Mapping[str, Any] | None = None,
    ) -> None:
        self.path, self.own_tasks = Path(path), dict(own_tasks or {})
        if self.path.is_file():
            raise MissingData(
                "expected the folder of a data root, found a file", file=self.path, remedy="name its folder"
            )
        if not self.path.is_dir():
            remedy = "name a folder that exists; in a configuration: data, or --set data=PATH"
            where = from_here(self.path) + folder_beside(self.path)
            raise MissingData(f"data root not found{where}", file=self.path, remedy=remedy)
        self.sources: dict[str, str] = {}
        if is_there(self.path / SOURCES, DataError):
            with mended_by(self.path / SOURCES, _WRITE):
                record = read_object(self.path / SOURCES)
                self.sources = {task: record.text(task) for task in record.fields}
        self.sources.update(sources or {})
        for task, source in self.sources.items():
            if not FOLDER.fullmatch(source):
                raise DataError(
                    f"{source!r} is not a folder of {IMAGES}/",
                    file=self.path / SOURCES,
                    record=task,
                    remedy="put the images into a folder there and give its name alone",
                )
        self._indexes: dict[str, dict[str, Path]] = {}

    @contextmanager
    def mended(self) -> Iterator[None]:
        """Improve errors from within: about a file that is not what its name says, say what it is (mistaken.py); in a
        generated world, say how to generate it again, not to download a file."""
        try:
            yield
        except DataError as error:
            problem, record, remedy = error.problem, error.record, error.remedy
            official = not isinstance(remedy, Own)
            if error.file is not None and (found := what_is(Path(error.file), official=official)) is not None:
                (problem, remedy), record = found, None
            if isinstance(remedy, Again) and (self.path / DRAWN).is_file():
                remedy = f"remove {self.path} and generate the world again: {drawing_again(self.path)}"
            raise type(error)(problem, file=error.file, record=record, remedy=remedy) from None

    def file(self, task: str, name: str, *, page: str = "") -> Path:
        """The official file ``name`` of a task.

        Args:
            page: where it can be downloaded, for the error.

        Raises:
            MissingData: the folder of the task or the file is missing.
            DataError: it is not a regular file.
        """
        folder = self.path / task
        origin = f" from {page}" if page else ""
        try:
            there = sorted(os.listdir(folder))
        except PermissionError as error:
            raise unreadable(folder, error) from None
        except OSError:
            raise MissingData(
                f"the data root has no folder for {task}",
                file=folder,
                remedy=f"make it and put {name}{origin} into it",
            ) from None
        if os.path.exists(folder / name):
            check_regular(folder / name)
        else:
            raise MissingData(
                NO_FILE,
                file=folder / name,
                remedy=Again(f"download {name}{origin} into this folder{nearest(name, there)}"),
            )
        return folder / name

    def image_source(self, task: HasSource, file_name: str = "") -> str:
        """The source of a task's images: ``coco`` for file names ``COCO_*``; else the source that the configuration or
        the data root names for the task; else the task's own."""
        if file_name.startswith("COCO_"):
            return COCO
        return self.sources.get(task.name, task.source)

    def images(self, source: str) -> Iterator[tuple[str, Path]]:
        """(image id, file) of every image of a source, folder by folder, sorted.

        Raises:
            MissingData: the source has no folder.
        """
        yield from ((f"{source}/{key}", path) for key, path in self._index(source).items())

    def image_file(self, image_id: str) -> Path | None:
        """The file of an image; None where the data root does not have it."""
        source, _, key = image_id.partition("/")
        if not (self.path / IMAGES / source).is_dir():
            return None
        return self._index(source).get(key)

    def _index(self, source: str) -> dict[str, Path]:
        """key -> file of every image below a source's folder, which official releases nest differently; cached."""
        if source not in self._indexes:
            folder = self.path / IMAGES / source
            if not folder.is_dir():
                raise MissingData("no images of this source", file=folder, remedy="put the images into this folder")
            found: dict[str, Path] = {}
            for place, folders, names in os.walk(folder):
                folders.sort()
                for name in sorted(names):
                    if os.path.splitext(name)[1].lower() in SUFFIXES:
                        found.setdefault(image_key(name), Path(place, name))
            self._indexes[source] = found
        return self._indexes[source]
