"""Readers of score and ranking files for caption retrieval; karpathy_results.py describes the formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twelve.errors import DataError
from twelve.formats.data_root import image_key
from twelve.formats.records import Record, describe, read_json, unpacks_within, writable
from twelve.formats.results import mended_by
from twelve.metrics import retrieval as metric
from twelve.types.examples import Example

SCORES = "scores"
_DIRECTIONS = ("text_to_image", "image_to_text")
_NUMBERS = {int, float}
"""Types of scores in JSON, which exclude true and false."""
_DEEPEST = 10
"""Largest k of recall@k; a list must be this long unless it contains the correct entry."""
_REMEDY = (
    f'write an .npz or JSON with "{SCORES}" (captions x images) and, unless in the official file\'s order, '
    f'"caption_ids" and "image_ids"; or JSON with "{_DIRECTIONS[0]}" and "{_DIRECTIONS[1]}", mapping ids to ranked ids'
)


@dataclass(frozen=True, slots=True)
class Ranks:
    """Ranks from 0. If not ``exact``, some are lower bounds: the list ended before the correct entry."""

    ranks: NDArray[np.int64]
    exact: bool = True


Both = tuple[Ranks | None, Ranks | None]
"""(text to image, image to text); None for a direction without predictions."""


def short_id(image: object) -> str:
    """An image's id in result files, from its image id, file name or number."""
    return image_key(str(image))


@dataclass(frozen=True, slots=True)
class Matrix:
    """Scores (C, I) of C captions with I images; possibly (I, C) until :meth:`named`."""

    scores: NDArray[Any]
    caption_ids: tuple[str, ...] = ()
    image_ids: tuple[str, ...] = ()

    @property
    def first(self) -> str:
        return self.caption_ids[0] if self.caption_ids else self.image_ids[0] if self.image_ids else ""

    @property
    def captions(self) -> Set[str]:
        """Ids of the captions; empty if they are those of the official file."""
        return set(self.caption_ids)

    def named(self, orders: Sequence[tuple[list[str], list[str]]], path: Path) -> Matrix:
        """Add missing ids, from the first of ``orders`` (caption ids, image ids) that fits the shape."""
        for captions, images in orders:
            captions, images = list(self.caption_ids) or captions, list(self.image_ids) or images
            for scores in (self.scores, self.scores.T):
                if scores.shape == (len(captions), len(images)):
                    return replace(self, scores=scores, caption_ids=tuple(captions), image_ids=tuple(images))
        sizes = " or ".join(dict.fromkeys(f"{len(captions)} x {len(images)}" for captions, images in orders))
        raise DataError(
            f"expected scores of captions x images, {sizes}, found {self.scores.shape[0]} x {self.scores.shape[1]}",
            file=path,
            record=SCORES,
            remedy='score the whole gallery, or add "caption_ids" and "image_ids"',
        )

    def ranks(self, captions: Sequence[Example], path: Path) -> Both:
        """Ranks within the gallery of these captions and their images."""
        images = list(dict.fromkeys(short_id(example.images[0]) for example in captions))
        row = _places(self.caption_ids, [example.id for example in captions], "captions", path)
        column = _places(self.image_ids, images, "images", path)
        place = {image: number for number, image in enumerate(images)}
        target = np.array([place[short_id(example.images[0])] for example in captions], dtype=np.int64)
        scores = self.scores[np.ix_(row, column)]
        return (
            Ranks(metric.text_to_image_ranks(scores, target)),
            Ranks(metric.image_to_text_ranks(scores, target)),
        )


def _places(ids: Sequence[str], wanted: Sequence[str], what: str, path: Path) -> list[int]:
    """Indices of the wanted ids among those of the file."""
    place = {key: number for number, key in enumerate(ids)}
    if len(place) != len(ids):
        twice = next(key for number, key in enumerate(ids) if place[key] != number)
        raise DataError(f"this id occurs twice among the {what}", file=path, record=twice, remedy="remove one of them")
    missing = [key for key in wanted if key not in place]
    if missing:
        raise DataError(
            f"{len(missing):,} of {len(wanted):,} {what} of the gallery have no scores",
            file=path,
            record=missing[0],
            remedy=f"score the whole gallery, or rank only the images of this file: --protocol {metric.GIVEN}",
        )
    return [place[key] for key in wanted]


@dataclass(frozen=True, slots=True)
class Ranking:
    """Ranked lists of ids by id, best first, in each direction; None for a direction without predictions."""

    text_to_image: Mapping[str, list[str]] | None
    image_to_text: Mapping[str, list[str]] | None

    @property
    def first(self) -> str:
        return next(iter(self.text_to_image or self.image_to_text or {}), "")

    @property
    def captions(self) -> Set[str]:
        """Ids of the ranked captions, or of those that have a list."""
        if self.text_to_image is not None:
            return self.text_to_image.keys()
        return {key for keys in (self.image_to_text or {}).values() for key in keys}

    def ranks(self, captions: Sequence[Example], path: Path) -> Both:
        """Ranks within the gallery of these captions and their images, ignoring other entries."""
        image_of = {example.id: short_id(example.images[0]) for example in captions}
        own: dict[str, set[str]] = {}
        for key, image in image_of.items():
            own.setdefault(image, set()).add(key)
        text: Ranks | None = None
        image_ranks: Ranks | None = None
        if self.text_to_image is not None:
            text = _ranks(self.text_to_image, {key: {value} for key, value in image_of.items()}, set(own), path)
        if self.image_to_text is not None:
            image_ranks = _ranks(self.image_to_text, own, set(image_of), path)
        return text, image_ranks


def _ranks(lists: Mapping[str, list[str]], right: Mapping[str, set[str]], gallery: set[str], path: Path) -> Ranks:
    """Rank, from 0, of the first correct id in each list."""
    missing = [key for key in right if key not in lists]
    if missing:
        raise DataError(
            f"{len(missing):,} of {len(right):,} ids of the gallery have no list",
            file=path,
            record=missing[0],
            remedy=f"rank the whole gallery, or only the images of this file: --protocol {metric.GIVEN}",
        )
    ranks, exact = [], True
    for key, those in right.items():
        listed = [each for each in lists[key] if each in gallery]
        if len(set(listed)) != len(listed):
            raise DataError("this list contains an id twice", file=path, record=key, remedy="list every id once")
        place = next((place for place, each in enumerate(listed) if each in those), None)
        if place is None and len(listed) < _DEEPEST:
            raise DataError(
                f"this list has {len(listed)} ids of the gallery, but not the correct one",
                file=path,
                record=key,
                remedy=f"rank the whole gallery, or at least its first {_DEEPEST}",
            )
        exact = exact and place is not None
        ranks.append(len(listed) if place is None else place)
    return Ranks(np.array(ranks, dtype=np.int64), exact)


def read_results(path: Path) -> Matrix | Ranking:
    """Read scores or rankings.

    Raises:
        DataError: the file is neither, or has malformed numbers or ids.
    """
    if path.suffix in (".npz", ".npy"):
        return _matrix(_arrays(path), path)
    with mended_by(path, _REMEDY):
        content = Record(read_json(path), path, None)
    if SCORES in content.fields:
        return _matrix(content.fields, path)
    if not any(direction in content.fields for direction in _DIRECTIONS):
        raise content.error("expected scores or rankings, found neither", _REMEDY)
    with mended_by(path, _REMEDY):
        return Ranking(*(_lists(content, direction) for direction in _DIRECTIONS))


def _arrays(path: Path) -> dict[str, Any]:
    try:
        unpacks_within(path)
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return {SCORES: found}
        with found:
            return {name: found[name] for name in found.files}
    except Exception as error:  # NumPy evaluates headers and unpacks archives, so a damaged file can raise anything
        raise DataError(f"not a NumPy file: {error or type(error).__name__}", file=path, remedy=_REMEDY) from None


def _matrix(fields: Mapping[str, Any], path: Path) -> Matrix:
    def wrong(what: str, record: str = SCORES) -> DataError:
        return DataError(what, file=path, record=record, remedy=_REMEDY)

    if SCORES not in fields:
        raise wrong(f"not found among {', '.join(fields) or 'nothing'}")
    rows = fields[SCORES]
    if isinstance(rows, list) and not all(isinstance(row, list) and {*map(type, row)} <= _NUMBERS for row in rows):
        raise wrong("expected rows of numbers")
    try:
        scores = np.asarray(rows)
    except ValueError:
        raise wrong("the rows have different lengths") from None
    if scores.ndim != 2 or 0 in scores.shape or scores.dtype.kind not in "iuf":
        raise wrong(f"expected numbers of captions x images, found {scores.dtype} of shape {scores.shape}")
    if scores.dtype.kind != "f":
        scores = scores.astype(np.float64)
    if np.isnan(scores).any():
        row, column = (int(place[0]) for place in np.nonzero(np.isnan(scores)))
        raise wrong(f"expected a number in row {row}, column {column}, found NaN")
    return Matrix(scores, _ids(fields, "caption_ids", path), _ids(fields, "image_ids", path))


def _ids(fields: Mapping[str, Any], key: str, path: Path) -> tuple[str, ...]:
    if key not in fields:
        return ()
    values = np.asarray(fields[key]).tolist() if isinstance(fields[key], np.ndarray) else fields[key]
    return tuple(_names(values, path, key))


def _lists(content: Record, direction: str) -> dict[str, list[str]] | None:
    if direction not in content.fields:
        return None
    lists = content.record(direction)
    return {short_id(key): _names(value, content.file, f"{direction}.{key}") for key, value in lists.fields.items()}


def _names(values: object, path: Path, place: str) -> list[str]:
    """Ids of captions or images, in any of their spellings."""
    if not isinstance(values, list) or any(
        isinstance(each, bool) or not isinstance(each, int | str) or not writable(str(each)) for each in values
    ):
        raise DataError(f"expected a list of ids, found {describe(values)}", file=path, record=place, remedy=_REMEDY)
    return [short_id(each) for each in values]
