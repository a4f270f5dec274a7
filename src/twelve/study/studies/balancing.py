"""Compare methods of balancing tasks. All are compared with tuned weights, at equal compute and at equal updates."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from twelve.study.arms import Arm, Contrast, Length
from twelve.study.cells import gain_of
from twelve.study.cells import table as markdown_table
from twelve.study.finding_types import Comparison, Findings
from twelve.study.studies.base import Study, Subjects, by_two_seeds, register, uncertain
from twelve.study.studies.static_weights import static

STATIC, FEWER, PLAIN = "static", "static-fewer", "unweighted"
METHODS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    PLAIN: ("losses multiplied only by the ratio of learning rates", {}),
    "norm": ("each task's gradient divided by its running norm", {"optimizer.task_scale": "norm"}),
    "own-states": ("separate Adam moments for each task", {"optimizer.states": "task"}),
    "uncertainty": ("losses weighted by task uncertainty", {"balancing": {"name": "uncertainty"}}),
    "famo": ("losses weighted so that they fall at the same rate", {"balancing": {"name": "famo"}}),
}
"""Ways with one update per batch: name -> meaning, overrides."""
MIXED: Mapping[str, str] = {
    "mixed": "one update with the sum of all tasks' gradients",
    "gradient-norm": "the same, with equal norms of the gradients",
    "pcgrad": "the same, with conflicting gradients projected",
    "cagrad": "the same, best for the task that gains least, within a ball around the mean gradient",
    "imtl-g": "the same, with equal projections on all gradients",
    "nash-mtl": "the same, by Nash bargaining",
    "aligned-mtl": "the same, with aligned principal components",
    "mgda": "the same, as the shortest convex combination",
    "upgrad": "the same, projected on the cone without conflicts",
}
"""Ways with one update per iteration: name of the balancing -> meaning."""
EXTRA = ("gradient-norm", "imtl-g", "mgda", "upgrad")


@register
class BalancingStudy(Study):
    """Ways of weighing tasks against each other; every task trains in every iteration.

    A way with one update per iteration makes T times fewer updates from the same batches. It is compared with tuned
    weights after as many iterations (equal compute), and with tuned weights after as many updates.
    """

    name: ClassVar[str] = "balancing"
    question: ClassVar[str] = "Which way of balancing tasks is better than tuned fixed weights?"

    weights: Mapping[str, float] = Field(default_factory=dict)
    """Weights of the static arm, tuned on a seed that is not reported (the study static-weights); 1 for other tasks."""

    def arms(self, subjects: Subjects) -> Sequence[Arm]:
        always = {"schedule": {"name": "always-go"}}

        def arm(name: str, meaning: str, overrides: Mapping[str, Any], **more: Any) -> Arm:
            return Arm(name=name, meaning=meaning, models=subjects.one, overrides={**always, **overrides}, **more)

        tuned = {"balancing": static(self.weights)}
        fewer = Length(rule="total", of=(STATIC,), factor=1 / len(subjects.tasks))
        return [
            arm(STATIC, "losses with tuned fixed weights", tuned),
            *(arm(name, meaning, overrides) for name, (meaning, overrides) in METHODS.items()),
            arm(FEWER, "tuned fixed weights, as many updates as with one per iteration", tuned, length=fewer),
            *(arm(name, meaning, _mixed(name), extra=name in EXTRA) for name, meaning in MIXED.items()),
        ]

    def contrasts(self, subjects: Subjects) -> Sequence[Contrast]:
        tasks = subjects.tasks
        equal_compute = [Contrast(arm=name, minus=STATIC, tasks=tasks) for name in (*METHODS, *MIXED)]
        # Which tasks count is decided by the whole run: after so few updates, much that can be learned is not yet.
        return [*equal_compute, *(Contrast(arm=name, minus=FEWER, tasks=tasks, reference=STATIC) for name in MIXED)]

    def sentences(self, found: Findings) -> Sequence[str]:
        against = [each for each in found.comparisons if each.contrast.minus == STATIC]
        fewer = [each for each in found.comparisons if each.contrast.minus == FEWER]
        return [
            f"At equal compute, {_verdicts(against, found)}.",
            f"At equal updates, of the ways with one update per iteration, {_verdicts(fewer, found)}.",
        ]

    def sections(self, found: Findings) -> Sequence[str]:
        """Every way at equal compute and at equal updates, and what it costs beside tuned fixed weights."""
        if STATIC not in found.costs:
            return ()
        rows = [self._row(found, arm.name) for arm in found.arms]
        head = ["way", "equal compute", "differs at equal compute", "equal updates", "differs at equal updates"]
        head += ["updates", "training time", "processor time", "memory", "memory of a step"]
        words = (
            f"Each way minus tuned fixed weights ({STATIC}; at equal updates, {FEWER}), in normalised points "
            "[95%]. A way with an update per batch makes as many updates as "
            f"{STATIC}: there, equal compute is equal updates. Differs: neither this interval nor the t interval over "
            "the seeds contains 0 (of twenty ways that are all alike, about one would differ); *: only the t interval "
            f"contains 0. Times are those of training, validations included, relative to {STATIC}. Memory is counted, "
            "not measured: parameters, gradients, optimizer states and what it keeps of each task; that of a step "
            f"includes the activations of the largest batch. MB (relative to {STATIC})."
        )
        return [f"{words}\n\n" + markdown_table(head, rows)]

    def _row(self, found: Findings, name: str) -> list[str]:
        compute = found.comparison(name, STATIC)
        updates = found.comparison(name, FEWER) if name in MIXED else compute
        cost, static = found.costs[name], found.costs[STATIC]
        return [
            name,
            *(cell for each in (compute, updates) for cell in _compared(each)),
            f"{cost.updates:,.0f}",
            _ratio(cost.seconds, static.seconds),
            _ratio(cost.processor_seconds, static.processor_seconds),
            _size(cost.memory, static.memory),
            _size(cost.memory_step, static.memory_step),
        ]


def _compared(found: Comparison | None) -> tuple[str, str]:
    """A difference, and whether it is significant."""
    if found is None:
        return "", ""
    word = "better" if found.main_measure.mean > 0 else "worse"
    differs = word if found.significant else f"({word}) *" if found.by_bootstrap_alone else "no"
    return gain_of(found.main_measure), differs


def _ratio(own: float | None, static: float | None) -> str:
    return f"{own / static:.2f}" if own is not None and static else ""


def _size(own: float | None, static: float | None) -> str:
    return f"{own / 1e6:.1f} ({_ratio(own, static)})" if own is not None and static else ""


def _mixed(name: str) -> dict[str, Any]:
    return {"optimizer.update": "iteration", **({} if name == "mixed" else {"balancing": {"name": name}})}


def _verdicts(comparisons: Sequence[Comparison], found: Findings) -> str:
    """Which ways differ significantly from tuned fixed weights, as the end of a sentence."""
    compared = {each.contrast.arm: each for each in comparisons}
    better, worse = ([name for name, each in compared.items() if each.significant == sign] for sign in (1, -1))
    told = f"{_are(better)} significantly better than tuned fixed weights, and {_are(worse)} significantly worse"
    return f"{told}{by_two_seeds(found)}{uncertain(compared, 1, 'better')}{uncertain(compared, -1, 'worse')}"


def _are(names: Collection[str]) -> str:
    """The subject of a sentence, and its verb."""
    return f"{', '.join(names)} {'are' if len(names) > 1 else 'is'}" if names else "none is"
