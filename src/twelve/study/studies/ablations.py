"""Remove parts of joint training, one by one. What do they contribute? Each arm leaves one out, or changes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from twelve.study.arms import Arm, Contrast, Length
from twelve.study.cells import gain_of
from twelve.study.finding_types import Findings
from twelve.study.studies.base import Study, Subjects, by_two_seeds, register, uncertain

JOINT, SINGLE, PER_HEAD = "joint", "single", "token-per-head"
ALWAYS = {"schedule": {"name": "always-go"}}
CHANGED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (PER_HEAD, "one task token for each head", {"model.task_tokens": "head"}),
    ("no-token", "no task tokens", {"model.task_tokens": "none"}),
    ("always-go", "no stop-and-go", ALWAYS),
    ("neither", "neither task tokens nor stop-and-go", {"model.task_tokens": "none", **ALWAYS}),
)
"""(arm, meaning, overrides)."""


@register
class Ablations(Study):
    """The joint model without its task tokens, without stop-and-go, with a curriculum.

    Where no two tasks share a head, a token for each head is a token for each dataset, and is no arm.
    """

    name: ClassVar[str] = "ablations"
    question: ClassVar[str] = "What do task tokens and stop-and-go contribute, and is a curriculum better?"
    claim: ClassVar[str] = (
        "A token for each dataset and stop-and-go are each worth half a point; both curricula do worse."
    )

    def arms(self, subjects: Subjects) -> Sequence[Arm]:
        joint = subjects.joint(JOINT, "one model, a token for each dataset, stop-and-go")
        single = Arm(
            name=SINGLE,
            meaning="a model for each task, with as many updates as the task has in the joint run; it shows how long "
            "each task takes to converge",
            models=subjects.each,
            length=Length(rule="each", of=(JOINT,)),
        )
        changed = [
            joint.model_copy(update={"name": name, "meaning": meaning, "overrides": {**joint.overrides, **overrides}})
            for name, meaning, overrides in self._changed(subjects)
        ]
        ordered = [
            Arm(
                name=name,
                meaning=f"tasks that converge {first} when trained alone come first, the others join one by one",
                models=subjects.one,
                overrides={"schedule": {"name": name}},
                convergence=SINGLE,
            )
            for name, first in (("curriculum", "early"), ("anti-curriculum", "late"))
        ]
        return [joint, single, *changed, *ordered]

    def contrasts(self, subjects: Subjects) -> Sequence[Contrast]:
        others = [*(name for name, _, _ in self._changed(subjects)), "curriculum", "anti-curriculum", SINGLE]
        return [Contrast(arm=JOINT, minus=name, tasks=subjects.tasks) for name in others]

    def _changed(self, subjects: Subjects) -> list[tuple[str, str, dict[str, Any]]]:
        return [each for each in CHANGED if each[0] != PER_HEAD or subjects.heads < len(subjects.tasks)]

    def sentences(self, found: Findings) -> Sequence[str]:
        compared = {each.contrast.minus: each for each in found.comparisons if each.contrast.minus != SINGLE}
        told = [
            f"{name} {gain_of(each.main_measure)}{' (bootstrap alone)' * each.by_bootstrap_alone}"
            for name, each in compared.items()
        ]
        worse = [name for name, each in compared.items() if each.significant > 0]
        named = f"{', '.join(worse)} {'is' if len(worse) == 1 else 'are'}" if worse else "None is"
        alone = uncertain(compared, 1, "worse")
        return [
            f"The joint model minus each changed one, in points of normalised score: {'; '.join(told)}.",
            f"{named} significantly worse than the joint model{by_two_seeds(found)}{alone}.",
        ]
