"""Compares a file with what is stated about it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from twelve.downloads.download import Download, Stated
from twelve.errors import TwelveError
from twelve.io.files import reading_remedy

_PIECE = 1 << 20


def hashes_of(
    path: Path, algorithms: Iterable[str] = (), advance: Callable[[int], None] = lambda _: None
) -> dict[str, str]:
    """Algorithm -> ``algorithm:digits`` of a file, always with sha256; the file is read once.

    Raises:
        TwelveError: it cannot be read.
    """
    names = dict.fromkeys(("sha256", *algorithms))
    made = {name: hashlib.new("sha1" if name == "git-blob-sha1" else name, usedforsecurity=False) for name in names}
    done = 0
    try:
        if "git-blob-sha1" in made:  # what git hashes: a head, and the content
            made["git-blob-sha1"].update(f"blob {path.stat().st_size}\0".encode())
        with open(path, "rb") as stream:
            while piece := stream.read(_PIECE):
                for one in made.values():
                    one.update(piece)
                advance(done := done + len(piece))
    except OSError as error:
        remedy = reading_remedy(error, path, "check the disk")
        raise TwelveError(f"cannot be read: {error.strerror}", file=path, remedy=remedy) from None
    return {name: f"{name}:{one.hexdigest()}" for name, one in made.items()}


def misfit(size: int, found: dict[str, str], wanted: int | None, stated: Iterable[Stated]) -> str | None:
    """What does not fit, with expected and found; None if everything does."""
    if wanted is not None and size != wanted:
        return f"wrong length: expected {wanted:,} bytes, found {size:,}"
    for one in stated:
        if not one.disagrees and found[one.algorithm] != one.hash:
            return f"wrong hash: expected {one.hash} ({one.source}), found {found[one.algorithm]}"
    return None


def fitting(stated: Iterable[Stated]) -> tuple[str, ...]:
    """The hashes that a file must have."""
    return tuple(one.hash for one in stated if not one.disagrees)


def disagreements(one: Download) -> tuple[str, ...]:
    """What is to be said about sources that disagree."""
    followed = ", ".join(stated.source for stated in one.hashes if not stated.disagrees) or "what came first"
    return tuple(
        f"sources disagree: {each.source} states {each.hash} ({each.disagrees}); compared with {followed}"
        for each in one.hashes
        if each.disagrees
    )
