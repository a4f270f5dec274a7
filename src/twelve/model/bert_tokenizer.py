"""BERT's lower-case tokenizer: reading one, making one from a vocabulary, and shortening texts to fit a model."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from twelve.errors import CheckpointError
from twelve.io.hub import resolve
from twelve.model.tokenizer_file import read_tokenizer, read_vocabulary

TOKENIZER_FILE = "tokenizer.json"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def load_tokenizer(source: str | Path) -> Tokenizer:
    """Load a tokenizer.json or vocab.txt (lower-case BERT word pieces), or a folder, package or hub name with one.

    Raises:
        CheckpointError: it is missing or unreadable.
    """
    file = Path(source)
    if not file.is_file() and file.suffix not in (".json", ".txt"):
        folder = resolve(source, TOKENIZER_FILE, "vocab.txt")
        file = next((folder / name for name in (TOKENIZER_FILE, "vocab.txt") if (folder / name).is_file()), folder)
    if not file.is_file():
        raise CheckpointError("no tokenizer.json or vocab.txt here", file=file, remedy="name a folder with a tokenizer")
    return read_tokenizer(file) if file.suffix == ".json" else wordpieces(read_vocabulary(file))


def shortened(pieces: list[int], most: int, separator: int) -> list[int]:
    """The first ``most`` word pieces. If separators divide the text, the longest part (the first, among equals) loses
    its last piece until all fit, so that the last part, such as an answer to choose, is kept."""
    parts = [list(part) for last, part in itertools.groupby(pieces, lambda piece: piece == separator) if not last]
    room = most - (len(parts) - 1)
    if len(pieces) <= most or len(parts) < 2 or room < len(parts):
        return pieces[:most]
    while sum(map(len, parts)) > room:
        max(parts, key=len).pop()
    return [piece for part in parts for piece in (*part, separator)][:-1]


def wordpieces(vocabulary: Sequence[str]) -> Tokenizer:
    """Lower-case BERT word-piece tokenizer from the lines of a vocab.txt."""
    table = {token: row for row, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(table, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([token for token in SPECIAL if token in table])
    return tokenizer


def special_rows(tokenizer: Tokenizer) -> dict[str, int]:
    """Special token -> its row.

    Raises:
        CheckpointError: one is missing.
    """
    return {token: _special(tokenizer, token) for token in SPECIAL}


def _special(tokenizer: Tokenizer, token: str) -> int:
    row: int | None = tokenizer.token_to_id(token)
    if row is None:
        raise CheckpointError(f"the tokenizer has no {token}", remedy="use a BERT word-piece tokenizer")
    return row
