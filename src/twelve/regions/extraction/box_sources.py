"""Sources of boxes: region files, a grid of windows, the cells of the network's feature map, the network's detections,
or the caller. For the boxes that datasets give, see :mod:`twelve.regions.extraction.candidate_boxes`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twelve.errors import ConfigError, RegionError, one_line
from twelve.regions.asked import check_boxes
from twelve.regions.extractor_config import DETECT, GRID, PATCHES, ExtractorConfig
from twelve.regions.sizes import WINDOWS, grid_numbers
from twelve.regions.store.region_file import RegionFile
from twelve.types.regions import Regions, select


class BadBox(ValueError):
    """A box that contains nothing of its image, or too many boxes.

    Attributes:
        remedy: what to do about it; empty for a box that a caller gave.
    """

    def __init__(self, why: str, remedy: str = "") -> None:
        super().__init__(why)
        self.remedy = remedy


class BoxSource:
    """Gives the boxes of an image.

    Attributes:
        origin: a description for the metadata, on one line.
        spec: the value of ``--boxes`` that gives the same boxes for another image; empty if there is none.
        has_scores, has_classes: whether the boxes have them.
    """

    origin: str
    spec: str = ""
    has_scores = False
    has_classes = False

    def boxes(self, image_id: str, width: int, height: int) -> Regions:
        """Regions without features; none if the network adds the boxes.

        Raises:
            ValueError: the image has no boxes, or its boxes are for an image of another size.
        """
        return Regions(image_id, width, height, np.empty((0, 4), dtype=np.float32))


@dataclass(frozen=True)
class Grid(BoxSource):
    """Windows that cover the image evenly, row by row.

    Either ``rows`` x ``columns`` windows, or as many nearly square windows of about ``size`` pixels as fit, about
    ``step`` pixels apart (by default ``size``, side by side). Pixels are those of the original image.
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
            # Windows side by side divide the image evenly; overlapping ones keep their size and are spaced evenly.
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
"""The digest in an origin, which tells apart boxes of one detector."""
_LONG = 300
"""Largest length of the name of a detector, in characters."""


class BoxFiles(BoxSource):
    """Boxes of region files: the best ``max_boxes`` of each image, clipped to the image.

    Attributes:
        most: ``max_boxes``.
        made_by: the detector of the boxes, as the files name it; None if one of them does not.

    Raises:
        RegionError: a file is missing or damaged, or contains an image twice or a box with nothing of its image.
    """

    def __init__(self, paths: Sequence[Path], max_boxes: int | None = None) -> None:
        self.most = max_boxes
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
                        "another box file also contains this image", file=path, record=image.image_id, remedy="give one"
                    )
                if why := _flaw(image):
                    raise RegionError(why, file=path, record=image.image_id, remedy="correct or remove that box")
                self._images[image.image_id] = _own_boxes(image)
                digest.update(image.boxes.tobytes())
        most = "" if max_boxes is None else f", best {max_boxes}"
        # With the digest, a resumed extraction notices that a file of the same name has other boxes.
        self.origin = f"{'; '.join(detectors)}{most} #{digest.hexdigest()}"
        self.made_by = one_line(_WHICH.sub("", "; ".join(detectors)))[:_LONG] if named else None
        self.has_scores = all(image.scores is not None for image in self._images.values())
        self.has_classes = all(image.class_ids is not None for image in self._images.values())

    def boxes(self, image_id: str, width: int, height: int) -> Regions:
        found = self._images.get(image_id)
        if found is None:
            raise ValueError("no boxes for this image in the box files")
        if (found.width, found.height) != (width, height):
            raise ValueError(f"the image is {width}x{height}, its boxes are for an image {found.width}x{found.height}")
        if self.most is not None and len(found.boxes) > self.most:
            best: slice | NDArray[np.int64] = slice(self.most)
            if found.scores is not None:
                best = np.sort(np.argsort(-found.scores, kind="stable")[: self.most])
            found = select(found, best)
        return replace(
            found,
            boxes=clipped_boxes(found.boxes, width, height),
            scores=found.scores if self.has_scores else None,
            class_ids=found.class_ids if self.has_classes else None,
        )


def _own_boxes(image: Regions) -> Regions:
    """A copy without features: an extraction takes hours, in which its box files may be overwritten."""
    scores, classes = image.scores, image.class_ids
    return Regions(
        image.image_id,
        image.width,
        image.height,
        image.boxes.copy(),
        scores=None if scores is None else scores.copy(),
        class_ids=None if classes is None else classes.copy(),
    )


def clipped_boxes(boxes: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    return np.clip(boxes, 0, np.array([width, height] * 2, dtype=np.float32))


def _flaw(image: Regions) -> str | None:
    """What is wrong with the first box that contains nothing of its image, counted from 1; None if all are valid."""
    clipped = clipped_boxes(image.boxes, image.width, image.height)  # NaN stays NaN, and then fails the comparison
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


class Cells(BoxSource):
    """The cells of the network's feature map, such as the patches of a vision transformer; the network adds them."""

    origin = spec = PATCHES


@dataclass(frozen=True)
class Detected(BoxSource):
    """At most ``most`` boxes that the network detects, with scores of at least ``threshold``; the network adds them."""

    most: int
    threshold: float
    spec = DETECT
    has_scores = has_classes = True

    @property
    def origin(self) -> str:  # type: ignore[override]
        return f"detect, best {self.most} of at least {self.threshold:g}"


@dataclass(frozen=True)
class TheseBoxes(BoxSource):
    """The same boxes for any image, clipped to it: (R, 4) xyxy pixels."""

    corners: NDArray[np.float32]
    origin = "given"

    def boxes(self, image_id: str, width: int, height: int) -> Regions:
        found = Regions(image_id, width, height, self.corners)
        if why := _flaw(found):
            raise BadBox(why)
        return replace(found, boxes=clipped_boxes(self.corners, width, height))


class FilesElsewhere(BoxSource):
    """Stands for box files of an earlier extraction, which have no boxes for other images."""

    origin = "files"

    def boxes(self, image_id: str, width: int, height: int) -> Regions:
        raise ConfigError(
            "the regions have boxes from files, which contain none for other images",
            remedy="give the boxes of this image",
        )


def cell_boxes(rows: int, columns: int, width: int, height: int) -> NDArray[np.float32]:
    """(rows * columns, 4) boxes of the cells of a feature map, in row order."""
    return Grid(rows=rows, columns=columns).boxes("", width, height).boxes


def parse_boxes(words: Sequence[str | Path]) -> tuple[str, tuple[str, ...]]:
    """What ``--boxes`` asks for: ``boxes`` and ``box_files`` of :class:`ExtractorConfig`, one of them empty.

    Raises:
        ConfigError: the grid is invalid, or a word is unknown.
    """
    every = [str(word) for word in words]
    if every:
        check_boxes(every)
    only = every[0] if len(every) == 1 else ""
    if only in (DETECT, PATCHES):
        return only, ()
    if only == GRID or only.startswith(f"{GRID}:"):
        return only, ()
    return "", tuple(every)


def _grid(words: str) -> Grid:
    check_boxes([words])
    numbers = grid_numbers(words)
    return Grid(**numbers) if numbers else Grid(rows=6, columns=6)


def box_source(config: ExtractorConfig, usual: tuple[int, float]) -> BoxSource:
    """The source of the boxes that a configuration names.

    Args:
        usual: the network's defaults for the number of detected boxes and their lowest score.

    Raises:
        ConfigError: the boxes are unknown.
        RegionError: a file is missing or damaged, or contains a box with nothing of its image.
    """
    if config.box_files:
        return BoxFiles([Path(path) for path in config.box_files], config.max_boxes)
    if config.boxes == PATCHES:
        return Cells()
    if config.boxes == DETECT:
        return Detected(config.max_boxes or usual[0], usual[1] if config.threshold is None else config.threshold)
    return _grid(config.boxes)
