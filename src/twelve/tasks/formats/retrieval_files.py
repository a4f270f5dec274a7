"""Scores and rankings of captions and images, as karpathy_results.py describes their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
"""Types of scores in JSON; true and false are none."""
_DEEPEST = 10
"""The largest k of recall at k: a list must go so far unless what is right stands before."""
_REMEDY = (
    f'write an .npz or JSON with "{SCORES}" (captions x images) and, if in another order than the official file, '
    f'"caption_ids" and "image_ids"; or JSON with "{_DIRECTIONS[0]}" and "{_DIRECTIONS[1]}", lists of ids by id'
)


@dataclass(frozen=True, slots=True)
class Ranks:
    """Ranks from 0; not ``exact``: some lists ended before what is right, whose rank is then at least their length."""

    ranks: NDArray[np.int64]
    exact: bool = True


Both = tuple[Ranks | None, Ranks | None]
"""Text to image, and image to text; None for a direction that was not predicted."""


def short_id(image: object) -> str:
    """An image's id as result files write it, from its image id, its file's name or its number."""
    return image_key(str(image))


@dataclass(frozen=True, slots=True)
class Matrix:
    """Scores (C, I) of C captions with I images; (I, C) until its ids are known."""

    scores: NDArray[Any]
    caption_ids: tuple[str, ...] = ()
    image_ids: tuple[str, ...] = ()

    @property
    def first(self) -> str:
        return self.caption_ids[0] if self.caption_ids else self.image_ids[0] if self.image_ids else ""

    def named(self, orders: Sequence[tuple[list[str], list[str]]], path: Path) -> Matrix:
        """With ids: its own, or those of the first of ``orders`` (caption ids, image ids) that fit its shape."""
        for captions, images in orders:
            captions, images = list(self.caption_ids) or captions, list(self.image_ids) or images
            for scores in (self.scores, self.scores.T):
                if scores.shape == (len(captions), len(images)):
                    return replace(self, scores=scores, caption_ids=tuple(captions), image_ids=tuple(images))
        sizes = " or ".join(dict.fromkeys(f"{len(captions)} x {len(images)}" for captions, images in orders))
        raise DataError(
            f"scores of shape {self.scores.shape[0]} x {self.scores.shape[1]} are not of captions x images, {sizes}",
            file=path,
            record=SCORES,
            remedy='predict the whole gallery, or name its members in "caption_ids" and "image_ids"',
        )

    def ranks(self, captions: Sequence[Example], path: Path) -> Both:
        """Ranks within a gallery: these captions and their images."""
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
    """Where the wanted ids stand among those of the file."""
    place = {key: number for number, key in enumerate(ids)}
    if len(place) != len(ids):
        twice = next(key for number, key in enumerate(ids) if place[key] != number)
        raise DataError(f"an id among the {what} occurs twice", file=path, record=twice, remedy="keep one of the two")
    missing = [key for key in wanted if key not in place]
    if missing:
        raise DataError(
            f"{len(missing):,} of {len(wanted):,} {what} of the gallery have no scores",
            file=path,
            record=missing[0],
            remedy="score the whole gallery, or choose the --protocol of the one that was scored",
        )
    return [place[key] for key in wanted]


@dataclass(frozen=True, slots=True)
class Ranking:
    """Lists of ids, best first, by id; one mapping a direction, None for one that was not predicted."""

    text_to_image: Mapping[str, list[str]] | None
    image_to_text: Mapping[str, list[str]] | None

    @property
    def first(self) -> str:
        return next(iter(self.text_to_image or self.image_to_text or {}), "")

    def ranks(self, captions: Sequence[Example], path: Path) -> Both:
        """Ranks within a gallery; what else a list names is passed over."""
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
    """Place from 0 of the first right id in each list."""
    missing = [key for key in right if key not in lists]
    if missing:
        raise DataError(
            f"{len(missing):,} of {len(right):,} of the gallery have no list",
            file=path,
            record=missing[0],
            remedy="rank for the whole gallery, or choose the --protocol of the one that was ranked",
        )
    ranks, exact = [], True
    for key, those in right.items():
        listed = [each for each in lists[key] if each in gallery]
        if len(set(listed)) != len(listed):
            raise DataError("this list names something twice", file=path, record=key, remedy="list everything once")
        place = next((place for place, each in enumerate(listed) if each in those), None)
        if place is None and len(listed) < _DEEPEST:
            raise DataError(
                f"this list has {len(listed)} of the gallery, and not what is right",
                file=path,
                record=key,
                remedy=f"rank all of the gallery, or its first {_DEEPEST} at least",
            )
        exact = exact and place is not None
        ranks.append(len(listed) if place is None else place)
    return Ranks(np.array(ranks, dtype=np.int64), exact)


def read_results(path: Path) -> Matrix | Ranking:
    """Scores or rankings.

    Raises:
        DataError: the file is neither, or holds no numbers or ids where they belong.
    """
    if path.suffix in (".npz", ".npy"):
        return _matrix(_arrays(path), path)
    with mended_by(path, _REMEDY):
        content = Record(read_json(path), path, None)
    if SCORES in content.fields:
        return _matrix(content.fields, path)
    if not any(direction in content.fields for direction in _DIRECTIONS):
        raise content.error("neither scores nor rankings", _REMEDY)
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
    except Exception as error:  # numpy evaluates headers and unpacks archives: a damaged one can raise anything at all
        raise DataError(f"not numpy's: {error or type(error).__name__}", file=path, remedy=_REMEDY) from None


def _matrix(fields: Mapping[str, Any], path: Path) -> Matrix:
    def wrong(what: str, record: str = SCORES) -> DataError:
        return DataError(what, file=path, record=record, remedy=_REMEDY)

    if SCORES not in fields:
        raise wrong(f"missing among {', '.join(fields) or 'nothing'}")
    rows = fields[SCORES]
    if isinstance(rows, list) and not all(isinstance(row, list) and {*map(type, row)} <= _NUMBERS for row in rows):
        raise wrong("expected rows of numbers, and nothing else among them")
    try:
        scores = np.asarray(rows)
    except ValueError:
        raise wrong("the rows are not of equal length") from None
    if scores.ndim != 2 or 0 in scores.shape or scores.dtype.kind not in "iuf":
        raise wrong(f"expected numbers of captions x images, found {scores.dtype} of shape {scores.shape}")
    if scores.dtype.kind != "f":
        scores = scores.astype(np.float64)
    if np.isnan(scores).any():
        row, column = (int(place[0]) for place in np.nonzero(np.isnan(scores)))
        raise wrong(f"not a number in row {row}, column {column}")
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
    """Ids of captions or images, which are written in several ways."""
    if not isinstance(values, list) or any(
        isinstance(each, bool) or not isinstance(each, int | str) or not writable(str(each)) for each in values
    ):
        raise DataError(f"expected a list of ids, found {describe(values)}", file=path, record=place, remedy=_REMEDY)
    return [short_id(each) for each in values]
