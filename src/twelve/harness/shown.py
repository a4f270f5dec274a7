"""A comparison with a harness as a table and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from twelve.errors import one_line
from twelve.harness.compare import LogComparison
from twelve.io.json_file import readable
from twelve.progress import counted
from twelve.score import WARNING
from twelve.score import table as score_table


def as_json(found: LogComparison) -> str:
    """All of it, for programs."""
    return readable(asdict(found), indent=1)


def table(found: LogComparison) -> str:
    """Both numbers, the answers that count differently, and the reasons; for people."""
    source = one_line(" and ".join(Path(file).name for file in found.truth)) or "the log itself"
    theirs = f"{found.harness} {found.metric}"
    width = max(len(theirs), len("official accuracy")) + 1
    lines = [
        one_line(f"{found.title}: {Path(found.log).name}"),
        f"{'official accuracy':<{width}}{found.official:7.2f}%  {counted(found.examples, 'answer')}, "
        + f"protocol {found.protocol}; truth: {source}",
        f"{theirs:<{width}}{found.theirs:7.2f}%  {counted(found.theirs_examples, 'answer')}",
        f"answers that count differently: {found.differing:,}",
        *(
            f"  {each.place}: {each.prediction[:60]!r} to {each.text[:60]!r}: {each.theirs:.2f}, officially "
            f"{each.official:.2f}"
            for each in found.shown
        ),
        *(f"why: {reason}" for reason in found.reasons if found.differing or found.apart),
        *(one_line(note if note.startswith(WARNING) else f"note: {note}") for note in found.notes),
    ]
    text = "\n".join(lines)
    return text if found.scores is None else f"{text}\n\n{score_table(found.scores)}"
