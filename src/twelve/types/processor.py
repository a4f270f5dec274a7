"""The part of :class:`twelve.TwelveProcessor` that batches and outputs use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class TextProcessor(Protocol):
    """Attributes:
    temperatures: task -> divisor of its logits.
    max_regions: number of detected regions kept per image.
    max_text: task -> number of word pieces kept per text, including [CLS] and [SEP].
    token_rows: task -> its row in the task-token table; empty if there is none.
    vocabularies: output key -> its labels.
    own_answers: task of one's own -> the answers in its training data.
    """

    temperatures: dict[str, float]
    max_regions: int
    max_text: dict[str, int]
    token_rows: dict[str, int]
    vocabularies: dict[str, list[str]]
    own_answers: dict[str, list[str]]

    @property
    def special(self) -> Mapping[str, int]:
        """[PAD], [CLS], [SEP], [MASK] and [UNK] -> id."""
        ...

    @property
    def vocab_size(self) -> int: ...

    @property
    def words(self) -> str:
        """A hash of the tokenizer, which decides what :meth:`tokenize` returns."""
        ...

    def tokenize(self, texts: Sequence[str], max_length: int) -> list[list[int]]:
        """Word-piece ids of each text, including [CLS] and [SEP], at most ``max_length``."""
        ...
