"""``twelve published``: the numbers that were published of tasks."""

from __future__ import annotations

from typing import Annotated

import typer

from twelve.cli.options import Json


def published(
    tasks: Annotated[list[str] | None, typer.Argument(help="Names of tasks; default: all tasks.")] = None,
    as_json: Json = False,
) -> None:
    """Print published scores; recalled ones are marked.

    Each row has the task, split, metric, protocol and model."""
    from twelve.errors import shown
    from twelve.published.shown import as_json as to_json
    from twelve.published.shown import table

    typer.echo(to_json(*tasks or ()) if as_json else shown(table(*tasks or ())))
