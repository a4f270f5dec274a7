"""The benchmark of official size, at a five-hundredth of it: files that every check accepts, and every stage."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from twelve.data import kept
from twelve.data.check import check_root
from twelve.data.examples import reading

SCALE = 0.002


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
    try:
        import official_size

        yield official_size
    finally:
        sys.path.pop(0)


@pytest.fixture(scope="module")
def folder(benchmark: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("official")
    benchmark.stage("files", made, "", SCALE)
    return made


@pytest.fixture(autouse=True)
def everything_is_cached(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWELVE_CACHE", str(folder / "cache"))
    monkeypatch.setattr(reading, "LARGE", 0)
    monkeypatch.setattr(kept, "MANY", 2)


def test_the_files_are_those_of_complete_datasets(folder: Path) -> None:
    """Nothing in them is refused, and there are as many examples and images as the scale says."""
    report = check_root(folder / "root")
    assert report.ok, str(report)
    tasks = {task.task: task for task in report.tasks}
    assert {split.split for split in tasks["gqa"].others} >= {"train_all", "val_all", "submission_all"}
    for task in report.tasks:
        for split in (task.train, *task.measured) if task.task != "vg_qa" else ():  # of an excerpt, a tenth is val
            for found, official in zip((split.examples, split.images), split.official or (), strict=False):
                # Small splits have at least 60 examples, and RefCOCO's test consists of two.
                assert official is None or abs(found - SCALE * official) <= 120, (task.task, str(split))
    assert (tasks["vqa"].train.examples, tasks["vqa"].train.images) == (888, 166)
    assert (tasks["snli_ve"].train.examples, tasks["snli_ve"].train.images) == (1059, 60)


def test_the_same_seed_writes_the_same_files(benchmark: ModuleType, folder: Path, tmp_path: Path) -> None:
    from official_files import write_files
    from official_world import World

    write_files(World(SCALE), tmp_path, ["vqa", "refcoco", "guesswhat"])
    for path in tmp_path.rglob("*.json"):
        assert path.read_bytes() == (folder / "root" / path.relative_to(tmp_path)).read_bytes()


def test_a_run_starts_and_resumes_and_its_batches_are_built(benchmark: ModuleType, folder: Path) -> None:
    first, again = (benchmark.stage("prepare", folder, "", SCALE) for _ in range(2))
    assert first["trained on"] == again["trained on"] and len(first["trained on"]) == 12
    started = benchmark.stage("train", folder, "", SCALE)
    lengths = {path: path.stat().st_ino for path in (folder / "cache").glob("[nt]e*/*.npy")}
    resumed = benchmark.stage("resume", folder, "", SCALE)
    assert {path: path.stat().st_ino for path in (folder / "cache").glob("[nt]e*/*.npy")} == lengths  # none was made
    assert len(lengths) == 12 + 2  # texts of every task, neighbours of both retrieval tasks
    for found in (started, resumed):
        assert 0 < found["first step: processor seconds"] <= found["iterations done: processor seconds"]
    built = benchmark.stage("loader", folder, "0 1", SCALE)
    for found in built.values():
        assert found["pairs/s"] >= found["examples/s"] > 0 and len(found["tasks"]) == 12
    assert (
        built["1"]["unshared of the largest worker, MB"][0] > 0 == built["0"]["unshared of the largest worker, MB"][0]
    )
    assert json.dumps([first, again, started, resumed, built])


def test_what_a_gpu_consumes_follows_from_counted_operations(benchmark: ModuleType) -> None:
    """VQA: 101 regions and 23 words through 250 M parameters are some tens of billions of operations."""
    found = benchmark.stage("consumption", Path(), "", SCALE)
    assert 20 < found["tasks"]["vqa"]["GFLOP a pair, training"] < 200
    assert found["tasks"]["guesswhat"]["pairs/s"] < found["tasks"]["vqa"]["pairs/s"]
