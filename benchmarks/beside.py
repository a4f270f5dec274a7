"""Why does a task score lower beside another one: too few updates, or gradients of another size?

    twelve study run benchmarks/beside.py --config configs/study-real-sample.yaml --set data=DATA --seeds 3 \\
      --set "tasks=[refcoco,snli_ve]" --out runs/beside

DATA is the data root of the small real sample, which is not included (docs/real-data.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from twelve.study.arms import Arm, Contrast, Length
from twelve.study.studies.base import Study, Subjects, register

TOGETHER, ALONE = "together", "alone"


@register
class Beside(Study):
    """One task alone, and beside the others: unchanged, with gradients made equal in size, and for twice as long."""

    name: ClassVar[str] = "beside"
    question: ClassVar[str] = "Why does a task score lower beside another one?"

    task: str = "snli_ve"
    """The task in question."""
    rate: float = 3e-4
    """Its learning rate alone: that of the trunk in the joint runs."""

    def arms(self, subjects: Subjects) -> Sequence[Arm]:
        others: dict[str, tuple[str, dict[str, Any], Length]] = {
            TOGETHER: ("", {}, Length()),
            "norm": (", each task's gradient divided by its running norm", {"optimizer.task_scale": "norm"}, Length()),
            "own-states": (", separate Adam moments for each task", {"optimizer.states": "task"}, Length()),
            "longer": (", for twice as many iterations", {}, Length(factor=2)),
        }
        return [
            Arm(
                name=ALONE,
                meaning=f"a model for {self.task} alone",
                models=((self.task,),),
                overrides={f"tasks.{self.task}.learning_rate": self.rate},
            ),
            *(
                Arm(
                    name=name,
                    meaning=f"one model, every task in every iteration{meaning}",
                    models=subjects.one,
                    overrides={"schedule": {"name": "always-go"}, **overrides},
                    length=length,
                )
                for name, (meaning, overrides, length) in others.items()
            ),
        ]

    def contrasts(self, subjects: Subjects) -> Sequence[Contrast]:
        pairs = [(TOGETHER, ALONE), ("longer", TOGETHER), ("norm", TOGETHER), ("own-states", TOGETHER)]
        return [Contrast(arm=arm, minus=minus, tasks=(self.task,), reference=ALONE) for arm, minus in pairs]
