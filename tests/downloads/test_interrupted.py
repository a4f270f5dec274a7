"""Processes that are killed, that run at once, and disks that are full."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from download_server import DownloadServer
from test_archives import zipped
from tiny_downloads import CONTENT, NAME, QUICK, download, placed, written

from twelve.downloads import transfer, unpack, writing
from twelve.downloads.download import Download
from twelve.downloads.fetch import WORK, fetch
from twelve.errors import TwelveError

BIG = CONTENT * 20


def started(root: Path, *downloads: Download) -> subprocess.Popen[str]:
    """``twelve data fetch`` as a process of its own."""
    registry = written(root.parent / "registry.toml", *downloads)
    command = [sys.executable, "-m", "twelve", "data", "fetch", "mugs", "--root", str(root), "--yes"]
    return subprocess.Popen(
        [*command, "--registry", str(registry)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_a_process_that_is_killed_again_and_again_goes_on(server: DownloadServer, tmp_path: Path) -> None:
    root = tmp_path / "root"
    one = download(server.add("mugs.json", BIG, piece=100_000, pause=0.02), content=BIG)
    choice = random.Random(3)
    part, sizes = root / WORK / NAME, [0]
    for _ in range(3):
        process = started(root, one)
        goal = sizes[-1] + choice.randrange(200_000, 900_000)
        while process.poll() is None and not (part.exists() and part.stat().st_size > goal):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not placed(root)
        sizes.append(part.stat().st_size)
    process = started(root, one)
    told, _ = process.communicate()
    assert process.returncode == 0, told
    assert placed(root) == {NAME: BIG}
    begun = [int(ranges[6:-1]) for method, _, ranges in server.requests if method == "GET" and ranges]
    assert begun == sizes[1:] == sorted(begun)


def test_two_processes_at_once_fetch_every_file_once(server: DownloadServer, tmp_path: Path) -> None:
    one = download(server.add("mugs.json", BIG, piece=200_000, pause=0.02), content=BIG)
    archive = zipped()
    other = download(server.add("a.zip", archive), content=archive, file="a.zip", places=(("1.jpg", "mugs/1.jpg"),))
    root = tmp_path / "root"
    both = [started(root, one, other) for _ in range(2)]
    told = "".join(process.communicate()[0] for process in both)
    assert [process.returncode for process in both] == [0, 0], told
    assert placed(root) == {NAME: BIG, "mugs/1.jpg": b"image"}
    assert sorted(path for method, path, _ in server.requests if method == "GET") == ["a.zip", "mugs.json"]
    assert told.count("fetched: verified") == told.count("there: as fetched") == 2


def test_a_mirror_without_the_file_leaves_the_part(server: DownloadServer, tmp_path: Path) -> None:
    url = server.add("mugs.json", CONTENT, cuts=[100_000] + [0] * 5)
    one, root = download(url), tmp_path / "root"
    assert not fetch([one], root, patience=QUICK, progress=None).ok
    server.add("mugs.json", CONTENT)
    short = tmp_path / "short" / NAME
    short.parent.mkdir(parents=True)
    short.write_bytes(b"{}")
    mirrors = [tmp_path, tmp_path / "short", root / WORK]
    assert fetch([one], root, mirrors=mirrors, patience=QUICK, progress=None).ok
    assert server.requests[-1][2] == "bytes=100000-" and placed(root) == {NAME: CONTENT}


def test_the_root_is_no_mirror_of_itself(tmp_path: Path) -> None:
    part = tmp_path / WORK / NAME
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT)
    one = download("http://127.0.0.1:1/mugs.json")
    (file,) = fetch([one], tmp_path, mirrors=[tmp_path / WORK], patience=QUICK, progress=None).files
    assert file.outcome == "failed" and "is the part of the file that came so far" in file.note
    assert part.read_bytes() == CONTENT


class _Full:
    """A file on a disk that has room for so many bytes more."""

    def __init__(self, stream: Any, room: list[int]) -> None:
        self._stream, self._room = stream, room

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, piece: memoryview) -> int:
        if not self._room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = int(self._stream.write(piece[: self._room[0]]))
        self._room[0] -= count
        return count


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Bytes that can still be written, for the test to change."""
    left, begin = [1 << 30], writing.begin
    for module in (transfer, unpack):
        monkeypatch.setattr(module, "begin", lambda path, start: _Full(begin(path, start), left))
    yield left


def test_a_full_disk_keeps_the_part_and_goes_on(server: DownloadServer, tmp_path: Path, room: list[int]) -> None:
    one = download(server.add("mugs.json", CONTENT))
    room[0] = 123_456
    with pytest.raises(TwelveError, match="No space left on device -> free some space, and run the command again"):
        fetch([one], tmp_path, patience=QUICK, progress=None)
    assert not placed(tmp_path) and (tmp_path / WORK / NAME).stat().st_size == 123_456
    room[0] = 1 << 30
    assert fetch([one], tmp_path, patience=QUICK, progress=None).ok and placed(tmp_path) == {NAME: CONTENT}
    assert server.requests[-1][2] == "bytes=123456-"


def test_a_disk_that_fills_while_unpacking_keeps_the_archive(
    server: DownloadServer, tmp_path: Path, room: list[int]
) -> None:
    archive = zipped(("big.json", CONTENT))
    one = download(
        server.add("a.zip", archive, etag=False), content=archive, file="a.zip", places=(("big.json", "mugs/big.json"),)
    )
    room[0] = len(archive) + 1000
    with pytest.raises(TwelveError, match="No space left on device"):
        fetch([one], tmp_path, patience=QUICK, progress=None)
    assert not placed(tmp_path)
    room[0] = 1 << 30
    assert fetch([one], tmp_path, patience=QUICK, progress=None).ok
    assert placed(tmp_path) == {"mugs/big.json": CONTENT} and len(server.requests) == 1


def test_a_disk_that_is_too_small_is_seen_before_the_first_byte(
    server: DownloadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "free_bytes", lambda path: 65 << 20)
    one = download(server.add("mugs.json", CONTENT * 20), content=CONTENT * 20)
    with pytest.raises(TwelveError, match=r"expected 73.1 MB free, found 68.2 MB -> free some space"):
        fetch([one], tmp_path, patience=QUICK, progress=None)
    assert not placed(tmp_path)


def test_a_real_disk_that_is_full(server: DownloadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("this process may not mount a small disk")
    try:
        monkeypatch.setattr(writing, "free_bytes", lambda path: 1 << 40)  # as where another process fills it
        one = download(server.add("mugs.json", CONTENT * 5), content=CONTENT * 5)
        with pytest.raises(TwelveError, match="No space left on device"):
            fetch([one], disk, patience=QUICK, progress=None)
        assert not placed(disk) and (disk / WORK / NAME).stat().st_size > 500_000
    finally:
        subprocess.run(["umount", disk], check=True)
