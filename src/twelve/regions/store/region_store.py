"""The region store: the regions of every image, memory-mapped and shared by all workers.

``<root>/<source>/*.arrow`` contains the images of a source, ``<root>/<source>/given/*.arrow`` the regions of boxes that
datasets give for them. A source is opened at its first use and stays open; features are read only for batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from twelve.errors import RegionError, nearest
from twelve.regions.extract_command import extract_command, usual
from twelve.regions.recipe import Made, Recipe, preferred
from twelve.regions.store.arrow_format import BatchView, mean_feature
from twelve.regions.store.collate import Piece, gathered, normalised, scales_of
from twelve.regions.store.index import Index
from twelve.regions.store.memory import Memory
from twelve.regions.store.region_file import RegionFile
from twelve.regions.store.source import Source
from twelve.types.half_precision import Halves
from twelve.types.regions import RegionBatch, Regions, first_regions, joined


class RegionStore:
    """Regions by image id, from ``<root>/<source>/*.arrow``.

    Pickling keeps only the arguments: a worker maps the files itself and shares their pages.

    Args:
        data: the data root with the images, for the commands that errors recommend.
        recipes: image source -> how the model that uses the regions wants them made
            (:attr:`twelve.model.processor.TwelveProcessor.region_recipes`), for the same commands.
    """

    def __init__(
        self, root: str | Path, *, data: str | Path | None = None, recipes: Mapping[str, str] | None = None
    ) -> None:
        self.root, self.data, self.recipes = Path(root), data, dict(recipes or {})
        self._index = Index()
        self._memory = Memory()

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "data": self.data, "recipes": self.recipes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"RegionStore({str(self.root)!r})"

    # --- sources ----------------------------------------------------------------------------------------------
    def sources(self) -> list[str]:
        """Names of the sources in the store, sorted."""
        if not self.root.is_dir():
            return []
        return sorted(folder.name for folder in self.root.iterdir() if any(folder.glob("*.arrow")))

    def ids(self, source: str) -> list[str]:
        """Image ids of a source, in file order."""
        return list(self._open(source).ids)

    def fingerprint(self, source: str) -> str:
        """Fingerprint of the features of ``source``."""
        return self._open(source).files[0].fingerprint

    def content(self, source: str) -> str | None:
        """A hash that stands for the detected regions of ``source``, from the checksums that its files record; None if
        a file records no checksum."""
        digest = hashlib.sha256()
        for file in self._open(source).files:
            checksums = file.checksums()
            if None in checksums:
                return None
            digest.update("\0".join([file.fingerprint, *map(str, checksums)]).encode() + b"\n")
        return digest.hexdigest()

    def metadata(self, source: str) -> dict[str, str]:
        """Metadata of the first file of ``source``."""
        return dict(self._open(source).files[0].metadata)

    def made(self, source: str) -> tuple[Made, ...]:
        """How the regions of ``source`` were made; merged files may record several ways.

        Raises:
            RegionError: there are none, or the recipe cannot be read.
        """
        return self._open(source).files[0].made

    @property
    def feature_size(self) -> int:
        """F, the same for all open sources.

        Raises:
            RegionError: the store has no features.
        """
        for source in self.sources() if self._index.feature_size is None else ():
            self._open(source)
            if self._index.feature_size is not None:
                break
        if self._index.feature_size is None:
            raise RegionError("no region features here", file=self.root, remedy=f"run: {self.command('SOURCE')}")
        return self._index.feature_size

    # --- regions ----------------------------------------------------------------------------------------------
    def __contains__(self, image_id: str) -> bool:
        source = image_id.partition("/")[0]
        if source not in self._index.sources:
            if not self._has_files(source):
                return False
            self._open(source)
        return image_id in self._index.rows

    def has_given(self, image_id: str) -> bool:
        """Whether the store has regions of given boxes for an image."""
        return image_id in self and image_id in self._open(image_id.partition("/")[0]).given

    def get(self, image_id: str, max_regions: int | None = None, *, given: bool = False) -> Regions:
        """The regions of one image, as views of the mapped file.

        Args:
            max_regions: keep only the first detected regions.
            given: append all regions of boxes that datasets give; if there are any, the result is a copy without
                scores and classes.

        Raises:
            RegionError: the store does not have the image; the message names the command that extracts it.
        """
        place = self._find(image_id)
        self._index.files[int(self._index.places.table[0, place])].check_unchanged()
        batch, row = self._index.find(place)
        detected = first_regions(batch.regions(row), max_regions)
        if not given:
            return detected
        return joined([detected, *(view.regions(row) for view, row in self._given(image_id))])

    def gather(self, image_ids: Sequence[str], max_regions: int | None = None, *, given: bool = False) -> RegionBatch:
        """The first ``max_regions`` regions of each image, padded, after the global region.

        The global region is the mean of ALL detected features of the image, however many are kept.

        Args:
            given: append all regions of boxes that datasets give.

        Raises:
            RegionError: the store does not have an image, or has no features for it.
        """
        index = self._index
        try:
            rows = np.array([index.rows[image_id] for image_id in image_ids], dtype=np.int64)
        except KeyError:  # the source is not open yet, or the image is missing
            rows = np.array([self._find(image_id) for image_id in image_ids], dtype=np.int64)
        for number in set(index.places.table[0, rows].tolist()):
            index.files[number].check_unchanged()
        pieces: list[Piece] = []
        for image, image_id in enumerate(image_ids if given else ()):
            for view, own in self._given(image_id):
                pieces.append((image, view, view.bounds[own], view.bounds[own + 1]))
        size = self.feature_size
        means = {image: self._mean(int(rows[image])) for image in index.places.without_mean(rows)}
        return gathered(
            index.places,
            rows,
            max_regions,
            given=pieces,
            means=means,
            size=size,
            dtype=index.feature_dtype,
            memory=self._memory,
        )

    def _mean(self, row: int) -> Halves:
        """(F,) mean feature of an image whose file does not contain it."""
        batch, own = self._index.find(row)
        if batch.features is None:
            source = batch.ids[own].partition("/")[0]
            raise RegionError(
                "this file has boxes without features",
                file=self.root / source,
                record=batch.ids[own],
                remedy=f"move it elsewhere and run: {self.command(source)}",
            )
        return mean_feature(batch.features[batch.bounds[own] : batch.bounds[own + 1]], self.feature_size)

    def _given(self, image_id: str) -> list[tuple[BatchView, int]]:
        found = self._open(image_id.partition("/")[0]).given.get(image_id, [])
        for _, _, file in found:
            file.check_unchanged()
        return [(view, row) for view, row, _ in found]

    def _find(self, image_id: str) -> int:
        """The number of an image among those of all open sources."""
        source = image_id.partition("/")[0]
        if image_id not in self._index.rows:
            self._open(source)
        row = self._index.rows.get(image_id)
        if row is None:
            raise RegionError(
                f"no regions of image {image_id}", file=self.root / source, remedy=f"run: {self.command(source)}"
            )
        return row

    # --- opening ----------------------------------------------------------------------------------------------
    def _has_files(self, source: str) -> bool:
        """Whether there are files of a source; a source is a folder of the store, and never one outside it."""
        return source not in ("", ".", "..") and any((self.root / source).glob("*.arrow"))

    def _open(self, source: str) -> Source:
        if source not in self._index.sources:
            folder = self.root / source
            if not self._has_files(source):
                raise RegionError(
                    f"no region files of source {source!r}{nearest(source, self.sources())}",
                    file=folder,
                    remedy=f"run: {self.command(source)}",
                )
            self._index.add(source, Source(folder))
        return self._index.sources[source]

    # --- remedies ---------------------------------------------------------------------------------------------
    def command(
        self,
        source: str,
        *,
        like: Recipe | None = None,
        given: Sequence[str] = (),
        detected: bool = True,
        own: bool = False,
    ) -> str:
        """The command that makes the regions of a source, with the recipe ``like`` or the recipe of the source's files,
        of the model, or of other sources in the store.

        Args:
            given, detected, own: see :func:`twelve.regions.extract_command.extract_command`.
        """
        like = like or next(self._recipes(source), None) or usual(self.data, bool(self.sources()))
        return extract_command(like, source, self.root, data=self.data, given=given, detected=detected, own=own)

    def _recipes(self, source: str) -> Iterator[Recipe]:
        """Recipes for the regions of a source, the most suitable first. Those that cannot be read are skipped, because
        another error is being reported."""
        yield from self._recorded(source)
        with suppress(RegionError):
            yield from preferred(self.recipes, source)
        for other in self.sources():
            yield from self._recorded(other)

    def _recorded(self, source: str) -> Iterator[Recipe]:
        for path in sorted((self.root / source).glob("*.arrow")):
            with suppress(RegionError):
                file = RegionFile(path)
                yield from (made.recipe for made in file.made if made.recipe and file.feature_size is not None)


def normalise_boxes(boxes: NDArray[np.float32], width: float, height: float) -> torch.Tensor:
    """(R, 4) xyxy absolute pixels -> (R, 5) x1/W, y1/H, x2/W, y2/H, area fraction."""
    return torch.from_numpy(normalised(boxes[None], scales_of(np.array([[width, height]], dtype=np.float32)))[0])
