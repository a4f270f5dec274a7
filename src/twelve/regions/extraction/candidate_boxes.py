"""Boxes that datasets give: the candidates of a question, or the objects that phrases refer to.

Their features are stored beside the detected regions, in ``<out>/<source>/given/*.arrow``, so that no output has to
replace a candidate by a detection near it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twelve.errors import MissingData, RegionError
from twelve.formats.data_root import DataRoot
from twelve.regions.extraction.box_sources import BoxSource, clipped_boxes
from twelve.regions.store.region_file import RegionFile, check_alike
from twelve.tasks.base import Task, get
from twelve.types.examples import Box
from twelve.types.regions import Regions, distinct_rows


class GivenBoxes(BoxSource):
    """Boxes that datasets give, each once, clipped to the image.

    Args:
        boxes: image id -> boxes, xyxy pixels.
        tasks: the tasks that give them, for the metadata.
        stored: image id -> regions in finished files; their boxes are skipped.
    """

    def __init__(
        self, boxes: Mapping[str, Sequence[Box]], tasks: Sequence[str], stored: Mapping[str, Sequence[Regions]]
    ) -> None:
        self._boxes: dict[str, NDArray[np.float32]] = {}
        digest = hashlib.blake2b(digest_size=4)
        for image_id, own in boxes.items():
            left = _without(np.array(own, dtype=np.float32).reshape(-1, 4), stored.get(image_id, ()))
            if len(left):
                self._boxes[image_id] = left
                digest.update(image_id.encode() + left.tobytes())
        # With the digest, a resumed extraction notices that the datasets have other boxes.
        self.origin = f"given by {', '.join(tasks)} #{digest.hexdigest()}"

    def boxes(self, image_id: str, width: int, height: int) -> Regions:
        own = self._boxes.get(image_id, np.empty((0, 4), dtype=np.float32))
        if not np.isfinite(own).all():
            raise ValueError("a given box is not finite")
        clipped = clipped_boxes(own, width, height)
        return Regions(image_id, width, height, clipped[distinct_rows(clipped)])

    def __contains__(self, image_id: str) -> bool:
        """Whether an image has boxes that no finished file contains."""
        return image_id in self._boxes


def given_boxes(root: DataRoot, tasks: Sequence[str]) -> dict[str, list[Box]]:
    """All boxes that the tasks give, by image, in all splits in the data root.

    Raises:
        ConfigError: there is no such task.
        MissingData: a task has no split in the data root.
        DataError: a file is malformed.
    """
    found: list[Mapping[str, Sequence[Box]]] = []
    for name in tasks:
        task, missing, before = get(name, root.own_tasks), None, len(found)
        for split in _splits(task):
            try:
                with root.mended():
                    found.append(task.candidate_boxes(root, split))
            except MissingData as error:
                missing = error
        if missing is not None and len(found) == before:
            raise missing
    return joined(found)


def _splits(task: Task) -> list[str]:
    """The official splits that a task names: its training split, its test split and those held out."""
    held_out = [split for splits in task.held_out_splits.values() for split in splits]
    return list(dict.fromkeys([task.train_split, task.test_split, *held_out]))


def stored_boxes(folder: Path, mark: str) -> dict[str, list[Regions]]:
    """Image id -> given regions in the finished files of a folder.

    Raises:
        RegionError: a file is damaged, or was made by an extractor with another fingerprint than ``mark``.
    """
    found: dict[str, list[Regions]] = {}
    unlike: list[RegionError] = []
    for path in sorted(folder.glob("*.arrow")):
        file = RegionFile(path)
        if file.fingerprint != mark:
            problem = f"holds regions of another extractor (fingerprint {file.fingerprint}, now {mark})"
            unlike.append(RegionError(problem, file=path))
            continue
        for regions in file:
            found.setdefault(regions.image_id, []).append(regions)
    check_alike(unlike)
    return found


def joined(collections: Iterable[Mapping[str, Sequence[Box]]]) -> dict[str, list[Box]]:
    """Combine the boxes of several collections, by image."""
    found: dict[str, list[Box]] = {}
    for collection in collections:
        for image_id, boxes in collection.items():
            found.setdefault(image_id, []).extend(boxes)
    return found


def _without(boxes: NDArray[np.float32], stored: Sequence[Regions]) -> NDArray[np.float32]:
    """The boxes that are not among the stored regions."""
    if not stored:
        return boxes
    clipped = clipped_boxes(boxes, stored[0].width, stored[0].height)
    there = {tuple(box) for regions in stored for box in regions.boxes.tolist()}
    return boxes[[tuple(box) not in there for box in clipped.tolist()]]
