"""The vectors of image files, kept in one file: a search then extracts only images that are new or have changed, and
the images on its shortlist.

The file is safetensors: ``vectors`` (S, D) float16, those of the first image's regions first, and ``entries``, JSON in
UTF-8 as uint8: N x [path, size, mtime_ns, number of regions].
Paths are relative to the file's folder, so that both can be moved together. A checksum and the fingerprint of the
model (:meth:`twelve.predictor.predictor.Predictor.vectors_mark`) are among its metadata.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from twelve.errors import DataError, quoted
from twelve.formats.records import writable
from twelve.io.files import is_there, replacing
from twelve.io.json_file import Flaw, decode

if TYPE_CHECKING:
    from twelve.model.vectors import VectorSets

MAGIC = "region vectors 1"
Entry = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds of a file."""
Vectors16 = NDArray[np.float16]


class ImageIndex:
    """Vectors of image files.

    Args:
        file: where they are kept; need not exist.
        mark: fingerprint of the model. Vectors of another one are dropped.

    Attributes:
        dropped: number of vectors that were dropped because they are another model's.

    Raises:
        DataError: the file is damaged, or something else.
    """

    def __init__(self, file: Path, mark: str) -> None:
        self.file, self.mark, self.dropped = file, mark, 0
        self._known: dict[str, tuple[Entry, Vectors16]] = {}
        self._changed = False
        if is_there(file, DataError):
            found, made_by = read_index(file)
            self._known = found if made_by == mark else {}
            self.dropped = 0 if made_by == mark else len(found)
        self._forget_missing()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, image: Path) -> Vectors16 | None:
        """(regions, D) the vectors of an image file; None if it is not known, or the file has changed since."""
        known = self._known.get(self._name(image))
        return known[1] if known is not None and known[0] == entry_of(image) else None

    def others(self, images: Collection[Path]) -> int:
        """Number of images that are known besides these."""
        return len(self._known.keys() - {self._name(image) for image in images})

    def add(self, images: Mapping[Path, NDArray[np.floating[Any]]]) -> None:
        """Take vectors (regions, D) of image files; earlier ones of the same files are replaced."""
        for image, vectors in images.items():
            entry = entry_of(image)
            if entry is not None:
                self._known[self._name(image)] = entry, vectors.astype(np.float16)
                self._changed = True

    def save(self) -> None:
        """Write the file, if anything has changed; it is replaced as a whole.

        Raises:
            TwelveError: it cannot be written.
        """
        if self._changed:
            with replacing(self.file) as partial:
                _write(partial, self._known, self.mark)
            self._changed = False

    def _name(self, image: Path) -> str:
        return os.path.relpath(image, self.file.parent)

    def _forget_missing(self) -> None:
        """Drop the vectors of files that no longer exist."""
        gone = [name for name in self._known if not os.path.exists(self.file.parent / name)]
        for name in gone:
            del self._known[name]
        self._changed |= bool(gone)


def check_index(run: str | Path, file: Path) -> None:
    """Raise DataError if there is no file in the place of an index; it is not read."""
    if file.is_dir():
        problem = "expected the file of an index, found a folder"
        raise DataError(problem, file=file, remedy=f"make the file: {indexing(run, file / 'vectors', [file])}")
    if not is_there(file, DataError):
        problem = "expected the file of an index, found none"
        raise DataError(problem, file=file, remedy=f"make it: {indexing(run, file)}")


def indexing(run: str | Path, file: Path, folders: Collection[Path] = ()) -> str:
    """The command that writes an index, of the images of a folder if there is one."""
    images = str(next(iter(folders))) if len(folders) == 1 else "FOLDER"
    words = ["twelve", "match", str(run), "a photograph", "--images", images, "--index", str(file)]
    return shlex.join(words)


def index_folders(index: str | os.PathLike[str]) -> Counter[str]:
    """The folders whose images are in an index, as paths from the current folder -> number of their images.

    Args:
        index: a file that :meth:`twelve.Predictor.search` or ``twelve match --index`` wrote.

    Raises:
        DataError: there is no index, or it is damaged.
    """
    file = Path(index)
    check_index("MODEL", file)
    return folders_of(file.parent / name for name in read_index(file)[0])


def remove_from_index(index: str | os.PathLike[str], *folders: str | os.PathLike[str]) -> int:
    """Take the images of folders and their subfolders out of an index, as ``twelve index --remove`` does.

    The image files are not changed, and need not exist any more. Later searches find the other images as before.

    Args:
        index: a file that :meth:`twelve.Predictor.search` or ``twelve match --index`` wrote. It is replaced as a whole.

    Returns:
        The number of images that were taken out.

    Raises:
        DataError: there is no index, it is damaged, it has no image of a folder, or a name is empty. The index is then
            unchanged.
    """
    file, gone = Path(index), set[str]()
    check_index("MODEL", file)
    if "" in folders:  # an unset variable of a shell: it would name the current folder
        raise DataError("expected a folder, found an empty name", file=file, remedy="name a folder")
    with replacing(file) as partial:  # read within: no other process writes it meanwhile
        known, mark = read_index(file)
        places = {name: Path(os.path.abspath(file.parent / name)) for name in known}
        for folder in folders:
            inside = {name for name, path in places.items() if path.is_relative_to(os.path.abspath(folder))}
            if not inside:
                problem = f"expected a folder with images in this index, found {folder}"
                remedy = f"name one of its folders; list them: twelve index {quoted(file)}"
                raise DataError(problem, file=file, remedy=remedy)
            gone |= inside
        _write(partial, {name: value for name, value in known.items() if name not in gone}, mark)
    return len(gone)


def folders_of(images: Iterable[Path]) -> Counter[str]:
    """The folders of image files -> number of their images."""
    return Counter(os.path.dirname(os.path.normpath(image)) or os.curdir for image in images)


def best_images(
    captions: Sequence[NDArray[np.float32]], images: Sequence[NDArray[np.floating[Any]]], count: int
) -> list[int]:
    """Rows of ``images`` (I times (regions, D)) that are among the ``count`` closest of any of ``captions`` (C times
    (words, D)), in order."""
    return best_rows(captions, vector_sets(images), count)


def best_rows(captions: Sequence[NDArray[np.float32]], images: VectorSets, count: int) -> list[int]:
    """:func:`best_images` among vectors that were joined before."""
    from twelve.model.vectors import closest, similarities

    found: list[int] = np.unique(closest(similarities(vector_sets(captions), images), count)).tolist()
    return found


def vector_sets(rows: Sequence[NDArray[np.floating[Any]]]) -> VectorSets:
    """A copy of the vectors (words or regions, D) of at least one text or image, joined."""
    import torch

    from twelve.model.vectors import VectorSets

    return VectorSets.joined([torch.from_numpy(row) for row in rows])


def entry_of(image: Path) -> Entry | None:
    """Size and time of an image file; None if there is none."""
    try:
        about = image.stat()
    except OSError:
        return None
    return about.st_size, about.st_mtime_ns


def _write(file: Path, images: Mapping[str, tuple[Entry, Vectors16]], mark: str) -> None:
    from safetensors.numpy import save_file

    known = sorted(images.items())
    text = json.dumps([[name, *entry, len(vectors)] for name, (entry, vectors) in known], ensure_ascii=False)
    tensors: dict[str, NDArray[Any]] = {
        "vectors": np.concatenate([v for _, (_, v) in known]) if known else np.zeros((0, 0), np.float16),
        "entries": np.frombuffer(text.encode(), np.uint8),
    }
    save_file(tensors, file, {"format": MAGIC, "model": mark, "sha256": _digest(tensors)})


def _digest(tensors: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in ("vectors", "entries"):
        digest.update(f"{name} {tensors[name].shape} ".encode())
        digest.update(np.ascontiguousarray(tensors[name]).data)
    return digest.hexdigest()


def read_index(file: Path) -> tuple[dict[str, tuple[Entry, Vectors16]], str]:
    """The entries of an index, and the fingerprint of its model; raises DataError for any other file."""
    from safetensors import SafetensorError, safe_open

    def wrong(problem: str, *, ours: bool = True) -> DataError:
        removal = f"remove it (rm {quoted(file)}): the vectors are then computed again; or name another file"
        remedy = removal if ours else "name another file"  # a file of another kind may be worth keeping
        return DataError(f"not an index of image vectors: {problem}", file=file, remedy=remedy)

    try:
        with safe_open(file, framework="numpy") as opened:
            about = opened.metadata() or {}
            if about.get("format") != MAGIC or set(opened.keys()) != {"vectors", "entries"}:
                raise wrong("it contains other data", ours=False)
            tensors = {name: opened.get_tensor(name) for name in ("vectors", "entries")}
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise wrong(f"it cannot be read ({str(error)[:200]})", ours=False) from None
    vectors, raw = tensors["vectors"], tensors["entries"]
    if vectors.dtype != np.float16 or vectors.ndim != 2 or raw.dtype != np.uint8 or raw.ndim != 1:
        raise wrong(f"{vectors.dtype} vectors of shape {vectors.shape}, {raw.dtype} entries of shape {raw.shape}")
    if about.get("sha256") != _digest(tensors):
        raise wrong("its checksum does not match")
    try:
        entries = decode(raw.tobytes().decode("utf-8"))
    except (UnicodeDecodeError, Flaw) as error:
        raise wrong(f"its entries are damaged ({str(error)[:200]})") from None
    if not isinstance(entries, list) or not all(map(_sound, entries)):
        raise wrong("its entries are not a path, a size, a time and a number of regions for each image")
    ends = np.cumsum([entry[3] for entry in entries], dtype=object)
    if (ends[-1] if len(ends) else 0) != len(vectors):
        raise wrong(f"its images have {ends[-1] if len(ends) else 0} regions, its vectors are {len(vectors)}")
    if not np.isfinite(vectors).all():
        raise wrong("vectors that are not finite")
    parts = np.split(vectors, ends[:-1].astype(np.int64)) if entries else []
    found = {name: ((size, time), part) for (name, size, time, _), part in zip(entries, parts, strict=True)}
    if len(found) != len(entries):
        raise wrong("an image occurs twice")
    return found, str(about.get("model"))


def _sound(entry: Any) -> bool:
    """Whether a value is [path, size, time, number of regions]."""
    if not isinstance(entry, list) or len(entry) != 4 or not isinstance(entry[0], str) or "\0" in entry[0]:
        return False
    whole = all(type(number) is int and 0 <= number < 1 << 63 for number in entry[1:])
    return whole and entry[3] > 0 and writable(entry[0])
