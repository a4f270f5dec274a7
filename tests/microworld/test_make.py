"""The whole microworld: all twelve datasets, made at once or not at all."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from small_world import SIZES

from twelve.errors import DataError
from twelve.formats.data_root import drawing_again
from twelve.microworld import draw, make
from twelve.microworld.make import WRITERS, make_microworld, oracle_scores, summary
from twelve.microworld.tally import Tally
from twelve.microworld.world import World, WorldSizes, make_world


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "world"
    make_microworld(out, 1, SIZES)
    return out


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_there_are_twelve_datasets_and_an_index(root: Path) -> None:
    index = json.loads((root / "microworld.json").read_text())
    assert len(WRITERS) == 12 and set(index["tasks"]) == set(WRITERS)
    assert {path.name for path in root.iterdir()} == {*WRITERS, "images", "microworld.json"}
    assert (index["seed"], index["version"], index["sizes"]["vg_val"]) == (1, make.VERSION, [0, 6])
    assert index["images"] == sum(1 for path in (root / "images").rglob("*") if path.is_file())
    for entry in index["tasks"].values():
        assert entry["examples"] and entry["templates"] == len(entry["wordings"]) > 5
    assert index["tasks"]["vqa"]["entropy"] > 3.5


def test_no_wording_belongs_to_two_datasets(root: Path) -> None:
    tasks = json.loads((root / "microworld.json").read_text())["tasks"]
    owners = Counter(
        wording
        for entry in tasks.values()
        for wording in {re.sub(r"\{\w+\}", "{}", w).lower() for w in entry["wordings"]}
    )
    assert [wording for wording, count in owners.items() if count > 1] == []


def test_every_oracle_reaches_its_official_metrics_upper_bound(root: Path) -> None:
    scores = oracle_scores(root)
    assert set(scores) == set(WRITERS)
    captions = {"coco", "flickr30k"}
    assert all(scores[name] >= 99 for name in set(scores) - captions), scores
    assert all(25 < scores[name] <= 100 for name in captions), scores


@pytest.mark.parametrize("parallel", [0, 10**6], ids=["processes", "one process"])
def test_the_same_seed_gives_the_same_bytes(
    root: Path, tmp_path: Path, parallel: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make, "PARALLEL", parallel)
    tallies = make.write_datasets(make_world(1, SIZES), tmp_path)
    assert [tally.task for tally in tallies] == list(WRITERS)
    for name in WRITERS:
        assert contents(tmp_path / name) == contents(root / name)


def test_the_same_world_is_left_as_it_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    monkeypatch.setattr(make, "make_world", None)
    console = Console(record=True, width=200)
    tallies = make_microworld(root, 1, SIZES, console)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert "already" in console.export_text()
    table = Console(record=True, width=200)
    table.print(summary(tallies, {"vqa": 98.76}))
    text = table.export_text()
    assert all(name in text for name in WRITERS) and "98.8" in text and f"{tallies[0].entropy:.2f}" in text
    assert all(tally.oracle for tally in tallies)


def test_another_world_is_not_overwritten(root: Path) -> None:
    before = contents(root)
    with pytest.raises(DataError, match=r"a microworld of seed 1, not 2.*choose another folder"):
        make_microworld(root, 2, SIZES)
    with pytest.raises(DataError, match=r"other sizes \(\w+: \[.*\], not \[.*\]; another --scale"):
        make_microworld(root, 1)
    assert contents(root) == before


@pytest.mark.parametrize("name", ["notes.txt", "microworld.json"])
def test_a_folder_of_something_else_is_not_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("[]")
    with pytest.raises(DataError, match=r"other than a microworld|not a valid microworld index"):
        make_microworld(tmp_path, 1, SIZES)
    with pytest.raises(DataError, match="expected a folder, found a file"):
        make_microworld(tmp_path / name, 1, SIZES)
    assert (tmp_path / name).read_text() == "[]"


@pytest.mark.parametrize(
    ("text", "why"),
    [("{}", "no 'seed'"), ("{", "Expecting"), ('{"seed": 1, "sizes": {}, "version": 1, "tasks": {"vqa": 1}}', "int")],
)
def test_a_damaged_index_is_named(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "microworld.json").write_text(text)
    with pytest.raises(
        DataError, match=rf"microworld\.json: not a valid microworld index.*{why}.*remove the whole folder"
    ):
        make_microworld(tmp_path, 1, SIZES)


def test_an_empty_folder_is_filled_and_a_failure_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(world: World, folder: Path, rng: np.random.Generator) -> Tally:
        (folder / "half.json").write_text("{")
        raise RuntimeError("stopped half way")

    def fine(world: World, folder: Path, rng: np.random.Generator) -> Tally:
        return Tally("fine")

    monkeypatch.setattr(draw, "write_images", lambda world, folder, collections: 0)
    out = tmp_path / "world"
    out.mkdir()
    for writers, fails in (({"fine": fine, "broken": broken}, True), ({"fine": fine}, False)):
        monkeypatch.setattr(make.write_datasets, "__defaults__", (writers,))
        if fails:
            with pytest.raises(RuntimeError, match="half way"):
                make_microworld(out, 1, SIZES)
            assert list(tmp_path.rglob("*")) == [out]
        else:
            make_microworld(out, 1, SIZES)
            assert (out / "fine").is_dir() and (out / "microworld.json").is_file()


def test_every_dataset_has_a_chance_of_its_own(tmp_path: Path) -> None:
    drawn: dict[str, float] = {}

    def writer(name: str) -> make.Writer:
        def write(world: World, folder: Path, rng: np.random.Generator) -> Tally:
            drawn[name] = float(rng.random())
            return Tally(name)

        return write

    def draw(seed: int, *names: str) -> dict[str, float]:
        drawn.clear()
        make.write_datasets(World(seed, (), (), (), (), frozenset()), tmp_path, {name: writer(name) for name in names})
        return dict(drawn)

    both = draw(1, "one", "two")
    assert both["one"] != both["two"]
    assert draw(1, "two") == {"two": both["two"]}
    assert draw(2, "two") != {"two": both["two"]}


@pytest.mark.parametrize("scale", [0.05, 0.333, 1.0, 2.5])
def test_a_world_is_drawn_again_as_it_was(tmp_path: Path, scale: float) -> None:
    folder = tmp_path / "a world"
    folder.mkdir()
    sizes = WorldSizes().scaled(scale)
    (folder / make.INDEX).write_text(json.dumps({"seed": 3, "scale": make._scale(sizes)}))
    words = shlex.split(drawing_again(folder))
    assert words[:7] == ["twelve", "data", "make-microworld", "--out", str(folder), "--seed", "3"]
    assert WorldSizes().scaled(float(words[8]) if words[7:8] == ["--scale"] else 1.0) == sizes


@pytest.mark.parametrize("index", ["{", "[]", '{"seed": true, "scale": true}', '{"scale": "2"}', '{"scale": -1}'])
def test_an_index_that_says_nothing_gives_the_plain_command(tmp_path: Path, index: str) -> None:
    (tmp_path / make.INDEX).write_text(index)
    assert drawing_again(tmp_path) == shlex.join(["twelve", "data", "make-microworld", "--out", str(tmp_path)])
