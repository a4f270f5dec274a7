"""Fine-tune each task from the joint model. The comparisons have as many updates: the joint model trained for longer,
and models trained alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from twelve.study.arms import Arm, Contrast, Factors, Length, Rates
from twelve.study.studies.base import Study, Subjects, pretrained, register

JOINT, TUNED, GROUPS = "joint", "fine-tuned", "fine-tuned-groups"
LONGER, SINGLE = "joint-longer", "single-equal"


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
    pretraining: float = Field(0.0, ge=0)
    """Iterations of pretraining, as a share of the joint run's; the joint model and those of single-equal begin with
    the pretrained model. 0: they begin with random weights."""
    pretraining_rate: float | None = Field(None, gt=0)
    """Learning rate of pretraining; by default, those of the retrieval tasks."""

    def arms(self, subjects: Subjects) -> Sequence[Arm]:
        tuned = Length(rule="each", of=(JOINT,), factor=self.updates)
        begins = pretrained(subjects, self.pretraining, self.pretraining_rate)
        after = " after pretraining" if begins else ""
        meaning = f"one model{after}, a task that no longer improves is stopped"
        arms = [
            subjects.joint(JOINT, meaning).model_copy(update=begins),
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
            subjects.joint(
                LONGER,
                f"the joint model, trained further on all tasks, for the updates of all {TUNED} models together",
                length=Length(rule="total", of=(TUNED,)),
            ).model_copy(update={"start": f"model of {JOINT}"}),
            Arm(
                name=SINGLE,
                meaning=f"a model for each task{after}, with as many updates as the joint run and fine-tuning together",
                models=subjects.each,
                length=Length(rule="each", of=(JOINT, TUNED)),
                **begins,
            ),
        ]
        return [arm.model_copy(update={"rates": Rates(factors=self.factors)}) for arm in arms]

    def contrasts(self, subjects: Subjects) -> Sequence[Contrast]:
        pairs = [(TUNED, JOINT), (TUNED, LONGER), (TUNED, SINGLE), (GROUPS, JOINT), (TUNED, GROUPS), (LONGER, JOINT)]
        pairs += [(JOINT, SINGLE)]
        return [Contrast(arm=arm, minus=minus, tasks=subjects.tasks) for arm, minus in pairs]
