"""Images of Visual Genome; shared by the tasks on them.

About half of them are also COCO's. A record of ``image_data.json``, which says so (older releases write ``id``)::

    {"image_id": 4, "url": "https://cs.stanford.edu/people/rak248/VG_100K_2/4.jpg", "width": 800, "height": 600,
     "coco_id": null, "flickr_id": null}
"""

from __future__ import annotations

from collections.abc import Mapping
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
        """Which of its images are COCO's, from ``image_data.json`` in the task's folder or in any other task's."""
        found = sorted(root.path.glob(f"*/{IMAGE_DATA}"), key=lambda path: (path.parent.name != self.name, path))
        if not found:
            raise MissingData(
                "which of these images are COCO's is not known",
                file=root.path / self.name / IMAGE_DATA,
                remedy=Again("download it from https://homes.cs.washington.edu/~ranjay/visualgenome into this folder"),
            )
        return read_coco_ids(found[0], root.image_source(self))


def read_coco_ids(path: Path, source: str = "vg") -> dict[str, str]:
    """Image id -> COCO image id, of the images that have one.

    Raises:
        DataError: a record is malformed, or there is none.
    """
    found: dict[int, int | None] = {}
    for record in read_elements(path):
        key = record.integer(record.one_of("image_id", "id"))
        if key in found:
            raise record.error(f"image {key} occurs twice")
        found[key] = None if record.fields.get("coco_id") is None else record.integer("coco_id")
    if not found:
        raise DataError("holds no image", file=path, remedy=Again("download the file again"))
    return {f"{source}/{key}": f"{COCO}/{number}" for key, number in found.items() if number is not None}
