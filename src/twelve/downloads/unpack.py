"""Takes the wanted members out of an archive that is not trusted: zip, tar (packed or not), or one packed file (.gz).

Names in the archive only choose members; where a member goes is the registry's word. An archive with a path that is
absolute or leads upwards is refused as a whole, and so are wanted members that are links, devices, encrypted, there
twice, or larger than they say.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

from rich.filesize import decimal

from twelve.downloads.writing import begin, check_room, end, make_folder, write

MOST = 100
"""Times its own size that an archive may expand to."""
_SMALL = 16 << 20
"""Bytes that any archive may expand to."""
_PIECE = 1 << 20
_LONGEST_HEADER = 1 << 20
_MOST_MEMBERS = 2_000_000
_PACKERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
"""Beginning of a file -> what reads it."""
_JUNK = ("__MACOSX/", "._")
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,  # names that are no text
    NotImplementedError,  # a kind of compression
    RuntimeError,  # an encrypted member
)
_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".gz")


class BadArchive(Exception):
    """The archive is damaged, is none, or is not what the registry says."""


def unpack(
    archive: Path,
    name: str,
    places: Sequence[tuple[str, str]],
    stage: Path,
    optional: Collection[str] = (),
    advance: Callable[[int, int | None], None] = lambda _, __: None,
) -> list[str]:
    """Write the wanted members below ``stage``, each under its place in the data root; returns the places of files.

    Args:
        name: of the archive, whose suffix says its kind.
        places: (member, place), see :class:`~twelve.downloads.registry.Download`.
        optional: members that may be missing.
        advance: called with (bytes written so far, bytes in all if known).

    Raises:
        BadArchive: says what is wrong.
        TwelveError: the disk is full, or cannot be written.
    """
    kind = next((suffix for suffix in _SUFFIXES if name.lower().endswith(suffix)), None)
    if kind is None:
        raise BadArchive(f"expected a name that ends in {', '.join(_SUFFIXES)}, found {name!r}")
    reader = _zip if kind == ".zip" else _gz if kind == ".gz" and not name.lower().endswith(".tar.gz") else _tar
    limit = max(archive.stat().st_size * MOST, _SMALL)
    written: dict[str, None] = {}
    done = 0
    try:
        total = _wanted(archive, places, limit) if reader is _zip else None
        for member, size, open_member in reader(archive, places[0][0], limit):
            place = _place(member, places)
            if place is None:
                continue
            if place in written:
                raise BadArchive(f"two members are {member!r}")
            stream = open_member()
            written[place] = None
            target = stage / place
            make_folder(target.parent)
            check_room(target, size)
            out, before = begin(target, 0), done
            try:
                done = _pour(stream, out, done, limit, lambda done: advance(done, total))
            finally:
                end(out, durable=False)
            if done == before and not any(wanted.startswith("*.") and place.startswith(to) for wanted, to in places):
                raise BadArchive(f"the member {member!r} is empty")
    except _DAMAGED as error:
        raise BadArchive(f"damaged, or no {kind} archive: {str(error)[:200] or type(error).__name__}") from None
    except OSError as error:  # of reading alone: what writes raises TwelveError
        raise BadArchive(f"damaged, or no {kind} archive: {str(error)[:200]}") from None
    lacking = [
        member
        for member, place in places
        if member not in optional and not any(each == place or each.startswith(place) for each in written)
    ]
    if lacking:
        raise BadArchive(f"no member {lacking[0]!r}")
    return list(written)


def _place(member: str, places: Sequence[tuple[str, str]]) -> str | None:
    """Where a member goes; None if it is not wanted."""
    if member.startswith(_JUNK[0]) or member.rsplit("/", 1)[-1].startswith(_JUNK[1]):
        return None
    for wanted, place in places:
        if wanted.startswith("*."):
            base = member.rsplit("/", 1)[-1]
            if base.lower().endswith(wanted[1:]) and base.isprintable() and len(os.fsencode(base)) <= 200:
                return place + base
        elif member == wanted or member.endswith("/" + wanted):
            return place
    return None


def _check_name(name: str) -> None:
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
        raise BadArchive(f"a member leads out of its folder: {name[:200]!r}")


_Members = Iterator[tuple[str, int, Callable[[], Any]]]
"""(name, stated size in bytes, opens it) of every member that is a file."""


def _wanted(archive: Path, places: Sequence[tuple[str, str]], limit: int) -> int:
    """Stated bytes of the wanted members of a zip archive, for which there must be room."""
    with zipfile.ZipFile(archive) as opened:
        total = sum(info.file_size for info in opened.infolist() if _place(info.filename, places))
    if total > limit:
        raise BadArchive(f"expands to {decimal(total)}, more than {MOST} times its size")
    check_room(archive, total)
    return total


def _zip(archive: Path, _: str, limit: int) -> _Members:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            _check_name(info.orig_filename)
        for info in opened.infolist():
            if info.is_dir():
                continue
            yield info.filename, info.file_size, partial(_zip_member, opened, info)


def _zip_member(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Any:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise BadArchive(f"the member {info.filename[:200]!r} is a link or a device")
    return opened.open(info)


class _Limited:
    """What an archive unpacks to, headers included; raises BadArchive after ``limit`` bytes."""

    def __init__(self, stream: Any, limit: int) -> None:
        self._stream, self._limit, self._passed = stream, limit, 0

    def read(self, count: int) -> bytes:
        piece: bytes = self._stream.read(min(count, _PIECE))
        self._passed += len(piece)
        if self._passed > self._limit:
            raise BadArchive(f"expands to more than {decimal(self._limit)}, {MOST} times its size")
        return piece


class _Header(tarfile.TarInfo):
    """tarfile reads the headers that extend others (long names, pax) as a whole."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str | None, errors: str) -> Self:
        made = super().frombuf(buf, encoding, errors)  # type: ignore[arg-type]
        plain = made.type in (*tarfile.REGULAR_TYPES, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE)
        if made.size < 0 or (not plain and made.size > _LONGEST_HEADER):
            raise BadArchive(f"a header of the archive has {made.size} bytes")
        return made


def _tar(archive: Path, _: str, limit: int) -> _Members:
    with open(archive, "rb") as packed:
        beginning = packed.read(6)
    opener: Any = next((each for magic, each in _PACKERS.items() if beginning.startswith(magic)), open)
    count = 0
    with (
        opener(archive, "rb") as stream,
        tarfile.open(fileobj=_Limited(stream, limit), mode="r|", tarinfo=_Header) as opened,  # type: ignore[call-overload]
    ):
        while (info := opened.next()) is not None:
            opened.members.clear()  # it would keep them all
            _check_name(info.name)
            count += 1
            if info.size < 0 or count > _MOST_MEMBERS:
                raise BadArchive(f"a member has {info.size} bytes" if info.size < 0 else "too many members")
            if info.size > limit:
                raise BadArchive(f"expands to more than {decimal(limit)}, {MOST} times its size")
            if not info.isdir():
                yield info.name, info.size, partial(_tar_member, opened, info)


def _tar_member(opened: tarfile.TarFile, info: tarfile.TarInfo) -> Any:
    if not info.isreg() or info.issparse():
        raise BadArchive(f"the member {info.name[:200]!r} is a link or a device")
    return opened.extractfile(info)


def _gz(archive: Path, member: str, limit: int) -> _Members:
    with gzip.open(archive) as opened:
        yield member, 0, lambda: opened


def _pour(stream: Any, out: Any, done: int, limit: int, advance: Callable[[int], None]) -> int:
    """Copy a member; the bytes of all members so far."""
    while piece := stream.read(_PIECE):
        done += len(piece)
        if done > limit:
            raise BadArchive(f"expands to more than {decimal(limit)}, {MOST} times its size")
        write(out, piece)
        advance(done)
    return done


def clear(stage: Path) -> None:
    """Remove what an interrupted unpacking left."""
    if stage.is_dir() and not stage.is_symlink():
        shutil.rmtree(stage)
