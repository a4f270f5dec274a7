"""Region files from anywhere: damaged, hostile, or no files at all. Nothing but one clear line, or the regions that the
sound file holds, or ``twelve regions verify`` says that they are not those."""

from __future__ import annotations

import hashlib
import json
import os
import random
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import guarded
import harness
import mutator
import numpy as np
import pyarrow as pa
import pytest
import torch
from mutator import Mutation

import twelve.regions.extract_command  # noqa: F401 (else the errors import it)
from twelve.errors import TwelveError
from twelve.regions.extraction.extractor import Extractor
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.store.arrow_format import CHECKSUM, schema
from twelve.regions.store.inspect import inspect
from twelve.regions.store.merge import merge
from twelve.regions.store.region_file import RegionFile
from twelve.regions.store.region_store import RegionStore
from twelve.regions.store.resumable_writer import PartWriter, whole_batches
from twelve.types.regions import Regions

LEAST = 500
_OFFSETS, _NAMES = struct.pack("<5i", 0, 0, 1, 3, 6), struct.pack("<5i", 0, 3, 6, 9, 12)
"""Where the regions of a batch's images and their names begin and end."""
FEATURES = 6
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="every file is read in a process of its own")


def image(number: int) -> Regions:
    rng, count = np.random.default_rng(number), number % 4
    corners = np.sort(rng.uniform(0, 100, (count, 2, 2)), axis=1).astype(np.float32)
    return Regions(
        image_id=f"a/{number}",
        width=120 + number,
        height=100,
        boxes=corners.reshape(count, 4),
        features=rng.normal(size=(count, FEATURES)).astype(np.float16),
        scores=rng.uniform(size=count).astype(np.float32),
        class_ids=rng.integers(0, 80, count).astype(np.int16),
        class_probabilities=rng.uniform(size=(count, 3)).astype(np.float16),
    )


def table() -> pa.Schema:
    recipe = replace(Extractor(ExtractorConfig("microworld")).recipe(), fingerprint="f")
    metadata = {"fingerprint": "f", "recipe": recipe.to_json(), "boxes_origin": "detect", "source": "a"}
    return schema(feature_size=FEATURES, scores=True, class_ids=True, class_probabilities=3, metadata=metadata)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)  # those of a process do not live on in its copies
    root = tmp_path_factory.mktemp("regions")
    for path, numbers in ((root / "a" / "x.arrow", range(12)), (root / "a" / "given" / "x.arrow", range(1, 3))):
        with PartWriter(path, table()) as writer:
            for start in range(0, len(numbers), 4):
                writer.write([image(number) for number in numbers[start : start + 4]])
            writer.finish({"failed": "{}"})
    return root


def read(root: Path) -> str:
    """Everything that a store says and holds, by every way there is; its digest."""
    made = RegionStore(root)
    ids = made.ids("a")
    digest = hashlib.sha256(repr((ids, made.made("a"), made.feature_size)).encode())
    for image_id in ids:
        found = made.get(image_id, given=True)
        digest.update(repr((found.width, found.height)).encode())
        for name in ("boxes", "features", "scores", "class_ids", "class_probabilities"):
            part = getattr(found, name)
            digest.update(f"{name} {None if part is None else (part.dtype, part.shape)}".encode())
            digest.update(b"" if part is None else np.ascontiguousarray(part).tobytes())
    batch = made.gather(ids, 2, given=True)
    for tensor in (batch.features, batch.boxes, batch.counts):
        digest.update(
            repr((tensor.dtype, tensor.shape)).encode() + tensor.contiguous().view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()


def verified(root: Path) -> list[str | None]:
    """What verify says of each file, line by line."""
    reports = list(inspect(root, verify=True))
    assert all(str(report).isprintable() for report in reports)
    return [report.problem for report in reports]


def both(root: Path) -> list[Any]:
    """What verify says, then what is read."""
    problems = verified(root)
    try:
        return [problems, read(root), None]
    except TwelveError as error:
        return [problems, None, [str(error), str(error.file), error.remedy]]


def wrong(outcome: tuple[str, Any], root: Path, sound: str) -> str | None:
    """What is wrong with what the reader did about a damaged store."""
    kind, what = outcome
    if kind != "read":
        return f"{kind}: {what}"
    problems, found, refusal = what
    if refusal is None:
        return None if found == sound or any(problems) else "read, and it holds something else than before"
    text, file, remedy = refusal
    if not file.startswith(str(root)) or not remedy or not text.isprintable() or len(text) > 3000:
        return f"unclear: {text[:300]} ({file}, {remedy})"
    return None


# --- damage ---------------------------------------------------------------------------------------------------------


def of_bytes(content: bytes, rng: random.Random) -> Iterator[Mutation]:
    """Cut, flipped, longer, and numbers in the headers that are something else."""
    for size in [0, 1, 6, 8, 10, len(content) - 1, *(rng.randrange(len(content)) for _ in range(40))]:
        yield Mutation(f"cut to {size}", content[:size])
    for tail in (b"x", b"\0" * 100, content, b"ARROW1", content[-200:]):
        yield Mutation(f"{len(tail)} bytes follow", content + tail)
    (footer,) = struct.unpack("<i", content[-10:-6])
    headers = [len(content) - 10 - footer, *_headers(content)]
    for _ in range(120):
        place = rng.randrange(len(content))
        yield Mutation(f"bit at {place}", _with(content, place, bytes([content[place] ^ 1 << rng.randrange(8)])))
    for _ in range(240):
        place = rng.choice(headers) + 4 * rng.randrange(footer // 4)
        wide = rng.random() < 0.3
        value = rng.choice([-1, 0, 1, 7, 255, 10**9, 2**31 - 1, -(2**31), *((2**62, -(2**63)) if wide else ())])
        packed = struct.pack("<q" if wide else "<i", value)
        if place + len(packed) <= len(content):
            yield Mutation(f"{value} at {place}", _with(content, place, packed))
    for value in (0, -1, footer - 1, footer + 1, 2**31 - 1, len(content)):
        yield Mutation(f"a footer of {value}", _with(content, len(content) - 10, struct.pack("<i", value)))


def of_offsets(content: bytes) -> Iterator[Mutation]:
    """Where the parts of lists and names begin and end, in every batch and column."""
    for sound, name in ((_OFFSETS, "lists"), (_NAMES, "names")):
        place = content.find(sound)
        assert place >= 0
        for offsets in ([0, 9, 1, 2, 6], [0, 6, 0, 6, 6], [-3, 0, 1, 3, 6], [6, 3, 1, 0, 0]):  # in all columns alike
            yield Mutation(f"all {name} from {offsets}", content.replace(sound, struct.pack("<5i", *offsets)))
        while place >= 0:
            for offsets in ([0, 9, 1, 2, 3], [0, 0, 0, 0, 10**9], [-5, 0, 0, 0, 1], [2**31 - 1] * 5, [0, 1, 1, 1, 1]):
                yield Mutation(f"{name} from {offsets}", _with(content, place, struct.pack("<5i", *offsets)))
            place = content.find(sound, place + len(sound))


def _with(content: bytes, place: int, new: bytes) -> bytes:
    return content[:place] + new + content[place + len(new) :]


def _headers(content: bytes) -> Iterator[int]:
    """Where messages begin."""
    place = content.find(b"\xff\xff\xff\xff")
    while place >= 0:
        yield place
        place = content.find(b"\xff\xff\xff\xff", place + 8)


def rebuilt(
    sound: Path,
    metadata: Mapping[Any, Any] | None = None,
    edit: Callable[[pa.RecordBatch], pa.RecordBatch] = lambda batch: batch,
    **options: Any,
) -> bytes:
    """The sound file with other metadata or columns; the checksums stay those of the sound one."""
    sink = pa.BufferOutputStream()
    with pa.OSFile(str(sound)) as source:
        reader = pa.ipc.open_file(source)
        batches = [reader.get_batch_with_custom_metadata(k) for k in range(reader.num_record_batches)]
        edited = [edit(batch.batch) for batch in batches]
        new = edited[0].schema
        new = new.with_metadata(new.metadata if metadata is None else metadata)
        with pa.ipc.new_file(sink, new, options=pa.ipc.IpcWriteOptions(**options)) as writer:
            for batch, (_, custom) in zip(edited, batches, strict=True):
                writer.write_batch(
                    batch.cast(new) if metadata is None else batch.replace_schema_metadata(metadata), custom
                )
    return sink.getvalue().to_pybytes()


def of_metadata(sound: Path, rng: random.Random) -> Iterator[Mutation]:
    """Of the recipe's values, and of what stands beside it."""
    before = dict(RegionFile(sound).schema.metadata)

    def written(text: bytes) -> bytes:
        return rebuilt(sound, before | {b"recipe": text})

    recipe = json.loads(before[b"recipe"])
    sized = recipe | {"size": {"short_side": 128, "long_side": 512, "max_scale": 1.0, "multiple": 8}, "levels": ["4"]}
    for tree in (recipe, sized):
        for mutation in mutator.of_tree(tree, mutator.write_json, rng, 60):
            yield Mutation(f"recipe {mutation.name}", written(mutation.content))
    for text in (
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        before[b"recipe"] * 2,
        b"{} + {}",
        b"{} + " * 9999,
    ):
        yield Mutation(f"recipe {text[:9]!r}", written(text))
    yield Mutation(
        "two recipes", written(before[b"recipe"] + b" + " + before[b"recipe"].replace(b"detect", b"grid:6x6"))
    )
    for key in before:
        yield Mutation(f"no {key!r}", rebuilt(sound, {k: v for k, v in before.items() if k != key}))
        yield Mutation(f"{key!r} no text", rebuilt(sound, before | {key: b"\xff\xfe\x80"}))
        yield Mutation(f"{key!r} with controls", rebuilt(sound, before | {key: b"a\x1b[2J\n\0b" * 50}))
    yield Mutation("a key that is no text", rebuilt(sound, before | {b"\xff": b"1"}))
    yield Mutation("a million characters", rebuilt(sound, before | {b"fingerprint": b"x" * 1_000_000}))


def of_columns(sound: Path) -> Iterator[Mutation]:
    """Other columns, types, offsets and lengths; dictionaries; compressed parts, small ones and bombs."""
    names = RegionFile(sound).schema.names

    def edited(name: str, make: Callable[[Any], Any]) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
        def edit(batch: pa.RecordBatch) -> pa.RecordBatch:
            index = batch.schema.get_field_index(name)
            return batch.set_column(index, name, make(batch.column(index)))

        return edit

    for name in names:
        yield Mutation(f"no {name}", rebuilt(sound, edit=lambda batch, name=name: batch.drop_columns([name])))
        yield Mutation(f"{name} null", rebuilt(sound, edit=edited(name, lambda old: pa.nulls(len(old), old.type))))
        yield Mutation(f"{name} of nulls", rebuilt(sound, edit=edited(name, lambda old: pa.nulls(len(old)))))
        for kind in (pa.int64(), pa.string(), pa.list_(pa.int8()), pa.list_(pa.list_(pa.float16(), 0)), pa.binary(0)):
            yield Mutation(
                f"{name} {kind}", rebuilt(sound, edit=edited(name, lambda old, kind=kind: pa.nulls(len(old), kind)))
            )
        yield Mutation(
            f"{name} a dictionary",
            rebuilt(sound, edit=edited(name, lambda old: pa.array(["a"] * len(old)).dictionary_encode())),
        )
        yield Mutation(
            f"{name} twice", rebuilt(sound, edit=lambda batch, name=name: batch.append_column(name, batch[name]))
        )
    for side in (0, -1, 2**31 - 1):
        make = lambda old, side=side: pa.array([side] * len(old), pa.int32())  # noqa: E731
        yield Mutation(f"width {side}", rebuilt(sound, edit=edited("width", make)))
    for codec in ("zstd", "lz4"):
        small = rebuilt(sound, compression=codec)
        yield Mutation(f"{codec}", small)
        grown = rebuilt(sound, edit=lambda batch: batch.append_column("more", _zeros(len(batch))), compression=codec)
        yield Mutation(f"a bomb in {codec}", grown)
        for start in _headers(small):
            for place in range(start, min(start + 2000, len(small) - 8), 8):
                if struct.unpack_from("<q", small, place)[0] in (20, 16, 24, 96, 144):  # lengths before packed parts
                    yield Mutation(f"{codec} claims", _with(small, place, struct.pack("<q", 1 << 40)))
                    break


def _zeros(rows: int) -> pa.Array:
    values = pa.array(np.zeros(64 << 20, np.uint8))
    return pa.FixedSizeListArray.from_arrays(values, len(values) // rows)


def test_damaged_region_files(store: Path) -> None:
    """In one line, or the same regions, or ``regions verify`` finds it: a bit of a feature's value is found by its
    checksum alone, which reading for training does not take the time for."""
    kind, sound = guarded.outcome(lambda: read(store), store)
    assert kind == "read" and guarded.outcome(lambda: verified(store), store) == ("read", [None, None])
    both(store)  # so that everything is imported before the first copy of this process
    path = store / "a" / "x.arrow"
    content, rng = path.read_bytes(), random.Random(f"{harness.SEED} regions")
    mutations = [*of_bytes(content, rng), *of_offsets(content), *of_metadata(path, rng), *of_columns(path)]

    def damaged(mutation: Mutation) -> Any:
        path.write_bytes(mutation.content)
        return both(store)

    found = guarded.outcomes([partial(damaged, mutation) for mutation in mutations], store)
    failures = [
        f"{mutation.name}: {problem}"
        for mutation, outcome in zip(mutations, found, strict=True)
        if (problem := wrong(outcome, store, sound))
    ]
    path.write_bytes(content)
    assert not failures, f"{len(failures)} of {len(mutations)}\n" + "\n".join(failures[:20])
    assert len(mutations) >= LEAST
    assert guarded.outcome(lambda: read(store), store) == ("read", sound)


def test_what_lies_in_a_store_and_is_no_region_file(store: Path, tmp_path: Path) -> None:
    """Pipes, devices, loops of links, folders, other files, holes of 8 GB: each is one line, and none is waited for."""
    kind, sound = guarded.outcome(lambda: read(store), store)
    assert kind == "read"
    other = store / "a" / "y.arrow"
    outside = tmp_path / "secret"
    outside.write_text("secret")
    for name, make in {
        "a pipe": lambda: os.mkfifo(other),
        "a device": lambda: other.symlink_to("/dev/zero"),
        "a loop": lambda: other.symlink_to(other),
        "nothing": lambda: other.symlink_to(store / "nowhere"),
        "a folder": other.mkdir,
        "text": lambda: other.write_text("hello"),
        "another file": lambda: other.symlink_to(outside),
        "holes": lambda: _holes(other),
        "twice": lambda: other.symlink_to(store / "a" / "x.arrow"),
        "a part alone": lambda: other.write_bytes((store / "a" / "x.arrow").read_bytes()[8:]),
    }.items():
        make()
        found = guarded.outcome(lambda: both(store), store)
        assert not wrong(found, store, sound), (name, found)
        assert found[1][2] is not None or name == "nothing", (name, found)
        assert name == "twice" or found[1][0][1] is not None, (name, found)
        other.rmdir() if other.is_dir() else other.unlink()


def _holes(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(8 << 30)


def test_a_damaged_file_is_not_merged_nor_written_beside(store: Path, tmp_path: Path) -> None:
    """Merging and extracting read what is there; unfinished parts are taken as far as they are whole."""
    path, rng = store / "a" / "x.arrow", random.Random(f"{harness.SEED} merged")
    content = path.read_bytes()
    mutations = [*of_bytes(content, rng), *of_metadata(path, rng)][::9]
    sound = len(RegionFile(path))

    def merged(mutation: Mutation) -> Any:
        path.write_bytes(mutation.content)
        (report,) = merge([path], tmp_path / "out" / "all.arrow", progress=False)
        return report.images

    for mutation, (kind, what) in zip(
        mutations, guarded.outcomes([partial(merged, each) for each in mutations], tmp_path.parent), strict=True
    ):
        assert kind == "refused" or (kind, what) == ("read", sound), (mutation.name, kind, what)
    path.write_bytes(content)


def test_damaged_parts_of_an_unfinished_extraction(tmp_path: Path) -> None:
    """What is whole of them is kept, and the rest is extracted again: never a traceback, and never other regions."""
    target = tmp_path / "a" / "x.arrow"
    with PartWriter(target, table()) as writer:
        for start in (0, 4, 8):
            writer.write([image(number) for number in range(start, start + 4)])
    (part,) = writer.folder.glob("*.arrows")
    content, rng = part.read_bytes(), random.Random(f"{harness.SEED} parts")
    sound = [batch.to_pylist() for batch, _, _ in whole_batches(part)]
    assert len(sound) == 3
    flips = (rng.randrange(len(content)) for _ in range(60))
    contents = [content[: rng.randrange(len(content))] for _ in range(20)]
    contents += [_with(content, place, bytes([rng.randrange(256)])) for place in flips]
    contents += [
        _with(content, place + 4 * rng.randrange(60), struct.pack("<i", rng.choice([-1, 10**9, 2**31 - 1])))
        for place in _headers(content)
        for _ in range(6)
    ]

    def kept(damaged: bytes) -> Any:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(damaged)
        found = [batch.to_pylist() for batch, _, _ in whole_batches(part)]
        assert found == sound[: len(found)], "other regions than were written"
        PartWriter(target, table()).close()
        return len(found)

    packed = pa.BufferOutputStream()
    with pa.ipc.new_stream(packed, table(), options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
        for batch, found, _ in whole_batches(part):
            stream.write_batch(batch, custom_metadata={CHECKSUM: found})
    (read_packed,) = guarded.outcomes([partial(kept, packed.getvalue().to_pybytes())], tmp_path)
    assert read_packed == ("read", 0)  # which may be a thousand times as large as it is
    counts = []
    for kind, what in guarded.outcomes([partial(kept, each) for each in contents], tmp_path):
        assert kind == "read" or (kind == "refused" and "unfinished extraction" in what[0]), (kind, what)
        counts.append(what if kind == "read" else 0)
    assert {0, 1, 2, 3} >= set(counts) > {3}


def test_what_lies_among_the_parts_and_is_none(tmp_path: Path) -> None:
    target = tmp_path / "a" / "x.arrow"
    with PartWriter(target, table()) as writer:
        writer.write([image(1)])
    os.mkfifo(writer.folder / "0007.arrows")
    (writer.folder / "mine.arrows").write_text("hello")
    (writer.folder / "0008.arrows").mkdir()
    kind, what = guarded.outcome(lambda: len(list(whole_batches(writer.folder / "0007.arrows"))), tmp_path)
    assert (kind, what) == ("read", 0)
    (writer.folder / "lock").unlink()
    os.mkfifo(writer.folder / "lock")
    kind, what = guarded.outcome(lambda: PartWriter(target, table()).close(), tmp_path)
    assert kind in ("read", "refused"), what
