"""A reproduction is killed in every stage and gone on with: the same table, and nothing finished is done again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reproduce_command import Command

from twelve.downloads import fetch
from twelve.downloads.lock import FetchLock
from twelve.model.processor import TwelveProcessor
from twelve.outputs.classes import Classes
from twelve.outputs.region import Region
from twelve.regions.store.resumable_writer import PartWriter
from twelve.reproduce.ledger import Ledger
from twelve.reproduce.table import Table

SOME = "visual7w,nlvr2"
"""Tasks of different kinds, one of them with regions of candidates."""
POINTS: dict[str, tuple[Any, str, int, int]] = {
    "while files come": (fetch, "transfer", 4, 0),
    "before files take their names": (FetchLock, "add", 6, 0),
    "in the conversion": (TwelveProcessor, "save_pretrained", 1, 0),
    "in an import": (PartWriter, "add", 3, 1),
    "at the end of an import": (PartWriter, "finish", 2, 1),
    "in an evaluation": (Region, "decode", 1, 2),
    "in a later evaluation": (Classes, "decode", 1, 4),
    "before a finished stage is noted": (Ledger, "record", 3, 2),
    "before the table is written": (Table, "__str__", 1, 5),
}
"""Where -> (class or module, function in it, call at which the program ends, stages that are finished by then)."""
STAGES = (
    "conversion",
    "regions of visual7w",
    "evaluation of visual7w, test, protocol official",
    "regions of nlvr2",
    "evaluation of nlvr2, test1, protocol official",
)


class Killed(BaseException):
    """Ends the program wherever it is."""


def ending(function: Callable[..., Any], at: int) -> Callable[..., Any]:
    calls = 0

    def called(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise Killed
        return function(*args, **options)

    return called


def done(shown: str, how: str) -> list[str]:
    """Stages of which the program said ``how``, in order."""
    return [stage for stage in STAGES if any(line.startswith(f"{stage}{how}") for line in shown.splitlines())]


@pytest.fixture(scope="module")
def tables() -> list[str]:
    """Tables of all tests of this file."""
    return []


@pytest.mark.parametrize("point", POINTS)
def test_what_was_interrupted_goes_on(
    point: str, command: Command, tables: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, name, at, finished = POINTS[point]
    monkeypatch.setattr(kind, name, ending(getattr(kind, name), at))
    with pytest.raises(Killed):
        command(tasks=SOME)
    monkeypatch.undo()
    assert not (command.root / "reproduced" / "table.md").exists()
    before = {path: path.stat().st_mtime_ns for path in command.root.rglob("*.arrow")}
    command(tasks=SOME)
    assert done(command.err, ": done before") == list(STAGES[:finished])
    assert done(command.err, " ...") == list(STAGES[finished:])
    assert all(path.stat().st_mtime_ns == then for path, then in before.items()), "region files stay as they are"
    assert not [path for path in command.root.rglob("*.partial")] and not list(command.root.rglob("*.parts"))
    tables.append(command.table)
    assert command.table == tables[0]


def test_killed_by_the_system_again_and_again(command: Command, tables: list[str], tmp_path: Path) -> None:
    words = [sys.executable, "-m", "twelve", *command.words("--yes", tasks=SOME)]
    for marker in ("released/visual7w", f"{STAGES[1]} ...", f"{STAGES[4]} ..."):
        process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=tmp_path)
        assert process.stderr is not None
        assert any(marker in line for line in process.stderr), marker
        process.kill()
        process.wait()
        process.stderr.close()
    command(tasks=SOME)
    assert done(command.err, ": done before")[:3] == list(STAGES[:3]) and command.code == 0
    tables.append(command.table)
    assert command.table == tables[0]


def test_changed_inputs_are_measured_again(command: Command) -> None:
    command(tasks="nlvr2")
    regions = next((command.root / "reproduced" / "regions" / "nlvr2").glob("*.arrow"))
    os.remove(regions)
    command(tasks="nlvr2")
    assert done(command.err, " ...") == ["regions of nlvr2"], "the same regions: nothing is measured again"
    results = next((command.root / "reproduced" / "results").glob("*.json"))
    results.write_text("{}")
    command(tasks="nlvr2")
    assert done(command.err, " ...") == [STAGES[4]]
    (command.root / "reproduced" / "ledger.json").write_text("{")
    command.root = command.root.rename(command.root.with_name("moved"))
    command(tasks="nlvr2")
    assert done(command.err, " ...") == ["conversion", *STAGES[3:]]
