"""Compare one model with a model per task. The protocol is in docs/studies-reference.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from twelve.progress import times_as_many
from twelve.study.arms import Arm, Contrast, Factors, Length, Rates
from twelve.study.finding_types import Cell, Findings
from twelve.study.studies.base import Study, Subjects, by_two_seeds, register, said

BASE, OPPONENT = "stop-and-go", "single-longer"
PRETRAINED, SINGLE_PRETRAINED, PRETRAINED_TOTAL = "pretrained", "single-pretrained", "pretrained-total"


@register
class JointVsSingle(Study):
    """One model for all tasks against a model for each."""

    name: ClassVar[str] = "joint-vs-single"
    question: ClassVar[str] = "Is one model for all tasks as good as a model for each?"
    claim: ClassVar[str] = "One model for all tasks is better on average than a model for each."

    factors: Factors = (0.3, 1.0, 3.0)
    """Factors of all learning rates that each model's search tries."""
    search: float = Field(1.0, gt=0, le=1)
    """Length of a run of the search, as a share of the arm's own length."""
    longer: float = Field(2.0, ge=1)
    """Maximum updates of a task in single-longer, relative to those in the joint run."""
    pretraining: float = Field(1.0, gt=0)
    """Iterations of pretraining, as a share of the joint run's."""
    pretraining_rate: float | None = Field(None, gt=0)
    """Learning rate of pretraining; by default, those of the retrieval tasks."""
    extend: int = Field(0, ge=0)
    """How often a run that has not converged is extended by half of its length, at most. Arms that must have as many
    updates as another one are not extended."""

    def arms(self, subjects: Subjects) -> Sequence[Arm]:
        joint = subjects.joint(BASE, length=Length(extend=self.extend))
        arms = [*self._usual(joint, subjects), *self._extra(joint, subjects), *self._pretrained(joint, subjects)]
        rates = Rates(factors=self.factors, share=self.search)
        return [arm.model_copy(update={"rates": rates}) for arm in arms]

    def _usual(self, joint: Arm, subjects: Subjects) -> list[Arm]:
        """The arms that run by default."""
        return [
            joint,
            Arm(
                name="always-go",
                meaning="one model, every task in every iteration",
                models=subjects.one,
                length=joint.length,
                overrides={"schedule": {"name": "always-go"}},
            ),
            Arm(
                name="single",
                meaning="a model for each task, as many updates as the task has in stop-and-go",
                models=subjects.each,
                length=Length(rule="each", of=(BASE,)),
            ),
            Arm(
                name=OPPONENT,
                meaning=f"a model for each task, trained for {times_as_many(self.longer)} updates as the task has in "
                "stop-and-go",
                models=subjects.each,
                length=self._longer(BASE),
            ),
        ]

    def _longer(self, arm: str) -> Length:
        """The length of a single-task model that has a multiple of the updates of the task in an arm."""
        return Length(rule="each", of=(arm,), factor=self.longer, extend=self.extend)

    def _extra(self, joint: Arm, subjects: Subjects) -> list[Arm]:
        """Other ways to train all tasks from random weights."""
        total = Length(rule="total", of=(BASE,))
        return [
            joint.model_copy(
                update={
                    "name": "norm-scaled",
                    "meaning": "stop-and-go, each task's gradient divided by its running norm",
                    "overrides": {**joint.overrides, "optimizer.task_scale": "norm"},
                    "extra": True,
                }
            ),
            Arm(
                name="single-trunk",
                meaning="a model for each task, trained for as many updates as all tasks together have in stop-and-go, "
                "so that every trunk has equally many",
                models=subjects.each,
                length=total.model_copy(update={"factor": float(len(subjects.tasks))}),  # of each, not of all
                extra=True,
            ),
            Arm(
                name="always-go-equal",
                meaning="always-go with as many updates as stop-and-go",
                models=subjects.one,
                length=total,
                overrides={"schedule": {"name": "always-go"}},
                extra=True,
            ),
            Arm(
                name="proportional-equal",
                meaning="tasks sampled by their sizes, as many updates as stop-and-go",
                models=subjects.one,
                length=total,
                overrides={"schedule": {"name": "proportional"}},
                extra=True,
            ),
        ]

    def _pretrained(self, joint: Arm, subjects: Subjects) -> list[Arm]:
        """Joint and single-task models that begin with a pretrained trunk."""
        begins: dict[str, Any] = {
            "start": "pretrained",
            "pretraining": self.pretraining,
            "pretraining_rate": self.pretraining_rate,
        }
        return [
            joint.model_copy(
                update={
                    "name": PRETRAINED,
                    "meaning": "stop-and-go, pretrained on the retrieval tasks' captions",
                    **begins,
                    "extra": True,
                }
            ),
            Arm(
                name=SINGLE_PRETRAINED,
                meaning=f"a model for each task, pretrained in the same way, trained for {times_as_many(self.longer)} "
                f"updates as the task has in {PRETRAINED}",
                models=subjects.each,
                length=self._longer(PRETRAINED),
                **begins,
                extra=True,
            ),
            joint.model_copy(
                update={
                    "name": PRETRAINED_TOTAL,
                    "meaning": f"stop-and-go after this pretraining, for as many updates as all models of "
                    f"{SINGLE_PRETRAINED} make together",
                    "length": Length(rule="total", of=(SINGLE_PRETRAINED,)),
                    **begins,
                    "extra": True,
                }
            ),
        ]

    def contrasts(self, subjects: Subjects) -> Sequence[Contrast]:
        others = [arm.name for arm in self.arms(subjects) if arm.name not in (BASE, OPPONENT)]
        pairs = [(BASE, OPPONENT), (PRETRAINED, SINGLE_PRETRAINED), (PRETRAINED_TOTAL, SINGLE_PRETRAINED)]
        pairs += [(BASE, other) for other in others]
        return [Contrast(arm=arm, minus=minus, tasks=subjects.tasks) for arm, minus in pairs]

    def sentences(self, found: Findings) -> Sequence[str]:
        main = found.comparison(BASE, OPPONENT)
        if main is None:
            return [said(each) for each in found.comparisons[:2]]
        cells = [cell for cell in main.cells if cell.learned]
        joint, single = (f"{found.costs[arm].parameters / 1e6:.1f} M" for arm in (BASE, OPPONENT))
        if not cells:
            return [said(main), f"The joint model has {joint} parameters, the single-task models {single} in all."]
        return [
            said(main),
            f"The joint model ({joint} parameters) is {_better_and_worse(cells)} that single-task models ({single} in "
            f"all) learn{by_two_seeds(found)}.",
        ]


def _better_and_worse(cells: Sequence[Cell]) -> str:
    """``better on 1 and worse on none of the 6 tasks``."""
    if len(cells) > 1:
        return f"better on {_count(cells, 1)} and worse on {_count(cells, -1)} of the {len(cells)} tasks"
    (cell,) = cells
    word = {1: "better", -1: "worse", 0: "neither better nor worse"}[cell.significant]
    return f"{word} on the only task"


def _count(cells: Sequence[Cell], sign: int) -> str:
    """How many differences of a sign are significant, and how many more only the bootstrap interval finds."""
    alone = sum(cell.by_bootstrap_alone and sign * cell.points.mean > 0 for cell in cells)
    sure = sum(cell.significant == sign for cell in cells)
    return f"{sure or 'none'}" + (f" ({alone} {'more ' * (sure > 0)}by bootstrap alone)" if alone else "")
