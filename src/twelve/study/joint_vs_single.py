"""``twelve study joint-vs-single``: is one model for all tasks as good as a model for each?

The protocol is docs/joint-vs-single.md; a study writes its plan into study.json before its first run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from twelve.config import load
from twelve.errors import ConfigError, DataError
from twelve.io import files
from twelve.progress import Track, clock, tell
from twelve.progress import console as progress_console
from twelve.settings import RunConfig
from twelve.study import plan as plans
from twelve.study.arms import ARMS, MAIN, chosen
from twelve.study.plan import Plan, Step

if TYPE_CHECKING:
    from rich.console import Console

PARTS = 1000
"""Units of the progress bar for a joint run."""


def run(
    config: str | Path,
    *,
    seeds: int = 3,
    out: Path | None = None,
    arms: Sequence[str] = MAIN,
    factors: Sequence[float] = (0.3, 1.0, 3.0),
    search: float = 0.25,
    longer: float = 2.0,
    pretraining: float = 1.0,
    settings: Sequence[str] = (),
    resume: bool = False,
    console: Console | None = None,
) -> Path:
    """Train and evaluate every arm, write the table and the plots, and return the study's folder.

    Args:
        config: the joint run. With a microworld, every seed draws its own world; with a data root, seeds only differ in
            their models.
        seeds: number of seeds, beginning with that of the configuration.
        out: the study's folder; by default the configuration's ``run`` with ``-study`` appended.
        arms: names in :data:`twelve.study.arms.ARMS`.
        factors, search, longer, pretraining: see :class:`twelve.study.plan.Plan`.
        resume: resume the study in ``out``.

    Raises:
        ConfigError: the folder holds a study and ``resume`` is False, or that study was begun with another plan.
        TwelveError: a run failed.
    """
    base = load(config, settings)
    plan = planned(base, seeds=seeds, arms=arms, factors=factors, search=search, longer=longer, pretraining=pretraining)
    out = Path(f"{base.run}-study") if out is None else out
    with files.alone(out):
        plan = _begun(plan, out, resume)
        _carry_out(plan, out, console or progress_console())
    from twelve.study.show import show

    show(out, console=console)
    return out


def planned(
    config: RunConfig,
    *,
    seeds: int,
    arms: Sequence[str] = MAIN,
    factors: Sequence[float] = (0.3, 1.0, 3.0),
    search: float = 0.25,
    longer: float = 2.0,
    pretraining: float = 1.0,
) -> Plan:
    """The plan of a study.

    Raises:
        ConfigError: it cannot be executed; says why.
    """
    if config.replay:
        raise ConfigError("a study trains all tasks from the beginning", record="replay", remedy="leave it out")
    if len(config.tasks) < 2:
        raise ConfigError("a study needs several tasks, found one", record="tasks", remedy="name several")
    names = chosen(arms)
    worlds = "microworld" in config.model_fields_set
    own = {"run", "data", "regions"} if worlds else {"run"}
    try:
        return Plan(
            arms=names,
            seeds=tuple(range(config.seed, config.seed + seeds)),
            worlds=worlds,
            factors=tuple(factors),
            search=search,
            longer=longer,
            pretraining=pretraining,
            config=config.absolute() | config.model_dump(mode="json", include=own),
        )
    except ValidationError as error:
        remedy = "seeds 1 or more, factors above 0 and distinct, search in 0..1, longer 1 or more, pretraining over 0"
        name = str(error.errors()[0]["loc"][0])
        raise ConfigError("expected a value in its range", record=name, remedy=f"give {remedy}") from None


def _begun(plan: Plan, out: Path, resume: bool) -> Plan:
    from twelve.training.provenance import machine

    exists = files.is_there(out / plans.FILE, DataError)
    if not exists and not resume and any(not path.name.startswith(".") for path in out.iterdir()):
        raise ConfigError("this folder holds other files", file=out, remedy="name an empty or a new one: --out")
    if exists and not resume:
        raise ConfigError("this folder already holds a study", file=out, remedy="add --resume, or name another: --out")
    if resume and not exists:
        raise ConfigError("there is no study to resume", file=out, remedy="leave out --resume")
    plans.check_links(out)
    if resume:
        plan = plans.agree(plan, plans.read(out), out)
    plans.write(plan, out, machine())
    return plan


def _carry_out(plan: Plan, out: Path, console: Console) -> None:
    """Execute the remaining steps, and print the remaining time."""
    from transformers.utils.logging import disable_progress_bar

    from twelve.study.execution import Seed

    disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers shows one for every file it writes
    places = {number: Seed(plan, out, number) for number in plan.seeds}
    left = [step for step in plan.steps() if not places[step.seed].done(step)]
    _announce(plan, left, console)
    pace = _Pace(left)
    # In a log, the lines below are more useful than those of the bar.
    with Track("study", max(1, sum(map(_parts, left))), shown=progress_console().is_terminal) as track:
        for number, step in enumerate(left):
            if not number or left[number - 1].seed != step.seed:
                seed = Seed(plan, out, step.seed)  # frees the memory of the previous seed
                pace.readied(_timed(seed.ready))
            took = _timed(partial(seed.take, step))
            said = f"{number + 1}/{len(left)} {step}: {clock(took)}; {pace.taken(took)}"
            tell(said, console)
            track.advance(_parts(step), note=str(step))


class _Pace:
    """Estimates the remaining time of a study.

    Args:
        left: its remaining steps, in order.
    """

    def __init__(self, left: Sequence[Step]) -> None:
        self.units = [step.units for step in left]
        self.seeds = len({step.seed for step in left})
        self.done, self.ready, self.seconds, self.readying = 0, 0, 0.0, 0.0

    def readied(self, seconds: float) -> None:
        """Take the time in which the data and the initial model of a seed were made."""
        self.ready, self.readying = self.ready + 1, self.readying + seconds

    def taken(self, seconds: float) -> str:
        """Take the time of another step; returns the remaining and the total time, as text."""
        self.done, self.seconds = self.done + 1, self.seconds + seconds
        rest = sum(self.units[self.done :]) * self.seconds / sum(self.units[: self.done])
        rest += (self.seeds - self.ready) * self.readying / max(1, self.ready)
        return f"about {clock(rest)} left of {clock(rest + self.seconds + self.readying)}"


def _timed(do: Callable[[], object]) -> float:
    started = time.monotonic()
    do()
    return time.monotonic() - started


def _parts(step: Step) -> int:
    return max(1, round(PARTS * step.units))


def _announce(plan: Plan, left: Sequence[Step], console: Console) -> None:
    lines = [f"{name}: {ARMS[name].meaning}" for name in plan.arms]
    lines.append(
        f"{len(plan.seeds)} seeds, each {'a world and its models' if plan.worlds else 'models on the same data'}; "
        f"{len(left)} of {len(plan.steps())} steps are left, as long as {sum(step.units for step in left):.1f} joint "
        "runs; the first step will show how long that is"
    )
    for line in lines:
        tell(line, console)
