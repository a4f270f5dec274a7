"""Attention between words and regions.

Axes: N heads, L words (the task token among them), R regions (0 is the whole image).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from twelve.errors import InputError
from twelve.outputs.parts.drawing import caption_below, framed
from twelve.outputs.parts.notebook import png
from twelve.outputs.parts.result import percent, rounded
from twelve.progress import counted
from twelve.types.examples import Box


@dataclass(frozen=True, repr=False)
class Attention:
    """The attention of one result.

    Attributes:
        words: L word pieces; "[TASK]" is the task's token.
        boxes: R boxes, xyxy pixels; the first is the whole image.
        maps: probabilities (N, queries, keys) by step, in order: ``connection.3.text`` words over regions (N, L, R),
            ``connection.3.image`` regions over words (N, R, L), ``text.5`` words over words (N, L, L), ``image.2``
            regions over regions (N, R, R). Steps are counted from 0; every row of keys sums to 1. With one stream,
            ``layers.3`` is (N, L + R, L + R), and ``layers.3.text`` and ``.image`` are connections too.
        image: the photograph, or None.
    """

    words: tuple[str, ...]
    boxes: tuple[Box, ...]
    maps: Mapping[str, NDArray[np.float32]]
    image: Image.Image | None = None

    def __repr__(self) -> str:
        words, regions = counted(len(self.words), "word"), counted(len(self.boxes), "region")
        return f"Attention({words}, {regions}, {self.connections} connections)"

    @property
    def connections(self) -> int:
        """Number of steps at which words and regions attend to each other."""
        return len(self._steps)

    @property
    def _steps(self) -> list[str]:
        return [name.removesuffix(".text") for name in self.maps if name.endswith(".text")]

    def words_to_regions(self, connection: int | None = None, head: int | None = None) -> NDArray[np.float32]:
        """(L, R): attention of each word to the regions; each row sums to 1.

        Args:
            connection: its number, from 0; None for the mean of all.
            head: its number, from 0; None for the mean of all.

        Raises:
            ValueError: there is no such connection or head.
        """
        return self._mean("text", connection, head)

    def regions_to_words(self, connection: int | None = None, head: int | None = None) -> NDArray[np.float32]:
        """(R, L): attention of each region to the words; arguments and errors as :meth:`words_to_regions`."""
        return self._mean("image", connection, head)

    def strongest(self, connection: int = 0) -> NDArray[np.float32]:
        """(R, L), each 0..1: attention of each region to each word in the head where it is largest.

        In the model of examples/quickstart-model, this shows best which region a word is about (measured in
        docs/search-and-service.md). Rows do not sum to 1: each number can be of another head.

        Args:
            connection: its number, from 0.

        Raises:
            ValueError: there is no such connection.
        """
        self._mean("image", connection, None)
        found: NDArray[np.float32] = self.maps[f"{self._steps[connection]}.image"].max(0).astype(np.float32)
        return found

    def draw(self, word: int | str | None = None, connection: int = 0) -> Image.Image:
        """The image, with frames around the boxes that attend to a word.

        The frames show :meth:`strongest`, from 50% up, as on the page of ``twelve serve``. The frame of the box that
        attends to the word most is red, the others are blue.

        Args:
            word: a whole word, or the index of one of its pieces in :attr:`words`. For a word of several pieces, the
                mean over the pieces is shown. None for the typed word (not a marker word of a dialogue) that one box
                attends to much more than the other boxes do.
            connection: its number, from 0.

        Raises:
            InputError: there is no such word.
            ValueError: there is no such connection, or no image.
        """
        if self.image is None:
            raise ValueError("there is no image to draw on")
        words, values = self._whole(), self.strongest(connection)[1:]
        text, pieces = self._distinct(words, values) if word is None else self._found(words, word)
        if not len(values):
            return caption_below(framed(self.image, ()), f"“{text}”: there are no boxes")
        corners = np.array(self.boxes[1:], dtype=np.float64)
        # A detected box that is also a candidate is two regions, and one box to whoever looks at it: their mean.
        same = np.abs(corners[:, None] - corners[None]).max(-1) < 0.1
        shares = (same @ values[:, pieces].mean(1)) / same.sum(1)
        order = [k for k in np.argsort(-shares, kind="stable") if not same[k, :k].any()]
        frames = [(self.boxes[1 + k], 2 * shares[k] - 1) for k in order if shares[k] > 0.5 or k == order[0]]
        said = f"“{text}”: most attended to by the box with the red frame ({percent(float(shares.max()))})"
        return caption_below(framed(self.image, frames), said)

    def _repr_png_(self) -> bytes | None:
        return None if self.image is None else png(self.draw())

    def to_dict(self) -> dict[str, object]:
        """Words, boxes, both means and :meth:`strongest` as plain values."""
        return {
            "words": list(self.words),
            "boxes": rounded([list(map(float, box)) for box in self.boxes]),
            "words_to_regions": self.words_to_regions().astype(np.float64).round(5).tolist(),
            "regions_to_words": self.regions_to_words().astype(np.float64).round(5).tolist(),
            "strongest": self.strongest().astype(np.float64).round(5).tolist(),
        }

    def _whole(self) -> list[tuple[str, list[int]]]:
        """The words, each with the indices of its pieces: a piece that continues a word begins with ##."""
        found: list[tuple[str, list[int]]] = []
        for place, piece in enumerate(self.words):
            if piece.startswith("##") and found:
                text, pieces = found.pop()
                found.append((text + piece.removeprefix("##"), [*pieces, place]))
            else:
                found.append((piece, [place]))
        return found

    def _found(self, words: Sequence[tuple[str, list[int]]], word: int | str) -> tuple[str, list[int]]:
        place = word % len(self.words) if isinstance(word, int) and -len(self.words) <= word < len(self.words) else None
        for text, pieces in words:
            if place in pieces or (isinstance(word, str) and text.lower() == word.lower()):
                return text, pieces
        known = ", ".join(dict.fromkeys(text for text, _ in words if not text.startswith("[")))
        raise InputError(
            f"expected one of the words {known}, found {word!r}",
            remedy="pass one of these words, or the index of one of its pieces in words",
        )

    @staticmethod
    def _distinct(words: Sequence[tuple[str, list[int]]], values: NDArray[np.float32]) -> tuple[str, list[int]]:
        """The word that one of the boxes of ``values`` (R, L) attends to much more than the others do."""
        marks = _marks([text for text, _ in words])
        shown = [word for place, word in enumerate(words) if not word[0].startswith("[") and place not in marks]
        typed = shown or words
        if not len(values):
            return typed[0]
        shares = np.array([values[:, pieces].mean(1) for _, pieces in typed])
        return typed[int(np.argmax(shares.max(1) - shares.mean(1)))]

    def _mean(self, side: str, connection: int | None, head: int | None) -> NDArray[np.float32]:
        numbers: Sequence[int] = range(self.connections) if connection is None else [connection]
        if not self.connections or not set(numbers) <= {*range(self.connections)}:
            raise ValueError(f"expected a connection below {self.connections}, found {connection}")
        parts = [self.maps[f"{self._steps[number]}.{side}"] for number in numbers]
        heads = len(parts[0])
        if head is not None and not -heads <= head < heads:
            raise ValueError(f"expected a head below {heads}, found {head}")
        chosen = [part.mean(0) if head is None else part[head] for part in parts]
        mean: NDArray[np.float32] = np.mean(chosen, axis=0, dtype=np.float32)
        return mean


def _marks(words: Sequence[str]) -> set[int]:
    """The places of the words that the program added to a dialogue, "start … ? answer yes stop"; none in another text.
    A question may contain the same words, so the neighbours decide, as on the page (web/static/dialogue.js)."""

    def is_outside(place: int) -> bool:
        return not 0 <= place < len(words) or words[place].startswith("[")

    def ends(place: int) -> bool:
        return (
            not is_outside(place) and words[place] == "stop" and (is_outside(place + 1) or words[place + 1] == "start")
        )

    places = range(len(words))
    starts = {k for k in places if words[k] == "start" and (is_outside(k - 1) or words[k - 1] == "stop")}
    # "yes" and "no" are one word, "n/a" is three.
    answers = {k for k in places if words[k] == "answer" and (ends(k + 2) or ends(k + 4))}
    return starts | answers | set(filter(ends, places)) if starts and answers else set()
