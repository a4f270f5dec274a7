"""The command line: one thin function per command. Heavy imports wait until a command runs."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import shlex
import sys
import traceback
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from twelve.cli import use
from twelve.cli.data import data_app
from twelve.cli.options import Setting
from twelve.cli.order import InOrder
from twelve.cli.published import published
from twelve.cli.regions import regions_app
from twelve.cli.reproduce import EXAMPLE, reproduce
from twelve.cli.study import study_app
from twelve.errors import TwelveError, one_line, shortened, shown
from twelve.printing import discard, outlasting
from twelve.stopping import Stopped, allowed
from twelve.version import __version__

app = typer.Typer(
    name="twelve",
    cls=InOrder,
    help="One vision-and-language model for twelve datasets.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},  # of every command below, too
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
DEBUG = "TWELVE_DEBUG"
"""Environment variable that prints the traceback of unexpected errors."""
app.add_typer(regions_app, name="regions")
app.add_typer(data_app, name="data")
app.add_typer(study_app, name="study")


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"twelve {__version__}")
        raise typer.Exit


@app.command(epilog="Example: twelve quickstart")
def quickstart(
    config: Annotated[str, typer.Argument(help="A configuration that uses the microworld.")] = "quickstart.yaml",
    settings: Setting = None,
) -> None:
    """Generate data, train, evaluate and report.

    Uses the default settings. Run it again after an interruption: finished steps are kept."""
    from twelve.config import naming
    from twelve.quickstart import quickstart as run

    with naming(config, settings or ()):
        typer.echo(shown(f"report: {run(config, settings=settings or ())}"))


@app.command(
    epilog="Example: twelve score vqa --truth examples/score/annotations.json "
    "--predictions examples/score/predictions.json"
)
def score(
    task: Annotated[str, typer.Argument(help="The name of a task (run twelve tasks for a list).")],
    log: Annotated[Path | None, typer.Argument(help="With --from: the log that the harness wrote.")] = None,
    truth: Annotated[
        list[Path] | None, typer.Option(metavar="PATH", help="An official annotation file (repeatable).")
    ] = None,
    predictions: Annotated[
        list[Path] | None, typer.Option(metavar="PATH", help="A result file in the official format (repeatable).")
    ] = None,
    minus: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="A second result file: print both scores, the difference and its paired 95% interval (repeatable).",
        ),
    ] = None,
    harness: Annotated[
        str | None,
        typer.Option("--from", metavar="HARNESS", help="Score a log of lmms-eval or vlmevalkit (docs/score.md)."),
    ] = None,
    boxes: Annotated[
        str | None, typer.Option(help="With --from: the unit of boxes in answers: fractions, thousandths or pixels.")
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="With --from and --truth: also write the answers as an official result file."
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="The protocol, for tasks with several (the output names the default). "
            "Retrieval: 1k, 1k-5fold, 5k, all, given. Referring expressions: google, mattnet, original. "
            "GuessWhat: success, all. Flickr30k Entities: union, any, original."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Compute a result file's official metric.

    Needs no model. docs/score.md lists the files for each task, and the logs of other programs (--from)."""
    from twelve.errors import ConfigError

    if harness is not None and minus:
        remedy = (
            "write each log as a result file (--truth FILE --save FILE), then compare --predictions FILE --minus FILE"
        )
        raise ConfigError("--minus compares result files, not logs, so it cannot be used with --from", remedy=remedy)
    if harness is not None and log is not None and not predictions:
        from twelve.harness import shown as harness_shown
        from twelve.harness.compare import compare

        logged = compare(task, harness, log, truth or (), protocol, boxes, save)
        typer.echo(harness_shown.as_json(logged) if as_json else shown(harness_shown.table(logged)))
        return
    if any(given is not None for given in (harness, log, boxes, save)):
        remedy = "twelve score TASK --from HARNESS LOG, or twelve score TASK --truth FILE --predictions FILE"
        raise ConfigError("--from and a log belong together, without --predictions", remedy=remedy)
    from twelve.score import Differences, difference, difference_table, scorable, table, warnings
    from twelve.score import as_json as to_json
    from twelve.score import score as run

    scorable(task)
    if not truth or not predictions:
        lacking = " and no ".join(
            name for name, given in (("--truth", truth), ("--predictions", predictions)) if not given
        )
        raise ConfigError(f"no {lacking}", remedy="give the official files and the predictions (docs/score.md)")
    found = difference(task, truth, predictions, minus, protocol) if minus else run(task, truth, predictions, protocol)
    for warning in warnings(found):
        print(warning, file=sys.stderr)
    text = difference_table(found) if isinstance(found, Differences) else table(found)
    typer.echo(to_json(found) if as_json else shown(text))


@app.command(epilog="Example: twelve report quickstart/run")
def report(run: Annotated[Path, typer.Argument(help="A run's folder, after twelve evaluate.")]) -> None:
    """Write a run's report.html.

    The page shows scores, curves, and correct and wrong predictions on their images."""
    from twelve.report.write import write_report

    typer.echo(shown(str(write_report(run))))


@app.command(epilog="Example: twelve train configs/quickstart.yaml --set run=quickstart/again")
def train(
    config: Annotated[str, typer.Argument(help="A YAML file, or a shipped one (see twelve configs).")],
    settings: Setting = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the run from its last checkpoint.")] = False,
    go_on: Annotated[bool, typer.Option("--continue", help="Start the run, or resume it if it exists.")] = False,
    allow_changed_data: Annotated[
        bool, typer.Option("--allow-changed-data", help="Resume even if the data have changed since the run started.")
    ] = False,
) -> None:
    """Train one model on a configuration's tasks.

    Ctrl+C or SIGTERM stops training at a checkpoint; --continue resumes it. A second Ctrl+C ends it at once."""
    from twelve.config import load, naming

    parsed = load(config, settings or ())  # before torch is imported, so that errors appear at once
    from twelve.runs.early import check

    with naming(config, settings or ()):
        if not go_on:
            check(parsed, resume=resume)
        from twelve.data.own_files import with_all_flaws
        from twelve.runs.train import train as run

        with with_all_flaws(parsed, config, settings or ()):
            run(parsed, resume=resume, go_on=go_on, allow_changed_data=allow_changed_data)


@app.command(epilog="Example: twelve evaluate quickstart/run --task refcoco --protocol refcoco=original")
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a model's folder with --set data=DATA.")],
    task: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="Only this task (repeatable).")] = None,
    split: Annotated[str | None, typer.Option(help="The split to evaluate, instead of the test split.")] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[TASK=]NAME",
            help="The protocol of a task, or of all tasks that have it (repeatable; docs/score.md).",
        ),
    ] = None,
    gallery: Annotated[
        int | None,
        typer.Option(
            min=2, help="Retrieval: rank only the first N images of the split. The metric is then called R@1 of N."
        ),
    ] = None,
    baselines: Annotated[bool, typer.Option(help="Measure the baselines.")] = True,
    submit: Annotated[
        Path | None, typer.Option(help="Write the official result file of one task; its split may be unlabelled.")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="Write the official result file of every task to this folder (docs/score.md)."),
    ] = None,
    allow_other_features: Annotated[
        bool,
        typer.Option(
            "--allow-other-features", help="Accept regions from a different extractor than the training regions."
        ),
    ] = False,
    allow_changed_data: Annotated[
        bool, typer.Option("--allow-changed-data", help="Evaluate even if the regions have changed since training.")
    ] = False,
    settings: Setting = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Evaluate a run with the official metrics.

    Prints each score beside its baselines, with 95% confidence intervals."""
    from twelve.runs.asked import asked

    # before torch is imported, so that errors appear at once
    asked(run, task, submit, settings or (), protocol or (), gallery, results)
    from rich.console import Console

    from twelve.runs.evaluate import evaluate_run

    console = Console(stderr=as_json)
    measured = evaluate_run(
        run,
        tasks=task,
        split=split,
        protocols=protocol or (),
        gallery=gallery,
        baselines=baselines,
        submit=submit,
        results_folder=results,
        settings=settings or (),
        console=console,
        allow_other_features=allow_other_features,
        allow_changed_data=allow_changed_data,
    )
    if as_json:
        from dataclasses import asdict

        typer.echo(json.dumps([asdict(result) for result in measured], indent=1))


@app.command(epilog="Example: twelve parity tests/goldens/model")
def parity(
    path: Annotated[Path, typer.Argument(help="A recording: a file, its folder, or a folder of recordings.")],
) -> None:
    """Compare with recordings of the paper's program.

    The exit code is 1 if a difference exceeds its tolerance."""
    from twelve.parity import run

    raise typer.Exit(run(path))


@app.command(epilog="Example: twelve tasks")
def tasks() -> None:
    """List tasks, outputs, tokens and test splits."""
    from rich.console import Console
    from rich.table import Table

    from twelve.tasks.base import all_tasks

    table = Table("task", "dataset", "output", "token", "test split", box=None, pad_edge=False)
    for task in sorted(all_tasks().values(), key=lambda task: task.token):
        table.add_row(
            task.name, task.title + (" (extra)" if task.extra else ""), task.output, str(task.token), task.test_split
        )
    Console().print(table)


@app.command(epilog="Example: twelve configs real-sample.yaml > mine.yaml")
def configs(name: Annotated[str | None, typer.Argument(help="The configuration to print.")] = None) -> None:
    """List the shipped configurations, or print one."""
    from twelve.config import described, find, shipped
    from twelve.io.yaml_text import read_text

    if name is not None:
        typer.echo(read_text(find(name)), nl=False)
        return
    for number, (shipped_name, path) in enumerate(shipped().items()):
        command, purpose = described(path)
        if number:
            typer.echo()
        typer.echo(f"{shipped_name}  {command}\n    {purpose}")


app.command(epilog="Example: twelve published vqa")(published)
use.register(app)
app.command(epilog=EXAMPLE)(reproduce)


UNREAD = 141
"""Exit code of a command that only prints, and whose output nobody reads to its end: that of a program in C."""
_ONLY_PRINTED = {
    *(("tasks",), ("configs",), ("published",), ("score",), ("parity",), ("predict",), ("match",), ("index",)),
    *(("data", "check"), ("data", "stats"), ("regions", "info"), ("regions", "verify"), ("regions", "parity")),
    *(("study", "list"), ("study", "show")),
}
"""Commands whose only results are those on standard output."""


def main() -> None:
    """Entry point. Prints each error as one line and exits with their code. Unexpected errors exit with code 3; set the
    environment variable TWELVE_DEBUG=1 to see their traceback."""
    if sys.getfilesystemencoding() != "utf-8":
        # In such locales, YAML, tokenizers and safetensors cannot open files with most names.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    with contextlib.suppress(AttributeError, OSError, ValueError):  # stderr is not a file
        faulthandler.enable()  # shows where the process dies if a memory-mapped file is truncated
    goes_on = _goes_on(sys.argv[1:])
    with outlasting(output=goes_on), allowed():
        _main(goes_on=goes_on)


def _goes_on(words: list[str]) -> bool:
    """Whether a command goes on when nobody reads its output any more, because it has results elsewhere."""
    if not words or words[0].startswith("-") or {"-h", "--help"} & {*words}:
        return False
    return "--draw" in words or not {tuple(words[:1]), tuple(words[:2])} & _ONLY_PRINTED


def _main(*, goes_on: bool) -> None:
    try:
        app(standalone_mode=True)
    except TwelveError as error:
        for line in getattr(error, "listed", ()):  # several bad lines of a file, or mistakes of a configuration
            print(f"twelve: {line}", file=sys.stderr)
        _fail(str(error), getattr(error, "exit_code", 2))
    except SystemExit as leaving:
        if leaving.code == 130:  # typer's exit code for an interrupt
            _fail(f"interrupted{_how_on(sys.argv[1:])}", 130)
        broken = isinstance(leaving.__context__, BrokenPipeError)  # typer and rich turn it into an exit
        if broken and goes_on:  # a pipe of its own
            _fail("system error: Broken pipe -> run it again", 2)
        if broken or not _flushed():
            _stop_talking()
        raise
    except OSError as error:
        if isinstance(error, BrokenPipeError) and not goes_on:
            _stop_talking()
        name = shortened(str(error.filename or "system error"))
        _fail(one_line(f"{name}: {error.strerror or shortened(str(error))} -> check the path and its permissions"), 2)
    except Stopped as stopped:
        if not stopped.told:  # the first process of several tells it
            raise SystemExit(stopped.exit_code) from None
        _fail(f"{stopped}; {_resuming(sys.argv[1:])}", stopped.exit_code)
    except KeyboardInterrupt:  # outside typer
        _fail(f"interrupted{_how_on(sys.argv[1:])}", 130)
    except Exception as error:
        _trace()
        if _lacks_memory(error):
            why = f" ({shortened(str(error))})" if str(error) else ""
            _fail(one_line(f"out of memory -> reduce the batch size, or use a device with more memory{why}"), 3)
        what = one_line(f"{type(error).__name__}: {str(error)[:600]}".rstrip(": "))
        if (found := _in_code_of_others(error)) is not None:
            where, remedy = found
            _fail(f"{where}: {what} -> {remedy}; {DEBUG}=1 prints the traceback", 3)
        _fail(f"{what}: this is a bug in twelve {__version__} -> report it with the traceback that {DEBUG}=1 prints", 3)


def _in_code_of_others(error: Exception) -> tuple[str, str] | None:
    """Where an error arose in a package that defines a task or in the file of a study, and what to do; None if it arose
    in neither."""
    loaded = (sys.modules.get(f"twelve.{name}") for name in ("study.studies", "tasks.base"))
    return next((found for each in loaded if each is not None and (found := each.at_fault(error)) is not None), None)


def _lacks_memory(error: Exception) -> bool:
    """Whether memory ran out: of Python, of a GPU (torch.OutOfMemoryError), or of torch on the CPU, which raises plain
    RuntimeErrors. Torch is not imported to tell."""
    return isinstance(error, MemoryError) or any(
        sign in f"{type(error).__name__}: {error}" for sign in ("OutOfMemoryError", "DefaultCPUAllocator")
    )


def _trace() -> None:
    """Print the traceback if TWELVE_DEBUG is set."""
    if os.environ.get(DEBUG, "") not in ("", "0"):
        traceback.print_exc()


def _flushed() -> bool:
    """Whether everything that was printed could be written."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return False
    return True


def _stop_talking() -> NoReturn:
    """End a command whose reader has closed the pipe (| head), without a message."""
    discard(sys.stdout.fileno())
    raise SystemExit(UNREAD) from None


def _how_on(words: list[str]) -> str:
    """How to resume an interrupted command; empty for commands that cannot be resumed."""
    if words[:1] == ["train"]:
        from twelve.cli.usage import resuming

        return f"; {resuming(words)}"
    resumable = (["regions", "extract"], ["regions", "import"], ["data", "fetch"])
    goes_on = words[:1] == ["quickstart"] or words[:2] in resumable
    return "; run it again to resume: what is finished is kept" if goes_on else ""


def _resuming(words: list[str]) -> str:
    """How to resume training that a signal has ended."""
    if int(os.environ.get("WORLD_SIZE") or 1) > 1:
        return f"to resume, run the same command{' with --continue' if '--continue' not in words else ''}"
    if words[:1] == ["train"]:
        from twelve.cli.usage import resuming

        return resuming(words)
    resume = ["--resume"] if words[:1] == ["study"] and "--resume" not in words else []
    return f"to resume: {shlex.join(['twelve', *words, *resume])}"


def _fail(message: str, code: int) -> NoReturn:
    print(f"twelve: {message}", file=sys.stderr)
    raise SystemExit(code)
