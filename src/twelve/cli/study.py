"""``twelve study``: controlled comparisons over many runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from twelve.errors import ConfigError

study_app = typer.Typer(
    help="Compare ways to train.\n\nA study trains its arms on several seeds and compares them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
STUDIES = Path(__file__).parents[1] / "study" / "studies"
CONFIGURATIONS = {"real-photographs": "study-real-photographs.yaml"}
"""Study -> the configuration of its example, where that is not the microworld's."""

Config = Annotated[str, typer.Option(help="Configuration of the joint run: a YAML file, or a shipped one.")]
Seeds = Annotated[
    int, typer.Option(min=1, help="Number of seeds; with a microworld, each seed generates its own data.")
]
Out = Annotated[Path | None, typer.Option(help="The folder of the study.")]
Arms = Annotated[str | None, typer.Option(help="Comma-separated arms to run; arms that they depend on run too.")]
Only = Annotated[
    str | None,
    typer.Option(help="Comma-separated ARM or ARM/TASK: run only these steps; other processes can run the rest."),
]
Option = Annotated[
    list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="An option of the study (twelve study list).")
]
Minutes = Annotated[
    float | None,
    typer.Option("--parts", metavar="MINUTES", help="End at the first checkpoint after this many minutes."),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one value of the configuration.")
]
Resume = Annotated[bool, typer.Option(help="Resume the study in its folder; seeds and arms can be added.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print arms, contrasts, seeds and the number of runs; write nothing.")
]
WorldsOf = Annotated[
    Path | None,
    typer.Option(
        metavar="STUDY", help="Folder of another study, whose worlds are reused; they must match the configuration."
    ),
]


@study_app.command(epilog="Example: twelve study run my_study.py --config configs/study-microworld.yaml --seeds 3")
def run(
    study: Annotated[
        str, typer.Argument(help="The name of a study, or a Python file that defines one (docs/studies.md).")
    ],
    config: Config,
    seeds: Seeds = 3,
    out: Out = None,
    arms: Arms = None,
    only: Only = None,
    option: Option = None,
    settings: Settings = None,
    parts: Minutes = None,
    resume: Resume = False,
    worlds_of: WorldsOf = None,
    dry_run: DryRun = False,
) -> None:
    """Run a study from a file, or by name.

    Trains and evaluates every arm on several seeds, and compares them. Takes hours."""
    from twelve.config import naming
    from twelve.study.engine import run as carry_out

    options = _options(option or ())
    with naming(config, settings or ()), _named_by_option(study, options):
        carry_out(
            study, config, seeds=seeds, out=out, arms=_names(arms), only=_names(only), options=options,
            settings=settings or (), minutes=parts, resume=resume, worlds_of=worlds_of, dry_run=dry_run,
        )  # fmt: skip


@contextmanager
def _named_by_option(study: str, options: Mapping[str, object]) -> Iterator[None]:
    """Errors from within about what the command line names are not put down to the configuration."""
    try:
        yield
    except ConfigError as error:
        record = str(error.record or "").partition(".")[0]
        places = {"study": study, "arms": "--arms", "only": "--only", **{name: f"--option {name}" for name in options}}
        if error.file is not None or record not in places:
            raise
        raise ConfigError(error.problem, file=places[record], remedy=error.remedy) from None


def _add(module: Path) -> None:
    """``twelve study NAME`` is ``twelve study run NAME``. Its summary is the first sentence of its file, which is not
    imported for it: that would take long."""
    name = module.stem.replace("_", "-")
    config = CONFIGURATIONS.get(name, "study-microworld.yaml")
    with module.open(encoding="utf-8") as stream:
        summary, stop, _ = stream.readline().strip('"\n').partition(". ")

    def command(
        config: Config,
        seeds: Seeds = 3,
        out: Out = None,
        arms: Arms = None,
        only: Only = None,
        option: Option = None,
        settings: Settings = None,
        parts: Minutes = None,
        resume: Resume = False,
        worlds_of: WorldsOf = None,
        dry_run: DryRun = False,
    ) -> None:
        run(name, config, seeds, out, arms, only, option, settings, parts, resume, worlds_of, dry_run)

    study_app.command(
        name,
        help=f"{summary}{stop}\n\nTrains and evaluates every arm on several seeds. Takes hours.",
        epilog=f"Example: twelve study {name} --config configs/{config} --seeds 3",
    )(command)


for _module in sorted(STUDIES.glob("*.py")):
    if _module.stem not in ("__init__", "base"):
        _add(_module)


@study_app.command("list", epilog="Example: twelve study list")
def list_() -> None:
    """List the studies, their questions and options.

    Each option is shown with its default and its meaning."""
    from shutil import get_terminal_size

    from twelve.study.listing import listing

    typer.echo(listing(get_terminal_size().columns))


Code = Annotated[list[Path] | None, typer.Option(help="The Python file of a study of your own (repeatable).")]


def _know(code: list[Path] | None) -> None:
    """Import the files of own studies."""
    from twelve.study.studies import get_study

    for file in code or ():
        get_study(str(file), {})


@study_app.command(epilog="Example: twelve study show benchmarks/results/study-microworld")
def show(
    study: Annotated[Path, typer.Argument(help="The folder of a study.")],
    code: Code = None,
    tables: Annotated[bool, typer.Option("--tables", help="Print all tables, as Markdown.")] = False,
    tables_to: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write each table to a CSV and a LaTeX file in this folder."),
    ] = None,
) -> None:
    """Print what a study found, without training.

    Writes its tables to results.md and results.json and, if matplotlib is installed, its plots, unless they are there
    already."""
    from twelve.study.show import show as run

    _know(code)
    run(study, tables=tables, tables_to=tables_to)


@study_app.command(epilog="Example: twelve study report benchmarks/results/study-microworld --out study.html")
def report(
    studies: Annotated[list[Path], typer.Argument(metavar="STUDY...", help="Folders of studies.")],
    out: Annotated[Path, typer.Option(help="The HTML page; its plots are written beside it as SVG and PDF.")],
    code: Code = None,
) -> None:
    """Write one HTML page about several studies.

    The page is self-contained and shows the paper's numbers beside the measured ones."""
    from twelve.study.report.page import write_study_report

    _know(code)
    for file in write_study_report(studies, out):
        typer.echo(file)


Into = Annotated[
    Path | None, typer.Option(help="A folder for the table and all numbers; by default, the table is only printed.")
]


@study_app.command(
    epilog="Example: twelve study grouping --lattice benchmarks/results/study-four-tasks-groups "
    "--affinity benchmarks/results/study-four-tasks-affinity"
)
def grouping(
    lattice: Annotated[Path, typer.Option(help="The folder of a study of the kind groups.")],
    affinity: Annotated[Path, typer.Option(help="The folder of a study of the kind affinity.")],
    out: Into = None,
) -> None:
    """Compare predicted and measured gains of groups.

    Needs no training: it reads the results of the studies groups and affinity, and compares affinities with gains."""
    from twelve.study.grouping import show as run

    run(lattice, affinity, out)


@study_app.command(
    epilog="Example: twelve study errors --source benchmarks/results/study-four-tasks-joint-vs-single "
    "--arms stop-and-go,single-trunk"
)
def errors(
    source: Annotated[Path, typer.Option(help="The folder of a study.")],
    arms: Annotated[
        str | None, typer.Option(help="Two comma-separated arms; by default, those of the main contrast.")
    ] = None,
    out: Into = None,
    similarity: Annotated[
        bool, typer.Option(help="Compare the hidden states of the models too; needs the models and the data.")
    ] = False,
) -> None:
    """Compare the errors of two arms, by kind of example.

    Needs no training."""
    from twelve.study.errors import show as run

    run(source, _names(arms), out, similarity=similarity)


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in text.split(",")] if text else []


def _options(texts: list[str] | tuple[()]) -> dict[str, Any]:
    """``NAME=VALUE``, the values YAML."""
    from twelve.io.yaml_text import read_yaml

    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigError(f"cannot read option {text!r}", remedy="write --option NAME=VALUE")
        found[name] = read_yaml(value, f"--option {text}")
    return found
