"""The region files of one image source."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from twelve.errors import RegionError
from twelve.regions.store.arrow_format import BatchView
from twelve.regions.store.region_file import GIVEN, RegionFile

Given: TypeAlias = tuple[BatchView, int, RegionFile]
"""Regions of given boxes of an image: a record batch, the row in it, and its file."""


def open_files(folder: Path) -> list[RegionFile]:
    """Open the region files of a folder.

    Raises:
        RegionError: a file is damaged, or two files were made by different extractors or with different boxes.
    """
    files = [RegionFile(path) for path in sorted(folder.glob("*.arrow"))]
    for file in files:
        if differs := file.difference(files[0]):
            raise RegionError(
                f"made differently ({differs[0]}) from {files[0].path.name} ({differs[1]})",
                file=file.path,
                remedy=f"keep the files of one extractor and one kind of boxes in {folder} and extract the other "
                "images again",
            )
    return files


class Source:
    """The files of one source.

    Attributes:
        files, views, ids: the files, their record batches and the ids of their images, in order.

    Raises:
        RegionError: see :func:`open_files`; or two files contain one image.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = open_files(folder)
        self.views = [view for file in self.files for view in file.views]
        self.ids = [image_id for view in self.views for image_id in view.ids]
        if len(set(self.ids)) == len(self.ids):
            return
        owner: dict[str, Path] = {}
        for file in self.files:
            for image_id in (image_id for view in file.views for image_id in view.ids):
                if image_id in owner:
                    raise RegionError(
                        f"the image is also in {owner[image_id].name}",
                        file=file.path,
                        record=image_id,
                        remedy="remove one of the two files, or make one of both: twelve regions merge --help",
                    )
                owner[image_id] = file.path

    @cached_property
    def given(self) -> dict[str, list[Given]]:
        """Image id -> regions of given boxes, in one or several files.

        Raises:
            RegionError: see :func:`open_files`; or the detected regions were made by another extractor.
        """
        index: dict[str, list[Given]] = {}
        for file in open_files(self.folder / GIVEN):
            if differs := file.difference(self.files[0], boxes=False):
                raise RegionError(
                    f"made by another extractor ({differs[0]}) than the detected regions ({differs[1]})",
                    file=file.path,
                    remedy="delete it and extract the given boxes again with the backbone of the detected ones",
                )
            for view in file.views:
                for row, image_id in enumerate(view.ids):
                    index.setdefault(image_id, []).append((view, row, file))
        return index
