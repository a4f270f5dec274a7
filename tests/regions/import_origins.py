"""Files of region features in the layouts that are about, written as their makers write them."""

from __future__ import annotations

import base64
import json
import pickle
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEATURES = 8
CLASSES = 5
"""Foreground classes of the detector."""


@dataclass(frozen=True)
class Made:
    """One image's regions, float32 as detectors give them."""

    key: str
    width: int
    height: int
    boxes: NDArray[np.float32]
    features: NDArray[np.float32]
    probabilities: NDArray[np.float32]

    @property
    def class_ids(self) -> NDArray[np.int64]:
        ids: NDArray[np.int64] = self.probabilities[:, 1:].argmax(1)
        return ids

    @property
    def scores(self) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = self.probabilities[:, 1:].max(1, initial=0)
        return scores


def made(key: str, rows: int) -> Made:
    """Random regions that depend on the key alone."""
    rng = np.random.default_rng(list(key.encode()))
    corners = np.sort(rng.uniform(0, 300, (rows, 2, 2)), axis=1)
    probabilities = rng.dirichlet(np.ones(CLASSES + 1), rows)
    return Made(
        key=key,
        width=int(rng.integers(300, 600)),
        height=int(rng.integers(300, 600)),
        boxes=corners.reshape(rows, 4).astype(np.float32),
        features=rng.normal(size=(rows, FEATURES)).astype(np.float32),
        probabilities=probabilities.astype(np.float32).reshape(rows, CLASSES + 1),
    )


def lmdb_fields(image: Made) -> dict[str, Any]:
    return {
        "image_id": image.key,
        "image_h": image.height,
        "image_w": image.width,
        "num_boxes": len(image.boxes),
        "boxes": image.boxes,
        "features": image.features,
    }


def base64_fields(image: Made) -> dict[str, Any]:
    return lmdb_fields(image) | {
        "boxes": base64.b64encode(image.boxes.tobytes()),
        "features": base64.b64encode(image.features.tobytes()).decode(),
    }


def write_lmdb(path: Path, values: Mapping[str, bytes], *, keys: Sequence[str] | None = None) -> Path:
    """An environment as convert_to_lmdb.py writes it."""
    import lmdb

    path.mkdir(parents=True)
    listed = list(values) if keys is None else keys
    with lmdb.open(str(path), map_size=2**26) as environment, environment.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key.encode(), value)
        transaction.put(b"keys", pickle.dumps([key.encode() for key in listed]))
    return path


def lmdb_of(path: Path, images: Sequence[Made], *, fields: Any = lmdb_fields, protocol: int = 4) -> Path:
    return write_lmdb(path, {image.key: pickle.dumps(fields(image), protocol) for image in images})


def python_2_pickle(fields: Mapping[str, Any]) -> bytes:
    """What Python 2 writes with protocol 2 for a dict of strings, small numbers and float32 arrays."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    def array(value: NDArray[np.float32]) -> bytes:
        shape = b"(" + b"".join(number(n) for n in value.shape) + b"t"
        dtype = b"cnumpy\ndtype\n" + text(b"f4") + b"K\x00K\x01\x87R"
        dtype += b"(K\x03" + text(b"<") + b"NNN" + number(-1) + number(-1) + b"K\x00tb"
        empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
        return empty + b"(K\x01" + shape + dtype + b"\x89" + text(value.tobytes()) + b"tb"

    content = b"\x80\x02}("
    for key, value in fields.items():
        content += text(key.encode())
        if isinstance(value, np.ndarray):
            content += array(value)
        else:
            content += number(value) if isinstance(value, int) else text(str(value).encode("latin1"))
    return content + b"u."


def line(image: Made, *, classes: bool = False) -> str:
    """A line of a TSV, as bottom-up attention's script writes it, or as LXMERT's."""

    def text(array: NDArray[Any]) -> str:
        return base64.b64encode(array.tobytes()).decode()

    tail = [str(len(image.boxes)), text(image.boxes), text(image.features)]
    if not classes:
        return "\t".join([image.key, str(image.width), str(image.height), *tail])
    nothing = np.zeros(len(image.boxes), dtype=np.int64)
    head = [image.key, str(image.height), str(image.width), text(image.class_ids), text(image.scores)]
    return "\t".join([*head, text(nothing), text(nothing.astype(np.float32)), *tail])


def tsv_of(path: Path, images: Sequence[Made], *, classes: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line(image, classes=classes) + "\r\n" for image in images))
    return path


def npy_of(folder: Path, images: Sequence[Made]) -> Path:
    """Records of extract_features.py, with its slip in ``objects``."""
    folder.mkdir(parents=True)
    for image in images:
        record = {
            "bbox": image.boxes,
            "num_boxes": max(0, len(image.boxes) - 1),
            "objects": image.probabilities[1:].argmax(1),
            "image_width": image.width,
            "image_height": image.height,
            "cls_prob": image.probabilities,
            "features": image.features,
            "image_id": image.key,
        }
        np.save(folder / f"{image.key}.npy", np.array(record, dtype=object), allow_pickle=True)
    return folder


def padded(images: Sequence[Made], name: str) -> NDArray[np.float32]:
    most = max(len(image.boxes) for image in images)
    rows = [getattr(image, name) for image in images]
    return np.stack([np.pad(row, ((0, most - len(row)), (0, 0))) for row in rows])


def h5_of(path: Path, images: Sequence[Made]) -> Path:
    """Everything in one file, a row an image, padded."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["image_id"] = [image.key.encode() for image in images]
        file["image_w"] = [image.width for image in images]
        file["image_h"] = [image.height for image in images]
        file["num_boxes"] = [len(image.boxes) for image in images]
        file.create_dataset("features", data=padded(images, "features"), chunks=True, compression="gzip")
        file["boxes"] = padded(images, "boxes")
    return path


def adaptive_h5_of(path: Path, images: Sequence[Made]) -> Path:
    """Bottom-up attention's: rows of all images together, boxes as fractions too, an index in a pickle beside it."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    ends = np.cumsum([len(image.boxes) for image in images])
    scaled = [image.boxes / np.tile([image.width, image.height], 2).astype(np.float32) for image in images]
    with h5py.File(path, "w") as file:
        file["image_features"] = np.concatenate([image.features for image in images])
        file["image_bb"] = np.concatenate([image.boxes for image in images])
        extents = [np.concatenate([part, part[:, 2:] - part[:, :2]], axis=1) for part in scaled]
        file["spatial_features"] = np.concatenate(extents)
        file["pos_boxes"] = np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)
    index = {image.key: row for row, image in enumerate(images)}
    (path.parent / f"{path.stem}_imgid2idx.pkl").write_bytes(pickle.dumps(index, 2))
    return path


def gqa_h5_of(folder: Path, images: Sequence[Made], *, files: int = 2) -> Path:
    """GQA's: several files, and one JSON that says where each image is."""
    import h5py

    folder.mkdir(parents=True)
    info = {}
    for number in range(files):
        own = images[number::files]
        with h5py.File(folder / f"gqa_objects_{number}.h5", "w") as file:
            file["features"], file["bboxes"] = padded(own, "features"), padded(own, "boxes")
        for row, image in enumerate(own):
            entry = {"width": image.width, "height": image.height, "objectsNum": len(image.boxes)}
            info[image.key] = entry | {"idx": row, "file": number}
    (folder / "gqa_objects_info.json").write_text(json.dumps(info))
    return folder


def group_h5_of(path: Path, images: Sequence[Made]) -> Path:
    """VL-T5's: one group an image."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for image in images:
            group = file.create_group(image.key)
            group["features"], group["boxes"] = image.features, image.boxes
            group["img_w"], group["img_h"] = image.width, image.height
            group["obj_id"], group["obj_conf"] = image.class_ids, image.scores
    return path
