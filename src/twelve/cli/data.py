"""``twelve data``: check and clean data, generate the microworld."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twelve.cli.fetch import fetch
from twelve.cli.options import Setting
from twelve.errors import ConfigError, one_line, shown

data_app = typer.Typer(help="Fetch, check, clean and generate data.", no_args_is_help=True)
data_app.command(epilog="Example: twelve data fetch vqa --images --without coco-images/test2015.zip")(fetch)


@data_app.command("make-microworld", epilog="Example: twelve data make-microworld --out microworld --seed 0")
def make_microworld(
    out: Annotated[Path, typer.Option(help="The data root to write.")],
    seed: Annotated[int, typer.Option(min=0, help="Random seed; the same seed writes the same bytes.")] = 0,
    scale: Annotated[float, typer.Option(min=0.05, max=100, help="Multiplies the number of training images.")] = 1.0,
    apart: Annotated[bool, typer.Option("--apart", help="Tasks share no images, words or appearances.")] = False,
    draw_wordings: Annotated[
        bool, typer.Option("--draw-wordings", help="The seed draws the wordings that only test sets have.")
    ] = False,
    oracle: Annotated[bool, typer.Option(help="Also measure an oracle that reads the scenes.")] = True,
) -> None:
    """Generate synthetic images and all twelve datasets.

    The files have the official formats (docs/microworld.md)."""
    from rich.console import Console

    from twelve.microworld.make import make_microworld as make
    from twelve.microworld.make import oracle_scores, summary
    from twelve.microworld.world import WorldSizes

    console = Console()
    tallies = make(out, seed, WorldSizes().scaled(scale), console, apart=apart, draw_wordings=draw_wordings)
    console.print(summary(tallies, oracle_scores(out) if oracle else None))


@data_app.command(
    epilog="Example: twelve data table examples/own-task/riding/train.csv --images examples/tutorial/images/mine "
    "--image-column photo --init examples/quickstart-model --out mine"
)
def table(
    file: Annotated[Path, typer.Argument(help="A table (CSV in UTF-8) with a row for each example.")],
    images: Annotated[Path, typer.Option(help="The folder of the images that the table names.")],
    init: Annotated[Path, typer.Option(help="The model to start from: a run or a model.")],
    out: Annotated[Path, typer.Option(help="The data root to write; new, or an empty folder.")],
    update: Annotated[
        bool, typer.Option("--update", help="Convert a changed table again, over the files that this command made.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="The name of the task.", show_default="the name of the folder --out, or mine")
    ] = None,
    kind: Annotated[
        str, typer.Option(help="answer; entailment; or retrieval, with captions and no target.")
    ] = "answer",
    text_column: Annotated[
        str | None, typer.Option(help="The column of the texts.", show_default="text, question, caption ...")
    ] = None,
    image_column: Annotated[
        str | None, typer.Option(help="The column of the images' paths.", show_default="image, file, path ...")
    ] = None,
    target_column: Annotated[
        str | None, typer.Option(help="The column of the targets.", show_default="target, answer, label ...")
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="A second table to test on, about other images; instead of --test-fraction.")
    ] = None,
    test_fraction: Annotated[
        float | None, typer.Option(min=0.01, max=0.99, help="Share of the images to test on.", show_default="0.5")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed, which chooses the test images.")] = 0,
) -> None:
    """Make a task of your own from a table (CSV).

    Writes images, examples and a configuration, and prints the commands that train it."""
    from twelve.runs.own_task import make

    columns = {"text": text_column, "image": image_column, "target": target_column}
    made = make(
        file,
        images,
        init,
        out,
        name=name,
        kind=kind,
        columns=columns,
        test=test,
        fraction=test_fraction,
        seed=seed,
        update=update,
    )
    typer.echo(shown(str(made)))


Root = Annotated[Path, typer.Argument(help="The data root, with one folder per dataset.")]
Tasks = Annotated[list[str] | None, typer.Option("--task", metavar="TEXT", help="Only this task (repeatable).")]
Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        metavar="TASK=SOURCE",
        help="Read a task's images from images/SOURCE (repeatable); ROOT/sources.json is the default.",
    ),
]
Config = Annotated[str | None, typer.Option(help="Use the tasks and sources that this configuration defines.")]


@data_app.command(epilog="Example: twelve data check quickstart/data --task vqa")
def check(
    root: Root,
    task: Tasks = None,
    regions: Annotated[
        Path | None, typer.Option(help="A region store; images with regions need no file.", show_default="ROOT/regions")
    ] = None,
    source: Sources = None,
    config: Config = None,
    settings: Setting = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 on a warning, too.")] = False,
) -> None:
    """Report files that are missing or inconsistent.

    The exit code is 1 if a task cannot run or has errors."""
    from twelve.data.check import check_root, no_task_in
    from twelve.data.sources import opened

    data, tasks = opened(
        root, task, source, config, settings or (), more={"--regions": () if regions is None else (regions,)}
    )
    if config is None:  # which tokenizer and limits a run has is not known
        report = check_root(data, tasks, regions=regions)
    else:
        from twelve.config import load
        from twelve.data.prepare import least_images
        from twelve.runs.cut_texts import CutTexts
        from twelve.runs.early import base_recipes
        from twelve.runs.unknown_words import UnknownWords

        loaded = load(config, settings or ())
        found = CutTexts(loaded, data)
        words = UnknownWords(loaded)
        report = check_root(
            data,
            tasks,
            regions=regions,
            more=found,
            noted=words,
            blocked=found.blocked,
            least=least_images(loaded),
            recipes=base_recipes(loaded),
        )
    if not report.tasks:
        raise no_task_in(data)
    typer.echo(shown(str(report)))
    if config is not None and Path(loaded.data).resolve() != root.resolve():
        told = f"note: this checks {root}; the data root of {config} is {loaded.data}"
        typer.echo(one_line(told), err=True)
    raise typer.Exit(int(not report.ok or (strict and report.warned)))


@data_app.command(epilog="Example: twelve data clean quickstart/data --hold-out test --out exclusions")
def clean(
    root: Root,
    out: Annotated[Path, typer.Option(help="The folder to write the lists to.")],
    hold_out: Annotated[str, typer.Option(help="test or test+val.")] = "test",
    pixels: Annotated[bool, typer.Option(help="Compare pixels as well as ids.")] = True,
    source: Sources = None,
) -> None:
    """Find training images that a task is evaluated on.

    Writes them as lists for other programs."""
    from twelve.data.exclusions import check_out, find_exclusions
    from twelve.data.sources import opened

    if hold_out not in ("test", "test+val"):
        raise ConfigError(f"expected --hold-out test or test+val, found {hold_out!r}", remedy="choose one of them")
    check_out(out)
    data, _ = opened(root, sources=source)
    found = find_exclusions(data, "test" if hold_out == "test" else "test+val", pixels=pixels)
    found.write(out)
    typer.echo(shown(str(found)))
    typer.echo(shown(f"wrote the lists to {out}"))


@data_app.command(epilog="Example: twelve data stats quickstart/data")
def stats(
    root: Root, task: Tasks = None, source: Sources = None, config: Config = None, settings: Setting = None
) -> None:
    """Count examples, images, words and answers of each split."""
    from twelve.data.sources import opened
    from twelve.data.stats import root_stats

    for split in root_stats(*opened(root, task, source, config, settings or (), command="stats")):
        typer.echo(shown(str(split)))


@data_app.command(epilog="Example: twelve data vocabulary quickstart/data vqa --out answers.json")
def vocabulary(
    root: Root,
    task: Annotated[str, typer.Argument(help="A task with answers.")],
    out: Annotated[Path, typer.Option(help="The JSON list to write.")],
    min_count: Annotated[int, typer.Option(min=1, help="Minimum number of training questions with an answer.")] = 9,
    split: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="A split to count (repeatable); default: training.")
    ] = None,
) -> None:
    """Write the answer vocabulary of a task.

    Also prints how many questions it covers."""
    from twelve.data.stats import write_vocabulary

    typer.echo(shown(str(write_vocabulary(root, task, out, min_count=min_count, splits=split))))


@data_app.command("train-detector", epilog="Example: twelve data train-detector --out microworld.safetensors")
def train_detector(
    out: Annotated[Path, typer.Option(help="The weights file to write.")],
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    minutes: Annotated[float, typer.Option(min=0.1, help="Approximate training time on one core.")] = 8.0,
) -> None:
    """Train the microworld's detector."""
    from twelve.microworld.train_detector import train_detector as run

    typer.echo(shown(str(run(out, seed, minutes))))
