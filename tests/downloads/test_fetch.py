"""Fetching from good servers: what arrives, what is noted, and what a later fetch does."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from download_server import DownloadServer
from tiny_downloads import CONTENT, NAME, QUICK, download, placed, sha256

from twelve.downloads import placing
from twelve.downloads.download import Download, Stated
from twelve.downloads.fetch import fetch
from twelve.downloads.lock import LOCK, FetchLock
from twelve.errors import ConfigError, DataError


def outcomes(*downloads: Download, root: Path, **options: object) -> list[str]:
    return [file.outcome for file in fetch(downloads, root, patience=QUICK, **options).files]  # type: ignore[arg-type]


def test_a_file_arrives_verified_and_is_not_fetched_again(server: DownloadServer, tmp_path: Path) -> None:
    one = download(server.add("mugs.json", CONTENT))
    report = fetch([one], tmp_path, patience=QUICK)
    report.check()
    assert report.ok and str(report) == "mugs/mugs.json: fetched: verified: sha256 of a test"
    assert placed(tmp_path) == {NAME: CONTENT}
    before = list(server.requests)
    assert outcomes(one, root=tmp_path) == outcomes(one, root=tmp_path, verify=True) == ["there"]
    assert server.requests == before
    entry = json.loads((tmp_path / LOCK).read_text())["files"]["mugs/mugs.json"]
    assert entry["url"] == one.urls[0] and entry["bytes"] == len(CONTENT)
    assert entry["sha256"] == hashlib.sha256(CONTENT).hexdigest() and entry["checked"] == [sha256(CONTENT)]
    assert FetchLock(tmp_path).hashes() == {NAME: entry["sha256"]}


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512", "git-blob-sha1"])
def test_every_algorithm_is_compared(algorithm: str, server: DownloadServer, tmp_path: Path) -> None:
    head = f"blob {len(CONTENT)}\0".encode() if algorithm == "git-blob-sha1" else b""
    digits = hashlib.new(algorithm.removeprefix("git-blob-"), head + CONTENT).hexdigest()
    url = server.add("mugs.json", CONTENT)
    good, bad = (download(url, hashes=(Stated(f"{algorithm}:{each}", "a test"),)) for each in (digits, digits[::-1]))
    assert outcomes(bad, root=tmp_path) == ["failed"] and not placed(tmp_path)
    assert outcomes(good, root=tmp_path) == ["fetched"] and placed(tmp_path) == {NAME: CONTENT}


def test_sources_that_disagree_are_told(server: DownloadServer, tmp_path: Path) -> None:
    other = Stated("md5:" + "0" * 32, "somebody", "copied from another file")
    one = download(server.add("mugs.json", CONTENT), hashes=(Stated(sha256(CONTENT), "its host"), other))
    (file,) = fetch([one], tmp_path, patience=QUICK).files
    assert file.outcome == "fetched"
    assert "sources disagree: somebody states md5:000" in file.note and "compared with its host" in file.note


def test_a_file_without_a_hash_is_trusted_once_and_compared_ever_after(server: DownloadServer, tmp_path: Path) -> None:
    one = download(server.add("mugs.json", CONTENT), content=None)
    (file,) = fetch([one], tmp_path, patience=QUICK).files
    assert file.outcome == "fetched" and f"trusted, since no hash is public: {sha256(CONTENT)}" in file.note
    (tmp_path / NAME).unlink()
    server.add("mugs.json", b'{"other": 1}')
    (file,) = fetch([one], tmp_path, patience=QUICK).files
    assert file.outcome == "failed" and not placed(tmp_path)
    assert sha256(CONTENT) in file.note and sha256(b'{"other": 1}') in file.note and "'mugs/mugs.json'" in file.note
    lock = json.loads((tmp_path / LOCK).read_text())
    del lock["files"]["mugs/mugs.json"]  # as the message says
    (tmp_path / LOCK).write_text(json.dumps(lock))
    assert outcomes(one, root=tmp_path) == ["fetched"]


def test_a_changed_file_is_seen_and_never_replaced(server: DownloadServer, tmp_path: Path) -> None:
    one = download(server.add("mugs.json", CONTENT))
    fetch([one], tmp_path, patience=QUICK)
    changed = CONTENT[:-2] + b'."'
    before = (tmp_path / NAME).stat()
    (tmp_path / NAME).write_bytes(changed)
    (file,) = fetch([one], tmp_path, patience=QUICK).files
    assert file.outcome == "failed" and "mugs/mugs.json changed since it was fetched on" in file.note
    assert placed(tmp_path) == {NAME: changed}
    os.utime(tmp_path / NAME, ns=(before.st_atime_ns, before.st_mtime_ns))  # only reading tells now
    assert outcomes(one, root=tmp_path) == ["there"] and outcomes(one, root=tmp_path, verify=True) == ["failed"]
    (tmp_path / NAME).unlink()
    assert outcomes(one, root=tmp_path) == ["fetched"] and placed(tmp_path) == {NAME: CONTENT}


def test_a_touched_file_is_as_fetched(server: DownloadServer, tmp_path: Path) -> None:
    one = download(server.add("mugs.json", CONTENT))
    fetch([one], tmp_path, patience=QUICK)
    os.utime(tmp_path / NAME)
    assert outcomes(one, root=tmp_path) == ["there"]
    assert FetchLock(tmp_path).states_in("mugs") == {"mugs.json": "as fetched"}


def test_a_file_that_somebody_put_there_is_compared_and_kept(server: DownloadServer, tmp_path: Path) -> None:
    (tmp_path / "mugs").mkdir()
    (tmp_path / NAME).write_bytes(CONTENT)
    url = server.add("mugs.json", CONTENT)
    assert outcomes(download(url), root=tmp_path) == outcomes(download(url, content=None), root=tmp_path) == ["kept"]
    (tmp_path / NAME).write_bytes(b"{}")
    (file,) = fetch([download(url)], tmp_path, patience=QUICK).files
    assert file.outcome == "failed" and "is not the official file: wrong length" in file.note
    assert placed(tmp_path) == {NAME: b"{}"} and not server.requests


def packed(kind: str, members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    elif kind == "gz":
        made.write(gzip.compress(*members.values()))
    else:
        with tarfile.open(fileobj=made, mode="w:gz" if kind == "tar.gz" else "w") as tar:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "gz"])
def test_only_the_wanted_members_are_unpacked(kind: str, server: DownloadServer, tmp_path: Path) -> None:
    members = {"deep/mugs.json": CONTENT, "deep/other.json": b"[]", "__MACOSX/mugs.json": b"x", "not-mugs.json": b"y"}
    archive = packed(kind, {"mugs.json": CONTENT} if kind == "gz" else members)
    name = f"all.{kind}"
    url = server.add(name, archive)
    stated = {"mugs.json": Stated(sha256(CONTENT), "a test")}
    one = download(url, content=archive, file=name, places=(("mugs.json", NAME),), members=stated)
    assert outcomes(one, root=tmp_path) == ["fetched"] and placed(tmp_path) == {NAME: CONTENT}
    assert outcomes(one, root=tmp_path) == ["there"] and len(server.requests) == 1
    (tmp_path / NAME).unlink()
    wrong = {"mugs.json": Stated(sha256(b""), "a test")}
    other = download(url, content=archive, file=name, places=(("mugs.json", NAME),), members=wrong)
    (file,) = fetch([other], tmp_path, patience=QUICK).files
    assert file.outcome == "failed" and "its member mugs.json has a wrong hash" in file.note
    assert not placed(tmp_path)


def test_images_go_into_one_folder_and_are_counted(server: DownloadServer, tmp_path: Path) -> None:
    members = {f"photos/{number}.jpg": b"image %d" % number for number in range(5)} | {"photos/readme.txt": b"x"}
    archive = packed("zip", members)
    url = server.add("mugs.zip", archive)
    one = download(url, content=archive, file="mugs.zip", kind="image", places=(("*.jpg", "images/mugs/train/"),))
    assert outcomes(one, root=tmp_path) == ["fetched"]
    assert len(placed(tmp_path)) == 5 and outcomes(one, root=tmp_path) == ["there"]
    (tmp_path / "images/mugs/train/3.jpg").unlink()
    assert outcomes(one, root=tmp_path) == ["fetched"] and len(placed(tmp_path)) == 5
    (tmp_path / "images/mugs/train/3.jpg").write_bytes(b"mine")
    assert outcomes(one, root=tmp_path) == ["failed"]
    assert (tmp_path / "images/mugs/train/3.jpg").read_bytes() == b"mine"


def test_optional_members_may_be_missing(server: DownloadServer, tmp_path: Path) -> None:
    archive = packed("zip", {"a.json": b"{}"})
    places = (("a.json", "mugs/a.json"), ("b.json", "mugs/b.json"))
    one = download(server.add("mugs.zip", archive), content=archive, file="mugs.zip", places=places)
    (file,) = fetch([one], tmp_path, patience=QUICK).files
    assert file.outcome == "failed" and "no member 'b.json'" in file.note and not placed(tmp_path)
    some = replace(one, optional=("b.json",))
    assert outcomes(some, root=tmp_path) == ["fetched"] and outcomes(some, root=tmp_path) == ["there"]
    assert placed(tmp_path) == {"mugs/a.json": b"{}"}


def test_a_file_in_the_way_of_a_member_stays(server: DownloadServer, tmp_path: Path) -> None:
    archive = packed("zip", {"a.json": b"{}", "b.json": b"[]"})
    places = (("a.json", "mugs/a.json"), ("b.json", "mugs/b.json"))
    one = download(server.add("mugs.zip", archive), content=archive, file="mugs.zip", places=places)
    (tmp_path / "mugs").mkdir()
    (tmp_path / "mugs/b.json").write_bytes(b"mine")
    (file,) = fetch([one], tmp_path, patience=QUICK).files
    assert file.outcome == "failed" and "mugs/b.json is there, and differs from what mugs/mugs.zip" in file.note
    assert placed(tmp_path) == {"mugs/b.json": b"mine"}
    (tmp_path / "mugs/b.json").unlink()  # as the message says
    assert outcomes(one, root=tmp_path) == ["fetched"] and len(server.requests) == 1
    assert len(placed(tmp_path)) == 2


def test_an_archive_of_two_datasets_is_transferred_once(server: DownloadServer, tmp_path: Path) -> None:
    archive = packed("zip", {"a.json": b"{}", "b.json": b"[]"})
    url = server.add("both.zip", archive)
    both = [
        download(url, content=archive, dataset=name, file="both.zip", places=((f"{name}.json", f"{name}/{name}.json"),))
        for name in ("a", "b")
    ]
    assert outcomes(*both, root=tmp_path) == ["fetched"] * 2 and len(server.requests) == 1
    assert placed(tmp_path) == {"a/a.json": b"{}", "b/b.json": b"[]"}
    assert outcomes(*both, root=tmp_path) == [*outcomes(both[1], root=tmp_path), "there"] == ["there"] * 2


def test_a_file_is_replaced_by_another_only_if_it_cannot_be_had(server: DownloadServer, tmp_path: Path) -> None:
    first = download(server.add("mugs.json", CONTENT), content=None)
    old = packed("gz", {"": b'{"old": 1}'})
    other = download(
        server.add("mugs.gz", old), content=None, file="mugs.gz", places=(("mugs.json", NAME),), instead_of="mugs.json"
    )
    server.files["mugs.json"].status = [404]
    assert outcomes(first, other, root=tmp_path) == ["fetched"] and placed(tmp_path) == {NAME: b'{"old": 1}'}
    assert outcomes(first, other, root=tmp_path) == ["there"]
    (tmp_path / NAME).unlink()
    assert outcomes(first, other, root=tmp_path) == ["fetched"] and placed(tmp_path) == {NAME: CONTENT}


def test_files_that_must_be_asked_for_are_named(tmp_path: Path) -> None:
    (file,) = fetch([download(content=None)], tmp_path).files
    assert file.outcome == "asked" and "see https://example.org/mugs" in file.note


@pytest.mark.parametrize("local", [True, False])
def test_mirrors_come_first_in_their_order(local: bool, server: DownloadServer, tmp_path: Path) -> None:
    official = server.add("official/mugs.json", CONTENT)
    wrong, right = tmp_path / "wrong", tmp_path / "right"
    for mirror, content in ((wrong, CONTENT[:-1] + b"!"), (right, CONTENT)):
        (mirror / "mugs").mkdir(parents=True)
        (mirror / NAME).write_bytes(content)
        server.add(f"{mirror.name}/{NAME}", content)
    mirrors = [str(wrong), str(right)] if local else [f"{server.url}/wrong/", f"{server.url}/right"]
    lines: list[str] = []
    report = fetch(
        [download(official)],
        tmp_path / "root",
        mirrors=[tmp_path, *mirrors],
        progress=lines.append,
        patience=QUICK,
    )
    assert report.ok and placed(tmp_path / "root") == {NAME: CONTENT}
    assert not any(path.startswith("official") for _, path, _ in server.requests)
    told = "\n".join(lines)
    assert lines[0] == "mugs: https://example.org/mugs; terms: see page"  # before the first byte
    assert told.index("no such file") < told.index("wrong hash: expected") and "found sha256:" in told
    with pytest.raises(ConfigError, match="no such folder"):
        fetch([download(official)], tmp_path / "root", mirrors=["nowhere"])


def test_a_kill_between_the_lock_and_the_names_goes_on(
    server: DownloadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed("zip", {f"{number}.json": b"%d" % number for number in range(4)})
    places = tuple((f"{number}.json", f"mugs/{number}.json") for number in range(4))
    one = download(server.add("mugs.zip", archive), content=archive, file="mugs.zip", places=places)
    move, moved = placing._move, []

    def stop(path: Path, target: Path) -> None:
        if len(moved) == 2:
            raise KeyboardInterrupt
        moved.append(target)
        move(path, target)

    monkeypatch.setattr(placing, "_move", stop)
    with pytest.raises(KeyboardInterrupt):
        fetch([one], tmp_path, patience=QUICK)
    assert len(placed(tmp_path)) == 2
    monkeypatch.undo()
    assert outcomes(one, root=tmp_path) == ["fetched"] and len(placed(tmp_path)) == 4
    assert len(server.requests) == 1  # the archive was there


def test_a_damaged_lock_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text('{"version": 1, "files": {"a/b": {"url": 3}}}')
    with pytest.raises(DataError, match=r"fetched.lock.json.*move fetched.lock.json away"):
        fetch([download("http://127.0.0.1:9/x")], tmp_path)
    (tmp_path / LOCK).write_text(
        '{"version": 1, "files": {"a/b": {"url": "u", "bytes": 1, "sha256": "%s", "when": "w", '
        '"checked": [], "places": {"../../x": {"bytes": 1, "sha256": "", "mtime_ns": 0}}}}}' % ("0" * 64)
    )
    with pytest.raises(DataError, match=r"expected a path in the data root .*found '\.\./\.\./x'"):
        FetchLock(tmp_path)


ENTRY = {"url": "u", "bytes": 1, "sha256": "0" * 64, "when": "w", "checked": [], "places": {}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"when": "a\u0000b"}, "when.* expected a string without control characters"),
        ({"url": "\x1b[31m"}, "url.* expected a string without control characters"),
        ({"sha256": "ab\u0000"}, "sha256.* expected 64 hexadecimal digits"),
        ({"bytes": -5}, "bytes"),
        ({"bytes": 1 << 60}, "bytes"),
        ({"places": {"mugs/a\u0000": {"files": 1, "bytes": 1}}}, "places.* expected a path in the data root"),
        ({"places": {"mugs/": {"files": -1, "bytes": 1}}}, "places"),
    ],
)
def test_a_lock_that_holds_anything_else_is_damaged(changes: dict[str, object], said: str, tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text(json.dumps({"version": 1, "files": {"mugs/mugs.json": ENTRY}}))
    assert FetchLock(tmp_path).entries
    (tmp_path / LOCK).write_text(json.dumps({"version": 1, "files": {"mugs/mugs.json": ENTRY | changes}}))
    with pytest.raises(DataError, match=rf"fetched.lock.json \[files.*{said}.* -> move fetched.lock.json away"):
        FetchLock(tmp_path)
    (tmp_path / LOCK).write_bytes(b'{"version": 1, "files": {}}\0\0')
    with pytest.raises(DataError, match=r"contains NUL.* -> move fetched.lock.json away"):
        FetchLock(tmp_path)


def test_a_mirror_whose_name_is_no_text_leaves_a_lock_that_can_be_read(tmp_path: Path) -> None:
    mirror = tmp_path / os.fsdecode(b"mir\xff\nror")
    (mirror / "mugs").mkdir(parents=True)
    (mirror / NAME).write_bytes(CONTENT)
    one = download("http://127.0.0.1:1/mugs.json")
    assert outcomes(one, root=tmp_path / "root", mirrors=[mirror]) == ["fetched"]
    assert outcomes(one, root=tmp_path / "root") == ["there"]
