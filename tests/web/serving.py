"""The service in a process of its own, as people run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_CODE = "import sys; from twelve.web.server import serve; serve(sys.argv[1], port=0)"


@contextmanager
def served(
    model: Path, code: str = _CODE, *arguments: str, log: IO[str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its address; it is ended with the block.

    Args:
        code, arguments: what it runs, with the model's folder as the first argument.
        log: takes its standard error. If one of the arguments is ``--log-json``, the address is read from there.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(model), *arguments],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        first = _ready(process, Path(log.name)) if log and "--log-json" in arguments else process.stdout.readline()
        assert first.startswith("http://"), first
        yield process, first.split()[0].rstrip("/")
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _ready(process: subprocess.Popen[str], log: Path) -> str:
    """The address in the event ``ready`` of a log."""
    while process.poll() is None:
        for line in log.read_text().splitlines(keepends=True):
            if line.endswith("\n") and json.loads(line)["event"] == "ready":
                return str(json.loads(line)["message"].removeprefix("serving at "))
        time.sleep(0.05)
    raise AssertionError(log.read_text())
