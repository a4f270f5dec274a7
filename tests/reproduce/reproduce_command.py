"""``twelve reproduce`` as tests call it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from download_server import DownloadServer
from published_files import StandIn
from typer.testing import CliRunner

from twelve import cli


class Command:
    """``twelve reproduce`` against the server, with ``data`` as the data root.

    Attributes:
        root: the data root.
        stand_in: what the registry lists.
        code, out, err: of the last call.
    """

    def __init__(self, root: Path, stand_in: StandIn, server: DownloadServer) -> None:
        self.root, self.stand_in, self._server = root, stand_in, server
        self.code, self.out, self.err = 0, "", ""

    def words(self, *options: str, tasks: str = "", changes: Mapping[str, Any] | None = None) -> list[str]:
        file = self.root.with_name("registry.toml")
        registry = self.stand_in.registry(file, self._server.url, **(changes or {}))
        words = ["reproduce", "--root", str(self.root), "--registry", str(registry), *options]
        return [*words, *(("--tasks", tasks) if tasks else ())]

    def __call__(self, *options: str, tasks: str = "", changes: Mapping[str, Any] | None = None) -> str:
        """Call it with --yes; returns what it printed. Errors of the program are raised."""
        result = CliRunner().invoke(cli.app, self.words("--yes", *options, tasks=tasks, changes=changes))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        self.code, self.out, self.err = result.exit_code, result.stdout, result.stderr
        return self.out

    @property
    def table(self) -> str:
        return (self.root / "reproduced" / "table.md").read_text(encoding="utf-8")
