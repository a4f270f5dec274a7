"""``twelve data``: official files, drawn worlds, clean splits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twelve.errors import ConfigError

data_app = typer.Typer(
    help="Data: check, clean, stats, vocabulary, make-microworld, train-detector.", no_args_is_help=True
)


@data_app.command("make-microworld", epilog="Example: twelve data make-microworld --out microworld --seed 0")
def make_microworld(
    out: Annotated[Path, typer.Option(help="Data root to write.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    scale: Annotated[float, typer.Option(min=0.05, max=100, help="Times as many images to train on.")] = 1.0,
    oracle: Annotated[bool, typer.Option(help="Measure what one who reads the scenes would score.")] = True,
) -> None:
    """Draw a small world and write all twelve datasets about it, in their official layouts."""
    from rich.console import Console

    from twelve.microworld.make import make_microworld as make
    from twelve.microworld.make import oracle_scores, summary
    from twelve.microworld.world import Sizes

    console = Console()
    tallies = make(out, seed, Sizes().scaled(scale), console=console)
    console.print(summary(tallies, oracle_scores(out) if oracle else None))


Root = Annotated[Path, typer.Argument(help="A data root: one folder a dataset.")]
Tasks = Annotated[list[str] | None, typer.Option("--task", help="Only this task (may be given several times).")]
Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        metavar="TASK=SOURCE",
        help="A task's images lie in images/SOURCE (may be given several times); else ROOT/sources.json says so.",
    ),
]
Config = Annotated[
    str | None, typer.Option(help="A configuration: its own tasks (files of JSON lines) and its sources count.")
]


@data_app.command(epilog="Example: twelve data check ROOT --task vqa")
def check(
    root: Root,
    task: Tasks = None,
    regions: Annotated[
        Path | None,
        typer.Option(
            help="The region store: an image may have regions instead of a file.", show_default="ROOT/regions"
        ),
    ] = None,
    source: Sources = None,
    config: Config = None,
) -> None:
    """Say what is present, missing or inconsistent; exit code 1 when a task cannot run."""
    from twelve.data.check import check_root
    from twelve.data.sources import opened

    data, tasks = opened(root, task, source, config)
    report = check_root(data, tasks, regions=regions)
    typer.echo(str(report))
    raise typer.Exit(int(not report.ok))


@data_app.command(epilog="Example: twelve data clean ROOT --hold-out test --out exclusions")
def clean(
    root: Root,
    out: Annotated[Path, typer.Option(help="Folder for the lists.")],
    hold_out: Annotated[str, typer.Option(help="test or test+val.")] = "test",
    pixels: Annotated[bool, typer.Option(help="Compare images themselves, besides their ids.")] = True,
    source: Sources = None,
) -> None:
    """Find the training images that some task is measured on, and write lists of them that others can use."""
    from twelve.data.exclusions import check_out, find_exclusions
    from twelve.data.sources import opened

    if hold_out not in ("test", "test+val"):
        raise ConfigError(f"--hold-out is {hold_out!r}", remedy="choose test or test+val")
    check_out(out)
    data, _ = opened(root, sources=source)
    found = find_exclusions(data, "test" if hold_out == "test" else "test+val", pixels=pixels)
    found.write(out)
    typer.echo(str(found))
    typer.echo(f"the lists are in {out}")


@data_app.command(epilog="Example: twelve data stats ROOT")
def stats(root: Root, task: Tasks = None, source: Sources = None, config: Config = None) -> None:
    """Count examples, images, words and answers of every split."""
    from twelve.data.sources import opened
    from twelve.data.stats import root_stats

    for split in root_stats(*opened(root, task, source, config)):
        typer.echo(str(split))


@data_app.command(epilog="Example: twelve data vocabulary ROOT vqa --out answers.json")
def vocabulary(
    root: Root,
    task: Annotated[str, typer.Argument(help="A task with answers.")],
    out: Annotated[Path, typer.Option(help="JSON list to write.")],
    min_count: Annotated[int, typer.Option(min=1, help="An answer needs so many training questions.")] = 9,
    split: Annotated[list[str] | None, typer.Option(help="Counted together; by default the training split.")] = None,
) -> None:
    """Write the answers that a head can give, and say what they cover."""
    from twelve.data.stats import write_vocabulary

    typer.echo(str(write_vocabulary(root, task, out, min_count=min_count, splits=split)))


@data_app.command("train-detector", epilog="Example: twelve data train-detector --out microworld.safetensors")
def train_detector(
    out: Annotated[Path, typer.Option(help="Weights file to write.")],
    seed: Annotated[int, typer.Option(min=0)] = 0,
    minutes: Annotated[float, typer.Option(min=0.1, help="About how long, on one core.")] = 8.0,
) -> None:
    """Train the detector of the microworld on scenes drawn for it."""
    from twelve.microworld.train_detector import train_detector as run

    typer.echo(str(run(out, seed, minutes)))
