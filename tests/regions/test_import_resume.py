"""An import that is killed anywhere goes on where it stopped: nothing is lost, nothing doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from import_origins import lmdb_of, made, tsv_of

from twelve.errors import RegionError
from twelve.regions.importers import ImportReport, import_regions, run
from twelve.regions.importers.base import ImageRecord
from twelve.regions.store import resumable_writer
from twelve.regions.store.inspect import inspect
from twelve.regions.store.region_file import RegionFile
from twelve.regions.store.region_store import RegionStore
from twelve.regions.store.resumable_writer import PartWriter
from twelve.types.regions import Regions

PER_BATCH = 3
IMAGES = [made(str(k), 1 + k % 4) for k in range(20)]
BAD = replace(IMAGES[9], features=IMAGES[9].features * np.nan)
CLAMPED = replace(IMAGES[2], features=IMAGES[2].features * np.float32(1e9))
LIST = [CLAMPED if image is IMAGES[2] else BAD if image is IMAGES[9] else image for image in IMAGES]


class Killed(BaseException):
    """The process dies here."""


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable_writer, "MAX_IMAGES", PER_BATCH)


def take(path: Path) -> ImportReport:
    return import_regions(path, path.parent / "out", source="a", detector="d", progress=False)


def check(path: Path, report: ImportReport, clean: bytes) -> None:
    """The report and the file are those of an import that nothing has disturbed."""
    assert (report.written, report.bad, report.records) == (19, 1, 20)
    assert report.counts["clamped"] == CLAMPED.features.size
    file = path.parent / "out" / "a" / "x.arrow"
    assert os.listdir(file.parent) == ["x.arrow"]
    assert len(RegionStore(path.parent / "out").ids("a")) == 19
    assert [each.problem for each in inspect(file, verify=True)] == [None]
    found = [image.image_id for image in RegionFile(file)]
    expected = [f"a/{k}" for k in range(20) if k != 9]
    assert sorted(found) == sorted(expected)
    if found == expected and len(RegionFile(file).views) == 7:
        assert file.read_bytes() == clean
    assert take(path).file is None


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tsv_of(tmp_path_factory.mktemp("clean") / "x.tsv", LIST)
    resumable_writer.MAX_IMAGES, before = PER_BATCH, resumable_writer.MAX_IMAGES
    file = take(path).file
    resumable_writer.MAX_IMAGES = before
    assert file is not None
    return file.read_bytes()


@pytest.mark.parametrize("trial", range(20))
def test_killed_at_a_random_moment(tmp_path: Path, clean: bytes, trial: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """While reading, before or after a batch is written, its stream cut at any byte; up to three times."""
    path = tsv_of(tmp_path / "x.tsv", LIST)
    rng = random.Random(trial)
    report, kills = None, 0
    for _ in range(rng.randint(1, 3)):
        with monkeypatch.context() as patch:
            _kill_somewhere(patch, rng)
            try:
                report = take(path)
                break
            except Killed:
                kills += 1
        for part in (tmp_path / "out" / "a").glob(".x.arrow.parts/*.arrows"):
            data = part.read_bytes()
            part.write_bytes(data[: len(data) - rng.choice([0, 1, rng.randrange(len(data) + 1)])])
    assert kills
    check(path, report or take(path), clean)


def _kill_somewhere(patch: pytest.MonkeyPatch, rng: random.Random) -> None:
    kind = rng.choice(["reading", "before writing", "after writing", "before finishing", "while finishing"])
    left = [rng.randrange(9 if kind == "reading" else 3)]

    def count() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    convert, write = run.Converter.regions, PartWriter.write

    def regions(self: Any, image_id: str, found: Any) -> Regions:
        count()
        return convert(self, image_id, found)

    def before(self: PartWriter, images: Sequence[Regions], counts: Mapping[str, int]) -> None:
        count()
        write(self, images, counts)

    def after(self: PartWriter, images: Sequence[Regions], counts: Mapping[str, int]) -> None:
        write(self, images, counts)
        count()

    def finish(*_: object) -> None:
        raise Killed

    if kind == "reading":
        patch.setattr(run.Converter, "regions", regions)
    elif kind in ("before writing", "after writing"):
        patch.setattr(PartWriter, "write", before if kind == "before writing" else after)
    elif kind == "before finishing":
        patch.setattr(PartWriter, "finish", finish)
    else:
        patch.setattr(os, "replace", finish)


PROGRAM = """
import sys
from pathlib import Path
from twelve.regions.importers import import_regions
from twelve.regions.store import resumable_writer
resumable_writer.MAX_IMAGES = 3
path = Path(sys.argv[1])
import_regions(path, path.parent / "out", source="a", detector="d", progress=False)
"""


def test_killed_by_the_system(tmp_path: Path) -> None:
    pytest.importorskip("lmdb")
    images = [made(str(k), 6) for k in range(120)]
    path = lmdb_of(tmp_path / "x", images)
    parts = tmp_path / "out" / "a" / ".x.arrow.parts"
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(path)])
    while process.poll() is None and sum(part.stat().st_size for part in parts.glob("*.arrows")) < 10_000:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    report = import_regions(path, tmp_path / "out", source="a", detector="d", progress=False)
    assert 0 < report.resumed < report.written == 120
    store = RegionStore(tmp_path / "out")
    assert sorted(store.ids("a")) == sorted(f"a/{image.key}" for image in images)
    assert [found.problem for found in inspect(tmp_path / "out", verify=True)] == [None]
    for image in images[::20]:
        np.testing.assert_array_equal(store.get(f"a/{image.key}").boxes, image.boxes)


def test_an_origin_that_changed_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tsv_of(tmp_path / "x.tsv", LIST)
    with monkeypatch.context() as patch:
        patch.setattr(PartWriter, "finish", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            take(path)
    tsv_of(path, LIST[5:])
    with pytest.raises(RegionError, match=r"the origin has changed: delete .*parts and import again"):
        take(path)


def test_one_batch_is_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are decoded one by one, and written as soon as a batch is full, by number or by size."""
    alive, most = [0], [0]
    convert, write = run.Converter.regions, PartWriter.write

    def regions(self: Any, image_id: str, found: Any) -> Regions:
        alive[0] += 1
        most[0] = max(most[0], alive[0])
        return convert(self, image_id, found)

    def written(self: PartWriter, images: Sequence[Regions], counts: Mapping[str, int]) -> None:
        write(self, images, counts)
        alive[0] -= len(images)

    monkeypatch.setattr(run.Converter, "regions", regions)
    monkeypatch.setattr(PartWriter, "write", written)
    take(tsv_of(tmp_path / "1" / "x.tsv", IMAGES))
    assert most[0] == PER_BATCH and alive[0] == 0
    most[0] = 0
    monkeypatch.setattr(resumable_writer, "BATCH_BYTES", 1)
    take(tsv_of(tmp_path / "2" / "x.tsv", IMAGES))
    assert most[0] == 1


def test_records_that_are_there_are_not_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tsv_of(tmp_path / "x.tsv", IMAGES)
    take(path)
    loaded: list[str] = []
    opened = run.open_origin

    class Watched:
        def __init__(self, origin: Any) -> None:
            self.origin = origin
            self.format, self.total, self.unit, self.close = origin.format, origin.total, origin.unit, origin.close

        def records(self) -> Iterator[Any]:
            for record in self.origin.records():
                assert isinstance(record, ImageRecord)
                yield replace(record, load=lambda record=record: (loaded.append(record.key), record.load())[1])

    monkeypatch.setattr(run, "open_origin", lambda *arguments: Watched(opened(*arguments)))
    assert take(path).file is None
    assert loaded == [str(k) for k in range(run._SAMPLES)]
