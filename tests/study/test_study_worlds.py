"""The worlds of a study: drawn for each seed, or taken from another study."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import tiny
from rich.console import Console
from small_world import SIZES
from tiny_study import write_config

from twelve import config as configuration
from twelve.errors import ConfigError, DataError, RegionError
from twelve.microworld import make as world
from twelve.microworld.world import WorldSizes
from twelve.regions.extraction import extract as regions
from twelve.settings import RunConfig
from twelve.study import worlds
from twelve.study.engine import run
from twelve.study.initialization import of_seed
from twelve.study.results import seed_folder

OTHER = 2.0
"""A scale at which the world has other sizes here."""
SEED = 3


@pytest.fixture(scope="module", autouse=True)
def small() -> Any:
    """Worlds of a few images."""
    larger = WorldSizes(*((train + 1, test) for train, test in vars_of(SIZES)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WorldSizes, "scaled", lambda self, scale: larger if scale == OTHER else SIZES)
        yield


def vars_of(sizes: WorldSizes) -> list[tuple[int, int]]:
    return [getattr(sizes, name) for name in WorldSizes.__dataclass_fields__]


def config_of(study: Path, seed: int = SEED, scale: float = 1.0) -> RunConfig:
    tree = tiny.tree(Path("root"), Path("unused")) | {"sources": {}, "microworld": {"scale": scale}}
    return of_seed(configuration.parse(tree), seed, seed_folder(study, seed), worlds=True)


def provide(study: Path, other: Path | None = None, **asked: Any) -> Path:
    """The folder of the seed's world."""
    worlds.provide(config_of(study, **asked), seed_folder(study, SEED), other)
    return seed_folder(study, SEED)


def files_of(folder: Path) -> dict[str, int]:
    """Name -> inode of every file of a world, hidden ones and what says that it is complete left out."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: path.stat().st_ino
        for name, path in found.items()
        if "/." not in f"/{name}" and path.name not in (regions.COMPLETE, worlds.FILE)
    }


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = tmp_path_factory.mktemp("studies") / "drawn"
    provide(study)
    return study


def test_a_world_is_taken_and_not_drawn_or_extracted(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("this is there already")

    monkeypatch.setattr(world, "make_world", never)
    monkeypatch.setattr("twelve.regions.extraction.jobs.Pipeline", never)
    assert worlds.is_finished(drawn, SEED) and not worlds.is_finished(drawn, SEED + 1)
    mine, theirs = provide(tmp_path, drawn), seed_folder(drawn, SEED)
    assert files_of(mine) == files_of(theirs) and len(files_of(mine)) > 50  # the same files, not copies
    assert (mine / worlds.FILE).read_text() == (theirs / worlds.FILE).read_text()
    assert (mine / "regions" / regions.COMPLETE).read_text() == (theirs / "regions" / regions.COMPLETE).read_text()
    assert provide(tmp_path, drawn) == mine  # and again: everything is there


def test_only_the_images_of_its_tasks_are_drawn_and_all_else_is_the_same(drawn: Path, tmp_path: Path) -> None:
    """Bit for bit: every dataset, since test images are removed from the training sets of all tasks; the images of the
    study's tasks, and their regions."""
    full, part = tmp_path / "full", seed_folder(drawn, SEED)
    world.make_microworld(full / "data", SEED, SIZES)
    regions.extract_root(full / "data", full / "regions")
    folders = (full, part, tmp_path / "vg")
    world.make_microworld(folders[2] / "data", SEED, SIZES, collections={"vg"})  # without COCO, whose images it shares
    every, mine, vg = ({name: (folder / name).read_bytes() for name in files_of(folder)} for folder in folders)
    left_out = {name for name in every if name.startswith(("data/images/vg/", "regions/vg/"))}
    assert len(left_out) > 40 and every.keys() - mine.keys() == left_out and mine.keys() < every.keys()
    index = f"data/{world.INDEX}"
    assert all(every[name] == content for found in (mine, vg) for name, content in found.items() if name != index)
    assert {name for name in vg if "/images/" in name} == {name for name in left_out if "/images/" in name}


def test_a_world_without_the_images_of_a_task_is_not_taken(drawn: Path, tmp_path: Path) -> None:
    asked = config_of(tmp_path)
    gqa = asked.model_copy(update={"tasks": {"gqa": asked.tasks["vqa"]}})
    with pytest.raises(ConfigError, match=r"\[worlds-of\]: .*without the images of vg -> leave out --worlds-of"):
        worlds.provide(gqa, seed_folder(tmp_path, SEED), drawn)
    fewer = asked.model_copy(update={"tasks": {"vqa": asked.tasks["vqa"]}})
    worlds.provide(fewer, seed_folder(tmp_path, SEED), drawn)
    assert (seed_folder(tmp_path, SEED) / "data" / "images" / "nlvr2").is_dir()  # a world with more is


def test_a_task_may_name_the_images_of_another_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, made = config_of(tmp_path), list[Any]()
    monkeypatch.setattr(world, "make_microworld", lambda *_, collections, **__: made.append(collections))
    task = asked.tasks["vqa"]
    for tasks, sources in (({"vqa": task}, {}), ({"vqa": task}, {"vqa": "vg"}), ({"mine": task}, {})):
        worlds._make(asked.model_copy(update={"tasks": tasks, "sources": sources}), tmp_path)
    assert made == [{"coco"}, {"vg"}, None]


def test_where_no_links_can_be_made_it_is_copied(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    mine, theirs = files_of(provide(tmp_path, drawn)), files_of(seed_folder(drawn, SEED))
    assert mine.keys() == theirs.keys() and not set(mine.values()) & set(theirs.values())


def test_another_world_is_refused(drawn: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[worlds-of\]: .*other sizes.* -> leave out --worlds-of"):
        provide(tmp_path, drawn, scale=OTHER)
    assert not (seed_folder(tmp_path, SEED) / "data").exists()


@pytest.mark.parametrize("change", ["content", "name", "link", "regions"])
def test_a_world_that_was_changed_is_refused(drawn: Path, tmp_path: Path, change: str) -> None:
    theirs, mine = tmp_path / "theirs", tmp_path / "mine"
    folder = provide(theirs, drawn)
    image = next(path for path in (folder / "data" / "images").rglob("*") if path.is_file())
    match change:
        case "content":
            content = image.read_bytes()
            image.unlink()  # the file is also the other study's
            image.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "name":
            image.rename(image.with_name("other" + image.suffix))
        case "link":
            image.unlink()
            image.symlink_to("/etc/hostname")
        case "regions":
            next((folder / "regions").rglob("*.arrow")).unlink()
    with pytest.raises(DataError, match=r"have changed since|not a regular file"):
        provide(mine, theirs)
    assert not (seed_folder(mine, SEED) / worlds.FILE).exists()
    provide(mine, drawn)
    assert files_of(seed_folder(mine, SEED)).keys() == files_of(seed_folder(drawn, SEED)).keys()


def test_regions_of_another_extractor_are_refused(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twelve.regions.extraction.extractor.fingerprint", lambda settings: "another")
    with pytest.raises(RegionError, match="-> leave out --worlds-of"):
        provide(tmp_path, drawn)
    assert not (seed_folder(tmp_path, SEED) / "regions").exists()


def test_a_fingerprint_is_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_text("1")
    one = worlds.fingerprint(tmp_path)
    (tmp_path / ".lock").touch()
    assert worlds.fingerprint(tmp_path) == one
    (tmp_path / "a" / "b").write_text("2")
    two = worlds.fingerprint(tmp_path)
    (tmp_path / "a" / "b").rename(tmp_path / "a" / "c")
    assert len({one, two, worlds.fingerprint(tmp_path)}) == 3


def test_what_cannot_give_worlds(drawn: Path, tmp_path: Path) -> None:
    config, quiet = write_config(tmp_path), Console(quiet=True)

    def refused(message: str, study: Path, *settings: str) -> None:
        with pytest.raises(ConfigError, match=message):
            run("ablations", config, out=tmp_path / "study", worlds_of=study, settings=settings, console=quiet)

    refused("this study generates no worlds", drawn)
    refused("no study here", drawn, "microworld.scale=1")
    refused("the folder of the study itself", tmp_path / "study", "microworld.scale=1")
    assert not (tmp_path / "study").exists()
    assert json.loads((seed_folder(drawn, SEED) / worlds.FILE).read_text()).keys() == {"data", "regions"}
