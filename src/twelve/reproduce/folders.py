"""Where ``twelve reproduce`` keeps what it makes: one folder in the data root, which can be removed as a whole."""

from __future__ import annotations

from pathlib import Path

from twelve.reproduce.ledger import Ledger
from twelve.run_folder import RunFolder

NAME = "reproduced"
RELEASED = "released"
"""Folder of the data root with the files that the paper's authors released."""


class Folders:
    """The folders and files of a reproduction.

    Attributes:
        root: the data root.
        run: a run's folder with the converted model; every command opens it.
        regions: the region store; extracted regions have one of their own.
        results: results of ``twelve evaluate``, one file for each measurement.
        table: the table, as text and as JSON.
        ledger: what is finished.
    """

    def __init__(self, root: Path, *, extract: bool = False) -> None:
        self.root = root
        self.run = RunFolder(root / NAME)
        self.regions = self.run.path / ("extracted" if extract else "regions")
        self.results = self.run.path / "results"
        self.table = self.run.path / "table.md"
        self.numbers = self.run.path / "table.json"
        self.ledger = Ledger(self.run.path / "ledger.json", root)

    @property
    def places(self) -> dict[str, Path]:
        """Keys of the run's configuration -> where they lead now: the data root may have been moved."""
        return {"data": self.root, "regions": self.regions}
