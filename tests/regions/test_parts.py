"""Writing region files: nothing is lost, doubled or half-written, wherever the process dies."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from making import FEATURES, regions, same, write

from twelve.errors import RegionError
from twelve.regions.store.arrow_format import schema
from twelve.regions.store.inspect import inspect
from twelve.regions.store.region_file import RegionFile
from twelve.regions.store.region_store import RegionStore
from twelve.regions.store.resumable_writer import PartWriter, remove_leftovers

IMAGES = [regions(f"a/{k}", count=k % 4) for k in range(20)]
TABLE = schema(feature_size=FEATURES, scores=True, class_ids=True, metadata={"fingerprint": "f"})
BATCHES = [IMAGES[k : k + 4] for k in range(0, 20, 4)]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "a" / "x.arrow"


def start(target: Path, batches: int) -> Path:
    """An extraction that stopped after some batches; the path of its part."""
    with PartWriter(target, TABLE) as writer:
        for batch in BATCHES[:batches]:
            writer.write(batch)
    (part,) = target.parent.glob(".x.arrow.parts/*.arrows")
    return part


def go_on(target: Path) -> set[str]:
    """Extract what is missing and finish; the ids that were there before."""
    with PartWriter(target, TABLE) as writer:
        there = set(writer.done)
        left = [image for image in IMAGES if image.image_id not in there]
        for k in range(0, len(left), 4):
            writer.write(left[k : k + 4])
        writer.finish({"failed": json.dumps({"a/99": "bad"})})
    return there


def check(target: Path) -> None:
    """Exactly the images that should be there, each once and as it was; nothing else in the folder."""
    found = {image.image_id: image for image in RegionFile(target)}
    assert len(RegionFile(target)) == len(found) == len(IMAGES)
    assert all(same(found[image.image_id], image) for image in IMAGES)
    assert os.listdir(target.parent) == ["x.arrow"]
    assert [report.problem for report in inspect(target, verify=True)] == [None]
    assert len(RegionStore(target.parents[1]).ids("a")) == len(IMAGES)


def test_resumes_after_leaving_between_batches(target: Path) -> None:
    start(target, 3)
    assert not target.exists()
    assert go_on(target) == {image.image_id for image in IMAGES[:12]}
    check(target)
    assert json.loads(RegionFile(target).metadata["failed"]) == {"a/99": "bad"}


def test_cut_at_any_byte_keeps_every_whole_batch(target: Path) -> None:
    part = start(target, 4)
    whole = part.read_bytes()
    ends = []  # of the stream after each batch
    for batches in range(1, 5):
        shutil.rmtree(target.parent)
        ends.append(len(start(target, batches).read_bytes()) - 8)  # without the end marker
    rng = random.Random(0)
    for size in [0, 1, *ends, *(end - 1 for end in ends), *(rng.randrange(len(whole)) for _ in range(25))]:
        shutil.rmtree(target.parent)
        part = start(target, 4)
        part.write_bytes(whole[:size])
        kept = go_on(target)
        assert kept == {i.image_id for i in IMAGES[: 4 * sum(end <= size for end in ends)]}, size
        check(target)


def test_killed_several_times(target: Path) -> None:
    rng = random.Random(1)
    for _ in range(4):
        with PartWriter(target, TABLE) as writer:
            left = [image for image in IMAGES if image.image_id not in writer.done]
            writer.write(left[:3])
            writer.write(left[3:5])
        for part in target.parent.glob(".x.arrow.parts/*.arrows"):
            data = part.read_bytes()
            part.write_bytes(data[: len(data) - rng.choice([0, 0, 3, 40])])
    go_on(target)
    check(target)


def test_a_damaged_batch_is_made_again(target: Path) -> None:
    part = start(target, 4)
    data = bytearray(part.read_bytes())
    features = IMAGES[9].features
    assert features is not None
    data[data.index(features.tobytes())] ^= 1
    part.write_bytes(data)
    assert go_on(target) == {image.image_id for image in IMAGES[:8]}
    check(target)


def test_killed_after_the_file_took_its_place(target: Path) -> None:
    part = start(target, 5)
    kept = part.read_bytes()
    go_on(target)
    part.parent.mkdir()
    part.write_bytes(kept)
    remove_leftovers(target.parent)
    check(target)


def test_other_settings_do_not_mix(target: Path) -> None:
    start(target, 1)
    other = schema(feature_size=FEATURES, scores=True, class_ids=True, metadata={"fingerprint": "g"})
    with pytest.raises(RegionError, match=r"an unfinished extraction with other settings .* delete that folder"):
        PartWriter(target, other)
    go_on(target)
    check(target)


def test_two_writers_at_once(target: Path) -> None:
    with PartWriter(target, TABLE), pytest.raises(RegionError, match="another extraction is writing here"):
        PartWriter(target, TABLE)
    go_on(target)
    check(target)


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes: to a writer the same as a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_while_extracting(target: Path) -> None:
    size = len(start(target, 2).read_bytes())
    shutil.rmtree(target.parent)
    with (
        disk_of(size + 50),
        pytest.raises(RegionError, match=r"x\.arrow cannot be written .*; 8 extracted images are kept -> free space"),
        PartWriter(target, TABLE) as writer,
    ):
        for batch in BATCHES:
            writer.write(batch)
    assert not target.exists()
    assert go_on(target) == {image.image_id for image in IMAGES[:8]}
    check(target)


def test_a_full_disk_at_the_end_leaves_the_parts(target: Path) -> None:
    size = len(start(target, 5).read_bytes())
    with disk_of(size // 2), PartWriter(target, TABLE) as writer, pytest.raises(RegionError, match="free space"):
        writer.finish({})
    assert not target.exists() and not (target.parent / ".x.arrow.parts" / "x.arrow").exists()
    assert len(go_on(target)) == 20
    check(target)


def test_a_file_that_is_there_survives_a_failed_finish(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(target, IMAGES[:4])
    before = target.read_bytes()
    start(target, 5)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with PartWriter(target, TABLE) as writer, pytest.raises(RegionError, match="No space left"):
        writer.finish({})
    assert target.read_bytes() == before


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file in the way")
    with pytest.raises(RegionError, match=r"cannot be written .* make the folder writable"):
        PartWriter(tmp_path / "a" / "x.arrow", TABLE)


def test_nothing_written_leaves_nothing(tmp_path: Path) -> None:
    with PartWriter(tmp_path / "new" / "a" / "given" / "x.arrow", TABLE):
        pass
    assert not os.listdir(tmp_path)
    (tmp_path / "mine").mkdir()
    with PartWriter(tmp_path / "mine" / "a" / "x.arrow", TABLE):
        (tmp_path / "mine" / "a" / "of-others").touch()
    with PartWriter(tmp_path / "mine" / "b" / "x.arrow", TABLE):
        pass
    assert os.listdir(tmp_path / "mine") == ["a"] and os.listdir(tmp_path / "mine" / "a") == ["of-others"]
