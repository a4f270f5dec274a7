"""``twelve data fetch``: what it shows first, what it asks, its exit codes, and that ``data check`` finds the files."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import tiny
from download_server import DownloadServer
from test_archives import zipped
from tiny_downloads import CONTENT, NAME, download, placed, written
from typer.testing import CliRunner

from twelve import cli
from twelve.cli import fetch as command
from twelve.downloads import plan, writing
from twelve.downloads.registry import choose, leave_out, read, shipped
from twelve.errors import ConfigError, TwelveError


def run(*words: object, answer: str | None = None) -> Any:
    return CliRunner().invoke(cli.app, ["data", "fetch", *map(str, words)], input=answer)


@pytest.fixture
def registry(server: DownloadServer, tmp_path: Path) -> Path:
    good = download(server.add("mugs.json", CONTENT))
    unknown = download(server.add("cups.json", b"{}"), content=None, file="cups.json", places=(("", "mugs/cups.json"),))
    asked = download(content=None, file="jars.json", places=(("", "mugs/jars.json"),))
    image = download(
        server.add("x.zip", b""), content=None, file="x.zip", kind="image", places=(("*.jpg", "images/mugs/"),)
    )
    return written(tmp_path / "registry.toml", good, unknown, asked, image)


def test_sizes_terms_and_pages_come_before_the_first_byte(registry: Path, server: DownloadServer) -> None:
    result = run("mugs", "--registry", registry, "--list")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[:5] == [
        "mugs: https://example.org/mugs",
        "  terms: see page",
        "  mugs/mugs.json: annotation, 300.0 kB, hash known",
        "  mugs/cups.json: annotation, 2 bytes (says the server), no public hash",
        "  not available without registration or asking: mugs/jars.json: see https://example.org/mugs (a test)",
    ]
    assert lines[5].startswith("to fetch: 2 files, 300.0 kB; free: ")
    assert "  mugs/x.zip: image, unknown" in run("mugs", "--registry", registry, "--list", "--images").output
    assert {method for method, _, _ in server.requests} == {"HEAD"} and not Path("data").exists()


def test_in_a_script_nothing_is_fetched_without_yes(registry: Path, server: DownloadServer, tmp_path: Path) -> None:
    result = run("mugs", "--registry", registry)
    assert isinstance(result.exception, ConfigError)  # exits with 2
    assert str(result.exception) == "this shell cannot ask whether to fetch this -> add --yes"
    assert not placed(tmp_path / "data")


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_on_a_terminal_it_asks(
    answer: str, code: int, registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_can_ask", lambda: True)
    result = run("mugs", "--registry", registry, "--root", tmp_path / "root", answer=answer)
    assert result.exit_code == code and "Fetch these files, under these terms? [y/N]" in result.output
    assert bool(placed(tmp_path / "root")) is (code == 0)


def test_a_second_fetch_needs_no_answer_and_a_failure_exits_with_1(
    registry: Path, server: DownloadServer, tmp_path: Path
) -> None:
    words = ["mugs", "--registry", registry, "--root", tmp_path / "root"]
    first = run(*words, "--yes")
    assert first.exit_code == 0 and "mugs/jars.json: asked: see https://example.org/mugs" in first.output
    again = run(*words, "--verify")
    assert again.exit_code == 0 and again.output.count("there: as fetched") == 2
    assert "to fetch: 0 files" in again.output
    (tmp_path / "root" / NAME).unlink()
    server.files.clear()
    failed = run(*words, "--yes")
    assert failed.exit_code == 1 and "the server answers 404" in failed.output


def test_a_mirror_and_a_folder_saved_by_hand(registry: Path, server: DownloadServer, tmp_path: Path) -> None:
    """What the message about a failure advises."""
    server.files["mugs.json"].status = [404]
    words = ["mugs", "--registry", registry, "--root", tmp_path / "root", "--yes"]
    failed = run(*words).output
    assert "save the file from https://example.org/mugs as FOLDER/mugs/mugs.json, and run twelve data fetch" in failed
    folder = tmp_path / "folder" / "mugs"
    folder.mkdir(parents=True)
    (folder / "mugs.json").write_bytes(CONTENT)
    assert run(*words, "--mirror", tmp_path / "folder").exit_code == 0
    assert placed(tmp_path / "root")[NAME] == CONTENT


def test_the_remedy_works_to_the_letter(registry: Path, server: DownloadServer, tmp_path: Path) -> None:
    content = zipped()
    server.add("x.zip", content, status=[404])
    root = tmp_path / "root"
    failed = run("mugs", "--registry", registry, "--root", root, "--yes", "--images").output
    command = failed.partition("and run twelve ")[2].splitlines()[0]
    saved = tmp_path / "FOLDER" / "mugs" / "x.zip"
    saved.parent.mkdir(parents=True)
    saved.write_bytes(content)
    server.files.clear()
    words = shlex.split(command.replace("FOLDER", str(tmp_path / "FOLDER")))
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 0, result.output
    assert placed(root)["images/mugs/1.jpg"] == b"image"


def test_a_file_is_left_out_by_the_name_that_the_list_shows(
    registry: Path, server: DownloadServer, tmp_path: Path
) -> None:
    words = ["mugs", "--registry", registry, "--root", tmp_path / "root", "--images"]
    listed = [line.strip().partition(": ")[0] for line in run(*words, "--list").output.splitlines()]
    for name in ("mugs/x.zip", "mugs/cups.json"):
        assert name in listed
        words += ["--without", name]
    shown = run(*words, "--list").output
    assert "x.zip" not in shown and "cups.json" not in shown and "to fetch: 1 file, 300.0 kB;" in shown
    result = run(*words, "--yes")
    assert result.exit_code == 0 and [*placed(tmp_path / "root")] == [NAME]
    assert {path for method, path, _ in server.requests if method == "GET"} == {"mugs.json"}


@pytest.mark.parametrize("name", ["x.zip", "mugs/jars.json", "mugs/x.zip"])
def test_a_name_that_the_list_does_not_show_cannot_be_left_out(name: str, registry: Path) -> None:
    """The short name of a file, one that must be asked for, and an image without --images."""
    error = run("mugs", "--registry", registry, "--without", name, "--list").exception
    assert isinstance(error, ConfigError)
    assert str(error).startswith(f"no file {name!r} to leave out")
    assert str(error).endswith(" -> name some of mugs/mugs.json, mugs/cups.json")
    if name == "x.zip":
        error = run("mugs", "--registry", registry, "--without", name, "--list", "--images").exception
        assert 'did you mean "mugs/x.zip"?' in str(error)


def test_no_other_file_comes_instead_of_one_that_is_left_out() -> None:
    files = choose(shipped(), ["guesswhat"])
    (replaced,) = {one.instead_of for one in files if "train" in one.file and one.instead_of}
    left = leave_out(files, [f"guesswhat/{replaced}"])
    assert left and not [one.key for one in left if "train" in one.file]


def test_a_shared_archive_is_left_out_for_one_task_only() -> None:
    files = choose(shipped(), ["coco", "flickr30k"])
    assert [one.key for one in leave_out(files, ["coco/caption_datasets.zip"])] == ["flickr30k/caption_datasets.zip"]


def test_the_remedy_leaves_out_the_same_files(registry: Path, server: DownloadServer, tmp_path: Path) -> None:
    server.files["mugs.json"].status = [404]
    words = ["--images", "--root", tmp_path / "root", "--without", "mugs/x.zip", "--registry", registry]
    failed = run("mugs", *words, "--yes").output
    assert f"and run twelve data fetch mugs {shlex.join(map(str, words))} --mirror FOLDER --yes" in failed


def test_files_of_other_kinds_are_said_to_be_there(registry: Path, tmp_path: Path) -> None:
    images = written(tmp_path / "images.toml", *(one for one in read(registry) if one.kind == "image"))
    result = run("mugs", "--registry", images, "--list")
    assert isinstance(result.exception, ConfigError) and str(result.exception).endswith(" -> add --images")


def test_a_disk_that_is_too_small_is_told_before_asking(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (writing, plan):
        monkeypatch.setattr(module, "free_bytes", lambda path: 1000)
    result = run("mugs", "--registry", registry, "--root", tmp_path / "root", "--yes")
    assert isinstance(result.exception, TwelveError) and "the disk is too small" in str(result.exception)
    assert not placed(tmp_path / "root")


def test_all_means_the_twelve_and_the_projects_registry_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "remote_size", lambda url, **_: None)
    result = run("all", "--list")
    assert result.exit_code == 0 and "caption_datasets.zip" in result.output
    assert "released" not in result.output and "visdial" not in result.output
    assert "released/multi_task_model.bin: weight, about 1.07 GB" in run("released", "--list").output
    assert "coco-images" in run("vqa", "--images", "--list").output


def test_what_was_fetched_is_checked_as_such(server: DownloadServer, tmp_path: Path) -> None:
    """From nothing to ``twelve data check``: every file of a root comes from a server."""
    made = tiny.make(tmp_path / "made", train=6, val=3)
    files = [path for path in sorted(made.rglob("*")) if path.is_file() and "regions" not in path.parts]
    downloads = []
    for path in files:
        name = path.relative_to(made).as_posix()
        if "/" not in name:
            continue
        content = path.read_bytes()
        downloads.append(
            download(
                server.add(name, content),
                content=content if len(content) % 2 else None,
                dataset="mugs",
                file=name.replace("/", "_"),
                places=(("", name),),
            )
        )
    root = tmp_path / "root"
    registry = written(tmp_path / "all.toml", *downloads)
    result = run("mugs", "--registry", registry, "--root", root, "--yes")
    assert result.exit_code == 0, result.output
    for path in made.iterdir():
        if path.is_file():
            (root / path.name).write_bytes(path.read_bytes())
    checked = CliRunner().invoke(cli.app, ["data", "check", str(root), "--task", "nlvr2"])
    assert "  as fetched: dev.json, train.json" in checked.output, checked.output
    with (root / "nlvr2" / "dev.json").open("a") as stream:
        stream.write("\n")
    checked = CliRunner().invoke(cli.app, ["data", "check", str(root), "--task", "nlvr2"])
    assert "note: dev.json changed since it was fetched" in checked.output
    assert "as fetched: train.json" in checked.output
