"""``twelve data fetch``: get official files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from twelve.errors import ConfigError, shown

ALL = "all"
"""Stands for the twelve tasks."""


def fetch(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME", help="Names of tasks; all for the twelve; released for the paper's models."),
    ],
    root: Annotated[Path, typer.Option(help="The data root.")] = Path("data"),
    images: Annotated[bool, typer.Option("--images", help="Fetch the images too (gigabytes).")] = False,
    features: Annotated[bool, typer.Option("--features", help="Fetch region features too (gigabytes).")] = False,
    without: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="A file to leave out, as --list names it (repeatable)."),
    ] = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL|FOLDER",
            help="A mirror with files named DATASET/FILE, tried before the official URLs (repeatable).",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation; required in scripts.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Show files, sizes, terms and free space, and stop.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare the files that are already there with their checksums.")
    ] = False,
    registry: Annotated[
        Path | None, typer.Option(help="A registry to use instead of the project's (docs/get-the-data.md).")
    ] = None,
) -> None:
    """Fetch and verify the official files.

    Shows the files first and asks for confirmation. Run it again after an interruption to resume. The exit code is 1
    if a file could not be fetched."""
    from twelve.downloads.download import Kind
    from twelve.downloads.fetch import FLAGS
    from twelve.downloads.fetch import fetch as run
    from twelve.downloads.plan import make_plan
    from twelve.downloads.registry import choose, leave_out, read, shipped

    kinds: list[Kind] = ["annotation", "weight"]
    if images:
        kinds.append("image")
    if features:
        kinds.append("feature")
    known = shipped() if registry is None else read(registry)
    wanted = choose(known, _named(names), kinds)
    if not wanted:
        flags = {flag for one in choose(known, _named(names), ("image", "feature")) for flag in FLAGS[one.kind]}
        problem = f"no annotation or model of {', '.join(names)} is known, only images or features"
        raise ConfigError(problem, remedy=f"add {' or '.join(sorted(flags, reverse=True))}")
    wanted = leave_out(wanted, without or ())
    plan = make_plan(wanted, root)
    typer.echo(shown(str(plan)))
    if list_:
        return
    plan.check_room()
    if plan.wanted and not yes:
        if not _can_ask():
            raise ConfigError("this shell cannot ask whether to fetch this", remedy="add --yes")
        if not typer.confirm("Fetch these files, under these terms?"):
            raise typer.Exit(1)
    asked = [*names, *(flag for kind in kinds for flag in FLAGS.get(kind, ())), "--root", str(root)]
    asked += [word for key in without or () for word in ("--without", key)]
    asked += [] if registry is None else ["--registry", str(registry)]
    report = run(wanted, root, mirrors=mirror or (), verify=verify, asked=asked)
    typer.echo(shown(str(report)))
    raise typer.Exit(int(not report.ok))


def _can_ask() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _named(names: list[str]) -> list[str]:
    """Names with ``all`` replaced by the twelve tasks."""
    if ALL not in names:
        return names
    from twelve.tasks.base import all_tasks

    twelve = [task.name for task in all_tasks().values() if not task.extra]
    return [*twelve, *(name for name in names if name != ALL)]
