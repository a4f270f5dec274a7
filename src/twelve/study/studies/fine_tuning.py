"""Fine-tune each task from the joint model. Models trained alone for as many updates in all are the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from twelve.study.arms import Arm, Contrast, Factors, Length, Rates
from twelve.study.studies.base import Study, Subjects, register

JOINT, TUNED, GROUPS, SINGLE = "joint", "fine-tuned", "fine-tuned-groups", "single-equal"


@register
class FineTuning(Study):
    """Each task, and each group of tasks, from the joint model."""

    name: ClassVar[str] = "fine-tuning"
    question: ClassVar[str] = (
        "Does fine-tuning on each task improve the joint model, and does the result beat models trained alone?"
    )
    claim: ClassVar[str] = "Fine-tuning task-specific models from the joint model leads to further improvements."

    updates: float = Field(0.5, gt=0)
    """Updates of fine-tuning, as a share of the updates that the task had in the joint run."""
    factors: Factors = (1.0,)
    """Factors of all learning rates that every arm searches, at full length, on the first seed."""

    def arms(self, subjects: Subjects) -> Sequence[Arm]:
        tuned = Length(rule="each", of=(JOINT,), factor=self.updates)
        arms = [
            subjects.joint(JOINT),
            Arm(
                name=TUNED,
                meaning=f"the joint model, fine-tuned on each task for {self.updates:g} times its updates",
                models=subjects.each,
                start=f"model of {JOINT}",
                length=tuned,
            ),
            Arm(
                name=GROUPS,
                meaning=f"the joint model, fine-tuned on each group for {self.updates:g} times its updates",
                models=tuple(subjects.groups.values()),
                start=f"model of {JOINT}",
                length=tuned,
            ),
            Arm(
                name=SINGLE,
                meaning="a model for each task, with as many updates as the joint run and fine-tuning together",
                models=subjects.each,
                length=Length(rule="each", of=(JOINT, TUNED)),
            ),
        ]
        return [arm.model_copy(update={"rates": Rates(factors=self.factors)}) for arm in arms]

    def contrasts(self, subjects: Subjects) -> Sequence[Contrast]:
        pairs = ((TUNED, JOINT), (TUNED, SINGLE), (GROUPS, JOINT), (TUNED, GROUPS), (JOINT, SINGLE))
        return [Contrast(arm=arm, minus=minus, tasks=subjects.tasks) for arm, minus in pairs]
