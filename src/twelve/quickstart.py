"""``twelve quickstart``: generate the microworld, extract regions, train on twelve tasks, evaluate, write the report.

Stages that are finished are skipped, and training that was interrupted is resumed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from twelve.config import load
from twelve.errors import ConfigError, quoted
from twelve.io import files
from twelve.progress import clock
from twelve.run_folder import RunFolder
from twelve.settings import RunConfig

if TYPE_CHECKING:
    from twelve.microworld.tally import Tally
    from twelve.microworld.world import WorldSizes

CONFIG = "quickstart.yaml"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the quickstart.

    Attributes:
        name: shown in the terminal and the report.
        done: whether the stage has been finished before.
        run: does the work.
    """

    name: str
    done: Callable[[], bool]
    run: Callable[[], object]


def quickstart(config: str | Path = CONFIG, *, settings: Sequence[str] = (), console: Console | None = None) -> Path:
    """Run all stages and return the path of the report.

    Args:
        config: a configuration with a microworld; its seed is also the seed of the world.
        settings: ``a.b=c`` changes to the configuration.

    Raises:
        TwelveError: a stage failed.
    """
    from twelve.runs.evaluate import stage_seconds

    console = console or Console(stderr=True)
    asked = load(config, settings)
    run = RunFolder(asked.run)
    _check(asked, run, config)
    for place in (run.path, Path(asked.data), asked.regions_folder):
        files.check_folder(place)
    seconds = stage_seconds(run)
    for stage in _stages(asked, run, console):
        if stage.done():
            console.print(f"[bold]{stage.name}[/bold]: already done", highlight=False)
            continue
        console.print(f"[bold]{stage.name}[/bold]", highlight=False)
        started = time.monotonic()
        stage.run()
        seconds[stage.name] = round(seconds.get(stage.name, 0.0) + time.monotonic() - started, 1)
        run.write(run.stages, seconds)
    _show(run)
    console.print(_minutes(seconds), highlight=False)
    return run.report


def _stages(asked: RunConfig, run: RunFolder, console: Console) -> list[Stage]:
    """The stages; each imports the heavy modules that it needs when it runs."""
    data = Path(asked.data)

    def made(shown: Console | None = None) -> list[Tally]:
        from twelve.microworld.make import make_microworld

        world = asked.microworld
        return make_microworld(
            data, asked.seed, _sizes(asked), shown, apart=world.apart, draw_wordings=world.draw_wordings
        )

    def draw() -> None:
        from twelve.microworld.make import summary

        console.print(summary(made(console)))

    def drawn() -> bool:
        """Whether the microworld has been generated; raises TwelveError where the data root holds another one."""
        there = data.exists() and (not data.is_dir() or any(data.iterdir()))
        if there:
            made()
        return there

    def extract() -> None:
        from twelve.regions.extraction.extract import extract_root

        extract_root(data, asked.regions_folder)

    def train() -> None:
        from twelve.runs.train import train

        train(asked, go_on=True, console=console)

    def evaluate() -> None:
        from twelve.runs.evaluate import evaluate_run

        evaluate_run(run.path, console=Console(quiet=True))

    def report() -> None:
        from twelve.report.write import write_report

        write_report(run.path)

    # The folder of a source appears when that source is complete; this file appears when all sources are.
    marked = asked.regions_folder / "complete.json"
    return [
        Stage("microworld", drawn, draw),
        Stage("regions", partial(files.is_there, marked), extract),
        Stage("training", partial(files.is_there, run.trained), train),
        Stage("measuring", partial(files.is_there, run.evaluation), evaluate),
        Stage("report", lambda: False, report),  # takes half a second, so a report is never out of date
    ]


def _sizes(asked: RunConfig) -> WorldSizes:
    from twelve.microworld.world import WorldSizes

    return WorldSizes().scaled(asked.microworld.scale)


def _check(asked: RunConfig, run: RunFolder, config: str | Path) -> None:
    """Raise ConfigError for a configuration without a microworld, and for one that differs from the existing run's."""
    if "microworld" not in asked.model_fields_set:
        raise ConfigError(
            "this configuration has no microworld",
            record="microworld",
            remedy=f"train it: twelve train {quoted(config)}",
        )
    if not files.is_there(run.config, ConfigError):
        return
    ours, there = asked.absolute(), load(run.config).absolute()
    for key in ours:
        if ours[key] != there[key] and key != "run":
            raise ConfigError(
                f"the run here was made with other settings ({key}: {_short(there[key], ours[key])})",
                file=run.config,
                remedy="name other folders (--set run=RUN --set data=DATA), or remove this run",
            )


def _short(there: object, asked: object) -> str:
    """The first difference between two values."""
    if isinstance(there, dict) and isinstance(asked, dict):
        name = next(name for name in asked if asked[name] != there.get(name))
        return f"{name}: {_short(there.get(name), asked[name])}"
    return f"{there}, now {asked}"


def _show(run: RunFolder) -> None:
    """Print the table of results of an evaluated run."""
    from twelve.evaluation.results import read_results
    from twelve.runs.results_table import show

    show(*read_results(run.evaluation), Console())


def _minutes(seconds: dict[str, float]) -> str:
    parts = ", ".join(f"{name} {clock(spent)}" for name, spent in seconds.items())
    return f"{parts}; together {clock(sum(seconds.values()))} (minutes:seconds)"
