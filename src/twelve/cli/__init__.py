"""The command line: one thin function a command. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from twelve.cli import use
from twelve.cli.data import data_app
from twelve.cli.regions import regions_app
from twelve.cli.study import study_app
from twelve.errors import TwelveError, one_line, shortened, shown
from twelve.version import __version__

app = typer.Typer(
    name="twelve",
    help="One vision-and-language model for twelve datasets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
DEBUG = "TWELVE_DEBUG"
"""Environment variable: a flaw of this program shows its traceback."""
app.add_typer(regions_app, name="regions")
app.add_typer(data_app, name="data")
app.add_typer(study_app, name="study")

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
        typer.echo(shown(f"report: {run(config, settings=settings or ())}"))


@app.command(
    epilog="Example: twelve score nlvr2 --truth dev.json --truth balanced_dev.json --predictions predictions.csv"
)
def score(
    task: Annotated[str, typer.Argument(help="A task's name, as listed by the command: twelve tasks")],
    truth: Annotated[list[Path], typer.Option(help="An official file (may be given several times).")],
    predictions: Annotated[
        list[Path], typer.Option(help="The result file in the official format (may be given several times).")
    ],
    protocol: Annotated[
        str | None,
        typer.Option(
            help="Where numbers are published in several ways, which (else the usual one, which the output names). "
            "Retrieval: 1k, 1k-5fold, 5k, all. Referring expressions: google, mattnet, original. GuessWhat: success, "
            "all. Flickr30k Entities: union, any, original."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """The official metric of anybody's predictions, without a model. docs/score.md says which files each task reads."""
    from twelve.score import as_json as to_json
    from twelve.score import score as run
    from twelve.score import table

    scores = run(task, truth, predictions, protocol)
    typer.echo(to_json(scores) if as_json else shown(table(scores)))


@app.command(epilog="Example: twelve report runs/real-sample")
def report(run: Annotated[Path, typer.Argument(help="A run's folder, measured by twelve evaluate.")]) -> None:
    """Write report.html: the table, the curves, right and wrong predictions on their images."""
    from twelve.report.write import write_report

    typer.echo(shown(str(write_report(run))))


@app.command(epilog="Example: twelve train configs/real-sample.yaml --set run=runs/first")
def train(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped one (twelve configs).")],
    settings: Setting = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run where its last checkpoint stands.")
    ] = False,
    go_on: Annotated[
        bool,
        typer.Option("--continue", help="Begin, or go on if the run has begun: the same command however often."),
    ] = False,
    allow_changed_data: Annotated[
        bool, typer.Option("--allow-changed-data", help="Go on though the run was begun with other data.")
    ] = False,
) -> None:
    """Train one model on the tasks of a configuration."""
    from twelve.config import load, naming

    parsed = load(config, settings or ())  # before torch is imported, which takes longer than to say what is misspelt
    from twelve.runs.train import train as run

    with naming(config, settings or ()):
        run(parsed, resume=resume, go_on=go_on, allow_changed_data=allow_changed_data)


@app.command(epilog="Example: twelve evaluate runs/real-sample")
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    task: Annotated[list[str] | None, typer.Option(help="Only this task (may be given several times).")] = None,
    split: Annotated[str | None, typer.Option(help="Another split than the reported one.")] = None,
    full: Annotated[bool, typer.Option(help="The complete protocol: retrieval ranks the whole gallery.")] = False,
    baselines: Annotated[bool, typer.Option(help="Measure the baselines as well.")] = True,
    submit: Annotated[
        Path | None,
        typer.Option(help="Write the official file of results of one task here; the split may lack labels."),
    ] = None,
    allow_other_features: Annotated[
        bool, typer.Option("--allow-other-features", help="Take regions of another extractor than the model's.")
    ] = False,
    settings: Setting = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Measure a trained model with the official metrics, and the baselines it must beat."""
    from twelve.runs.asked import asked

    asked(run, task, submit, settings or ())  # before torch is imported
    from rich.console import Console

    from twelve.runs.evaluate import evaluate_run

    console = Console(stderr=as_json)
    results = evaluate_run(
        run,
        tasks=task,
        split=split,
        full=full,
        baselines=baselines,
        submit=submit,
        settings=settings or (),
        console=console,
        allow_other_features=allow_other_features,
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


@app.command(epilog="Example: twelve tasks")
def tasks() -> None:
    """List the tasks, their outputs, tokens and reported splits."""
    from rich.console import Console
    from rich.table import Table

    from twelve.tasks.base import all_tasks

    table = Table("task", "dataset", "output", "token", "reported split", box=None, pad_edge=False)
    for task in sorted(all_tasks().values(), key=lambda task: task.token):
        table.add_row(
            task.name, task.title + (" (extra)" if task.extra else ""), task.output, str(task.token), task.test_split
        )
    Console().print(table)


@app.command(epilog="Example: twelve configs real-sample.yaml > mine.yaml")
def configs(name: Annotated[str | None, typer.Argument(help="Print this one.")] = None) -> None:
    """List the configurations that come with the package, or print one."""
    from twelve.config import find, shipped
    from twelve.io.yaml_text import read_text

    if name is not None:
        typer.echo(read_text(find(name)), nl=False)
        return
    for shipped_name, path in shipped().items():
        first = path.read_text(encoding="utf-8").splitlines()[0]
        typer.echo(f"{shipped_name}  {first.lstrip('# ')}")


use.register(app)
app.command(epilog="Example: twelve convert multi_task_model.bin released --labels answer=trainval_label2ans.pkl")(
    use.convert
)


def main() -> None:
    """Entry point: prints a person's mistake as one line and exits with its code, without a traceback; a flaw of this
    program too (code 3), of which the environment variable TWELVE_DEBUG=1 shows the traceback."""
    if sys.getfilesystemencoding() != "utf-8":
        # A locale without most letters: YAML, tokenizers and safetensors could not be told a file's name in it.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    with contextlib.suppress(AttributeError, OSError, ValueError):  # an error output that is no file
        faulthandler.enable()  # a file that is cut while it is read ends a process; it says at least where
    try:
        app(standalone_mode=True)
    except TwelveError as error:
        _fail(str(error), getattr(error, "exit_code", 2))
    except SystemExit as leaving:
        if leaving.code == 130:  # typer's own answer to an interrupt
            _fail(f"interrupted{_how_on(sys.argv[1:])}", 130)
        if not isinstance(leaving.__context__, BrokenPipeError):  # which typer turns into an exit
            raise
        _stop_talking()
    except BrokenPipeError:
        _stop_talking()
    except OSError as error:
        name = shortened(str(error.filename or "the system refused something"))
        _fail(
            one_line(f"{name}: {error.strerror or shortened(str(error))} -> check this path, and your rights to it"), 2
        )
    except KeyboardInterrupt:  # beyond typer's reach
        _fail(f"interrupted{_how_on(sys.argv[1:])}", 130)
    except MemoryError as error:
        _trace()
        _fail(one_line(f"out of memory -> ask for less at once, or use a larger machine {error}"), 3)
    except Exception as error:
        _trace()
        what = one_line(f"{type(error).__name__}: {str(error)[:600]}".rstrip(": "))
        _fail(f"{what}: this is a flaw in twelve {__version__} -> report it with what {DEBUG}=1 shows", 3)


def _trace() -> None:
    """The traceback, where somebody looks for a flaw."""
    if os.environ.get(DEBUG, "") not in ("", "0"):
        traceback.print_exc()


def _stop_talking() -> None:
    """The reader of our output has gone (| head): nothing is wrong, and nothing more can be said."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _how_on(words: list[str]) -> str:
    """How an interrupted command goes on where it stopped; nothing for those that keep nothing."""
    if words[:1] == ["train"]:
        return "; with --continue it goes on from its last checkpoint, if it has written one"
    goes_on = words[:1] == ["quickstart"] or words[:2] in (["regions", "extract"], ["regions", "import"])
    return "; given again, it goes on where it stopped" if goes_on else ""


def _fail(message: str, code: int) -> None:
    print(f"twelve: {message}", file=sys.stderr)
    raise SystemExit(code)
