"""Recognises the format of a file of region features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from twelve.errors import ConfigError, RegionError, nearest
from twelve.regions.importers.base import RegionSource
from twelve.regions.importers.h5_file import H5Files
from twelve.regions.importers.lmdb_file import LmdbFile
from twelve.regions.importers.npy_files import NpyFiles
from twelve.regions.importers.tsv_file import TsvFiles

_SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "tsv": (".tsv",),
    "npy": (".npy",),
    "h5": (".h5", ".hdf5"),
    "lmdb": (".mdb", ".lmdb"),
}
_OPENERS: Mapping[str, Callable[[list[Path], Path | None], RegionSource]] = {
    "tsv": lambda paths, _: TsvFiles(paths),
    "npy": lambda paths, _: NpyFiles(paths),
    "h5": H5Files,
    "lmdb": lambda paths, _: LmdbFile(paths[0]),
}
FORMATS = tuple(_OPENERS)
_HDF5 = b"\x89HDF\r\n\x1a\n"
_TEXT = "text"
_STARTS: Mapping[bytes, str] = {
    b"ARROW1": "Arrow: perhaps a region file, which needs no import",
    b"PK\x03\x04": "a zip archive: unpack it first (PyTorch's and numpy's npz files are such archives too)",
    b"\x1f\x8b": "a gzip file: unpack it first",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"\x80": "a pickle",
}
_LMDB = b"\xde\xc0\xef\xbe"
"""LMDB's magic number, after the header of its first page."""


def open_origin(path: Path, format: str | None = None, index: Path | None = None) -> RegionSource:
    """Open a file, or a folder of files of one format.

    Args:
        format: one of :data:`FORMATS`; None recognises it by content and names.
        index: see :class:`twelve.regions.importers.h5_file.H5Files`.

    Raises:
        ConfigError: the format is unknown, or has no index.
        RegionError: there is no file, or none of a known format.
    """
    if format is not None and format not in _OPENERS:
        raise ConfigError(
            f"no format {format!r}{nearest(format, FORMATS)}", remedy=f"choose one of {', '.join(FORMATS)}"
        )
    if not path.exists():
        raise RegionError("no such file", file=path, remedy="check the path")
    format = format or _recognised(path)
    if index is not None and format != "h5":
        raise ConfigError(f"{format} files need no index", remedy="leave --index out")
    if format == "lmdb" or path.is_file():
        return _OPENERS[format]([path], index)
    files = sorted(file for suffix in _SUFFIXES[format] for file in path.glob(f"*{suffix}"))
    if not files:
        raise RegionError(f"no {format} files in this folder", file=path, remedy="check the path and --format")
    return _OPENERS[format](files, index)


def _recognised(path: Path) -> str:
    if path.is_dir():
        if (path / "data.mdb").is_file():
            return "lmdb"
        there = {name for name in FORMATS if any(next(path.glob(f"*{suffix}"), None) for suffix in _SUFFIXES[name])}
        if len(there) == 1:
            return there.pop()
        problem = f"files of several formats ({', '.join(sorted(there))})" if there else "no file of a known format"
        raise RegionError(problem, file=path, remedy=f"name one: --format {'|'.join(FORMATS)}")
    with path.open("rb") as stream:
        head = stream.read(4096)
    seen = described(head)
    if head.startswith(_HDF5):
        return "h5"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head[16:20] == _LMDB:
        return "lmdb"
    if b"\t" in head and b"\0" not in head and seen == _TEXT:
        return "tsv"
    raise RegionError(
        f"not a file of a known format: it is {seen}",
        file=path,
        remedy=f"docs/regions.md shows the layouts of {', '.join(FORMATS)}; if it is one of these, name it with "
        "--format",
    )


def described(head: bytes) -> str:
    """Describe a file by its first bytes."""
    known = next((what for start, what in _STARTS.items() if head.startswith(start)), None)
    if known is not None:
        return known
    if not head.strip():
        return "nothing: it is empty"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        return "JSON"
    return "binary data of another kind" if b"\0" in head else _TEXT
