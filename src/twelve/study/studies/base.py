"""What a study is: a question, arms that answer it, contrasts between them. docs/studies.md shows how to write one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import ConfigDict

from twelve.errors import ConfigError
from twelve.metrics.bootstrap import Interval
from twelve.outputs import get_output
from twelve.progress import counted, with_sign
from twelve.settings import RunConfig, Strict
from twelve.study.arms import Arm, Contrast, Length
from twelve.study.bootstrap import by_bootstrap_alone, sign, significant
from twelve.study.cells import gain_of, spread
from twelve.study.finding_types import Comparison, Findings
from twelve.tasks.base import all_tasks
from twelve.tasks.custom import own_tasks

NOT_COUNTED = "Not counted"
"""How the answer begins what it says of a mean over all tasks that a warning is about."""
RETRIEVAL = "retrieval"
"""The group whose tasks have captions, on which models are pretrained."""
STOPPING = ("stop-and-go", "stop-and-go-as-worded")
"""Schedules that are the paper's."""


@dataclass(frozen=True, slots=True)
class Subjects:
    """What a study is about: the tasks of its configuration.

    Attributes:
        tasks: their names.
        groups: the skills that they need (``Output.skill``) -> tasks, each in the configuration's order.
        heads: number of different outputs of the tasks.
    """

    config: RunConfig
    tasks: tuple[str, ...] = field(init=False)
    groups: dict[str, tuple[str, ...]] = field(init=False)
    heads: int = field(init=False)

    def __post_init__(self) -> None:
        known = all_tasks(own_tasks(self.config.tasks))
        groups: dict[str, tuple[str, ...]] = {}
        for name in self.config.tasks:
            skill = get_output(known[name].kind).skill
            groups[skill] = (*groups.get(skill, ()), name)
        object.__setattr__(self, "tasks", tuple(self.config.tasks))
        object.__setattr__(self, "groups", groups)
        object.__setattr__(self, "heads", len({known[name].output for name in self.config.tasks}))

    @property
    def one(self) -> tuple[tuple[str, ...], ...]:
        """One model for all tasks."""
        return (self.tasks,)

    @property
    def each(self) -> tuple[tuple[str, ...], ...]:
        """A model for each task."""
        return tuple((task,) for task in self.tasks)

    def of(self, groups: Sequence[str]) -> tuple[str, ...]:
        """The tasks of some groups together, in the configuration's order."""
        chosen = {task for group in groups for task in self.groups[group]}
        return tuple(task for task in self.tasks if task in chosen)

    def subsets(self) -> list[tuple[str, ...]]:
        """Every subset of the groups but the empty one, small ones first."""
        names = tuple(self.groups)
        return [each for size in range(1, len(names) + 1) for each in combinations(names, size)]

    def joint(self, name: str = "joint", meaning: str = "", *, length: Length | None = None) -> Arm:
        """One model for all tasks, with Dynamic Stop-and-Go: the configuration's variant, if it has one."""
        stopping = self.config.schedule.name in STOPPING
        return Arm(
            name=name,
            meaning=meaning or "one model, a task that no longer improves is stopped",
            models=self.one,
            overrides={} if stopping else {"schedule": {"name": STOPPING[0]}},
            length=length or Length(),
        )


class Study(Strict):
    """A study; its fields are its options (``--option NAME=VALUE``).

    Attributes:
        name: as on the command line.
        question: one line, for ``twelve study list``.
        claim: the paper's claim that the study tests; empty for none.
        file: file of your own that registers the study; None for a study of this package.
        first_seed: number that is added to the configuration's seed, for the first seed of the study. A study that
            chooses something for other studies uses seeds that the other studies do not report.
    """

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: ClassVar[str]
    question: ClassVar[str]
    claim: ClassVar[str] = ""
    file: ClassVar[Path | None] = None
    first_seed: ClassVar[int] = 0

    def arms(self, subjects: Subjects) -> Sequence[Arm]:
        """Every arm, each after the arms that it needs; the first arm runs in any case."""
        raise NotImplementedError

    def contrasts(self, subjects: Subjects) -> Sequence[Contrast]:
        """What is compared, the main contrast first. Contrasts of arms that do not run are left out."""
        raise NotImplementedError

    def sentences(self, found: Findings) -> Sequence[str]:
        """Two sentences that can be quoted; by default, they say what the first two contrasts found."""
        return [said(each) for each in found.comparisons[:2]]

    def sections(self, found: Findings) -> Sequence[str]:
        """Parts of the page, in Markdown, that only this study has."""
        return ()

    def plots(self, found: Findings) -> Mapping[str, str]:
        """Name -> SVG of plots that only this study has; the file is called ``results-NAME.svg``."""
        return {}


def pretrained(subjects: Subjects, share: float, rate: float | None) -> dict[str, Any]:
    """Fields of an arm whose models begin with a pretrained trunk.

    Args:
        share: iterations of pretraining, as a share of the joint run's; 0: there are no such fields.
        rate: learning rate of pretraining; None: those of the retrieval tasks.

    Raises:
        ConfigError: no task has captions.
    """
    if not share:
        return {}
    if RETRIEVAL not in subjects.groups:
        remedy = "name a retrieval task, or leave out the option"
        raise ConfigError("no task has captions to pretrain on", record="pretraining", remedy=remedy)
    return {"start": "pretrained", "pretraining": share, "pretraining_rate": rate}


def said(comparison: Comparison) -> str:
    """What a contrast found, to be quoted: on all tasks, on the learned ones if these are fewer, and by seed. What only
    the bootstrap finds is called not significant. Where a warning is about the mean over all tasks, that over the
    learned tasks comes first."""
    contrast, every, learned = comparison.contrast, comparison.every, comparison.learned
    count, total = sum(cell.learned for cell in comparison.cells), len(comparison.cells)
    if all(seed == 0 for cell in comparison.cells for seed in cell.seeds):
        return f"{_identical(contrast)}: their difference is zero {_everywhere(len(comparison.seeds), total)}."
    points = f"{_verdict(contrast, every, comparison.seeds)}: {gain_of(every)} points of normalised score"
    if total == 1:
        return f"{points}, on {_only(comparison)}.{_by_seed(comparison, some=False)}"
    uncounted = f" (which is not counted: {comparison.uncounted})" * bool(comparison.uncounted and sign(every))
    tasks = f"{'all ' * (0 < count < total)}{counted(total, 'task')}"
    they = f"{'both ' * (len(contrast.judges) > 1)}{' and '.join(contrast.judges)}"
    if comparison.warned and learned is not None and count < total:
        short, low_high = _verdict(contrast, learned, comparison.learned_seeds), spread(comparison.learned_seeds)
        first = f"{short} over the {count if count > 1 else 'only one'} of {total} tasks that {they} learned"
        t = f" (t interval {low_high})" if low_high else ""
        mean = (
            f"{first}: {gain_of(learned)} points of normalised score{t}. {NOT_COUNTED} ({comparison.uncounted}): "
            f"the mean of {tasks}, {gain_of(every)}."
        )
        return f"{mean}{_by_seed(comparison, some=True)}"
    if learned is None:
        rest = f"; {comparison.none_learned}" * (comparison.none_learned not in uncounted)
    elif count == total:
        rest = f", all of which {they} learned"
    else:
        own = significant(learned, comparison.learned_seeds)
        short = "not significant" + " by t" * by_bootstrap_alone(learned, comparison.learned_seeds)
        if own:
            short = "also" if own == significant(every, comparison.seeds) else _verdicts(contrast)[own]
        rest = f"; {short} over the {count if count > 1 else 'only one'} that {they} learned: {gain_of(learned)}"
    return f"{points}, mean of {tasks}{uncounted}{rest}.{_by_seed(comparison, some=0 < count < total)}"


def _only(comparison: Comparison) -> str:
    """The only task of a contrast, and who learned it."""
    contrast, (cell,) = comparison.contrast, comparison.cells
    two, several = len(tuple(contrast.arms)) == 2, len(contrast.judges) > 1
    if cell.learned:
        who = f"{'both ' * several}{' and '.join(contrast.judges)} learned"
    elif two:
        who = f"neither {contrast.arm} nor {contrast.minus} learned" if cell.by_none else f"only {contrast.arm} learned"
    elif cell.unlearned == contrast.judges and several:
        who = f"neither {' nor '.join(cell.unlearned)} learned"
    else:
        who = f"{' and '.join(cell.unlearned or contrast.judges)} did not learn"
    why = ": see the warning" * comparison.warned
    return f"{cell.task}, which {who}" + f" (not counted{why})" * bool(comparison.uncounted and sign(comparison.every))


def _by_seed(comparison: Comparison, *, some: bool) -> str:
    """What is said of the mean over all tasks in each seed, after it; empty for one seed.

    Args:
        some: whether some of the tasks are learned, but not all.
    """
    if len(comparison.seeds) < 2:
        return ""
    known = comparison.between is not None and len(comparison.seeds) > 2  # two say next to nothing of their variance
    share = f"; {comparison.between:.0f}% of the variance comes from the seeds" if known else ""
    over, low_high = ", all tasks" * some, spread(comparison.seeds)
    zero = ", which contains 0" * by_bootstrap_alone(comparison.every, comparison.seeds)
    t = f" (t interval {low_high}{zero})" if low_high else ""
    return f" By seed{over}: {', '.join(map(with_sign, comparison.seeds))}{t}{share}."


def _identical(contrast: Contrast) -> str:
    """That what a contrast compares is equal everywhere; the beginning of a sentence."""
    if contrast.than is None:
        return f"The scores of {contrast.arm} and {contrast.minus} are identical"
    first, second = contrast.than
    return f"{contrast.arm} minus {contrast.minus} and {first} minus {second} are identical"


def _verdict(contrast: Contrast, gain: Interval, seeds: Sequence[float]) -> str:
    """What a difference says, if it is significant."""
    return _verdicts(contrast)[significant(gain, seeds)]


def _verdicts(contrast: Contrast) -> dict[int, str]:
    """Sign of a significant difference, or 0 -> what it says."""
    if contrast.than is None:
        return {
            1: f"{contrast.arm} scores higher than {contrast.minus}",
            -1: f"{contrast.arm} scores lower than {contrast.minus}",
            0: f"{contrast.arm} and {contrast.minus} do not differ significantly",
        }
    own, other = f"{contrast.arm} minus {contrast.minus}", " minus ".join(contrast.than)
    return {
        1: f"{own} is greater than {other}",
        -1: f"{own} is less than {other}",
        0: f"The two differences {own} and {other} do not differ significantly",
    }


def uncertain(compared: Mapping[str, Comparison], sign: int, word: str) -> str:
    """What is said after the significant differences: those of a sign, by what they are called, that only the bootstrap
    interval finds; empty if there is none.

    Args:
        word: what such a difference is, ``better`` or ``worse``.
    """
    names = [name for name, each in compared.items() if each.by_bootstrap_alone and sign * each.main_measure.mean > 0]
    return f"; {', '.join(names)} {'is' if len(names) == 1 else 'are'} {word} by the bootstrap alone" if names else ""


def _everywhere(seeds: int, tasks: int) -> str:
    """``in every seed, on each of 4 tasks``."""
    on = f"on each of {tasks} tasks" if tasks > 1 else "on the task"
    return f"in every seed, {on}" if seeds > 1 else on


def by_two_seeds(found: Findings) -> str:
    """What qualifies a count of significant differences: too few seeds for it; empty with more, or one."""
    return ", by intervals of two seeds" if len(found.seeds) == 2 else ""


STUDIES: dict[str, type[Study]] = {}
"""Every study by name."""
_Class = TypeVar("_Class", bound=type[Study])


def register(cls: _Class) -> _Class:
    """Class decorator: make a study known under its name."""
    if STUDIES.setdefault(cls.name, cls) is not cls:
        raise ConfigError(f"a study is named {cls.name!r} already", record="name", remedy="give yours another name")
    return cls
