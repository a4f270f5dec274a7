"""The images of all open sources, numbered in the order in which the sources were opened."""

from __future__ import annotations

from bisect import bisect_right

from twelve.errors import RegionError
from twelve.regions.store.arrow_format import BatchView
from twelve.regions.store.collate import Places
from twelve.regions.store.region_file import RegionFile
from twelve.regions.store.source import Source


class Index:
    """Finds images in open sources.

    Attributes:
        sources: name -> source.
        rows: image id -> number of the image.
        places: where the regions of each image are, by its number.
        files: the mapped files, in the order of ``places``.
        feature_size, feature_dtype: of all sources; the size is None while no source has features.
    """

    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}
        self.rows: dict[str, int] = {}
        self.places = Places.joined([])
        self.files: list[RegionFile] = []
        self.feature_size: int | None = None
        self.feature_dtype = "float16"
        self._views: list[BatchView] = []
        self._starts: list[int] = []

    def add(self, name: str, source: Source) -> None:
        """Add the images of a source.

        Raises:
            RegionError: its features differ in size or type from those of other sources.
        """
        size, dtype = source.files[0].feature_size, source.files[0].feature_dtype
        if size is not None:
            if self.feature_size not in (None, size):
                raise RegionError(
                    f"features of size {size}, other sources have {self.feature_size}",
                    file=source.folder,
                    remedy="delete it and extract its images again with the backbone and levels of the others",
                )
            if self.feature_size is not None and self.feature_dtype != dtype:
                raise RegionError(
                    f"contains {dtype}, other sources {self.feature_dtype}",
                    file=source.folder,
                    remedy=f"delete it and extract its images again with --dtype {self.feature_dtype}",
                )
            self.feature_size, self.feature_dtype = size, str(dtype)
        first, prefix = len(self.places.scales), f"{name}/"
        # Ids of other sources are ignored: an image is searched in its own source only.
        self.rows.update((key, first + k) for k, key in enumerate(source.ids) if key.startswith(prefix))
        for view in source.views:
            self._views.append(view)
            self._starts.append(first)
            first += len(view.ids)
        self.files.extend(source.files)
        self.places = Places.joined([self.places, *(Places.of(file.whole, file.views) for file in source.files)])
        self.sources[name] = source

    def find(self, row: int) -> tuple[BatchView, int]:
        """The record batch that contains an image, and the image's row in it."""
        number = bisect_right(self._starts, row) - 1
        return self._views[number], row - self._starts[number]
