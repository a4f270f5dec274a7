"""What an interrupted transfer leaves: a part file, and notes beside it that say whether it can go on."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from twelve.downloads.writing import full
from twelve.io import json_file
from twelve.io.files import replacing


def start(part: Path, url: str, validator: str, total: int | None) -> None:
    """Begin anew: nothing of an earlier part stays.

    Args:
        validator: what tells the server's file from a changed one; "" if it says nothing, and the part is of no use.
        total: bytes of the whole file, if the server states them.
    """
    forget(part)
    _note(part, {"url": url, "validator": validator, "total": total})


def resumable(part: Path, url: str) -> tuple[int, str, int | None]:
    """(bytes to keep, validator, total) of what an earlier attempt left from this URL."""
    notes = _notes(part)
    if notes.get("url") == url and notes.get("validator"):
        total = notes.get("total")
        return length(part), str(notes["validator"]), total if isinstance(total, int) else None
    return 0, "", None


def finish(part: Path, url: str) -> None:
    """Note that the part is the whole file, verified, and where it came from."""
    _note(part, {"url": url, "whole": length(part)})


def whole(part: Path) -> str | None:
    """Where a part came from that :func:`finish` was called for; None for others."""
    notes = _notes(part)
    return str(notes.get("url")) if notes.get("whole") == length(part) > 0 else None


def forget(part: Path) -> None:
    """Remove a part and its notes.

    Raises:
        TwelveError: something else is in their place.
    """
    try:
        part.unlink(missing_ok=True)
        _beside(part).unlink(missing_ok=True)
    except OSError as error:
        raise full(error, part) from None


def length(part: Path) -> int:
    """Bytes of a part; 0 if there is none."""
    with contextlib.suppress(OSError):
        return part.stat().st_size
    return 0


def _beside(part: Path) -> Path:
    return part.with_name(f".{part.name}.notes")


def _notes(part: Path) -> dict[str, Any]:
    found = json_file.read_or_none(_beside(part), most=1 << 16)
    return found if isinstance(found, dict) else {}


def _note(part: Path, notes: dict[str, Any]) -> None:
    with replacing(_beside(part)) as partial:
        partial.write_text(json.dumps(notes), encoding="utf-8")
