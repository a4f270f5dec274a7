"""``twelve quickstart``: the whole way on the embedded default, from nothing to a report.

draw the microworld -> extract regions -> train one model on twelve tasks -> measure it -> report. What is already there
is not done again: a finished stage is skipped, a training run that was interrupted goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from twelve.config import load
from twelve.errors import ConfigError
from twelve.io import files
from twelve.progress import clock
from twelve.settings import RunConfig

if TYPE_CHECKING:
    from twelve.microworld.world import Sizes

CONFIG = "quickstart.yaml"


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the way.

    Attributes:
        name: for the terminal and the report.
        done: whether its result is there already.
        run: makes it.
    """

    name: str
    done: Callable[[], bool]
    run: Callable[[], object]


def quickstart(config: str | Path = CONFIG, *, settings: Sequence[str] = (), console: Console | None = None) -> Path:
    """Go all the way and return the report's path.

    Args:
        config: a configuration whose data root is (or will be) a microworld; its seed is the world's too.
        settings: ``a.b=c`` changes of it.

    Raises:
        TwelveError: whatever a stage raises.
    """
    from twelve.run_folder import STAGES
    from twelve.runs.evaluate import stage_seconds

    console = console or Console(stderr=True)
    run = load(config, settings)
    _check(run)
    folder = Path(run.run)
    for place in (folder, Path(run.data), run.regions_folder):
        files.check_folder(place)
    seconds = stage_seconds(folder)
    for stage in _stages(run, console):
        if stage.done():
            console.print(f"[bold]{stage.name}[/bold]: already there", highlight=False)
            continue
        console.print(f"[bold]{stage.name}[/bold]", highlight=False)
        started = time.monotonic()
        stage.run()
        seconds[stage.name] = round(seconds.get(stage.name, 0.0) + time.monotonic() - started, 1)
        folder.mkdir(parents=True, exist_ok=True)
        with files.replacing(folder / STAGES) as partial:
            partial.write_text(json.dumps(seconds, indent=1), encoding="utf-8")
    _show(folder)
    console.print(_minutes(seconds), highlight=False)
    return folder / "report.html"


def _stages(run: RunConfig, console: Console) -> list[Stage]:
    """Heavy modules are imported by the stage that needs them."""
    from twelve.run_folder import TRAINED

    folder, data = Path(run.run), Path(run.data)

    def draw() -> None:
        from twelve.microworld.make import make_microworld, summary

        console.print(summary(make_microworld(data, run.seed, _sizes(run), console=console)))

    def drawn() -> bool:
        """Whether the data root is there; one of another world is an error."""
        from twelve.microworld.make import make_microworld

        there = data.exists() and (not data.is_dir() or any(data.iterdir()))
        if there:
            make_microworld(data, run.seed, _sizes(run))
        return there

    def extract() -> None:
        from twelve.regions.extraction.extract import extract_root

        extract_root(data, run.regions_folder)

    def train() -> None:
        from twelve.runs.train import train

        train(run, go_on=True, console=console)

    def evaluate() -> None:
        from twelve.runs.evaluate import evaluate_run

        evaluate_run(folder, console=Console(quiet=True))

    def report() -> None:
        from twelve.report.write import write_report

        write_report(folder)

    # A source's folder appears when its file is complete, but several sources make the store: a mark says that all are.
    marked = run.regions_folder / "complete.json"
    return [
        Stage("microworld", drawn, draw),
        Stage("regions", marked.is_file, extract),
        Stage("training", (folder / TRAINED).is_file, train),
        Stage("measuring", (folder / "evaluation.json").is_file, evaluate),
        Stage("report", lambda: False, report),  # half a second: an old page never outlives what it shows
    ]


def _sizes(run: RunConfig) -> Sizes:
    from twelve.microworld.world import Sizes

    return Sizes().scaled(run.microworld.scale)


def _check(run: RunConfig) -> None:
    """A world is only drawn where one is asked for, and a run that exists is the one that is asked for.

    Raises:
        ConfigError: names what differs.
    """
    if "microworld" not in run.model_fields_set:
        raise ConfigError(
            "this configuration is not about a drawn world", record="microworld", remedy="train it: twelve train CONFIG"
        )
    file = Path(run.run) / "config.yaml"
    if not file.is_file():
        return
    asked, there = run.absolute(), load(file).absolute()
    for key in asked:
        if asked[key] != there[key] and key != "run":
            raise ConfigError(
                f"the run here was made with other settings ({key}: {_short(there[key], asked[key])})",
                file=file,
                remedy="name other folders (--set run=RUN --set data=DATA), or remove this run",
            )


def _short(there: object, asked: object) -> str:
    """What differs between two values, as far as one line allows."""
    if isinstance(there, dict) and isinstance(asked, dict):
        name = next(name for name in asked if asked[name] != there.get(name))
        return f"{name}: {_short(there.get(name), asked[name])}"
    return f"{there}, now {asked}"


def _show(folder: Path) -> None:
    """Print the table of a measured run."""
    from twelve.evaluation.results import read_results
    from twelve.runs.evaluate import show

    show(*read_results(folder / "evaluation.json"), Console())


def _minutes(seconds: dict[str, float]) -> str:
    parts = ", ".join(f"{name} {clock(spent)}" for name, spent in seconds.items())
    return f"{parts}; together {clock(sum(seconds.values()))} (minutes:seconds)"
