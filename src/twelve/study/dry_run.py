"""What a study would do, without doing it: its arms, contrasts and seeds, the number of runs, and how long they are."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from twelve.config import load
from twelve.errors import ConfigError
from twelve.progress import WIDTH, counted
from twelve.study import plan as plans
from twelve.study.base_model import told
from twelve.study.bootstrap import detected
from twelve.study.identical import same_configurations
from twelve.study.losses import meaning
from twelve.study.plan import Plan, Step
from twelve.study.results import is_done
from twelve.study.trunk_rates import differing, trunk_rates, written
from twelve.study.worlds import is_finished

SPREAD = 5
"""Points: a standard deviation between seeds, as in the recorded studies (docs/study-scores.md)."""
_JOINT = "joint run"
_OF_A_RUN = re.compile(r"joint run of ([\d,]+) iterations takes about ([\d.]+) minutes\b", re.IGNORECASE)
_DURATION = re.compile(r"\b[Tt]akes? about [^.;]*")


def known_time(file: Path, study: str) -> str:
    """What the head of a configuration says about how long its own study takes, or of another one about a joint run; ""
    if it says nothing."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), file.read_text(encoding="utf-8").splitlines())
    head = " ".join(line.strip("# ") for line in lines)
    own = head.startswith(f"twelve study {study} ")
    told = [found for found in re.split(r"(?<=[.:;]) ", head) if _DURATION.search(found) and (own or _JOINT in found)]
    return (told[0] if own else told[0].partition(", ")[0]).rstrip(".;") if told else ""


def overview(
    plan: Plan, steps: Sequence[Step], out: Path, file: Path, worlds_of: Path | None = None, *, resume: bool = False
) -> str:
    """The plan in words.

    Args:
        steps: those that would be taken.
        out: the study's folder, which is not written.
        file: the configuration.
        worlds_of: the folder of another study, whose worlds are taken.
        resume: the study in ``out`` is resumed; its finished steps are not taken again.
    """
    steps, asked = [step for step in steps if not (resume and is_done(out, step))], len(steps)
    width = max(len(arm.name) for arm in plan.arms)
    lines = [f"{plan.study}: {plan.question}" if plan.question else plan.study, ""]
    for arm in plan.arms:
        own = [step for step in steps if step.arm.name == arm.name]
        runs, searches = (sum(step.search is kind for step in own) for kind in (False, True))
        size = counted(runs, "run") + f" (at most {counted(arm.length.extend, 'extension')} each)" * bool(
            arm.length.extend
        )
        size += f" and {searches} of learning rates" * bool(searches)
        size += f", trunk at {written(trunk_rates(plan, arm))}"
        lines += textwrap.wrap(
            f"{arm.name:<{width}}  {size}: {meaning(arm)}", WIDTH, subsequent_indent=" " * (width + 2)
        )
    runs, units = sum(not step.search for step in steps), sum(step.units for step in steps)
    config, seeds = plan.parsed(), ", ".join(map(str, plan.seeds))
    length = counted(config.training.iterations, "iteration") if config.training.iterations else "by epochs"
    facts = [
        f"{counted(len(plan.arms), 'arm')} x {counted(len(plan.seeds), 'seed')} ({seeds}): {counted(runs, 'run')} in "
        f"{counted(len(steps), 'step')}, together as long as {units:.2f} runs of the configuration ({length})"
        + ", without extensions"
        * any(arm.length.extend for arm in plan.arms),
        *_pretraining(plan),
        *(f"alike: {each}" for each in same_configurations(plan)),
        *_detected(plan),
        _time(file, plan, units * (config.training.iterations or 0)),
        f"data: each seed {_world(plan, worlds_of)}, nothing is downloaded"
        if plan.worlds
        else f"data: {config.data}; nothing is downloaded",
        *filter(None, [told(plan)]),
        f"folder: {out}{_held(out, asked - len(steps), asked, resume)}",
        "nothing was written (--dry-run)",
    ]
    return "\n".join(
        [*lines, "", *_contrasts(plan), "", *(line for fact in facts for line in textwrap.wrap(fact, WIDTH))]
    )


def _held(out: Path, done: int, asked: int, resume: bool) -> str:
    """What to know of a folder that holds a study; "" if it holds none."""
    if resume:
        return f" (the study here is resumed: {done} of {counted(asked, 'step')} done, which are not counted above)"
    return " (holds a study: add --resume)" if (out / plans.FILE).exists() else ""


def _pretraining(plan: Plan) -> Iterator[str]:
    """How long the models are pretrained that arms begin with, and that this comes on top."""
    iterations = plan.parsed().training.iterations
    for share in sorted({arm.pretraining for arm in plan.arms if arm.start == "pretrained"}):
        names = [arm.name for arm in plan.arms if arm.start == "pretrained" and arm.pretraining == share]
        length = counted(max(1, round(share * iterations)), "iteration") if iterations else f"{share:g} joint runs"
        for_all = "all arms" if len(names) == len(plan.arms) else ", ".join(names)
        yield f"in addition, pretraining on captions for {for_all}: {length} in each seed"


def _detected(plan: Plan) -> Iterator[str]:
    """Which difference this number of seeds can show."""
    if plan.contrasts and (count := len(plan.seeds)) > 1:
        yield (
            f"power: in 80% of studies with {count} seeds, the t interval of a difference of {detected(count):.1f} "
            "standard deviations between seeds does not contain 0 (docs/study-scores.md). So if it varies between "
            f"seeds by {SPREAD} points (standard deviation), the study shows a difference of "
            f"{SPREAD * detected(count):.0f} points, but often none that is smaller"
        )


def _world(plan: Plan, worlds_of: Path | None) -> str:
    """Where a seed has its world from."""
    if worlds_of is None:
        return "generates its own microworld"
    missing = [str(seed) for seed in plan.seeds if not is_finished(worlds_of, seed)]
    but = f" (not there, so generated: seed {', '.join(missing)})" if missing else ""
    return f"takes its microworld from {worlds_of}{but}"


def _contrasts(plan: Plan) -> Iterator[str]:
    """Each contrast with its tasks, and the arm that shows whether a task is learned where it is another one."""
    if not plan.contrasts:
        yield "contrasts: none"
        return
    yield f"contrasts ({len(plan.contrasts)}):"
    for each in plan.contrasts:
        tasks = f"all {len(plan.tasks)} tasks" if set(each.tasks) == set(plan.tasks) else ", ".join(each.tasks)
        rates = differing(plan, each)
        judge = "" if each.reference is None else f"; {each.reference} decides whether a task is learned"
        told = f"; the trunks of {', '.join(rates)} train at different rates" if rates else ""
        yield from textwrap.wrap(f"  {each.name}: {tasks}{judge}{told}", WIDTH, subsequent_indent="    ")


def _tasks_of(file: Path) -> int:
    """The number of tasks of a configuration before anything was set; 0 if it is complete only with what was set."""
    try:
        return len(load(file).tasks)
    except ConfigError:
        return 0


def _time(file: Path, plan: Plan, iterations: float) -> str:
    """How long it takes, as far as the configuration says so. A run of some of its tasks takes their share of the time.

    Args:
        iterations: of all runs, as long as those of a joint run; 0 if they are not known.
    """
    if time := known_time(file, plan.study):
        said = f'time: {file.name} says at its head: "{time}".'
        if (one := _OF_A_RUN.search(time)) is None or not iterations:
            return f"{said} More iterations, arms or seeds take longer."
        tasks, of = len(plan.tasks), _tasks_of(file) or len(plan.tasks)
        minutes = float(one[2]) * iterations / int(one[1].replace(",", "")) * tasks / of
        runs = "all runs" if tasks == of else f"all runs, of {tasks} tasks instead of {of},"
        few = "a minute" if minutes < 1.5 else f"{minutes:.0f} minutes"
        all_of_it = f"{minutes / 60:.1f} hours" if minutes > 90 else few
        besides = "generating worlds and " * plan.worlds + "evaluating models"
        return f"{said} So {runs} take about {all_of_it}, not counting the time for {besides}."
    return (
        "time: not known. Each step prints how long it took and how long the rest will take. With --parts 10, the "
        "command ends at the first checkpoint after ten minutes."
    )
