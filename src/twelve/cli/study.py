"""``twelve study``: controlled comparisons over many runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

study_app = typer.Typer(
    help="Controlled comparisons of ways to train: a study trains its arms on several seeds and compares them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
STUDIES = Path(__file__).parents[1] / "study" / "studies"
CONFIGURATIONS = {"real-photographs": "study-real-photographs.yaml"}
"""Study -> the configuration of its example, where that is not the microworld's."""

Config = Annotated[str, typer.Option(help="Configuration of the joint run: a YAML file, or a shipped one.")]
Seeds = Annotated[int, typer.Option(min=1, help="Number of seeds; with a microworld, each draws its own.")]
Out = Annotated[Path | None, typer.Option(help="Folder of the study.")]
Arms = Annotated[str | None, typer.Option(help="Comma-separated arms; the arms that they need run too.")]
Only = Annotated[
    str | None,
    typer.Option(help="Comma-separated ARM or ARM/TASK: take only these steps; other processes can take the rest."),
]
Option = Annotated[
    list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="An option of the study (docs/studies.md).")
]
Minutes = Annotated[
    float | None,
    typer.Option("--parts", metavar="MINUTES", help="End at the first checkpoint after this many minutes."),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one value of the configuration.")
]
Resume = Annotated[bool, typer.Option(help="Resume the study in its folder.")]


@study_app.command(epilog="Example: twelve study run my_study.py --config configs/study-microworld.yaml --seeds 3")
def run(
    study: Annotated[str, typer.Argument(help="A study's name, or a Python file with a study (docs/studies.md).")],
    config: Config,
    seeds: Seeds = 3,
    out: Out = None,
    arms: Arms = None,
    only: Only = None,
    option: Option = None,
    settings: Settings = None,
    parts: Minutes = None,
    resume: Resume = False,
) -> None:
    """Train and evaluate every arm of a study, and compare them. Takes hours."""
    from twelve.config import naming
    from twelve.study.engine import run as carry_out

    with naming(config, settings or ()):
        carry_out(
            study, config, seeds=seeds, out=out, arms=_names(arms), only=_names(only), options=_options(option or ()),
            settings=settings or (), minutes=parts, resume=resume,
        )  # fmt: skip


def _add(name: str) -> None:
    """``twelve study NAME`` is ``twelve study run NAME``."""
    config = CONFIGURATIONS.get(name, "study-microworld.yaml")

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
    ) -> None:
        run(name, config, seeds, out, arms, only, option, settings, parts, resume)

    study_app.command(
        name,
        help=f"Run the study {name}; twelve study list shows its question. Takes hours.",
        epilog=f"Example: twelve study {name} --config configs/{config} --seeds 3",
    )(command)


for _name in sorted(path.stem for path in STUDIES.glob("*.py")):
    if _name not in ("__init__", "base"):
        _add(_name.replace("_", "-"))


@study_app.command("list", epilog="Example: twelve study list")
def list_() -> None:
    """List the studies: what each asks, its options and their defaults."""
    from twelve.study.studies import STUDIES

    for name, study in STUDIES.items():
        options = ", ".join(f"{key}={field.default!r}" for key, field in study.model_fields.items())
        typer.echo(f"{name}: {study.question}" + (f" Options: {options}" if options else ""))


@study_app.command(epilog="Example: twelve study show runs/microworld-joint-vs-single")
def show(study: Annotated[Path, typer.Argument(help="Folder of a study.")]) -> None:
    """Show the table and plots of a study, made from its results without training."""
    from twelve.study.show import show as run

    run(study)


@study_app.command(epilog="Example: twelve study report runs/microworld-joint-vs-single --out study.html")
def report(
    studies: Annotated[list[Path], typer.Argument(metavar="STUDY...", help="Folders of studies.")],
    out: Annotated[Path, typer.Option(help="The HTML page; its plots are written beside it as SVG and PDF.")],
) -> None:
    """Write one self-contained page about several studies, beside the paper's numbers."""
    from twelve.study.report.page import write_study_report

    for file in write_study_report(studies, out):
        typer.echo(file)


Into = Annotated[
    Path | None, typer.Option(help="Folder for the table and all numbers; by default, the table is only printed.")
]


@study_app.command(epilog="Example: twelve study grouping --lattice runs/study-groups --affinity runs/study-affinity")
def grouping(
    lattice: Annotated[Path, typer.Option(help="Folder of the study groups.")],
    affinity: Annotated[Path, typer.Option(help="Folder of the study affinity.")],
    out: Into = None,
) -> None:
    """Compare the gains that affinities predict for groups with the measured gains, without training."""
    from twelve.study.grouping import show as run

    run(lattice, affinity, out)


@study_app.command(epilog="Example: twelve study errors --source runs/study-joint-vs-single --arms joint,single")
def errors(
    source: Annotated[Path, typer.Option(help="Folder of a study.")],
    arms: Annotated[
        str | None, typer.Option(help="Two comma-separated arms; by default, those of the main contrast.")
    ] = None,
    out: Into = None,
    similarity: Annotated[
        bool, typer.Option(help="Compare the models' hidden states too; needs the models and the data.")
    ] = False,
) -> None:
    """Compare two arms by kind of example, without training."""
    from twelve.study.errors import show as run

    run(source, _names(arms), out, similarity=similarity)


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in text.split(",")] if text else []


def _options(texts: list[str] | tuple[()]) -> dict[str, Any]:
    """``NAME=VALUE``, the values YAML."""
    from twelve.errors import ConfigError
    from twelve.io.yaml_text import read_yaml

    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigError(f"cannot read option {text!r}", remedy="write --option NAME=VALUE")
        found[name] = read_yaml(value, f"--option {text}")
    return found
