"""A host that cannot be connected to is asked for one file of a run; the others fail at once, or come from mirrors."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from download_server import DownloadServer
from tiny_downloads import CONTENT, NAME, download, placed

from twelve.downloads import requests
from twelve.downloads.download import Download
from twelve.downloads.fetch import fetch
from twelve.downloads.plan import make_plan
from twelve.downloads.transfer import Patience

PATIENT = Patience(timeout=5.0, attempts=4, wait=0.0)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Host and port of every connection that is tried."""
    found: list[str] = []
    make = socket.create_connection

    def create(address: tuple[str, int], *args: object, **options: object) -> socket.socket:
        found.append(f"{address[0]}:{address[1]}")
        if address[0].endswith(".invalid"):
            raise socket.gaierror(-2, "Name or service not known")
        return make(address, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "create_connection", create)
    yield found


def files(*hosts: str, count: int = 3) -> list[Download]:
    return [
        download(
            *(f"http://{host}/{number}.json" for host in hosts),
            file=f"{number}.json",
            places=(("", f"mugs/{number}.json"),),
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("host", ["nowhere.invalid", "127.0.0.1:1"])
def test_a_dead_host_is_asked_for_one_file(host: str, tried: list[str], tmp_path: Path) -> None:
    first, *others = fetch(files(host), tmp_path, patience=PATIENT, progress=None).files
    assert len(tried) == 2  # once again, since a network may just have come up
    assert "no connection: " in first.note and "2 times in a row" in first.note
    for other in others:
        assert f"{host}" in other.note and "was not reached before in this run, and is not asked again" in other.note
        assert "run it again later; or save the file from https://example.org/mugs" in other.note


def test_mirrors_of_its_other_files_are_tried(server: DownloadServer, tried: list[str], tmp_path: Path) -> None:
    mirror = server.url.removeprefix("http://")
    for number in range(3):
        server.add(f"{number}.json", CONTENT)
    report = fetch(files("nowhere.invalid", mirror), tmp_path, patience=PATIENT, progress=None)
    assert report.ok and len(placed(tmp_path)) == 3
    assert tried.count("nowhere.invalid:80") == 2 and tried.count(mirror) == 3
    folder = tmp_path / "mirror"
    (folder / "mugs").mkdir(parents=True)
    (folder / "mugs/2.json").write_bytes(CONTENT)
    found = fetch(files("nowhere.invalid"), tmp_path / "b", mirrors=[folder], patience=PATIENT, progress=None).files
    assert [file.outcome for file in found] == ["failed", "failed", "fetched"]


def test_a_host_that_was_reached_is_waited_for(
    server: DownloadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.add("mugs.json", CONTENT, cuts=[100_000])
    connect, calls = socket.create_connection, []

    def create(address: tuple[str, int], *args: object, **options: object) -> socket.socket:
        calls.append(address)
        if 1 < len(calls) <= 4:  # after the first part the network is gone for three attempts
            raise ConnectionRefusedError(111, "Connection refused")
        return connect(address, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "create_connection", create)
    assert fetch([download(url)], tmp_path, patience=PATIENT, progress=None).ok
    assert placed(tmp_path) == {NAME: CONTENT} and len(calls) == 5


def test_another_run_asks_again(server: DownloadServer, tried: list[str], tmp_path: Path) -> None:
    for _ in range(2):
        fetch(files("nowhere.invalid"), tmp_path, patience=PATIENT, progress=None)
    assert len(tried) == 4


def test_a_redirect_to_a_dead_host_is_followed_once(server: DownloadServer, tried: list[str], tmp_path: Path) -> None:
    host = server.url.removeprefix("http://")
    for number in range(3):
        server.add(f"{number}.json", b"", location=f"http://nowhere.invalid/{number}")
    *_, last = fetch(files(host), tmp_path, patience=PATIENT, progress=None).files
    assert tried.count("nowhere.invalid:80") == 2 and "nowhere.invalid:80 was not reached before" in last.note


def test_the_plan_asks_a_dead_host_for_few_sizes(
    tried: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twelve.downloads.plan._ASKED_AT_ONCE", 1)
    unknown = [
        download(f"http://nowhere.invalid/{number}", content=None, file=f"{number}.json", places=(("", f"m/{number}"),))
        for number in range(5)
    ]
    assert "5 files, of unknown size" in str(make_plan(unknown, tmp_path))
    assert tried == ["nowhere.invalid:80"]


def test_a_tunnel_that_a_proxy_refuses_is_its_goals_fault_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = requests.Hosts()

    def refused(self: object) -> None:
        raise OSError("Tunnel connection failed: 502 Bad Gateway")

    monkeypatch.setattr("http.client.HTTPConnection.connect", refused)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    assert requests.remote_size("https://one.invalid/x", hosts=hosts) is None
    assert list(hosts.lost) == ["one.invalid"]
