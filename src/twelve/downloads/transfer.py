"""Moves the bytes of one file from a URL into a part file, and goes on where an earlier attempt stopped.

The standard library's urllib is enough: what a large file needs is one request at a time with ``Range`` and
``If-Range``, a timeout for each read, and a say in every redirect. Of the libraries, pooch 1.9 does not resume, and
huggingface_hub fetches from its hub alone.
"""

from __future__ import annotations

import http.client
import re
import ssl
import time
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from twelve.downloads import parts
from twelve.downloads.requests import Hosts, Refused, Unreachable, is_page, opener, request, stated_length
from twelve.downloads.writing import begin, check_room, end, write
from twelve.errors import TwelveError

_PIECE = 1 << 18
_MOST_ATTEMPTS = 1000
_LONGEST_WAIT = 60.0
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15}|\*)")
_UNREACHED = 2
"""Attempts in a row for a host that was never connected to in this run."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on with a URL.

    Attributes:
        timeout: seconds that a connection or a read may take.
        attempts: attempts in a row that bring nothing, or in all that lose what came.
        wait: seconds before the next attempt; doubled each time, at most a minute.
        slowest: bytes a second; less than that over ``window`` seconds counts as a connection that was cut.
        window: seconds; an answer whose headers take longer counts as one that was cut, too.
    """

    timeout: float = 30.0
    attempts: int = 5
    wait: float = 1.0
    slowest: float = 1024.0
    window: float = 60.0


class _Cut(Exception):
    """This attempt failed; another may not.

    Args:
        after: seconds that the server asks to wait.
        slow: count the attempt as one that brought nothing, although it brought something.
        lost: there was no connection to this host.
    """

    def __init__(
        self, problem: str, after: float = 0.0, *, slow: bool = False, lost: Unreachable | None = None
    ) -> None:
        super().__init__(problem)
        self.after, self.slow, self.lost = after, slow, lost


def transfer(
    url: str,
    part: Path,
    *,
    size: int | None,
    verifiable: bool,
    patience: Patience,
    hosts: Hosts,
    advance: Callable[[int, int | None], None],
) -> None:
    """Fill ``part`` from a URL, resuming what is in it if it came from there and the server's file is the same.

    Args:
        part: on success it holds the whole file, of which nothing but the length has been compared.
        size: bytes that are expected, if known.
        verifiable: whether a hash of the file is known. Otherwise a server that does not state the length is refused.
        hosts: those of this run; one that cannot be connected to is noted.
        advance: called with (bytes so far, total if known).

    Raises:
        Refused: the URL does not give this file; ``part`` may hold a part of it, to go on with.
        TwelveError: the disk is full, or cannot be written.
    """
    failures = restarts = 0
    for _ in range(_MOST_ATTEMPTS):
        before = parts.length(part)
        try:
            return _attempt(url, part, size, verifiable, patience, hosts, advance)
        except _Cut as error:
            now = parts.length(part)
            failures = 0 if now > before and not error.slow else failures + 1
            restarts += now < before
            most = patience.attempts
            if error.lost is not None and error.lost.host not in hosts.reached:
                most = min(most, _UNREACHED)
            if failures >= most:
                if error.lost is not None:
                    hosts.lost[error.lost.host] = error.lost.why
                raise Refused(f"{error}, {failures} times in a row") from None
            if restarts >= patience.attempts:
                raise Refused(f"{error}, {restarts} times") from None
            time.sleep(min(max(error.after, patience.wait * 2**failures), _LONGEST_WAIT))
    raise Refused("the connection is cut all the time")


def _attempt(
    url: str,
    part: Path,
    size: int | None,
    verifiable: bool,
    patience: Patience,
    hosts: Hosts,
    advance: Callable[[int, int | None], None],
) -> None:
    start, validator, noted = parts.resumable(part, url)
    if start and start == noted:
        return
    headers = {"Range": f"bytes={start}-", "If_Range": validator} if start else {}
    try:
        longest = max(patience.window, patience.timeout)
        with opener(longest, hosts).open(request(url, **headers), timeout=patience.timeout) as response:
            start, total = _accept(response, part, start, validator, noted, size, verifiable)
            if not start:
                parts.start(part, url, _validator(response), total)
            _check_room(part, (total or 0) - start, size)
            stream = begin(part, start)
            try:
                got = _receive(response, stream, start, total or size, patience, advance)
            finally:
                end(stream)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            parts.forget(part)
            raise _Cut("the server has fewer bytes than before") from None
        problem = f"the server answers {error.code} {error.reason}"
        if error.code in _TRANSIENT:
            after = error.headers.get("Retry-After", "") if error.headers else ""
            raise _Cut(problem, float(after) if after.isdecimal() else 0.0) from None
        raise Refused(problem) from None
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise Refused(f"its certificate is not valid: {reason.verify_message}") from None
        lost = reason if isinstance(reason, Unreachable) else None
        if lost is not None and lost.before:
            raise Refused(str(lost)) from None
        raise _Cut(f"no connection: {str(reason) or type(reason).__name__}"[:300], lost=lost) from None
    except ValueError as error:  # a URL that urllib cannot read
        raise Refused(str(error)[:300]) from None
    if total is not None and got != total:
        raise _Cut(f"the connection ended after {got:,} of {total:,} bytes")
    if not got:
        parts.forget(part)
        raise Refused("the server sends an empty file")


def _accept(
    response: Any, part: Path, start: int, validator: str, noted: int | None, size: int | None, verifiable: bool
) -> tuple[int, int | None]:
    """(first byte, bytes of the whole file if stated) of an answer; raises Refused or _Cut if it is of no use."""
    headers = response.headers
    if is_page(response):
        raise Refused("the server answers with a web page, not with the file")
    packed = ", ".join(headers.get_all("Content-Encoding", []))
    if {each.strip().lower() for each in packed.split(",")} - {"", "identity"}:
        raise Refused(f"the server packs it on the way ({packed[:40]})")
    total = stated_length(response)
    if response.status == 206:
        if not start:
            raise Refused("the server answers with a part of the file, and was asked for all of it")
        found = _RANGE.fullmatch(headers.get("Content-Range", ""))
        total = noted if found is None or found[3] == "*" else int(found[3])
        same = total is not None and total == (noted or total) and _validator(response) == validator
        if not found or int(found[1]) != start or not same:
            parts.forget(part)
            raise _Cut("the server answers with another part, or of another file, than it was asked for")
    elif response.status == 200:
        start = 0
    else:
        raise Refused(f"the server answers {response.status} {response.reason}")
    if size is not None and total is not None and total != size:
        raise Refused(f"wrong length: expected {size:,} bytes, found {total:,}")
    if total is None and size is None and not verifiable and headers.get("Transfer-Encoding", "").lower() != "chunked":
        raise Refused("the server does not state the length, and no hash is known: a part could pass for the whole")
    return start, total


def _receive(
    response: Any,
    stream: Any,
    got: int,
    total: int | None,
    patience: Patience,
    advance: Callable[[int, int | None], None],
) -> int:
    """Write what comes; the number of bytes that the part then has. Raises Refused for more than ``total``."""
    since, at_start = time.monotonic(), got
    while piece := response.read1(_PIECE):
        got += len(piece)
        if total is None:
            _check_room(Path(stream.name), len(piece), None)
        if total is not None and got > total:
            raise Refused(f"wrong length: expected {total:,} bytes, found more")
        write(stream, piece)
        advance(got, total)
        if (passed := time.monotonic() - since) > patience.window:
            if got - at_start < patience.slowest * passed:
                raise _Cut(f"the server sends {decimal(int((got - at_start) / passed))} a second", slow=True)
            since, at_start = time.monotonic(), got
    return got


def _check_room(part: Path, count: int, size: int | None) -> None:
    """As :func:`check_room`; Refused, and the part removed, where only the server says how long the file is."""
    try:
        check_room(part, count)
    except TwelveError as error:
        if size is not None:
            raise
        parts.forget(part)
        raise Refused(f"{error.problem}; only the server says how long the file is") from None


def _validator(response: Any) -> str:
    """What tells a file from a changed one: its strong ETag, else the time of its last change."""
    tag = response.headers.get("ETag", "")
    return str(tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", ""))
