from __future__ import annotations

from collections.abc import Iterator

import pytest
from download_server import DownloadServer, serving


@pytest.fixture
def server() -> Iterator[DownloadServer]:
    with serving() as home:
        yield home
