"""``twelve study``: controlled comparisons over many runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

study_app = typer.Typer(help="Controlled comparisons of training methods.", no_args_is_help=True, rich_markup_mode=None)


@study_app.command(
    "joint-vs-single", epilog="Example: twelve study joint-vs-single --config configs/study-microworld.yaml --seeds 3"
)
def joint_vs_single(
    config: Annotated[str, typer.Option(help="The joint run: a YAML file, or a shipped one.")],
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds; each draws its own microworld.")] = 3,
    out: Annotated[Path | None, typer.Option(help="The study's folder.")] = None,
    arms: Annotated[str | None, typer.Option(help="Comma-separated arms (docs/joint-vs-single.md).")] = None,
    factors: Annotated[str, typer.Option(help="Comma-separated learning rate factors to try.")] = "0.3,1,3",
    search: Annotated[float, typer.Option(help="Length of a search run, as a fraction of the arm's.")] = 0.25,
    longer: Annotated[float, typer.Option(help="Factor on the number of updates of single-task models.")] = 2.0,
    pretraining: Annotated[float, typer.Option(help="Pretraining iterations, as a fraction of the joint run's.")] = 1.0,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one value.")] = None,
    resume: Annotated[bool, typer.Option(help="Resume the study in its folder.")] = False,
) -> None:
    """Compare one joint model with one model per task with equal starts, data, order and search. Takes hours."""
    from twelve.config import naming
    from twelve.errors import ConfigError
    from twelve.study.arms import MAIN
    from twelve.study.joint_vs_single import run

    try:
        grid = tuple(float(factor) for factor in factors.split(","))
    except ValueError:
        problem = f"expected numbers separated by commas as --factors, found {factors!r}"
        raise ConfigError(problem, remedy="write --factors 0.3,1,3") from None
    names = arms.split(",") if arms else MAIN
    with naming(config, settings or ()):
        run(
            config, seeds=seeds, out=out, arms=names, factors=grid, search=search, longer=longer,
            pretraining=pretraining, settings=settings or (), resume=resume,
        )  # fmt: skip


@study_app.command(epilog="Example: twelve study show runs/microworld-study")
def show(study: Annotated[Path, typer.Argument(help="A study's folder.")]) -> None:
    """Show the table and plots of a study from its results, without training."""
    from twelve.study.show import show as run

    run(study)
