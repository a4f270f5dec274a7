"""What turns texts into word pieces, as far as batches and outputs know it (:class:`twelve.TwelveProcessor`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class TextProcessor(Protocol):
    """Attributes:
    temperatures: task -> what its logits are divided by.
    max_regions: detected regions that are kept of an image.
    max_text: task -> word pieces that are kept of a text, [CLS] and [SEP] included.
    token_rows: task -> its row of the task-token table.
    vocabularies: key of an output -> its labels.
    """

    temperatures: dict[str, float]
    max_regions: int
    max_text: dict[str, int]
    token_rows: dict[str, int]
    vocabularies: dict[str, list[str]]

    @property
    def special(self) -> Mapping[str, int]:
        """[PAD], [CLS], [SEP], [MASK] and [UNK] -> id."""
        ...

    @property
    def vocab_size(self) -> int: ...

    def tokenize(self, texts: Sequence[str], max_length: int) -> list[list[int]]:
        """Ids of each text's word pieces, [CLS] and [SEP] included, ``max_length`` at most."""
        ...
