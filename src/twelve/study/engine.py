"""Runs a study: plans it, executes the plan step by step, and shows what it found.

Several processes may run one study in one folder: each takes steps that no other one has, and whose arms have run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from twelve.config import find, load
from twelve.data.files_there import check_annotations
from twelve.errors import ConfigError, DataError, check_all, found_in, located_problem, nearest, shown
from twelve.io import files
from twelve.io.invalid import problem_of
from twelve.progress import clock, counted, tell
from twelve.progress import console as progress_console
from twelve.runs.early import check_schedule
from twelve.settings import RunConfig
from twelve.study import plan as plans
from twelve.study.arms import Arm, Contrast, Length, Rates
from twelve.study.base_model import known_tasks, told
from twelve.study.identical import same_configurations
from twelve.study.losses import check_losses, meaning
from twelve.study.overrides import check_architecture, check_keys, check_overrides
from twelve.study.plan import Plan, Step
from twelve.study.remaining import Remaining
from twelve.study.results import is_done
from twelve.study.studies import Study, get_study, line_of
from twelve.study.studies.base import Subjects
from twelve.study.turns import next_step

if TYPE_CHECKING:
    from rich.console import Console

    from twelve.study.execution import Seed

WORLD = ("data", "regions", "world.json")
"""What a seed's folder has before its first model."""
WAIT = 5.0
"""Seconds after which a process that waits for another one looks again."""


def run(
    study: str,
    config: str | Path,
    *,
    seeds: int = 3,
    out: Path | None = None,
    arms: Sequence[str] = (),
    only: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    settings: Sequence[str] = (),
    minutes: float | None = None,
    resume: bool = False,
    worlds_of: Path | None = None,
    dry_run: bool = False,
    console: Console | None = None,
) -> Path:
    """Train and evaluate every arm of a study, write its table and plots, and return its folder.

    Args:
        study: its name, or a Python file that registers it.
        config: the joint run. With a microworld, every seed draws its own world; with a data root, seeds only differ in
            their models.
        seeds: number of seeds, beginning with that of the configuration (``Study.first_seed`` after it).
        out: the study's folder; by default the configuration's ``run`` with the study's name appended, without words
            twice: ``runs/real`` and ``real-photographs`` give ``runs/real-photographs``.
        arms: names of arms to run, with those that they need; all but the extra ones by default.
        only: arms, or ``ARM/TASK``, whose steps this process takes; all by default.
        options: of the study.
        settings: ``KEY=VALUE`` changes of the configuration.
        minutes: end cleanly after so many, at the next checkpoint; ``resume`` goes on.
        resume: resume the study in ``out``; more seeds and further arms are added to it.
        worlds_of: the folder of another study, whose worlds are taken and not generated again.
        dry_run: print the plan with its contrasts, and neither write nor train anything.

    Raises:
        ConfigError: the folder holds a study with a model or results and ``resume`` is False, or that study was begun
            with another plan; ``worlds_of`` cannot give its worlds.
        DataError: the data root does not exist, or lacks files.
        TwelveError: a run failed.
    """
    base, console, asked = load(config, settings), console or progress_console(), get_study(study, options or {})
    plan = planned(asked, base, seeds=seeds, arms=arms)
    out = _folder(base.run, plan.study) if out is None else out
    if worlds_of is not None:
        _check_worlds_of(worlds_of, plan, out)
    if dry_run:
        from twelve.study.dry_run import overview

        plan = resumed(plan, out, asked.file) if resume else plan
        print(shown(overview(plan, _chosen(plan, only), out, find(config), worlds_of, resume=resume)))
        if not plan.worlds:
            check_annotations(base)
        return out
    plan = begun(plan, out, resume, asked.file)
    from twelve.study.execution import Seed
    from twelve.study.show import show

    ends = None if minutes is None else time.monotonic() + 60 * minutes
    over = partial(_over, ends)
    places = {number: Seed(plan, out, number, over, worlds_of) for number in plan.seeds}
    left = _carry_out(plan, out, places, _chosen(plan, only), over, console)
    if left:
        tell(f"{counted(left, 'step')} left; to go on, repeat the command with --resume", console)
    elif all(places[step.seed].done(step) for step in plan.steps()):
        with files.alone(out, wait=True):
            show(out, console=console)
    return out


def _folder(run: str | Path, study: str) -> Path:
    """The study's name appended to the run's folder; a first word that the folder ends with is not repeated."""
    run = Path(run)
    return run.with_name(study) if study.startswith(f"{run.name}-") else Path(f"{run}-{study}")


def _check_worlds_of(study: Path, plan: Plan, out: Path) -> None:
    """Raises ConfigError where a study cannot give its worlds to another one."""
    if not plan.worlds:
        problem = "this study generates no worlds: all its seeds have the data of its configuration"
        remedy = "leave it out"
    elif study.resolve() == out.resolve():
        problem, remedy = "this is the folder of the study itself", "name that of another study, or leave it out"
    elif not files.is_there(study / plans.FILE, DataError):
        problem, remedy = "no study here", "name the folder that a study was run in"
    else:
        return
    raise ConfigError(problem, file=study, record="worlds-of", remedy=remedy)


def _over(ends: float | None) -> bool:
    return ends is not None and time.monotonic() >= ends


def planned(study: Study, config: RunConfig, *, seeds: int, arms: Sequence[str] = ()) -> Plan:
    """The plan of a study.

    Args:
        arms: as of :func:`run`.

    Raises:
        ConfigError: it cannot be executed; says why.
    """
    if config.replay:
        raise ConfigError("a study trains all tasks from the beginning", record="replay", remedy="leave it out")
    if len(config.tasks) < 2:
        raise ConfigError("a study needs several tasks, found one", record="tasks", remedy="name several")
    if seeds < 1:
        raise ConfigError(f"expected 1 or more, found {seeds}", record="seeds", remedy="give --seeds 1 or more")
    check_schedule(config)
    check_architecture(config)
    subjects = Subjects(config)
    worlds = "microworld" in config.model_fields_set
    own = {"run", "data", "regions"} if worlds else {"run"}
    first = config.seed + study.first_seed
    try:
        with nullcontext() if study.file is None else found_in(study.file):
            defined, contrasts = study.arms(subjects), study.contrasts(subjects)
        with found_in(_place(study)):
            _check_kind("arms", defined, Arm)
            _check_kind("contrasts", contrasts, Contrast)
            check_all(partial(check_keys, arm) for arm in defined)
            _check_contrasts(contrasts, defined)
        wanted = _wanted(defined, arms)
        names = {arm.name for arm in wanted}
        plan = Plan(
            study=study.name,
            options=study.model_dump(mode="json"),
            question=study.question,
            claim=study.claim,
            arms=wanted,
            contrasts=tuple(each for each in contrasts if names.issuperset(each.arms)),
            seeds=tuple(range(first, first + seeds)),
            worlds=worlds,
            config=config.absolute() | config.model_dump(mode="json", include=own),
            known=known_tasks(config),
            code=None if study.file is None else plans.code_of(study.file),
        )
    except ValidationError as error:
        raise _refused(study, error) from None
    with found_in(_place(study)):
        check_all(
            partial(check, arm)
            for arm in plan.arms
            for check in (partial(check_overrides, config), check_losses, _check_probes)
        )
    return plan


_FIELDS = {each.__name__: tuple(each.model_fields) for each in (Arm, Contrast, Length, Rates)}
"""Name of a part of a plan -> its fields."""


def _refused(study: Study, error: ValidationError) -> ConfigError:
    """What is wrong with an arm, a contrast or the plan. An unknown field explains a missing one, so it comes first."""
    found = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    place = ".".join(map(str, found["loc"]))
    problem = f"{error.title}: {located_problem(place, problem_of(found))}" if place else problem_of(found)
    if found["type"] == "extra_forbidden":
        problem += nearest(place, _FIELDS.get(error.title, ()))
    line = None if study.file is None else line_of(error, study.file)
    return ConfigError(
        f"the study {study.name} has an invalid plan: {problem}",
        file=study.file,
        record=f"line {line}" if line else "study",
        remedy="mend its arms and contrasts (docs/studies.md)",
    )


def _place(study: Study) -> str:
    """What errors about arms and contrasts name: the file of a study of a person's own, or the study."""
    return f"the study {study.name}" if study.file is None else str(study.file)


def _check_kind(method: str, found: object, kind: type) -> None:
    """Raises ConfigError unless a method of a study returned a sequence of arms or contrasts."""
    if not isinstance(found, Sequence) or not all(isinstance(each, kind) for each in found):
        problem = f"expected a list of {kind.__name__} from {method}(), found {found!r:.80}"
        raise ConfigError(problem, record=method, remedy="see docs/studies.md")


def _check_contrasts(contrasts: Sequence[Contrast], arms: Sequence[Arm]) -> None:
    """Raises ConfigError for an arm of a contrast that the study does not define, whether it is asked for or not, and
    for a task that the arm does not train."""
    known = {arm.name: arm for arm in arms}

    def check(contrast: Contrast) -> None:
        if unknown := [f"{name!r}{nearest(name, known)}" for name in contrast.arms if name not in known]:
            problem = f"the contrast {contrast.name} has an unknown arm {' and '.join(unknown)}"
            raise ConfigError(problem, record="contrasts", remedy=f"name arms of {', '.join(known)}")
        for name in contrast.arms:
            tasks = known[name].tasks
            for task in contrast.tasks:
                if task not in tasks:
                    problem = f"the contrast {contrast.name} has the task {task!r}, which its arm {name} does not train"
                    remedy = f"name tasks of {', '.join(tasks)}"
                    raise ConfigError(f"{problem}{nearest(task, tasks)}", record="contrasts", remedy=remedy)

    check_all(partial(check, each) for each in contrasts)


def _wanted(arms: Sequence[Arm], names: Sequence[str]) -> tuple[Arm, ...]:
    """The first arm, those that are named (or all but the extra ones), and those that they need."""
    known = {arm.name: arm for arm in arms}
    for name in names:
        if name not in known:
            remedy = f"choose among {', '.join(known)}"
            raise ConfigError(f"unknown arm {name!r}{nearest(name, known)}", record="arms", remedy=remedy)
    taken: set[str] = set()

    def take(name: str) -> None:
        taken.add(name)
        for needed in known[name].needs if name in known else ():
            take(needed)

    for name in [arms[0].name, *(names or [arm.name for arm in arms if not arm.extra])]:
        take(name)
    return tuple(arm for arm in arms if arm.name in taken)


def _check_probes(arm: Arm) -> None:
    if not arm.probes:
        return
    from twelve.study.probes import PROBES

    for name in arm.probes:
        if name not in PROBES:
            problem = f"the arm {arm.name} asks for an unknown probe {name!r}{nearest(name, PROBES)}"
            remedy = f"choose among {', '.join(PROBES) or 'none'}"
            raise ConfigError(problem, record="arms", remedy=remedy)


def resumed(plan: Plan, out: Path, file: Path | None) -> Plan:
    """The plan in a study's folder, with the seeds and arms that the command adds.

    Args:
        file: of the user's that defines the study.

    Raises:
        ConfigError: there is none, or it is another plan; or steps are left, and the file is another one.
    """
    if not files.is_there(out / plans.FILE, DataError):
        raise ConfigError("there is no study to resume", file=out, remedy="omit --resume")
    recorded = plans.read(out)
    agreed = plans.agree(plan, recorded, out)
    if file is not None and not all(is_done(out, step) for step in agreed.steps()):  # else, only its words are left
        plans.check_code(file, plan, recorded, out)
    return agreed


def begun(plan: Plan, out: Path, resume: bool, file: Path | None = None) -> Plan:
    """Write the plan, and a copy of the user's file that defines the study, into the study's folder; of a resumed
    study, return the plan that is there, with new arms.

    Raises:
        ConfigError: see :func:`run`.
    """
    from twelve.training.provenance import machine

    with files.alone(out, wait=True):
        exists = files.is_there(out / plans.FILE, DataError)
        if not exists and not resume and any(not path.name.startswith(".") for path in out.iterdir()):
            raise ConfigError("this folder holds other files", file=out, remedy="name an empty or a new one: --out")
        if exists and not resume and _started(out):
            remedy = "add --resume, or name another: --out"
            raise ConfigError("this folder already holds a study", file=out, remedy=remedy)
        plan = resumed(plan, out, file) if resume else plan
        plans.check_links(out)
        plans.write(plan, out, plans.machine_of(out) if resume else machine())
        if file is not None and plan.code is not None and plans.code_of(file).sha256 == plan.code.sha256:
            with files.replacing(out / plans.COPY) as partial:
                partial.write_bytes(file.read_bytes())
    return plan


def _started(out: Path) -> bool:
    """Whether a seed of the study here has a model or results; without them, it failed on its data, or is reading them.

    Raises:
        TwelveError: another process reads them.
    """
    seeds = [path for path in out.glob("seed-*") if path.is_dir()]
    if any(path.name not in WORLD and path.name[0] != "." for seed in seeds for path in seed.iterdir()):
        return True
    for seed in seeds:
        with files.alone(seed):
            pass
    return False


def _chosen(plan: Plan, only: Sequence[str]) -> list[Step]:
    """The steps of some arms (``ARM``) or models (``ARM/TASK``)."""
    steps = plan.steps()
    for name in only:
        arm, _, task = name.partition("/")
        if not any(step.arm.name == arm and (not task or task in step.model) for step in steps):
            remedy = f"name ARM or ARM/TASK, with an arm of {', '.join(plan.names)}"
            raise ConfigError(f"no step of this study is called {name!r}", record="only", remedy=remedy)
    named = [name.partition("/") for name in only]
    return [
        step
        for step in steps
        if not named or any(step.arm.name == arm and (not task or task in step.model) for arm, _, task in named)
    ]


def _carry_out(
    plan: Plan,
    out: Path,
    seeds: Mapping[int, Seed],
    steps: Sequence[Step],
    over: Callable[[], bool],
    console: Console,
) -> int:
    """Execute the remaining steps, and print the remaining time; returns the number of those that are left."""
    from transformers.utils.logging import disable_progress_bar

    from twelve.study.observing import PartOver

    disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers shows one for every file it writes
    left = [step for step in steps if not seeds[step.seed].done(step)]
    _announce(plan, left, seeds, console)
    remaining = Remaining()
    while left and not over():
        with next_step(left, seeds, out) as step:
            if step is not None:
                for number, seed in seeds.items():
                    if number != step.seed:
                        seed.forget()
                _prepare(seeds[step.seed], remaining, console)
                started = time.monotonic()
                try:
                    seeds[step.seed].take(step)
                except PartOver:
                    break
                left.remove(step)
                remaining.taken(step, time.monotonic() - started)
                worlds = sum(not seeds[number].has_world for number in {each.seed for each in left})
                tell(f"{step}: {remaining.said(left, worlds)}", console)
        if step is None and left:
            time.sleep(WAIT)
    return len(left)


def _prepare(seed: Seed, remaining: Remaining, console: Console) -> None:
    """Prepare the data of a seed; the time that a new world takes is no time of training."""
    new, started = not seed.has_world, time.monotonic()
    seed.prepare()
    if new:
        remaining.world = time.monotonic() - started
        tell(f"world of seed {seed.seed}: {clock(remaining.world)}", console)


def _announce(plan: Plan, left: Sequence[Step], seeds: Mapping[int, Seed], console: Console) -> None:
    from twelve.study.worlds import is_finished

    lines = [*(f"{arm.name}: {meaning(arm)}" for arm in plan.arms), *same_configurations(plan)]
    each = "with a world and models of its own" if plan.worlds else "with its own models, on the same data"
    units = sum(step.units for step in left)
    todo = f"{len(left)} of {counted(len(plan.steps()), 'step')} left, as long as {units:.2f} joint runs"
    seeds_of = f"{counted(len(plan.seeds), 'seed')}, {'each ' * (len(plan.seeds) > 1)}{each}"
    lines.append(f"{seeds_of}; {todo}; the first step will show how long that is" if left else f"{seeds_of}; finished")
    for number in sorted({step.seed for step in left}):
        seed = seeds[number]
        if seed.worlds_of is not None and not seed.has_world and not is_finished(seed.worlds_of, number):
            lines.append(f"{seed.worlds_of} has no finished world of seed {number}: it is generated here")
    for line in (*lines, told(plan)):
        if line is not None:
            tell(line, console)
