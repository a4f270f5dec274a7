"""What the service writes to standard error: lines for people, or with ``--log-json`` JSON alone, one object a line."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, TextIO

from twelve.progress import tell

REQUESTS = "twelve.requests"
"""The logger of the requests."""
_PREFIXES = {"twelve: ": "error", "warning: ": "warning"}
"""How a line of text begins -> the event that it is."""


class JsonLines(io.TextIOBase):
    """A text stream that writes each line as a JSON object with ``time``, ``event`` and ``message``.

    It takes the place of standard error, so that what any part of the program prints there becomes JSON too.

    Args:
        stream: where the objects are written.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._begun, self._lock = stream, "", threading.RLock()

    def put(self, event: str, fields: Mapping[str, object], seconds: float | None = None) -> None:
        """Write an object.

        Args:
            seconds: when it happened, as :func:`time.time` tells; now by default.
        """
        told = {"time": moment(time.time() if seconds is None else seconds), "event": event, **fields}
        with self._lock:
            self._stream.write(json.dumps(told) + "\n")
            self._stream.flush()

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
            for line in filter(str.strip, lines):
                prefix = next((each for each in _PREFIXES if line.startswith(each)), "")
                self.put(_PREFIXES.get(prefix, "message"), {"message": line.removeprefix(prefix).rstrip()})
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True


def begin() -> None:
    """Write JSON alone to standard error, until the process ends."""
    if not isinstance(sys.stderr, JsonLines):
        sys.stderr = JsonLines(sys.stderr)


@contextlib.contextmanager
def logged(requests: bool | Literal["text", "json"]) -> Iterator[None]:
    """Within the block, write a line for each request to standard error.

    Args:
        requests: "text" (or True) for people; "json" for programs, everything else too.
    """
    before, root = sys.stderr, logging.getLogger()
    handlers = list(root.handlers)
    try:
        if requests == "json":
            begin()
            root.handlers = [_Objects()]
            logging.captureWarnings(True)
        elif requests:
            lines = logging.StreamHandler()
            lines.setFormatter(_Dated("%(asctime)s %(message)s"))
            logging.basicConfig(handlers=[lines])
        if requests:
            logging.getLogger(REQUESTS).setLevel(logging.INFO)
        yield
    finally:
        sys.stderr, root.handlers = before, handlers
        if requests == "json":
            logging.captureWarnings(False)


def say(event: str, message: str, **fields: object) -> None:
    """Tell something on standard error: the message, or with ``--log-json`` an object with all fields."""
    if isinstance(sys.stderr, JsonLines):
        sys.stderr.put(event, {"message": message, **fields})
    else:
        tell(message)


def in_json() -> bool:
    """Whether standard error has JSON alone."""
    return isinstance(sys.stderr, JsonLines)


def moment(seconds: float) -> str:
    """A time with its offset from UTC."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "milliseconds")


class _Dated(logging.Formatter):
    """Lines that begin with the time and its offset from UTC."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return moment(record.created)


class _Objects(logging.Handler):
    """Writes a request with its fields, and of what else is logged the message and the traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.stderr, JsonLines):
            return
        if record.name == REQUESTS and isinstance(record.args, dict):
            sys.stderr.put("request", record.args, record.created)
            return
        fields: dict[str, Any] = {"message": record.getMessage()}
        if record.exc_info:
            fields["traceback"] = logging.Formatter().formatException(record.exc_info)
        event = "error" if record.levelno >= logging.ERROR else "warning"
        sys.stderr.put(event if record.levelno >= logging.WARNING else "message", fields, record.created)
