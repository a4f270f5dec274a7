"""Files of the original extraction scripts: one ``<image id>.npy`` per image, a dict pickled by numpy.

``{"bbox": (R, 4), "features": (R, 2048), "num_boxes", "objects", "cls_prob": (R, 1601) with the background first,
"image_width", "image_height", "image_id"}``. The image has the name of the file.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from twelve.regions.importers.base import BadRecord, ImageRecord, RawRegions, from_fields, unpickled


class NpyFiles:
    """Several such files, in order."""

    format = "npy"
    unit = "images"

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self.total = len(paths)

    def records(self) -> Iterator[ImageRecord | tuple[str, str]]:
        for path in self.paths:
            yield ImageRecord(path.name, path.stem, partial(_load, path))

    def close(self) -> None:
        """Nothing stays open."""


def _load(path: Path) -> RawRegions:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadRecord(f"cannot be read: {error.strerror}") from None
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    except Exception as error:  # for a damaged header numpy raises anything
        raise BadRecord(f"not a .npy file ({error})") from None
    if not dtype.hasobject or shape != ():
        raise BadRecord(f"an array of {dtype} instead of a dict")
    fields = unpickled(content[stream.tell() :])
    if not isinstance(fields, dict):
        raise BadRecord(f"a {type(fields).__name__} instead of a dict")
    return from_fields(fields)
