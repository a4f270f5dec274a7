"""Where an image's boxes come from: region files, a grid of windows, the cells of the network's own map, or the network
itself. (Boxes that a dataset gives: :mod:`twelve.regions.extraction.candidate_boxes`.)"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twelve.errors import ConfigError, RegionError, one_line
from twelve.regions.asked import check_boxes
from twelve.regions.sizes import WINDOWS, grid_numbers
from twelve.regions.store.region_store import RegionFile
from twelve.types.regions import Regions

THRESHOLD, MOST = 0.15, 20
"""Of a network that finds its own boxes: the least score, and how many are kept unless another number is asked for."""


class BadBox(ValueError):
    """A box that shows nothing of its image, or too many of them; says why.

    Attributes:
        remedy: what to do about it; empty where the box was given.
    """

    def __init__(self, why: str, remedy: str = "") -> None:
        super().__init__(why)
        self.remedy = remedy


class BoxSource(ABC):
    """Boxes of any image of an extraction.

    Attributes:
        origin: one line for the metadata.
        spec: what ``--boxes`` says to have the same boxes of another image; empty if it cannot.
        has_scores, has_classes: whether the boxes come with them.
    """

    origin: str
    spec: str = ""
    has_scores = False
    has_classes = False

    @abstractmethod
    def boxes(self, image_id: str, width: int, height: int) -> Regions:
        """Regions without features.

        Raises:
            ValueError: there are none for this image, or they are of an image of another size; says why.
        """


@dataclass(frozen=True)
class Grid(BoxSource):
    """Windows that cover the image evenly, row by row.

    Either ``rows`` x ``columns`` of them, or as many square-ish windows of about ``size`` pixels as fit at a distance
    of about ``step`` pixels (by default ``size``: windows side by side). Pixels are the original image's.
    """

    rows: int = 0
    columns: int = 0
    size: int = 0
    step: int = 0

    @property
    def origin(self) -> str:  # type: ignore[override]
        return f"grid:{self.rows}x{self.columns}" if self.rows else f"grid:{self.size}/{self.step or self.size}"

    @property
    def spec(self) -> str:  # type: ignore[override]
        return self.origin

    def boxes(self, image_id: str, width: int, height: int) -> Regions:
        if self.rows:
            x = self._windows(width, width / self.columns, self.columns)
            y = self._windows(height, height / self.rows, self.rows)
        else:
            step = self.step or self.size
            across, down = (max(1, round((length - self.size) / step) + 1) for length in (width, height))
            if across * down > WINDOWS:
                raise BadBox(
                    f"{self.origin} makes {across} x {down} windows of it, expected at most {WINDOWS:,}",
                    "choose a larger grid, or scale the image down",
                )
            # Side by side the windows share the image out; overlapping ones keep their size and share the steps.
            wide, high = (
                (length / count if step == self.size else min(float(self.size), float(length)))
                for length, count in ((width, across), (height, down))
            )
            x, y = self._windows(width, wide, across), self._windows(height, high, down)
        grid = np.empty((len(y), len(x), 4), dtype=np.float32)
        grid[..., 0::2] = x[None]
        grid[..., 1::2] = y[:, None]
        return Regions(image_id, width, height, grid.reshape(-1, 4))

    @staticmethod
    def _windows(length: float, size: float, count: int) -> NDArray[np.float64]:
        """(count, 2) starts and ends of intervals of ``size`` spread evenly over ``length``."""
        starts = np.linspace(0.0, length - size, count) if count > 1 else np.array([(length - size) / 2])
        return np.stack((starts, np.minimum(starts + size, length)), axis=1)


_WHICH = re.compile(" #[0-9a-f]{8}")
"""Of an origin: which boxes they are, of all that such an extraction makes."""
_LONG = 300
"""Characters of what found the boxes of files."""


class BoxFiles(BoxSource):
    """Boxes of region files, the most confident ``max_boxes`` of each image, clipped to the image.

    Attributes:
        made_by: what found the boxes, as every file says; None where one does not.

    Raises:
        RegionError: a file is missing or damaged, or has an image twice or a box that shows nothing of its image.
    """

    def __init__(self, paths: Sequence[Path], max_boxes: int | None = None) -> None:
        self._max = max_boxes
        self._images: dict[str, Regions] = {}
        detectors: dict[str, None] = {}
        named = True
        digest = hashlib.blake2b(digest_size=4)
        for path in paths:
            if path.is_dir():
                raise RegionError("this is a folder", file=path, remedy="give the region files in it to --boxes")
            file = RegionFile(path)
            made_by = file.metadata.get("detector") or file.metadata.get("boxes_origin")
            named = named and bool(made_by)
            detectors[made_by or path.name] = None
            for image in file:
                if image.image_id in self._images:
                    raise RegionError(
                        "another box file also holds this image", file=path, record=image.image_id, remedy="give one"
                    )
                if why := _flaw(image):
                    raise RegionError(why, file=path, record=image.image_id, remedy="correct or remove that box")
                self._images[image.image_id] = image
                digest.update(image.boxes.tobytes())
        most = "" if max_boxes is None else f", best {max_boxes}"
        # The digest lets a resumed extraction notice that a file of the same name has other boxes.
        self.origin = f"{'; '.join(detectors)}{most} #{digest.hexdigest()}"
        self.most = max_boxes
        self.made_by = one_line(_WHICH.sub("", "; ".join(detectors)))[:_LONG] if named else None
        self.has_scores = all(image.scores is not None for image in self._images.values())
        self.has_classes = all(image.class_ids is not None for image in self._images.values())

    def boxes(self, image_id: str, width: int, height: int) -> Regions:
        found = self._images.get(image_id)
        if found is None:
            raise ValueError("no boxes for this image in the box files")
        if (found.width, found.height) != (width, height):
            raise ValueError(f"the image is {width}x{height}, its boxes are of an image {found.width}x{found.height}")
        keep: NDArray[np.int64] | slice = slice(None)
        if self._max is not None and len(found.boxes) > self._max:
            if found.scores is None:
                keep = slice(self._max)
            else:
                keep = np.sort(np.argsort(-found.scores, kind="stable")[: self._max])
        limits = np.array([width, height, width, height], dtype=np.float32)
        return replace(
            found,
            boxes=np.clip(found.boxes[keep], 0, limits),
            features=None,
            scores=found.scores[keep] if self.has_scores and found.scores is not None else None,
            class_ids=found.class_ids[keep] if self.has_classes and found.class_ids is not None else None,
            class_probabilities=None,
        )


def _flaw(image: Regions) -> str | None:
    """What is wrong with the first box that shows nothing of its image; None if all are right. Counts from 1."""
    limits = np.array([image.width, image.height] * 2, dtype=np.float32)
    clipped = np.clip(image.boxes, 0, limits)  # what is not a number stays that, and is then no extent either
    flawed = np.flatnonzero(~(clipped[:, 2:] > clipped[:, :2]).all(axis=1) | ~np.isfinite(image.boxes).all(axis=1))
    if not len(flawed):
        return None
    box = image.boxes[flawed[0]]
    if not np.isfinite(box).all():
        why = "is not finite"
    elif (box[2:] < box[:2]).any():
        why = "ends before it begins (x1, y1, x2, y2 are expected)"
    elif (box[2:] == box[:2]).any():
        why = "has no area"
    else:
        why = f"is wholly outside its image of {image.width}x{image.height} pixels"
    return f"box {flawed[0] + 1} ({', '.join(f'{value:g}' for value in box.tolist())}) {why}"


@dataclass(frozen=True)
class Cells(BoxSource):
    """The cells of the network's feature map itself: the patches of a vision transformer. Filled in by the network."""

    origin: str = "patches"
    spec: str = "patches"

    def boxes(self, image_id: str, width: int, height: int) -> Regions:
        return Regions(image_id, width, height, np.empty((0, 4), dtype=np.float32))


@dataclass(frozen=True)
class Detected(BoxSource):
    """What the network itself finds: at most ``most`` boxes of a score of at least ``threshold``. Filled in by it."""

    most: int = MOST
    threshold: float = THRESHOLD
    spec: str = "detect"
    has_scores = True
    has_classes = True

    @property
    def origin(self) -> str:  # type: ignore[override]
        return f"detect, best {self.most} of at least {self.threshold:g}"

    def boxes(self, image_id: str, width: int, height: int) -> Regions:
        return Regions(image_id, width, height, np.empty((0, 4), dtype=np.float32))


@dataclass(frozen=True)
class TheseBoxes(BoxSource):
    """The same boxes whatever the image, clipped to it: (R, 4) xyxy pixels."""

    corners: NDArray[np.float32]
    origin: str = "given"

    def boxes(self, image_id: str, width: int, height: int) -> Regions:
        found = Regions(image_id, width, height, self.corners)
        if why := _flaw(found):
            raise BadBox(why)
        limits = np.array([width, height, width, height], dtype=np.float32)
        return replace(found, boxes=np.clip(self.corners, 0, limits))


def cell_boxes(rows: int, columns: int, width: int, height: int) -> NDArray[np.float32]:
    """(rows * columns, 4) the cells of a map over an image, in the map's own order."""
    return Grid(rows=rows, columns=columns).boxes("", width, height).boxes


def box_source(
    boxes: str | Path | Sequence[str | Path],
    max_boxes: int | None = None,
    *,
    threshold: float | None = None,
    usual: tuple[int, float] = (MOST, THRESHOLD),
) -> BoxSource:
    """The source that ``--boxes`` names: region files, ``grid[:SIZE[/STEP]]``, ``grid:ROWSxCOLUMNS``, ``patches`` or
    ``detect``.

    Args:
        max_boxes, threshold: how many boxes of an image are kept, and the least score of those that a network finds.
        usual: both, for a network that finds boxes, where nothing else is asked for.

    Raises:
        ConfigError: a grid that makes no sense, or a word that there is not.
        RegionError: a file is missing or damaged, or a box in it shows nothing of its image.
    """
    given = [boxes] if isinstance(boxes, (str, Path)) else list(boxes)
    if not given:
        raise ConfigError("no boxes given", remedy="give --boxes FILE, grid:SIZE, patches or detect")
    if max_boxes is not None and not 0 < max_boxes <= WINDOWS:
        raise ConfigError(f"--max-boxes {max_boxes:,}", remedy=f"keep 1 to {WINDOWS:,} boxes of an image")
    if threshold is not None and not 0 <= threshold <= 1:  # what is not a number is neither
        raise ConfigError(f"--threshold {threshold}", remedy="give a score from 0 to 1")
    check_boxes(list(map(str, given)))
    only = str(given[0])
    if len(given) == 1 and only == "patches":
        return Cells()
    if len(given) == 1 and only == "detect":
        return Detected(max_boxes or usual[0], usual[1] if threshold is None else threshold)
    if len(given) == 1 and (only == "grid" or only.startswith("grid:")):
        numbers = grid_numbers(only)
        return Grid(**numbers) if numbers else Grid(rows=6, columns=6)
    return BoxFiles([Path(path) for path in given], max_boxes)
