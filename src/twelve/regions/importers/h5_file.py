"""HDF5 files of region features, in these layouts:

* one dataset per field, one row per image: ``features`` (N, R, F) and ``boxes`` (N, R, 4) under the usual names, with
  the ids in the file or in an index (``{id: row}``, or GQA's ``{id: {"idx", "file", "width", "height", ...}}``);
* all regions concatenated, with the rows of each image in ``pos_boxes`` (N, 2) (bottom-up attention with a varying
  number of boxes);
* one group per image, ``<id>/features`` and so on (VL-T5's, made from LXMERT's).

The sizes of images come from the file, from the index, or from ``spatial_features`` (boxes as fractions).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from twelve.errors import RegionError
from twelve.regions.importers import base
from twelve.regions.importers.base import BadRecord, ImageRecord, RawRegions, from_fields, library, optional
from twelve.regions.importers.indexes import Entry, read_index

_SIZED = (*base.WIDTHS, *base.HEIGHTS)
_ROWS = (*_SIZED, *base.SCORES, *base.CLASS_IDS, *base.CLASS_PROBABILITIES, *base.BOXES, *base.FEATURES)

_READ = (*_ROWS, *base.KEYS, *base.COUNTS, "spatial_features", "pos_boxes")
"""Names that are read at the top of a file."""


class H5Files:
    """One or several such files.

    Args:
        index: names and rows of the images, if the files do not contain them; by default the index beside a file.

    Raises:
        RegionError: a file is damaged or has another layout; the package h5py is not installed.
    """

    format = "h5"
    unit = "images"

    def __init__(self, paths: Sequence[Path], index: Path | None = None) -> None:
        h5py = library("h5py", paths[0])
        self._entries = read_index(index) if index is not None else None
        self._beside = index is None
        self._files: list[tuple[Path, Any]] = []
        self._h5py = h5py
        self.total = 0
        try:
            for path in paths:
                file = h5py.File(path, "r")
                self._files.append((path, file))
                _check(h5py, path, file)
                self.total += _length(path, file)
        except OSError as error:
            raise RegionError(f"not an HDF5 file ({error})", file=path, remedy="download or copy it again") from error

    def records(self) -> Iterator[ImageRecord | tuple[str, str]]:
        for path, file in self._files:
            if _features(file) is None:
                yield from self._groups(file)
            else:
                yield from self._rows(path, file)

    def close(self) -> None:
        for _, file in self._files:
            file.close()

    def _groups(self, file: Any) -> Iterator[ImageRecord]:
        entries = self._entries or {}
        for key in file:
            yield ImageRecord(key, key, partial(_load, _load_group, file, key, entries.get(key)))

    def _rows(self, path: Path, file: Any) -> Iterator[ImageRecord | tuple[str, str]]:
        spans, rows = file.get("pos_boxes"), _length(path, file)
        starts = None if spans is None else np.asarray(spans[:], dtype=np.int64).reshape(-1, 2)
        for entry in self._named(path, file):
            if not 0 <= entry.row < rows:
                yield f"{path.name}, {entry.key}", f"row {entry.row} of {rows}"
                continue
            span = None if starts is None else slice(*starts[entry.row].tolist())
            yield ImageRecord(
                f"{path.name} row {entry.row}, {entry.key}", entry.key, partial(_load, _load_row, file, entry, span)
            )

    def _named(self, path: Path, file: Any) -> list[Entry]:
        """The images of a file, sorted by row."""
        number = re.search(r"(\d+)$", path.stem)
        own = optional(file, base.KEYS)
        entries = self._entries
        if entries is None and self._beside:
            entries = _index_beside(path)
        if own is not None:
            names = [key.decode() if isinstance(key, bytes) else str(key) for key in own[:].reshape(-1).tolist()]
            known = entries or {}
            return [known[k].at(row) if k in known else Entry(k, row) for row, k in enumerate(names)]
        if entries is None:
            raise RegionError("it does not name its images", file=path, remedy="give the file that does: --index FILE")
        kept = [e for e in entries.values() if e.file is None or (number and e.file == int(number[1]))]
        return sorted(kept, key=lambda entry: entry.row)


def _index_beside(path: Path) -> dict[str, Entry] | None:
    """The index beside a file, such as ``train36_imgid2idx.pkl`` or ``gqa_objects_info.json``."""
    stem = re.sub(r"_?\d+$", "", path.stem)
    for name in (path.stem, stem):
        for tail in ("_imgid2idx.json", "_imgid2idx.pkl", "_info.json", ".json", "_ids.json"):
            if (path.parent / f"{name}{tail}").is_file():
                return read_index(path.parent / f"{name}{tail}")
    return None


def _features(file: Any) -> Any:
    found = optional(file, base.FEATURES)
    return found if hasattr(found, "shape") else None


def _length(path: Path, file: Any) -> int:
    """Number of images in a file."""
    features = _features(file)
    if features is None:
        if not len(file) or hasattr(file[next(iter(file))], "shape"):
            raise RegionError(
                f"no features in it, only {', '.join(list(file)[:8]) or 'nothing'}",
                file=path,
                remedy="give a file of region features: docs/regions.md shows the layouts",
            )
        return len(file)
    return len(file["pos_boxes"]) if "pos_boxes" in file else len(features)


def _check(h5py: Any, path: Path, file: Any) -> None:
    """Raise RegionError if data to read refers to another place, or is not a list of rows."""
    # With one group per image, only the first; each is checked when it is read.
    for key in dict.fromkeys((*_READ, *itertools.islice(file, 1))):
        link = file.get(key, getlink=True)
        if link is None:
            continue
        item = file.get(key) if isinstance(link, h5py.HardLink) else None
        if item is None or (isinstance(item, h5py.Dataset) and (item.is_virtual or item.external)):
            raise RegionError("it refers to other files", file=path, record=key, remedy="give a file with its own data")
        if not item.shape if isinstance(item, h5py.Dataset) else key in _READ:
            raise RegionError("not one value an image", file=path, record=key, remedy="download or copy it again")
    spans = file.get("pos_boxes")
    if spans is not None and (spans.ndim != 2 or spans.shape[1] != 2 or spans.dtype.kind not in "iu"):
        problem = f"{spans.dtype} of shape {spans.shape}, not the first row and the one behind the last of each image"
        raise RegionError(problem, file=path, record="pos_boxes", remedy="download or copy it again")


def _load(read: Callable[..., RawRegions], *arguments: Any) -> RawRegions:
    """Call ``read``, and raise BadRecord if the file is damaged."""
    try:
        return read(*arguments)
    except BadRecord:
        raise
    except (OSError, ValueError, TypeError, KeyError, IndexError, RuntimeError) as error:
        raise BadRecord(f"cannot be read ({error})") from None


def _load_group(file: Any, key: str, entry: Entry | None) -> RawRegions:
    if not isinstance(file.get(key, getlink=True), library("h5py", Path(file.filename)).HardLink):
        raise BadRecord("it refers to another place")
    group = file[key]
    if not hasattr(group, "keys"):
        raise BadRecord("not a group")
    if any(data.is_virtual or data.external for data in group.values() if hasattr(data, "is_virtual")):
        raise BadRecord("it refers to other files")
    names = [name for name in _ROWS if name in group]
    return from_fields(_sizes({name: group[name][()] for name in names}, entry))


def _load_row(file: Any, entry: Entry, span: slice | None) -> RawRegions:
    """The row of one image in every dataset, or its span of rows."""
    fields: dict[str, Any] = {}
    for name in (*_ROWS, "spatial_features"):
        if name in file:
            data = file[name]
            flat = span is not None and name not in _SIZED
            fields[name] = data[span] if flat else data[entry.row]
    count = entry.count if entry.count is not None else _count(file, entry.row)
    if span is None and count is not None:
        for name, values in fields.items():
            if name not in _SIZED and np.ndim(values):
                if count > len(values):
                    raise BadRecord(f"{count} boxes in {len(values)} rows of {name}")
                fields[name] = values[:count]
    return from_fields(_sizes(fields, entry))


def _count(file: Any, row: int) -> int | None:
    counts = optional(file, base.COUNTS)
    return None if counts is None else int(counts[row])


def _sizes(fields: dict[str, Any], entry: Entry | None) -> Mapping[str, Any]:
    """The fields, with the image's width and height from any source."""
    if optional(fields, base.WIDTHS) is not None:
        return fields
    if entry is not None and entry.width and entry.height:
        return fields | {"width": entry.width, "height": entry.height}
    boxes, spatial = optional(fields, base.BOXES), fields.get("spatial_features")
    if boxes is not None and spatial is not None and len(boxes) and np.shape(spatial)[-1] >= 4:
        # The corner with the largest fraction gives the most exact size.
        places = np.argmax(spatial[:, 2]), np.argmax(spatial[:, 3])
        if spatial[places[0], 2] > 0 and spatial[places[1], 3] > 0:
            width = round(float(boxes[places[0], 2] / spatial[places[0], 2]))
            return fields | {"width": width, "height": round(float(boxes[places[1], 3] / spatial[places[1], 3]))}
    raise BadRecord("the size of the image is unknown: give --index FILE with widths and heights")
