"""Compare joint and single on real photographs. The protocol is docs/real-photographs.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from twelve.errors import ConfigError, nearest
from twelve.progress import counted, times_as_many
from twelve.study.arms import Arm, Contrast, Factors, Length, Rates
from twelve.study.finding_types import Findings
from twelve.study.studies.base import Study, Subjects, by_two_seeds, register, said

JOINT, SCALED, SINGLE, TUNED = "joint", "joint-scaled", "single-longer", "fine-tuned"


@register
class RealPhotographs(Study):
    """Four arms; a run that has not converged is extended, at most ``extend`` times."""

    name: ClassVar[str] = "real-photographs"
    question: ClassVar[str] = "On real photographs, is a joint model as good as a model for each task?"
    claim: ClassVar[str] = "One model for all tasks is better on average than a model for each."

    task_scale: Literal["lr", "norm"] = "norm"
    """``optimizer.task_scale`` of the scaled joint run: the one with the highest mean score in the study
    ``balancing`` (its lead is not significant)."""
    searched: tuple[str, ...] = ()
    """Tasks whose single-task models have a search of the learning rate."""
    factors: Factors = (0.3, 1.0, 3.0)
    """Factors of that search, at full length on the first seed."""
    search_joint: bool = False
    """Whether the joint runs have a search too, of one factor for all tasks."""
    longer: float = Field(2.0, ge=1)
    """Updates of a single-task model, relative to those that the task has in the joint run."""
    tuning: float = Field(0.5, gt=0)
    """Updates of fine-tuning, as a share of the updates that the task had in the joint run."""
    extend: int = Field(2, ge=0)
    """How often a run that has not converged is extended by half of its length, at most."""
    apart: tuple[str, ...] = ()
    """Tasks that are trained and evaluated but excluded from all contrasts: their data cannot be learned."""

    def arms(self, subjects: Subjects) -> Sequence[Arm]:
        self._check(subjects)
        rates = Rates(factors=self.factors) if self.search_joint else Rates()
        joint = subjects.joint(JOINT, length=Length(extend=self.extend)).model_copy(update={"rates": rates})
        scaled = {**joint.overrides, "optimizer.task_scale": self.task_scale}
        return [
            joint,
            joint.model_copy(
                update={
                    "name": SCALED,
                    "meaning": f"the joint model with task_scale {self.task_scale}",
                    "overrides": scaled,
                }
            ),
            Arm(
                name=SINGLE,
                meaning=f"a model for each task, trained for {times_as_many(self.longer)} updates as the task has in "
                "the joint run",
                models=subjects.each,
                length=Length(rule="each", of=(JOINT,), factor=self.longer, extend=self.extend),
                rates=Rates(factors=self.factors, tasks=self.searched) if self.searched else Rates(),
            ),
            Arm(
                name=TUNED,
                meaning=f"the joint model, fine-tuned on each task for {self.tuning:g} times its updates",
                models=subjects.each,
                start=f"model of {JOINT}",
                length=Length(rule="each", of=(JOINT,), factor=self.tuning, extend=self.extend),
            ),
        ]

    def contrasts(self, subjects: Subjects) -> Sequence[Contrast]:
        tasks = tuple(task for task in subjects.tasks if task not in self.apart)
        pairs = ((JOINT, SINGLE), (SCALED, SINGLE), (TUNED, SINGLE), (TUNED, JOINT), (SCALED, JOINT))
        return [Contrast(arm=arm, minus=minus, tasks=tasks) for arm, minus in pairs]

    def sentences(self, found: Findings) -> Sequence[str]:
        tuned = found.comparison(TUNED, JOINT)
        sentences = [said(each) for each in (*found.comparisons[:1], *filter(None, [tuned]))]
        compared = {cell.task for each in found.comparisons[:1] for cell in each.cells}
        told = []
        for name in (JOINT, SINGLE):
            scores = [row.scores[name].looking for row in found.rows if row.name in compared and name in row.scores]
            known = [score for score in scores if score is not None]
            if known:
                positive = sum(score.low > 0 for score in known)
                told.append(f"{name} on {positive} of {counted(len(known), 'task')}")
        looking = "With the correct images, the score is significantly higher than with shuffled ones"
        return [*sentences, f"{looking}: {', '.join(told)}{by_two_seeds(found)}."] if told else sentences

    def _check(self, subjects: Subjects) -> None:
        for option, names in (("searched", self.searched), ("apart", self.apart)):
            for name in names:
                if name not in subjects.tasks:
                    problem = f"{name!r} is not a task of the configuration{nearest(name, subjects.tasks)}"
                    remedy = f"choose among {', '.join(subjects.tasks)}"
                    raise ConfigError(problem, record=option, remedy=remedy)
