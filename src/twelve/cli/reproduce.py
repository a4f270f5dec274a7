"""``twelve reproduce``: from nothing to the paper's table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from twelve.cli.options import labels_by_head
from twelve.errors import ConfigError, shown

EXAMPLE = "Example: twelve reproduce --tasks nlvr2,refcocog --root data"


def reproduce(
    tasks: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Comma-separated names of tasks (repeatable).", show_default="all"),
    ] = None,
    root: Annotated[Path, typer.Option(help="The data root; results are written to its subfolder reproduced.")] = Path(
        "data"
    ),
    registry: Annotated[
        Path | None, typer.Option(help="A registry to use instead of the project's (docs/get-the-data.md).")
    ] = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option(metavar="URL|DIR", help="A mirror to try before the official URLs (repeatable)."),
    ] = None,
    extract: Annotated[
        bool, typer.Option("--extract", help="Extract regions from images instead of importing the released features.")
    ] = False,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HEAD=FILE", help="The ordered answers of a head; default: those in the authors' archive."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print downloads, sizes and times, and write nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation; required in scripts.")] = False,
) -> None:
    """Measure the released model as the paper did.

    Fetches the files, converts the model, imports features, evaluates, and compares with the paper. It first shows
    downloads, disk space and time, and asks for confirmation. Run it again after an interruption: finished stages are
    kept. The exit code is 1 if a task could not be measured."""
    from twelve.downloads import registry as known
    from twelve.reproduce.run import Asked, Reproduction

    asked = Asked(
        root=root,
        tasks=[name.strip() for word in tasks or () for name in word.split(",") if name.strip()],
        downloads=known.shipped() if registry is None else known.read(registry),
        mirrors=mirror or (),
        extract=extract,
        labels=labels_by_head(labels or ()),
    )
    reproduction = Reproduction(asked)
    ahead = reproduction.ahead()
    typer.echo(str(ahead))
    if dry_run:
        typer.echo("nothing was fetched or written (--dry-run)")
        return
    ahead.downloads.check_room()
    if not yes:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise ConfigError("this shell cannot ask whether to begin", remedy="add --yes")
        if not typer.confirm("Begin, and accept these terms?"):
            raise typer.Exit(1)
    table = reproduction.run()
    typer.echo(shown(f"{table}\n\nwritten to {reproduction.folders.table}"))
    raise typer.Exit(int(bool(reproduction.failures)))
