"""One stand-in of everything that was published for all tests here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("lmdb")

from download_server import DownloadServer, serving
from published_files import StandIn, make
from reproduce_command import Command


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    return make(tmp_path_factory.mktemp("stand-in"))


@pytest.fixture
def server(stand_in: StandIn) -> Iterator[DownloadServer]:
    with serving() as server:
        serve(server, stand_in)
        yield server


def serve(server: DownloadServer, stand_in: StandIn) -> None:
    for path in (path for path in stand_in.served.rglob("*") if path.is_file()):
        server.add(path.relative_to(stand_in.served).as_posix(), path.read_bytes())


@pytest.fixture
def command(stand_in: StandIn, server: DownloadServer, tmp_path: Path) -> Command:
    return Command(tmp_path / "data", stand_in, server)
