"""Images of Visual Genome, about half of which are also in COCO; shared by the tasks on them.

A record of ``image_data.json``, which maps them (older releases write ``id``)::

    {"image_id": 4, "url": "https://cs.stanford.edu/people/rak248/VG_100K_2/4.jpg", "width": 800, "height": 600,
     "coco_id": null, "flickr_id": null}
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from twelve.errors import Again, DataError, MissingData
from twelve.formats.data_root import COCO, DataRoot
from twelve.formats.json_streams import read_elements
from twelve.tasks.base import Task

IMAGE_DATA = "image_data.json"


class GenomeTask(Task):
    """A task on images of Visual Genome."""

    source: ClassVar[str] = "vg"

    def same_images(self, root: DataRoot) -> Mapping[str, str]:
        """Image id -> COCO image id, from ``image_data.json`` in this task's folder or another's."""
        found = sorted(root.path.glob(f"*/{IMAGE_DATA}"), key=lambda path: (path.parent.name != self.name, path))
        if not found:
            raise MissingData(
                "unknown which images are also in COCO",
                file=root.path / self.name / IMAGE_DATA,
                remedy=Again("download it from https://homes.cs.washington.edu/~ranjay/visualgenome into this folder"),
            )
        if not found[0].is_file():  # the reader says what is there instead
            return read_coco_ids(found[0], root.image_source(self))
        with found[0].open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        return _read_once(found[0], root.image_source(self), content)


@lru_cache(2)
def _read_once(path: Path, source: str, content: str) -> Mapping[str, str]:
    """Several tasks read one file, of this SHA-256."""
    return read_coco_ids(path, source)


def read_coco_ids(path: Path, source: str = "vg") -> dict[str, str]:
    """Image id -> COCO image id, for images in both.

    Raises:
        DataError: a record is malformed, or the file is empty.
    """
    found: dict[int, int | None] = {}
    for record in read_elements(path):
        key = record.integer(record.one_of("image_id", "id"))
        if key in found:
            raise record.error(f"image {key} occurs twice")
        found[key] = None if record.fields.get("coco_id") is None else record.integer("coco_id")
    if not found:
        raise DataError("contains no images", file=path, remedy=Again("download the file again"))
    return {f"{source}/{key}": f"{COCO}/{number}" for key, number in found.items() if number is not None}
