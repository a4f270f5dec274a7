"""The command ``twelve``: its commands in the order of a person's way through a project, and mistakes in its use."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from typer import BadParameter
from typer.core import TyperGroup

ORDER = (
    *("quickstart", "data", "regions", "train", "evaluate", "report"),
    *("predict", "match", "index", "serve", "score", "push", "export", "convert"),
    *("tasks", "configs", "published", "reproduce", "study", "parity"),
)
"""Names of commands; those that are not here come last, as they were registered."""
_MISUSE: Any = BadParameter.__mro__[1]
"""typer's error for wrong arguments, which it does not export."""


class InOrder(TyperGroup):
    """A group whose help lists its commands in :data:`ORDER`, and whose mistakes in use are one line with a remedy."""

    words: tuple[str, ...] = ()
    """The arguments of the command line."""

    def list_commands(self, ctx: Any) -> list[str]:
        place = {name: number for number, name in enumerate(ORDER)}
        return sorted(super().list_commands(ctx), key=lambda name: place.get(name, len(ORDER)))

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        self.words = tuple(args)
        with self._used_right():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        with self._used_right():
            return super().invoke(ctx)

    @contextmanager
    def _used_right(self) -> Iterator[None]:
        try:
            yield
        except _MISUSE as error:
            if error.format_message().startswith("Usage:"):  # no arguments: the help itself
                raise
            from twelve.cli.usage import mistake

            print(f"twelve: {mistake(self, self.words, error)}", file=sys.stderr)
            raise SystemExit(error.exit_code) from error
