"""docs/get-the-data.md, followed from nothing to ``twelve data check``, with a stand-in for the hosts."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from download_server import DownloadServer
from rich.console import Console
from rich.filesize import decimal
from small_world import SIZES
from stand_in import stand_in
from test_docs import blocks, words
from tiny_downloads import download, written
from typer.testing import CliRunner

from twelve import cli
from twelve.downloads.download import Download
from twelve.downloads.registry import choose, shipped
from twelve.microworld.make import make_microworld
from twelve.tasks.base import all_tasks

PAGE = (Path(__file__).parents[2] / "docs" / "get-the-data.md").read_text(encoding="utf-8")
TWELVE = sorted(task.name for task in all_tasks().values() if not task.extra)


def commands() -> list[list[str]]:
    return [words(line) for body in blocks(PAGE, "bash") for line in body.splitlines() if line.startswith("twelve ")]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("world")
    make_microworld(place, 0, SIZES, Console(quiet=True))
    return place


def test_the_page_is_followed(world: Path, server: DownloadServer, tmp_path: Path) -> None:
    weights = world / "released"
    weights.mkdir(exist_ok=True)
    for name in (
        "multi_task_model.bin",
        "pretrained_model.bin",
        "detectron_model.pth",
        "detectron_config.yaml",
        "vocab.txt",
    ):
        (weights / name).write_bytes(b"weights")
    served = stand_in(world, server)
    assert {*TWELVE, "released"} <= {name for one in served for name in one.tasks}
    registry = written(tmp_path / "stand-in.toml", *served)
    own = download(server.add("mugs.zip", b""), content=None, kind="annotation", places=(("", "mugs/mugs.json"),))
    server.add("mugs.zip", b"{}")
    outputs = {}
    for arguments in commands():
        filled = [str(tmp_path / "DATA") if word == "DATA" else word for word in arguments]
        filled = [str(tmp_path) if word == "/mnt/share/downloads" else word for word in filled]
        filled = [f"{server.url}/mirror" if word.startswith("https://mirror") else word for word in filled]
        if "mugs" in arguments:
            filled = [str(written(tmp_path / "own.toml", own)) if word == "registry.toml" else word for word in filled]
        elif arguments[:2] == ["data", "fetch"] and "released-labels" not in arguments:
            filled += ["--registry", str(registry)]
        result = CliRunner().invoke(cli.app, filled)
        outputs[shlex.join(arguments)] = result.output
        expected = int(arguments[1] == "check")  # images are missing yet
        assert result.exit_code == expected, (arguments, result.output, result.exception)
    checked = outputs["data check DATA"]
    assert checked.count(": can run") == 0  # no images yet
    assert "  test2: missing test2.json" in checked  # the drawn world has none
    for task in TWELVE:
        assert f"\n{task} (" in f"\n{checked}"
    assert checked.count("  as fetched: ") == 13 and checked.count(": missing ") == 1
    assert "fetched: trusted" in "".join(outputs.values()) and "fetched: verified" in "".join(outputs.values())


def test_every_task_can_run_when_its_images_are_there(world: Path, server: DownloadServer, tmp_path: Path) -> None:
    """Those that must be asked for are put into the folders that the command names. GuessWhat has two tasks."""
    registry = written(tmp_path / "stand-in.toml", *stand_in(world, server))
    root = tmp_path / "DATA"
    result = CliRunner().invoke(
        cli.app, ["data", "fetch", "all", "--images", "--root", str(root), "--yes", "--registry", str(registry)]
    )
    assert result.exit_code == 0, result.output
    for name in ("flickr30k", "nlvr2"):
        assert f"not available without registration or asking: images/{name}/: see http" in result.output
    (root / "images").mkdir(exist_ok=True)
    for source in (world / "images").iterdir():
        for path in source.rglob("*.*"):
            target = root / path.relative_to(world)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.symlink_to(path)
    checked = CliRunner().invoke(cli.app, ["data", "check", str(root)])
    ready = "): can run once regions are extracted\n"
    assert checked.exit_code == 0 and checked.output.count(ready) == 13, checked.output


def test_two_tasks_get_only_what_they_need(world: Path, server: DownloadServer, tmp_path: Path) -> None:
    """docs/two-tasks.md: without the images of a test split, ``check`` finds no error and says how to get them."""
    page = (Path(__file__).parents[2] / "docs" / "two-tasks.md").read_text(encoding="utf-8")
    registry = written(tmp_path / "stand-in.toml", *stand_in(world, server))
    root = tmp_path / "DATA"
    commands = [line for body in blocks(page, "bash") for line in body.splitlines() if line.startswith("twelve data ")]
    fetching = [words(line) for line in commands if line.startswith("twelve data fetch ")]
    (checking,) = [words(line) for line in commands if line.startswith("twelve data check ")]
    for arguments in fetching:
        filled = [str(root) if word == "DATA" else word for word in arguments]
        result = CliRunner().invoke(cli.app, [*filled, "--registry", str(registry)])
        assert result.exit_code == 0 and "test2015" not in result.output, result.output
    images = root / "images" / "coco"
    assert {path.name for path in images.iterdir()} == {"train2014", "val2014"}
    check = [str(root) if word == "DATA" else word for word in checking]
    checked = CliRunner().invoke(cli.app, check)
    assert checked.exit_code == 0 and "error" not in checked.output, checked.output
    (note,) = [line for line in checked.output.splitlines() if line.startswith("  test: note: ") and "neither" in line]
    (cleaning,) = [words(line) for line in commands if line.startswith("twelve data clean ")]
    clean = [{"DATA": str(root), "exclusions": str(tmp_path / "exclusions")}.get(word, word) for word in cleaning]
    cleaned = CliRunner().invoke(cli.app, clean)
    assert cleaned.exit_code == 0, (cleaned.output, cleaned.exception)
    remedy = note.partition(" -> fetch them: twelve ")[2]
    result = CliRunner().invoke(cli.app, [*shlex.split(remedy), "--yes", "--registry", str(registry)])
    assert result.exit_code == 0 and (images / "test2015").is_dir(), (note, result.output)
    assert "neither" not in CliRunner().invoke(cli.app, check).output


def row(task: str) -> str:
    """The line of the page's table about a task."""
    cells = []
    for kind in ("annotation", "image"):
        chosen = [one for one in choose(shipped(), [task], (kind,)) if one.urls and not one.instead_of]  # type: ignore[arg-type]
        cells.append(total(chosen))
    asked = [one for one in choose(shipped(), [task], ("annotation", "image")) if not one.urls]
    places = ", ".join(f"`{place}` ({one.page})" for one in asked for _, place in one.places)
    return f"| `{task}` | {' | '.join(cells)} | {places} |"


def total(chosen: list[Download]) -> str:
    if not chosen:
        return "-"
    known = sum(one.bytes or stated(one.about) for one in chosen)
    more = "+" if any(one.bytes is None and not one.about for one in chosen) else ""
    return f"{decimal(known)}{more}" if known else "unknown"


def stated(about: str) -> int:
    number, _, unit = about.rpartition(" ")
    return int(float(number) * {"": 0, "MB": 1e6, "GB": 1e9}[unit]) if number else 0


def test_the_table_of_sizes_is_the_registrys() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert lines == [row(task) for task in TWELVE], "\n".join(row(task) for task in TWELVE)
