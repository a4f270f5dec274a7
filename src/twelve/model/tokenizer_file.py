"""Safe reading of tokenizer.json: the ``tokenizers`` library only gets content known to be harmless.

The file is a program for the library: a chain of replacements in a few hundred bytes can fill all memory on the first
text. So only the parts of BERT tokenizers are accepted, each within bounds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from twelve.errors import CheckpointError
from twelve.io import json_file

PIECES = 1 << 21
"""Maximum number of word pieces; no language model has half as many."""
LONGEST = 256
"""Maximum number of characters in a piece."""
_ADDED, _PARTS, _WORD = 4096, 16, 1000
_REMEDY = "use a BERT tokenizer, as saved with the model"

_Test = Callable[[Any], bool]


def _whole(value: Any, most: int = PIECES) -> bool:
    return type(value) is int and 0 <= value < most


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _piece(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST


def _list(of: _Test, most: int = _PARTS) -> _Test:
    return lambda value: isinstance(value, list) and len(value) <= most and all(map(of, value))


def _object(**fields: _Test) -> _Test:
    """An object with exactly these fields."""
    return lambda value: isinstance(value, dict) and value.keys() == fields.keys() and _all(value, fields)


def _all(value: Mapping[str, Any], fields: Mapping[str, _Test]) -> bool:
    return all(right(value[key]) for key, right in fields.items())


def _is(*values: Any) -> _Test:
    return lambda value: any(type(value) is type(each) and value == each for each in values)


def _either(*tests: _Test) -> _Test:
    return lambda value: any(right(value) for right in tests)


def _pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and _piece(value[0]) and _whole(value[1])


_PLACE = _either(
    _object(SpecialToken=_object(id=_piece, type_id=_whole)),
    _object(Sequence=_object(id=_is("A", "B"), type_id=_whole)),
)
_SPECIAL = _object(id=_piece, ids=_list(_whole), tokens=_list(_piece))


def _specials(value: Any) -> bool:
    return isinstance(value, dict) and len(value) <= _PARTS and all(map(_SPECIAL, value.values()))


_STRIPS = _is(None, True, False)
_SHAPE: Mapping[str, tuple[_Test, str]] = {
    "version": (_is("1.0"), "1.0"),
    "truncation": (lambda value: value is None or isinstance(value, dict), "an object or null"),
    "padding": (lambda value: value is None or isinstance(value, dict), "an object or null"),
    "added_tokens": (
        _list(
            _object(
                id=_whole,
                content=_piece,
                **dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), _flag),
            ),
            _ADDED,
        ),
        f"at most {_ADDED} tokens with id, content and five switches",
    ),
    "normalizer": (
        _object(
            type=_is("BertNormalizer"),
            clean_text=_flag,
            handle_chinese_chars=_flag,
            strip_accents=_STRIPS,
            lowercase=_flag,
        ),
        "a BertNormalizer",
    ),
    "pre_tokenizer": (_object(type=_is("BertPreTokenizer")), "a BertPreTokenizer"),
    "post_processor": (
        _either(
            _is(None),
            _object(type=_is("BertProcessing"), sep=_pair, cls=_pair),
            _object(type=_is("TemplateProcessing"), single=_list(_PLACE), pair=_list(_PLACE), special_tokens=_specials),
        ),
        "null, BertProcessing or a short TemplateProcessing",
    ),
    "decoder": (
        _either(_is(None), _object(type=_is("WordPiece"), prefix=_is("##"), cleanup=_flag)),
        "null or WordPiece with ##",
    ),
    "model": (
        _object(
            type=_is("WordPiece"),
            unk_token=_is("[UNK]"),
            continuing_subword_prefix=_is("##"),
            max_input_chars_per_word=lambda value: _whole(value, _WORD + 1),
            vocab=lambda value: isinstance(value, dict) and 0 < len(value) <= PIECES,
        ),
        f"WordPiece with [UNK], ##, words of at most {_WORD} characters and 1 to {PIECES:,} pieces",
    ),
}


def read_tokenizer(file: Path) -> Tokenizer:
    """Read a tokenizer.json, without its padding and truncation.

    Raises:
        CheckpointError: it is not a BERT tokenizer, or its pieces are not numbered from 0 without gaps.
    """
    tree = json_file.read_object(file, remedy=_REMEDY)

    def wrong(wanted: str, found: Any, record: str) -> CheckpointError:
        shown = found.get("type", sorted(found)[:8]) if isinstance(found, dict) else found
        return CheckpointError(
            f"not a tokenizer: expected {wanted}, found {str(shown)[:120]!r}", file=file, record=record, remedy=_REMEDY
        )

    if tree.keys() != _SHAPE.keys():
        raise wrong(", ".join(_SHAPE), tree, "keys")
    for key, (right, wanted) in _SHAPE.items():
        if not right(tree[key]):
            raise wrong(wanted, tree[key], key)
    pieces: dict[str, Any] = dict(tree["model"]["vocab"])
    for piece in pieces:
        if not _piece(piece):
            raise wrong(f"pieces of 1 to {LONGEST} characters", piece, "model.vocab")
    for added in tree["added_tokens"]:
        if pieces.setdefault(added["content"], added["id"]) != added["id"]:
            raise wrong(f"id {pieces[added['content']]}", added["id"], f"added_tokens.{added['content']}")
    numbers = pieces.values()
    if any(type(number) is not int for number in numbers) or set(numbers) != set(range(len(pieces))):
        raise wrong(f"{len(pieces):,} pieces numbered 0 to {len(pieces) - 1:,}", "others", "model.vocab")
    if "[UNK]" not in tree["model"]["vocab"]:
        raise wrong("[UNK] among the pieces", "none", "model.vocab")
    try:
        return Tokenizer.from_str(json.dumps(tree | {"truncation": None, "padding": None}))
    except Exception as problem:  # the library raises bare Exception for any error
        raise CheckpointError(f"not a tokenizer: {problem}", file=file, remedy=_REMEDY) from None


def read_vocabulary(file: Path) -> list[str]:
    """Read the pieces of a vocab.txt, one per line.

    Raises:
        CheckpointError: it is unreadable; a piece is empty, too long or repeated; there are too many.
    """
    lines = [
        line.removesuffix("\r") for line in json_file.read_text(file, remedy=_REMEDY).removesuffix("\n").split("\n")
    ]
    seen: set[str] = set()
    for number, piece in enumerate(lines, start=1):
        if not _piece(piece) or piece in seen or number > PIECES:
            raise CheckpointError(
                f"not a vocabulary: expected 1 to {PIECES:,} distinct pieces of 1 to {LONGEST} characters, "
                f"found {piece[:40]!r}",
                file=file,
                record=f"line {number}",
                remedy=_REMEDY,
            )
        seen.add(piece)
    return lines
