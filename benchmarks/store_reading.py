"""How fast regions come from the store into a batch, and what that is against copying alone and the old way.

    python benchmarks/store_reading.py --out benchmarks/results/store-reading.json

Regions are drawn. Everything of one shape is measured in one run, in turns, on one thread, warm (the files are in the
system's cache); medians over the batches of all rounds, and, where the machine was busy with other things (its load is
recorded), the tenth that was fastest ("undisturbed").

* ``store``: the regions of a batch.
* ``collator``: the whole batch of as many questions, each about an image: tokens, regions, soft targets.
* ``numpy, same bytes``: numpy assigns the very bytes that the store reads (features, mean feature, boxes, zeros behind
  them) from the same map into new arrays of the same shape; every image's slices have been made beforehand.
  The memory is new each time, as numpy gives it.
* ``numpy, one block``: one contiguous numpy copy, from the map, of as many bytes as the batch's features have.
* ``old pattern``: what the original does for an image, written anew: look its key up in a list, read a pickle from an
  LMDB (arrays, or arrays in base64), put the mean in front, copy into float64 arrays padded to the most regions, make
  float32 tensors, stack them.

The cold figure is the store's first pass over a file after the system has dropped its pages.
"""

from __future__ import annotations

import argparse
import base64
import ctypes
import gc
import json
import mmap
import os
import pickle
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import torch

from twelve.data.batch import Collator
from twelve.model.processor import TwelveProcessor
from twelve.outputs import get_output
from twelve.regions.store.arrow_format import schema
from twelve.regions.store.region_file import RegionFile
from twelve.regions.store.region_store import RegionStore
from twelve.regions.store.resumable_writer import PartWriter
from twelve.training.provenance import machine
from twelve.types.examples import Example
from twelve.types.regions import Regions

SIZES = (16, 64, 256)
IMAGES_PER_ROUND = 4096
ANSWERS = 3129


@dataclass(frozen=True)
class Shape:
    """Images, regions of each (fewest, most), feature size."""

    images: int
    fewest: int
    most: int
    size: int

    def __str__(self) -> str:
        regions = f"{self.fewest}" if self.fewest == self.most else f"{self.fewest}..{self.most}"
        return f"{regions} x {self.size}"


SHAPES = (Shape(1536, 36, 100, 2048), Shape(6144, 50, 50, 496))


def drawn(shape: Shape) -> list[Regions]:
    rng = np.random.default_rng(0)
    images = []
    for k in range(shape.images):
        count = int(rng.integers(shape.fewest, shape.most + 1))
        corners = np.sort(rng.uniform(0, 400, (count, 2, 2)), axis=1).reshape(count, 4).astype(np.float32)
        features = rng.random((count, shape.size), dtype=np.float32).astype(np.float16)
        images.append(Regions(f"drawn/{k}", 640, 480, corners, features))
    return images


def write_store(root: Path, images: Sequence[Regions], size: int) -> Path:
    path = root / "drawn" / "drawn.arrow"
    table = schema(feature_size=size, scores=False, class_ids=False, metadata={"fingerprint": "drawn"})
    with PartWriter(path, table) as writer:
        for start in range(0, len(images), 256):
            writer.write(images[start : start + 256])
        writer.finish({})
    return path


def write_lmdb(path: Path, images: Sequence[Regions], *, text: bool) -> None:
    """As the original's files are: float32 arrays, or their base64, pickled."""
    with lmdb.open(str(path), map_size=2**34, sync=False) as environment, environment.begin(write=True) as transaction:
        for image in images:
            assert image.features is not None
            arrays: dict[str, Any] = {"features": image.features.astype(np.float32), "boxes": image.boxes}
            if text:
                arrays = {name: base64.b64encode(array.tobytes()) for name, array in arrays.items()}
            fields = {"image_h": image.height, "image_w": image.width, "num_boxes": len(image.boxes)} | arrays
            transaction.put(image.image_id.encode(), pickle.dumps(fields))
        environment.sync(True)


class OldReader:
    """The old pattern, one image at a time."""

    def __init__(self, path: Path, ids: Sequence[str], size: int, most: int) -> None:
        self.environment = lmdb.open(str(path), readonly=True, lock=False, readahead=False)
        self.keys = [key.encode() for key in ids]
        self.size, self.padded = size, most + 1

    def image(self, image_id: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        key = self.keys[self.keys.index(image_id.encode())]
        with self.environment.begin() as transaction:
            item = pickle.loads(transaction.get(key))  # written by this program
        arrays = {name: item[name] for name in ("features", "boxes")}
        if isinstance(item["features"], bytes):
            arrays = {name: np.frombuffer(base64.b64decode(text), dtype=np.float32) for name, text in arrays.items()}
        features, boxes = arrays["features"].reshape(-1, self.size), arrays["boxes"].reshape(-1, 4)
        features = np.concatenate([np.sum(features, axis=0, keepdims=True) / len(features), features])
        width, height = float(item["image_w"]), float(item["image_h"])
        places = np.zeros((len(boxes), 5), dtype=np.float32)
        places[:, :4] = boxes
        places[:, 4] = (boxes[:, 3] - boxes[:, 1]) * (boxes[:, 2] - boxes[:, 0]) / (width * height)
        places[:, :4] /= np.array([width, height, width, height])
        places = np.concatenate([np.array([[0, 0, 1, 1, 1]]), places])
        padded, padded_places = np.zeros((self.padded, self.size)), np.zeros((self.padded, 5))
        padded[: len(features)], padded_places[: len(places)] = features, places
        mask = [1] * len(features) + [0] * (self.padded - len(features))
        return torch.tensor(padded).float(), torch.tensor(padded_places).float(), torch.tensor(mask).long()

    def batch(self, ids: Sequence[str]) -> list[torch.Tensor]:
        return [torch.stack(parts) for parts in zip(*map(self.image, ids), strict=True)]


class Copies:
    """Numpy copies of what the store reads, with nothing left to look up."""

    def __init__(self, path: Path, size: int) -> None:
        self.file = RegionFile(path)
        self.bytes = np.memmap(path, dtype=np.uint8, mode="r")
        self.size = size
        self.slices = {}
        for view in self.file.views:
            assert view.features is not None and view.means is not None
            for row, image_id in enumerate(view.ids):
                part = slice(view.bounds[row], view.bounds[row + 1])
                self.slices[image_id] = (view.means[row], view.features[part], view.boxes[part])

    def same_bytes(self, images: Sequence[Any], rows: int) -> Any:
        features = np.empty((len(images), rows, self.size), dtype=np.float16)
        corners = np.zeros((len(images), rows, 4), dtype=np.float32)
        for k, (mean, own, boxes) in enumerate(images):
            features[k, 0] = mean
            features[k, 1 : len(own) + 1] = own
            features[k, len(own) + 1 :] = 0
            corners[k, 1 : len(own) + 1] = boxes
        return features, corners

    def one_block(self, start: int, count: int) -> Any:
        return np.array(self.bytes[start : start + count])


def asking(root: Path, store: RegionStore, ids: Sequence[str]) -> tuple[Collator, dict[str, Example]]:
    """What collates questions, and a drawn question about every image: 8 to 14 words, two answers."""
    rng = np.random.default_rng(1)
    words = ["".join(chr(97 + letter) for letter in rng.integers(0, 26, 4)) for _ in range(2000)]
    vocabulary = root / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(words)]) + "\n")
    processor = TwelveProcessor.from_tokenizer(vocabulary)
    processor.add_task("drawn", output="answer", max_text=23, row=1)
    answers = processor.vocabularies["answer"] = [f"answer {number}" for number in range(ANSWERS)]
    questions = {}
    for image in ids:
        text = " ".join(rng.choice(words, int(rng.integers(8, 15))))
        first, second = rng.choice(ANSWERS, 2, replace=False)
        questions[image] = Example(image, text, (image,), {answers[first]: 1.0, answers[second]: 0.3})
    return Collator("drawn", get_output("answer"), "answer", processor, store), questions


def seconds(call: Callable[[], Any]) -> float:
    """Of a call; what it makes is dropped outside its time."""
    start = time.perf_counter()
    made = call()
    found = time.perf_counter() - start
    del made
    return found


def in_turns(ways: dict[str, list[Callable[[], Any]]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every call. In a round each way goes through all its batches, so that it finds its own memory in the
    processor's caches, and nobody else's; the round before the first warms up."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, calls in ways.items():
            found = [seconds(call) for call in calls]
            if number:
                times[name] += found
    return times


def measure(root: Path, shape: Shape, batch: int, rounds: int) -> dict[str, Any]:
    """Milliseconds a batch of each way, and ratios."""
    store = RegionStore(root)
    ids = store.ids("drawn")
    collator, questions = asking(root, store, ids)
    copies = Copies(root / "drawn" / "drawn.arrow", shape.size)
    old = {name: OldReader(root / name, ids, shape.size, shape.most) for name in ("arrays", "base64")}
    rng = np.random.default_rng(batch)
    batches = [[ids[k] for k in rng.permutation(len(ids))[:batch]] for _ in range(IMAGES_PER_ROUND // batch)]
    slices = [[copies.slices[image_id] for image_id in own] for own in batches]
    rows = [1 + max(len(boxes) for _, _, boxes in own) for own in slices]
    sizes = [batch * own * shape.size * 2 for own in rows]
    starts = [int(rng.integers(len(copies.bytes) - size)) for size in sizes]
    few = max(2, 128 // batch)  # of the old pattern: it is slow
    ways: dict[str, list[Callable[[], Any]]] = {
        "store": [partial(store.gather, own) for own in batches],
        "collator": [partial(collator, [questions[image] for image in own]) for own in batches],
        "numpy, same bytes": [partial(copies.same_bytes, *one) for one in zip(slices, rows, strict=True)],
        "numpy, one block": [partial(copies.one_block, *one) for one in zip(starts, sizes, strict=True)],
    }
    for name, reader in old.items():
        ways[f"old pattern, {name}"] = [partial(reader.batch, own) for own in batches[:few]]
    times = in_turns(ways, rounds)
    middle = {name: statistics.median(found) for name, found in times.items()}
    quick = {name: float(np.quantile(found, 0.1)) for name, found in times.items()}
    own = middle["store"]
    return {
        "images": batch,
        "milliseconds": {name: round(found * 1e3, 4) for name, found in middle.items()},
        "images_per_second": {name: round(batch / found) for name, found in middle.items()},
        "store_gigabytes_per_second": round(statistics.median(sizes) / own / 1e9, 2),
        "store_speed_of_numpy_same_bytes": round(middle["numpy, same bytes"] / own, 3),
        "store_speed_of_numpy_one_block": round(middle["numpy, one block"] / own, 3),
        "undisturbed": {
            "milliseconds": {name: round(found * 1e3, 4) for name, found in quick.items()},
            "store_speed_of_numpy_same_bytes": round(quick["numpy, same bytes"] / quick["store"], 3),
            "store_speed_of_numpy_one_block": round(quick["numpy, one block"] / quick["store"], 3),
        },
        "store_times_old_pattern": {name: round(middle[f"old pattern, {name}"] / own, 1) for name in old},
        "collator_times_old_pattern": {
            name: round(middle[f"old pattern, {name}"] / middle["collator"], 1) for name in old
        },
    }


def resident(path: Path) -> float:
    """Share of a file's pages in the system's cache."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=3) as mapped:
        pages = -(-len(mapped) // mmap.PAGESIZE)
        flags = (ctypes.c_ubyte * pages)()
        address = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        call = ctypes.CDLL(None, use_errno=True).mincore
        if call(ctypes.c_void_p(address), ctypes.c_size_t(len(mapped)), flags):
            raise OSError(ctypes.get_errno(), "mincore")
        share = sum(flag & 1 for flag in flags) / pages
        gc.collect()
    return share


def cold(root: Path, batch: int = 64) -> dict[str, Any]:
    """Images a second of the first pass after the file's pages have been dropped."""
    path = root / "drawn" / "drawn.arrow"
    gc.collect()  # pages that are mapped are not dropped
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
    left = resident(path)
    store = RegionStore(root)
    start = time.perf_counter()
    ids = store.ids("drawn")
    opened = time.perf_counter() - start
    order = np.random.default_rng(1).permutation(len(ids))
    batches = [[ids[k] for k in order[k : k + batch]] for k in range(0, len(ids), batch)]
    total = sum(seconds(partial(store.gather, own)) for own in batches)
    return {
        "resident_share_before": round(left, 3),
        "milliseconds_to_open": round(opened * 1e3, 1),
        "images_per_second": round(len(ids) / total),
        "gigabytes_per_second": round(path.stat().st_size / total / 1e9, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "store-reading.json")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, help="of the store, instead of 1,536 and 6,144; for a trial")
    parser.add_argument("--folder", type=Path, help="where the files are written, on the disk that is to be measured")
    options = parser.parse_args()
    torch.set_num_threads(1)
    load = [round(number, 1) for number in os.getloadavg()]
    shapes: dict[str, Any] = {}
    for shape in SHAPES:
        shape = replace(shape, images=options.images or shape.images)
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            root, images = Path(folder), drawn(shape)
            write_store(root, images, shape.size)
            for name in ("arrays", "base64"):
                write_lmdb(root / name, images, text=name == "base64")
            del images
            found = [measure(root, shape, batch, options.rounds) for batch in SIZES]
            shapes[str(shape)] = {"warm": found, "cold": cold(root)}
        print(json.dumps({str(shape): shapes[str(shape)]}, indent=1))
    result = {"machine": machine() | {"threads": 1, "load": load}, "rounds": options.rounds, "shapes": shapes}
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
