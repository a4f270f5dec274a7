"""Fetching from servers that cut, lie, stall, redirect and change: nothing wrong ever takes its final name."""

from __future__ import annotations

import random
import re
import shutil
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from download_server import DownloadServer, serving
from tiny_downloads import CONTENT, NAME, QUICK, download, placed, says_what_to_do

from twelve.downloads import requests, writing
from twelve.downloads.fetch import WORK, fetch, part_of
from twelve.downloads.report import Fetched
from twelve.downloads.requests import remote_size
from twelve.downloads.transfer import Patience

OTHER = b'{"contents":' + CONTENT[12:]
"""As long as the file, and another one."""


def get(root: Path, *urls: str, content: bytes | None = CONTENT, expected: bytes = CONTENT) -> Fetched:
    """Fetch one file; what then has its final name is what was expected, or nothing."""
    (file,) = fetch([download(*urls, content=content)], root, patience=QUICK, progress=None).files
    assert placed(root) == ({NAME: expected} if file.outcome == "fetched" else {})
    assert file.outcome == "fetched" or says_what_to_do(file), str(file)
    return file


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("etag", [True, False])
def test_connections_that_are_cut_anywhere_go_on(
    known: bool, etag: bool, server: DownloadServer, tmp_path: Path
) -> None:
    cuts = sorted(random.Random(7).sample(range(1, len(CONTENT)), 20))
    modified = "Wed, 21 Oct 2015 07:28:00 GMT"
    url = server.add("mugs.json", CONTENT, cuts=list(cuts), etag=etag, modified=modified)
    assert get(tmp_path, url, content=CONTENT if known else None).outcome == "fetched"
    assert [ranges for _, _, ranges in server.requests] == ["", *(f"bytes={cut}-" for cut in cuts)]


def test_a_server_without_ranges_or_validators_starts_again(server: DownloadServer, tmp_path: Path) -> None:
    cuts = [1000, 2000, 70_000]
    assert get(tmp_path / "a", server.add("a", CONTENT, cuts=list(cuts), ranges=False)).outcome == "fetched"
    assert get(tmp_path / "b", server.add("b", CONTENT, cuts=list(cuts), etag=False)).outcome == "fetched"
    assert [ranges for _, path, ranges in server.requests if path == "b"] == [""] * 4


@pytest.mark.parametrize("how", [{"if_range": True}, {"if_range": False}, {"tag_parts": False}, {"ranges": False}])
@pytest.mark.parametrize("content", [OTHER, OTHER[:-40], OTHER + b" " * 40])
def test_a_file_that_changed_between_two_parts_is_not_glued(
    how: dict[str, bool], content: bytes, server: DownloadServer, tmp_path: Path
) -> None:
    url = server.add("mugs.json", CONTENT, cuts=[90_000] + [0] * 10, **how)
    assert get(tmp_path, url, content=None).outcome == "failed"
    goes_on = how.get("ranges", True) and how.get("tag_parts", True)
    assert part_of(download(), tmp_path).stat().st_size == (90_000 if goes_on else 0)
    server.add("mugs.json", content, **how)
    assert get(tmp_path, url, content=None, expected=content).outcome == "fetched"
    assert placed(tmp_path) == {NAME: content}


def test_a_file_that_shrank_below_its_part_starts_again(server: DownloadServer, tmp_path: Path) -> None:
    url = server.add(
        "mugs.json", CONTENT, cuts=[90_000] + [0] * 10, etag=False, modified="Wed, 21 Oct 2015 07:28:00 GMT"
    )
    assert get(tmp_path, url, content=None).outcome == "failed"
    server.add("mugs.json", b"{}", etag=False, modified="Wed, 21 Oct 2015 07:28:00 GMT")
    assert get(tmp_path, url, content=None, expected=b"{}").outcome == "fetched"


@pytest.mark.parametrize("total", ["", "*"])
@pytest.mark.parametrize("tag", ['"a"', None])
def test_a_part_of_a_file_of_another_length_is_not_glued(
    total: str, tag: str | None, server: DownloadServer, tmp_path: Path
) -> None:
    """Neither hash nor size is known, and the tag, if there is one, stays the same."""
    first = b'{"first": "' + b"a" * 985 + b'"}'
    url = server.add("mugs.json", first, headers={"ETag": '"a"'}, cuts=[500] + [0] * 5, if_range=False)
    assert get(tmp_path, url, content=None).outcome == "failed"
    other = b'{"other": "' + b"b" * 587 + b'"}'
    served = {"headers": {"ETag": tag}, "total": total, "if_range": False}
    server.add("mugs.json", other, **served)
    file = get(tmp_path, url, content=None, expected=other)
    assert file.outcome == "fetched"
    asked = [ranges for _, _, ranges in server.requests]
    assert "bytes=500-" in asked and asked[-1] == ""


def test_a_server_that_makes_every_part_useless_is_left(server: DownloadServer, tmp_path: Path) -> None:
    how: dict[str, Any] = {"headers": {"ETag": '"a"'}, "if_range": False, "total": "600"}
    url = server.add("mugs.json", CONTENT, cuts=[500] * 2000, **how)
    assert "of another file, than it was asked for, 3 times" in get(tmp_path, url, content=None).note
    assert len(server.requests) == 2 * QUICK.attempts


def test_a_part_that_nobody_asked_for_is_not_the_whole(server: DownloadServer, tmp_path: Path) -> None:
    headers = {"Content-Range": "bytes 0-99/*", "Content-Length": "100"}
    url = server.add("mugs.json", b'{"a": "' + b"z" * 91 + b'"}', headers=headers, as_part=True)
    assert "answers with a part of the file" in get(tmp_path, url, content=None).note


@pytest.mark.parametrize(
    ("content", "how", "said"),
    [
        (OTHER, {}, r"wrong hash: expected sha256:\w+ \(a test\), found sha256:"),
        (CONTENT[:-1], {}, "wrong length: expected 300,015 bytes, found 300,014"),
        (CONTENT + b"x", {}, "wrong length: expected 300,015 bytes, found 300,016"),
        (CONTENT + b"x", {"chunked": True}, "wrong length: expected 300,015 bytes, found more"),
        (CONTENT[:-1], {"chunked": True}, "wrong length: expected 300,015 bytes, found 300,014"),
        (CONTENT, {"length": len(CONTENT) + 5}, "wrong length: expected 300,015 bytes, found 300,020"),
        (CONTENT, {"headers": {"Content-Type": "text/html; charset=utf-8"}}, "a web page"),
        (CONTENT, {"headers": {"Content-Encoding": "gzip"}}, "packs it on the way"),
        (CONTENT, {"headers": {"Content-Encoding": "identity, GZIP"}}, "packs it on the way"),
        (CONTENT, {"headers": {"Content-Type": "TEXT/HTML"}}, "a web page"),
        (CONTENT, {"more": [("Content-Encoding", "identity"), ("Content-Encoding", "gzip")]}, "packs it on the way"),
        (CONTENT, {"more": [("Content-Length", "10")]}, "states no length that can be: "),
        (CONTENT, {"headers": {"Content-Length": "9" * 5000}}, "states no length that can be: 9999"),
        (CONTENT, {"headers": {"Content-Length": "-5"}}, "states no length that can be: -5"),
        (CONTENT, {"status": [404]}, "answers 404"),
        (CONTENT, {"status": [403]}, "answers 403"),
        (CONTENT, {"status": [503] * 3}, "answers 503 .*3 times in a row"),
        (CONTENT, {"cuts": [0] * 3}, "ended after 0 of 300,015 bytes, 3 times in a row"),
        (CONTENT, {"location": "file:///etc/passwd"}, "answers 302"),
        (CONTENT, {"location": "ftp://127.0.0.1/x"}, "redirects to ftp://127.0.0.1/x, which is not followed"),
    ],
)
def test_what_is_wrong_is_said_and_the_next_url_tried(
    content: bytes, how: dict[str, Any], said: str, server: DownloadServer, tmp_path: Path
) -> None:
    bad, good = server.add("bad", content, **how), server.add("good", CONTENT)
    file = get(tmp_path / "one", bad)
    assert file.outcome == "failed"
    assert file.note.startswith(bad) and " -> run it again later; or save the file from https://" in file.note
    assert re.search(said, str(file)), str(file)
    server.add("bad", content, **{**how, "status": list(how["status"])} if "status" in how else how)
    assert get(tmp_path / "two", bad, good).outcome == "fetched"


@pytest.mark.parametrize("how", [{}, {"chunked": True}])
def test_an_empty_file_is_no_file(how: dict[str, Any], server: DownloadServer, tmp_path: Path) -> None:
    empty, good = server.add("empty", b"", **how), server.add("good", CONTENT)
    assert "the server sends an empty file" in get(tmp_path / "a", empty, content=None).note
    assert get(tmp_path / "b", empty, good, content=None).outcome == "fetched"
    (tmp_path / "mirror/mugs").mkdir(parents=True)
    (tmp_path / "mirror" / NAME).touch()
    one = download(empty, content=None)
    (file,) = fetch([one], tmp_path / "c", mirrors=[tmp_path / "mirror"], patience=QUICK, progress=None).files
    assert "is an empty file" in file.note


def test_pieces_are_known_whatever_their_header_is_written_like(server: DownloadServer, tmp_path: Path) -> None:
    url = server.add("mugs.json", CONTENT, chunked=True, headers={"Transfer-Encoding": "Chunked"})
    assert get(tmp_path, url, content=None).outcome == "fetched"


def test_without_hash_and_length_an_end_is_not_trusted(server: DownloadServer, tmp_path: Path) -> None:
    url = server.add("mugs.json", CONTENT, headers={"Content-Length": None})
    assert "does not state the length" in get(tmp_path, url, content=None).note
    assert get(tmp_path, url).outcome == "fetched"


@pytest.mark.parametrize("how", [{"length": 10**25}, {"chunked": True}])
def test_a_length_that_no_disk_has_room_for_stops_only_this_url(
    how: dict[str, Any], server: DownloadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "chunked" in how:
        room = iter([1 << 40, *[100 << 20] * 3])
        monkeypatch.setattr(
            writing, "free_bytes", lambda path: next(room, 1 << 10 if len(server.requests) < 2 else 1 << 40)
        )
    bad, good = server.add("bad", CONTENT * 9, **how), server.add("good", CONTENT)
    file = get(tmp_path, bad, good, content=None)
    assert file.outcome == "fetched" and [path for _, path, _ in server.requests] == ["bad", "good"]


def test_a_web_page_is_no_json_whatever_the_server_calls_it(server: DownloadServer, tmp_path: Path) -> None:
    url = server.add("mugs.json", b"<!doctype html><p>log in</p>")
    assert "is a web page" in get(tmp_path, url, content=None).note


def test_redirects_are_followed_but_not_in_circles(server: DownloadServer, tmp_path: Path) -> None:
    end = server.add("end", CONTENT, cuts=[200_000])
    for number in range(5):
        end = server.add(f"to{number}", b"", location=end)
    assert get(tmp_path / "a", end).outcome == "fetched"
    circle = server.add("circle", b"", location=f"{server.url}/circle")
    assert "infinite loop" in get(tmp_path / "b", circle).note
    for number in range(20):
        end = server.add(f"far{number}", b"", location=end)
    assert get(tmp_path / "c", end).outcome == "failed"


def test_a_redirect_from_https_to_http_is_not_followed() -> None:
    asked = requests.request("https://example.org/x")
    with pytest.raises(requests.Refused, match=r"http://example\.org/x, which is not followed"):
        requests.Redirects().redirect_request(asked, None, 302, "", {}, "http://example.org/x")


def test_a_server_that_is_busy_is_asked_again_when_it_says(
    server: DownloadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    url = server.add("mugs.json", CONTENT, status=[503, 429])
    (file,) = fetch([download(url)], tmp_path, progress=None).files
    assert file.outcome == "fetched" and waits == [2.0, 4.0]


def test_a_slow_server_is_left_for_the_next(server: DownloadServer, tmp_path: Path) -> None:
    slow = server.add("slow", CONTENT, piece=10, pause=0.05)
    patience = replace(QUICK, attempts=1)
    lines: list[str] = []
    (file,) = fetch(
        [download(slow, server.add("good", CONTENT))], tmp_path, patience=patience, progress=lines.append
    ).files
    assert file.outcome == "fetched" and "bytes a second" in "\n".join(lines)


def test_a_stalled_server_is_left_for_the_next(server: DownloadServer, tmp_path: Path) -> None:
    stalled = server.add("stalled", CONTENT, pause=3.0)
    patience = Patience(timeout=0.2, attempts=2, wait=0.0)
    lines: list[str] = []
    one = download(stalled, server.add("good", CONTENT))
    assert fetch([one], tmp_path, patience=patience, progress=lines.append).ok
    assert "timed out, 2 times in a row" in "\n".join(lines)


@contextmanager
def endless(beginning: bytes, piece: bytes) -> Iterator[str]:
    """The URL of a server that never comes to the end of its headers."""
    ended = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1 << 16)
            with suppress(OSError):
                self.request.sendall(beginning)
                while not ended.wait(0.02):
                    self.request.sendall(piece)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/mugs.json"
        ended.set()
        server.shutdown()


@pytest.mark.parametrize(
    ("beginning", "piece"), [(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), (b"HTTP/1.1 200 OK\r\n", b"X")]
)
def test_a_server_whose_headers_never_end_is_left(
    beginning: bytes, piece: bytes, server: DownloadServer, tmp_path: Path
) -> None:
    patience = replace(QUICK, timeout=0.4, attempts=2)
    lines: list[str] = []
    with endless(beginning, piece) as url:
        one = download(url, server.add("good", CONTENT))
        found: list[Any] = []
        work = threading.Thread(
            target=lambda: found.extend(
                [*fetch([one], tmp_path, patience=patience, progress=lines.append).files, remote_size(url, 0.4)]
            ),
            daemon=True,
        )
        work.start()
        work.join(30)
        assert not work.is_alive()
    assert found[0].outcome == "fetched" and found[1] is None
    assert "no complete answer within 0.4 seconds, 2 times in a row" in "\n".join(lines)


def test_a_url_where_nobody_listens(server: DownloadServer, tmp_path: Path) -> None:
    assert "no connection: " in get(tmp_path, "http://127.0.0.1:1/mugs.json").note
    assert get(tmp_path, "http://127.0.0.1:1/mugs.json", server.add("good", CONTENT)).outcome == "fetched"


def test_a_part_of_another_url_is_not_continued(server: DownloadServer, tmp_path: Path) -> None:
    first = server.add("first", CONTENT, cuts=[100_000] + [0] * 5)
    second = server.add("second", CONTENT)
    assert get(tmp_path, first, second).outcome == "fetched"
    assert [ranges for _, path, ranges in server.requests if path == "second"] == [""]


def test_nothing_is_left_of_a_file_that_is_wrong(server: DownloadServer, tmp_path: Path) -> None:
    assert get(tmp_path, server.add("bad", OTHER)).outcome == "failed"
    left = [path.name for path in (tmp_path / WORK).rglob("*") if path.is_file()]
    assert left in ([], [".lock"])


def test_https_needs_a_certificate_that_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    file = tmp_path / "certificate.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(["openssl", *words.split(), "-keyout", file, "-out", f"{file}.crt"], check=True, capture_output=True)
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    with serving(file) as server:
        url = server.add("mugs.json", CONTENT, cuts=[1000, 200_000])
        assert "its certificate is not valid: self-signed" in get(tmp_path / "a", url).note
        monkeypatch.setenv("SSL_CERT_FILE", f"{file}.crt")
        assert get(tmp_path / "b", url).outcome == "fetched"
