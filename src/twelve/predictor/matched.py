"""The result of matching captions with images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from twelve.errors import InputError, located_problem, nearest
from twelve.formats.records import describe
from twelve.io.json_file import readable
from twelve.outputs.parts.result import HIDDEN, SHOWN, percent, rounded, suffix
from twelve.outputs.parts.warned import Warned, of_images
from twelve.outputs.parts.warned import reliable as reliable_with
from twelve.progress import counted

if TYPE_CHECKING:
    from PIL import Image


DRAWN, KEPT = 10, 5
"""Captions that are drawn together, and images that are kept for each."""


class HasId(Protocol):
    """The part of a scene that this module uses."""

    @property
    def id(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Matched:
    """How well captions and images match.

    Attributes:
        captions: C texts.
        images: names of I images; files of one name are named by the paths that were passed.
        logits: (C, I) float32, higher for better matches; comparable within a row and within a column. NaN where an
            image is not on a caption's shortlist.
        temperature: divisor of the logits before the softmax that gives shares.
        task: name of the task that matched them.
        calibrated: whether the shares are calibrated: training has calibrated the task, and the shares are of the model
            alone (``contrast_weight`` 0).
        of_captions: warnings of the captions and of the task, each a text with a ``code``.
        of_images: warnings of each image.
        shortlist: number of images that were ranked for each caption; None if all were.
        searched: number of images that the shortlist was chosen from, if ``images`` has only the images on the
            shortlist; else 0.
        skipped: of :meth:`twelve.Predictor.search`: each file that could not be read, and why.
        photographs: the images that :meth:`draw` may show, by index: the best images of each caption.
    """

    captions: tuple[str, ...]
    images: tuple[str, ...]
    logits: NDArray[np.float32]
    task: str
    temperature: float = 1.0
    calibrated: bool = False
    of_captions: tuple[Warned, ...] = field(default=(), repr=False)
    of_images: tuple[tuple[Warned, ...], ...] = field(default=(), repr=False)
    shortlist: int | None = None
    searched: int = 0
    skipped: Mapping[str, str] = field(default_factory=dict)
    scenes: tuple[str, ...] = field(default=(), repr=False, compare=False, metadata=HIDDEN)
    paths: tuple[str, ...] = field(default=(), repr=False, compare=False, metadata=HIDDEN)
    photographs: Mapping[int, Image.Image] = field(default_factory=dict, repr=False, compare=False, metadata=HIDDEN)

    @property
    def warnings(self) -> tuple[Warned, ...]:
        """Reasons to doubt the shares, each a text with a ``code``: of the captions, of the task, and of the images
        that were ranked, with their names."""
        return self.warnings_of()

    def warnings_of(self, top: int | None = None) -> tuple[Warned, ...]:
        """The :attr:`warnings` of a reply that has only some images: warnings about the other images are left out.

        Args:
            top: number of best images of each caption in the reply; None for all ranked images.
        """
        best = dict.fromkeys(column for row in range(len(self.captions)) for column, _ in self._columns(row)[:top])
        named = ((self.images[column], self.of_images[column]) for column in best if self.of_images)
        return (*of_images(named), *self.of_captions)

    @property
    def reliable(self) -> bool:
        """False where a warning says that shares may be meaningless: then do not trust them, even if they are
        calibrated."""
        return reliable_with(self.warnings)

    def ranked_images(self, caption: int | str = 0) -> list[tuple[str, float]]:
        """All ranked images with their shares (which sum to 1) for a caption, best first.

        Args:
            caption: its index, or its text.

        Raises:
            InputError: there is no such caption.
        """
        return [(self.images[column], share) for column, share in self._columns(caption)]

    def _columns(self, caption: int | str) -> list[tuple[int, float]]:
        row = _place(caption, self.captions, "caption")
        return _shares(self.logits[row] / self.temperature)

    def ranked_captions(self, image: int | str | os.PathLike[str] | HasId = 0) -> list[tuple[str, float]]:
        """All captions that the image was ranked for, with their shares (which sum to 1), best first.

        Args:
            image: its index, its name, the path that was passed, or the scene.

        Raises:
            InputError: there is no such image, or several have this name.
        """
        column = self.scenes.index(image.id) if getattr(image, "id", None) in self.scenes else None  # type: ignore[union-attr]
        if column is None:
            which = os.fspath(image) if isinstance(image, os.PathLike) else image
            passed = isinstance(which, str) and which not in self.images and which in self.paths
            column = _place(which, self.paths if passed else self.images, "image")
        return [(self.captions[row], share) for row, share in _shares(self.logits[:, column] / self.temperature)]

    @property
    def selection(self) -> str:
        """A line about the shortlist."""
        count = self.searched or len(self.images)
        return f"ranked {self.shortlist} of {count:,} images per caption, selected by the contrast head"

    def draw(self, caption: int | str | None = None, top: int = SHOWN) -> Image.Image:
        """The best images of a caption, or of each of the first :data:`DRAWN` captions, in a row, with their shares.

        Args:
            caption: its index, or its text.
            top: images to show, at most :data:`KEPT`.

        Raises:
            InputError: there is no such caption.
            ValueError: ``top`` is out of range.
        """
        from twelve.outputs.parts.drawing import in_rows

        if not 1 <= top <= KEPT:
            raise ValueError(f"expected top from 1 to {KEPT}, found {top}")
        rows = range(min(len(self.captions), DRAWN)) if caption is None else [_place(caption, self.captions, "caption")]
        return in_rows(
            [
                (
                    self.captions[row] + suffix(self.calibrated),
                    [
                        (self.photographs.get(column), f"{place}. {percent(share)}  {self.images[column]}")
                        for place, (column, share) in enumerate(self._columns(row)[:top], start=1)
                    ],
                )
                for row in rows
            ]
        )

    def _repr_html_(self) -> str:
        from twelve.outputs.parts.notebook import figure

        more = len(self.captions) - DRAWN
        lines = (
            f"{counted(len(self.captions), 'caption')}, {counted(len(self.images), 'image')}",
            f"{more} more captions" if more > 0 else "",
        )
        return figure(self.draw(), tuple(filter(None, lines)), warnings=self.warnings_of(SHOWN))

    def to_dict(self, top: int | None = None) -> dict[str, Any]:
        """Captions with their ranked images, and the logits (None where an image was not ranked); numbers are rounded
        as those of other results.

        Args:
            top: only this many best images of each caption, without logits; None for everything.
        """
        warnings = self.warnings_of(top)
        found: dict[str, Any] = rounded(
            {
                "task": self.task,
                "calibrated": self.calibrated,
                "reliable": reliable_with(warnings),
                "captions": [
                    {"caption": caption, "images": [{"image": i, "share": s} for i, s in self.ranked_images(row)[:top]]}
                    for row, caption in enumerate(self.captions)
                ],
                "shortlist": self.shortlist,
                "logits": [[None if np.isnan(logit) else logit for logit in row] for row in self.logits.tolist()],
                "warnings": [warning.to_dict() for warning in warnings],
            }
        )
        if top is not None:
            del found["logits"]
        return found

    def to_json(self, top: int | None = None) -> str:
        """:meth:`to_dict` as a line of JSON."""
        return readable(self.to_dict(top))

    def __str__(self) -> str:
        lines = []
        for row, caption in enumerate(self.captions):
            best = ", ".join(f"{image} ({percent(share)})" for image, share in self.ranked_images(row)[:SHOWN])
            lines.append(f"{caption}: {best}{suffix(self.calibrated)}")
        if self.shortlist:
            lines.append(self.selection)
        lines += [f"skipped: {located_problem(*each)}" for each in self.skipped.items()]
        lines += [warning.line for warning in self.warnings_of(SHOWN)]
        return "\n".join(lines)


def _place(which: object, names: Sequence[str], what: str) -> int:
    """The index of a caption or image, from its index or name."""
    if isinstance(which, int | np.integer) and not isinstance(which, bool) and -len(names) <= which < len(names):
        return int(which)
    if isinstance(which, str) and names.count(which) == 1:
        return names.index(which)
    remedy = f"pass its index, 0 to {len(names) - 1}, or its {'text' if what == 'caption' else 'name'}"
    if isinstance(which, str) and which in names:
        raise InputError(f"{names.count(which)} {what}s are named {which!r}", remedy="pass its index")
    hint = nearest(which, names) if isinstance(which, str) else ""
    raise InputError(f"no such {what}: {describe(which)}{hint}", remedy=remedy)


def best_of(logits: NDArray[np.float32]) -> set[int]:
    """Columns that :meth:`Matched.draw` may show, from logits (C, I)."""
    filled = np.where(np.isnan(logits), -np.inf, logits)
    return {*np.argsort(-filled, axis=1, kind="stable")[:, :KEPT].ravel().tolist()}


def _shares(logits: NDArray[np.float32]) -> list[tuple[int, float]]:
    """(index, share) of the logits that are not NaN, best first."""
    ranked = np.flatnonzero(~np.isnan(logits))
    weights = np.exp(logits[ranked].astype(np.float64) - float(logits[ranked].max(initial=-np.inf)))
    shares = weights / weights.sum()
    order = np.argsort(-shares, kind="stable")
    return [(int(ranked[place]), float(shares[place])) for place in order]
