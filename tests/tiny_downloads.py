"""What tests about downloads share: a file that a local server has, registries, and what must never be seen."""

from __future__ import annotations

import hashlib
import json
import random
from itertools import groupby
from pathlib import Path
from typing import Any

from twelve.downloads.download import Download, Stated
from twelve.downloads.fetch import WORK
from twelve.downloads.report import Fetched
from twelve.downloads.transfer import Patience

QUICK = Patience(timeout=5.0, attempts=3, wait=0.0, window=0.3, slowest=1000.0)
CONTENT = b'{"content": "' + random.Random(0).randbytes(150_000).hex().encode() + b'"}'
NAME = "mugs/mugs.json"


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def download(*urls: str, content: bytes | None = CONTENT, **changes: Any) -> Download:
    """A file of a dataset; its size and hash are known if its content is given."""
    known = {} if content is None else {"bytes": len(content), "hashes": (Stated(sha256(content), "a test"),)}
    fields: dict[str, Any] = {
        "dataset": "mugs",
        "file": "mugs.json",
        "kind": "annotation",
        "tasks": ("mugs",),
        "places": (("", NAME),),
        "page": "https://example.org/mugs",
        "terms": "see page",
        "source": "a test",
    }
    return Download(**(fields | {"urls": tuple(urls)} | known | changes))


def placed(root: Path) -> dict[str, bytes]:
    """Everything in a root that has a final name."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and WORK not in path.parts and path.name != "fetched.lock.json"
    }


def written(path: Path, *downloads: Download) -> Path:
    """A registry of files, as TOML."""
    lines = []
    for dataset, group in groupby(downloads, lambda one: one.dataset):
        for number, one in enumerate(group):
            if not number:
                lines.append(f"[{json.dumps(dataset)}]\npage = {json.dumps(one.page)}\nterms = {json.dumps(one.terms)}")
            hashes = ", ".join(f"{{ is = {json.dumps(each.hash)}, source = 'a test' }}" for each in one.hashes)
            unpack = ", ".join(f"{json.dumps(member)} = {json.dumps(place)}" for member, place in one.places)
            lines += [
                f"[[{json.dumps(dataset)}.files]]\nname = {json.dumps(one.file)}\nkind = {json.dumps(one.kind)}",
                f"tasks = {json.dumps(one.tasks)}\nurls = {json.dumps(one.urls)}\nhashes = [{hashes}]",
                f"unpack = {{ {unpack} }}" if one.packed else f"to = {json.dumps(one.places[0][1])}",
                f"bytes = {one.bytes}" if one.bytes is not None else "",
                "source = 'a test'",
            ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def says_what_to_do(file: Fetched) -> bool:
    """Whether a failure is told in one line, which ends with the next step."""
    line = str(file)
    return file.outcome == "failed" and "\n" not in line and bool(line.partition(" -> ")[2].strip())
