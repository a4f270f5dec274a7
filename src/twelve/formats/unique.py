"""Keys that occur twice, among millions, in 8 bytes a key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from twelve.formats.records import Record

BLOCK = 1 << 17
"""Keys that are compared with all before them at a time."""
_DIGITS = 17
_Block: TypeAlias = dict[int, tuple[Path, str | None, str]]


def unique(records: Iterable[tuple[str, Record]], problem: str) -> Iterator[tuple[str, Record]]:
    """The same (key, record) pairs, passed on one after the other; their keys must differ.

    Keys of up to 17 digits are compared as they are, others by a hash of 62 bits: among fifteen million of them, two
    that differ are taken for the same once in 40,000 files.

    Raises:
        DataError: a key occurs again, noticed at the latest after :data:`BLOCK` further records; ``problem`` says so,
            where ``{key}`` stands for it.
    """
    seen = np.zeros(0, np.int64)
    block: _Block = {}
    for key, record in records:
        code = _code(key)
        if code in block:
            raise record.error(problem.format(key=key))
        block[code] = record.file, record.place, key
        if len(block) == BLOCK:
            seen = _merged(seen, block, problem)
            block.clear()
        yield key, record
    _merged(seen, block, problem)


def _code(key: str) -> int:
    """A number of 63 bits; those of digits are positive and differ when the digits do, leading zeros included."""
    if len(key) <= _DIGITS and key.isascii() and key.isdigit():
        return int(f"1{key}")
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return -1 - (int.from_bytes(digest, "big") >> 2)


def _merged(seen: NDArray[np.int64], block: _Block, problem: str) -> NDArray[np.int64]:
    """``seen``, which is sorted, with the keys of a block; raises the DataError of :func:`unique`."""
    codes = np.fromiter(block, np.int64, len(block))
    if len(seen):
        places = np.minimum(np.searchsorted(seen, codes), len(seen) - 1)
        for code in codes[seen[places] == codes][:1].tolist():
            file, place, key = block[code]
            raise Record({}, file, place).error(problem.format(key=key))
    return np.sort(np.concatenate([seen, np.sort(codes)]), kind="stable")  # which merges what is sorted already
