"""What became of the files that were asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from twelve.downloads.download import Download
from twelve.errors import DataError, one_line

Outcome = Literal["fetched", "there", "kept", "failed", "asked"]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of one file.

    Attributes:
        outcome: ``fetched`` now; ``there`` as it was fetched before; ``kept``, since somebody else put it there;
            ``failed``; ``asked``, since it must be asked for at its dataset's page.
        note: how it was verified, or what failed and what to do.
    """

    download: Download
    outcome: Outcome
    note: str = ""

    def __str__(self) -> str:
        return one_line(f"{self.download.key}: {self.outcome}{': ' if self.note else ''}{self.note}")


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What became of every file; ``str()`` has one line per file."""

    root: Path
    files: tuple[Fetched, ...]

    @property
    def ok(self) -> bool:
        """Whether everything that can be had without asking is there."""
        return not self._failed()

    def check(self) -> None:
        """Raise DataError for the first file that failed, if any."""
        for one in self._failed():
            problem, _, remedy = one.note.rpartition(" -> ")
            raise DataError(problem, file=one.download.key, remedy=remedy)

    def _failed(self) -> list[Fetched]:
        return [one for one in self.files if one.outcome == "failed"]

    def __str__(self) -> str:
        return "\n".join(map(str, self.files))
