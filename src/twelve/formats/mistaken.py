"""Recognises files that are not what their names say, as downloads, archives and exports leave them.

Used only after a reader has refused a file, or has not found it, so it costs nothing otherwise.
"""

from __future__ import annotations

import codecs
import zipfile
from pathlib import Path

from twelve.errors import Again

_BEGINNING = 512
"""Bytes at the beginning of a file that are read."""
_PAGES = (b"<!doctype html", b"<html", b"<head", b"<script", b"<body")
_POINTER = b"version https://git-lfs.github.com/spec/"
_ZIP, _GZIP = b"PK\x03\x04", b"\x1f\x8b"
_JSON = (".json", ".jsonl")
_AGAIN = Again("download the file again")
SECTION = "From a CSV table"
"""Heading in docs/add-a-task.md and docs/predict.md."""


def as_table(page: str = "docs/add-a-task.md") -> str:
    """What to do with a table in the place of JSON lines; ``page`` shows how."""
    return f"convert it as {SECTION!r} in {page} shows"


def what_is(path: Path, *, official: bool = True) -> tuple[str, str] | None:
    """(what is wrong with a file, what to do), or None.

    Args:
        official: not a file that the user wrote, of which the reader knows best what its lines should be.
    """
    try:
        if not path.exists():
            return _elsewhere(path)
        if not path.is_file():
            return None
        if not path.stat().st_size:
            return ("is empty (0 bytes)", _AGAIN) if official else None
        with path.open("rb") as stream:
            return _begins(path, stream.read(_BEGINNING), official)
    except (OSError, ValueError):
        return None


def _begins(path: Path, beginning: bytes, official: bool) -> tuple[str, str] | None:
    name = path.name
    text = beginning.removeprefix(codecs.BOM_UTF8).lstrip()
    lower = text.lower()
    if lower.startswith(_PAGES) or (lower.startswith(b"<?xml") and (b"<error>" in lower or b"<html" in lower)):
        remedy = Again(
            "download the file itself: you get a web page if the link has moved or needs a login or a confirmation"
        )
        return "is a web page that was downloaded instead of the file", remedy
    if text.startswith(_POINTER):
        remedy = Again("run git lfs pull where it was cloned, or download the file itself, and put that here")
        return "is a pointer of Git LFS, not the file itself", remedy
    if beginning.startswith(_ZIP):
        return "is a zip archive, not unpacked", f"rename it to {path.stem}.zip, unpack it, and put its {name} here"
    if beginning.startswith(_GZIP) and path.suffix != ".gz":
        return (
            "is packed with gzip, but its name does not end in .gz",
            f"rename it to {name}.gz and unpack that: gunzip",
        )
    if path.suffix == ".gz" and not beginning.startswith(_GZIP):
        remedy = Again(f"if it is text, a browser has unpacked it: rename it to {path.stem}; otherwise {_AGAIN}")
        return "is not packed, though its name ends in .gz", remedy
    if beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "is UTF-16, not UTF-8", Again(f"save it as UTF-8, or {_AGAIN}")
    if not beginning.strip(b"\0"):
        return "begins with zeros only, as after an interrupted download", _AGAIN
    if official and path.suffix in _JSON and text[:1] not in (b"{", b"["):
        shown = text[:30].decode("utf-8", "replace").splitlines() or [""]
        remedy = Again(f"put the official file here: an export as CSV or another format cannot be read, or {_AGAIN}")
        if any(mark in shown[0] for mark in ",;\t"):  # a table of one's own
            remedy = Again(f"put the official file here; to train on a table, {as_table()}, as a task of your own")
        return f"is not JSON, it begins with {shown[0]!r}", remedy
    return None


def _elsewhere(path: Path) -> tuple[str, str] | None:
    """The same for a missing file that is in a folder below its place, or in an archive beside it."""
    folder, name = path.parent, path.name
    for pattern in (f"*/{name}", f"*/*/{name}"):
        found = next(iter(sorted(folder.glob(pattern))), None)
        if found is not None:
            return f"no such file, but there is {found.relative_to(folder)}", f"move {found} to {path}"
    packed = folder / f"{name}.gz"
    if packed.is_file():
        return f"no such file, but there is {packed.name}", f"unpack it: gunzip {packed}"
    for archive in sorted(folder.glob("*.zip")):
        if _holds(archive, name):
            return (
                f"no such file, but {archive.name} contains it",
                f"unpack {archive} and put its {name} into this folder",
            )
    return None


def _holds(archive: Path, name: str) -> bool:
    try:
        with zipfile.ZipFile(archive) as opened:
            return any(member.rsplit("/", 1)[-1] == name for member in opened.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
