"""What stands where a file belongs: it is named in one line, never replaced, and the plan knows of it."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from download_server import DownloadServer
from tiny_downloads import CONTENT, NAME, QUICK, download, placed

from twelve.downloads import verify
from twelve.downloads.download import Download
from twelve.downloads.fetch import WORK, fetch
from twelve.downloads.lock import LOCK
from twelve.downloads.plan import make_plan
from twelve.downloads.report import Fetched
from twelve.errors import TwelveError


def get(one: Download, root: Path) -> Fetched:
    (file,) = fetch([one], root, patience=QUICK, progress=None).files
    return file


def a_folder(root: Path) -> None:
    (root / NAME).mkdir(parents=True)
    (root / NAME / "x").write_text("mine")


def an_empty_folder(root: Path) -> None:
    (root / NAME).mkdir(parents=True)


def a_file_for_its_folder(root: Path) -> None:
    root.mkdir()
    (root / "mugs").write_text("mine")


def a_broken_link_for_its_folder(root: Path) -> None:
    root.mkdir()
    (root / "mugs").symlink_to("nowhere")


def a_pipe(root: Path) -> None:
    (root / "mugs").mkdir(parents=True)
    os.mkfifo(root / NAME)


def an_empty_file(root: Path) -> None:
    (root / "mugs").mkdir(parents=True)
    (root / NAME).touch()


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (a_folder, "mugs/mugs.json is a folder, and the file belongs there"),
        (an_empty_folder, "mugs/mugs.json is a folder, and the file belongs there"),
        (a_pipe, "mugs/mugs.json is a pipe or a device, and the file belongs there"),
        (a_file_for_its_folder, "mugs is not a folder, and mugs/mugs.json belongs into it"),
        (a_broken_link_for_its_folder, "mugs is not a folder, and mugs/mugs.json belongs into it"),
        (an_empty_file, "mugs/mugs.json is there, and is empty"),
    ],
)
def test_what_is_no_such_file_is_in_the_way_and_stays(
    make: Callable[[Path], None], said: str, known: bool, server: DownloadServer, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    one = download(server.add("mugs.json", CONTENT), content=CONTENT if known else None)
    make(root)
    before = sorted(root.rglob("*"))
    file = get(one, root)
    assert file.outcome == "failed" and file.note == f"{said} -> move it away and run the command again"
    assert [path for path in sorted(root.rglob("*")) if WORK not in path.parts] == before and not server.requests
    assert f"cannot come: {said}" in str(make_plan([one], root)) and not make_plan([one], root).wanted
    place = root / said.split(" ")[0]
    place.rename(tmp_path / "away")  # as the message says
    assert get(one, root).outcome == "fetched" and placed(root) == {NAME: CONTENT}


def test_a_folder_that_took_the_place_of_a_file_later(server: DownloadServer, tmp_path: Path) -> None:
    one = download(server.add("mugs.json", CONTENT))
    assert get(one, tmp_path).outcome == "fetched"
    (tmp_path / NAME).unlink()
    an_empty_folder(tmp_path / "other")
    (tmp_path / "other" / NAME).rename(tmp_path / NAME)
    size = (tmp_path / NAME).stat().st_size
    lock = json.loads((tmp_path / LOCK).read_text())
    lock["files"]["mugs/mugs.json"]["places"][NAME]["bytes"] = size  # as large as the file was
    (tmp_path / LOCK).write_text(json.dumps(lock))
    assert "is a folder, and the file belongs there" in get(one, tmp_path).note


def test_a_file_that_cannot_be_read_fails_alone(
    server: DownloadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = download(server.add("mugs.json", CONTENT))
    other = download(server.add("cups.json", CONTENT), file="cups.json", places=(("", "mugs/cups.json"),))
    (tmp_path / "mugs").mkdir()
    (tmp_path / NAME).write_bytes(CONTENT)

    def refusing(path: Path, mode: str) -> object:
        if Path(path) == tmp_path / NAME:
            raise PermissionError(13, "Permission denied")
        return Path(path).open(mode)

    monkeypatch.setattr(verify, "open", refusing, raising=False)
    first, second = fetch([one, other], tmp_path, patience=QUICK, progress=None).files
    assert first.outcome == "failed" and "cannot be read: Permission denied -> make it readable" in first.note
    assert second.outcome == "fetched"


def test_an_image_does_not_replace_a_folder_or_a_link(server: DownloadServer, tmp_path: Path) -> None:
    archive = zipped({"1.jpg": b"one", "2.jpg": b"two"})
    one = download(
        server.add("x.zip", archive), content=archive, file="x.zip", kind="image", places=(("*.jpg", "images/mugs/"),)
    )
    (tmp_path / "images/mugs/2.jpg").mkdir(parents=True)
    assert "images/mugs/2.jpg is there, and differs" in get(one, tmp_path).note
    (tmp_path / "images/mugs/2.jpg").rmdir()
    (tmp_path / "images/mugs/2.jpg").symlink_to("nowhere")
    assert get(one, tmp_path).outcome == "failed" and not placed(tmp_path)


def test_something_in_the_way_of_the_work_is_named(server: DownloadServer, tmp_path: Path) -> None:
    one = download(server.add("mugs.json", CONTENT))
    (tmp_path / WORK).mkdir()
    (tmp_path / WORK / "mugs").write_text("x")
    with pytest.raises(TwelveError, match=r"fetching/mugs cannot be written: .* -> move away what is there"):
        get(one, tmp_path)
    (tmp_path / WORK / "mugs").unlink()
    (tmp_path / WORK / NAME).mkdir(parents=True)
    with pytest.raises(TwelveError, match=r"fetching/mugs/mugs.json cannot be written: .* -> move away what is there"):
        get(one, tmp_path)


def zipped(members: dict[str, bytes]) -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


PLACES = (("a.json", "mugs/a.json"), ("b.json", "mugs/b.json"))


def test_an_archive_of_which_a_member_is_missing_comes_again(server: DownloadServer, tmp_path: Path) -> None:
    archive = zipped({"a.json": b"{}", "b.json": b"[]"})
    one = download(server.add("a.zip", archive), content=archive, file="a.zip", places=PLACES)
    assert get(one, tmp_path).outcome == "fetched"
    plan = make_plan([one], tmp_path)
    assert not plan.wanted and "a.zip: annotation" in str(plan) and ", as fetched" in str(plan)
    (tmp_path / "mugs/b.json").unlink()
    plan = make_plan([one], tmp_path)
    assert plan.wanted == (one,) and "hash known, comes again: mugs/b.json missing" in str(plan)
    assert get(one, tmp_path).outcome == "fetched" and len(placed(tmp_path)) == 2


def test_an_archive_that_more_is_wanted_of_comes_again(server: DownloadServer, tmp_path: Path) -> None:
    """As after an update of the registry."""
    archive = zipped({"a.json": b"{}", "b.json": b"[]"})
    one = download(server.add("a.zip", archive), content=archive, file="a.zip", places=PLACES)
    assert get(replace(one, places=PLACES[:1]), tmp_path).outcome == "fetched"
    plan = make_plan([one], tmp_path)
    assert plan.wanted == (one,) and "comes again: mugs/b.json missing" in str(plan)
    assert get(one, tmp_path).outcome == "fetched" and len(placed(tmp_path)) == 2
    assert not make_plan([one], tmp_path).wanted


def test_a_plan_counts_neither_what_is_in_its_place_nor_what_came_instead(
    server: DownloadServer, tmp_path: Path
) -> None:
    first = download(server.add("mugs.json", CONTENT, status=[404] * 9), content=None)
    other = download(
        server.add("old.json", b"{}"), content=None, file="old.json", places=first.places, instead_of="mugs.json"
    )
    by_hand = download("http://127.0.0.1:1/x", file="cups.json", places=(("", "mugs/cups.json"),))
    (tmp_path / "mugs").mkdir()
    (tmp_path / "mugs/cups.json").write_text("mine")
    assert len(make_plan([first, other, by_hand], tmp_path).wanted) == 1
    assert get(other, tmp_path).outcome == "fetched"
    plan = make_plan([first, other, by_hand], tmp_path)
    assert not plan.wanted and plan.known_bytes == 0
    assert "mugs.json: annotation, unknown, as fetched" in str(plan) and "in its place already" in str(plan)
    assert not [request for request in server.requests if request[0] == "HEAD" and request[1] == "old.json"]
