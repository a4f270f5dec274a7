"""Findings of studies that never ran: drawn numbers, with everything that a page can show."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np

from twelve.metrics.bootstrap import Interval
from twelve.study.arms import Arm, Contrast, Rates
from twelve.study.finding_types import Cell, Comparison, Cost, Curve, Findings, Row, Score, Searched
from twelve.study.plan import Plan
from twelve.study.results import Event
from twelve.training.convergence import Gain

GROUPS = {
    "answering": ("vqa", "gqa"),
    "retrieval": ("flickr30k",),
    "pointing": ("refcoco", "visual7w"),
    "verification": ("nlvr2", "snli_ve"),
}
TITLES = {
    **{"vqa": "VQA v2, accuracy", "gqa": "GQA, accuracy", "flickr30k": "Flickr30k retrieval, R@1"},
    **{"refcoco": "RefCOCO, accuracy", "visual7w": "Visual7W, accuracy", "nlvr2": "NLVR2, accuracy"},
    **{"snli_ve": "SNLI-VE, accuracy"},
}
TASKS = tuple(TITLES)
GROUP_OF = {task: group for group, tasks in GROUPS.items() for task in tasks}


class Made:
    """Draws the findings of a study with these arms and contrasts.

    Args:
        unlearned: task -> arms that do not beat its best baseline.
    """

    def __init__(
        self,
        title: str,
        question: str,
        arms: list[Arm],
        contrasts: list[Contrast],
        *,
        seed: int = 0,
        unlearned: dict[str, tuple[str, ...]] | None = None,
        recorded: bool = True,
    ) -> None:
        self.rng, self.unlearned = np.random.default_rng(seed), unlearned or {}
        self.title, self.question, self.arms, self.contrasts, self.recorded = title, question, arms, contrasts, recorded

    def interval(self, mean: float, half: float = 1.5) -> Interval:
        return Interval(mean, mean - half * self.rng.uniform(0.7, 1.3), mean + half * self.rng.uniform(0.7, 1.3))

    def learned(self, arm: str, task: str) -> bool:
        return arm not in self.unlearned.get(task, ())

    def score(self, arm: str, task: str) -> Score:
        mean = float(self.rng.uniform(45, 80))
        shuffled = float(self.rng.uniform(30, 44)) if self.recorded else None
        return Score(
            score=self.interval(mean),
            closed=self.interval(mean - 20),
            seeds=(seeds := tuple(mean + self.rng.normal(0, 0.5, 3))),
            closed_seeds=tuple(each - 20 for each in seeds),
            learned=self.learned(arm, task),
            shuffled=shuffled,
            looking=None if shuffled is None else self.interval(mean - shuffled),
            looking_seeds=() if shuffled is None else tuple(each - shuffled for each in seeds),
            validation=(mean,) * 3,
            converged=(True, True, False) if self.recorded else (None,) * 3,
            falling=(False,) * 3,
            late_gains=(*[Gain(0.001, 0.001, 3)] * 2, Gain(0.02, 0.002, 3)) if self.recorded else (None,) * 3,
            extensions=(0, 0, 1),
            updates=(1600 if next(each for each in self.arms if each.name == arm).alone else 800,) * 3,
            by_type={},
        )

    def compared(self, contrast: Contrast) -> Comparison:
        shift = self.rng.normal(0.5, 2)
        cells = []
        for task in contrast.tasks:
            mean = float(shift + self.rng.normal(0, 1.5))
            points, seeds = self.interval(mean), tuple(mean + self.rng.normal(0, 0.5, 3))
            learned_by = [self.learned(judge, task) for judge in contrast.judges]
            cells.append(Cell(task, points, self.interval(1.4 * mean), seeds, all(learned_by)))
        learned = [cell.points.mean for cell in cells if cell.learned]
        every = self.interval(float(np.mean([cell.points.mean for cell in cells])), 1.0)
        mean = self.interval(float(np.mean(learned)), 1.0) if learned else None
        return Comparison(contrast, tuple(cells), mean, mean, every, every, every, (every.mean,) * 3)

    def curve(self, arm: str, task: str, seed: int, length: int) -> Curve:
        at = np.arange(50, length + 1, 50)
        rise = 40 + 30 * (1 - np.exp(-at / (length / 4))) + self.rng.normal(0, 0.6, len(at))
        events = (
            Event(iteration=length // 2, event="stop"),
            Event(iteration=length * 3 // 4, event="go"),
            Event(iteration=length * 7 // 8, event="stop"),
        )
        points = tuple(zip(at.tolist(), rise.tolist(), strict=True))
        return Curve(arm, task, seed, points, events if arm == self.arms[0].name else (), (), (length,))

    def findings(self) -> Findings:
        config = {"run": "run", "data": "data", "tasks": {task: {} for task in TASKS}}
        plan = Plan(
            study=self.title,
            arms=tuple(self.arms),
            contrasts=tuple(self.contrasts),
            seeds=(0, 1, 2),
            worlds=True,
            config=config,
        )
        rows = tuple(
            Row(task, TITLES[task], TITLES[task].rpartition(", ")[2], GROUP_OF[task], {"majority": 31.0}, 31.0, 97.5,
                {arm.name: self.score(arm.name, task) for arm in self.arms if task in arm.tasks}, (31.0,) * 3)
            for task in TASKS if any(task in arm.tasks for arm in self.arms)
        )  # fmt: skip
        curves = tuple(
            self.curve(arm.name, task, seed, 1600 if arm.alone else 800)
            for arm in self.arms
            for task in arm.tasks
            for seed in plan.seeds
            if self.recorded
        )
        return Findings(
            folder=Path("somewhere"),
            title=self.title,
            question=self.question,
            claim="One model for all tasks is better on average than a model for each.",
            plan=plan,
            seeds=plan.seeds,
            arms=plan.arms,
            missing=(),
            rows=rows,
            left_out={},
            closed={arm.name: self.interval(50) for arm in self.arms},
            closed_seeds={arm.name: (50.0,) * 3 for arm in self.arms},
            comparisons=tuple(self.compared(contrast) for contrast in self.contrasts),
            costs={
                arm.name: Cost(len(arm.models), 1.6e6 * len(arm.models), 5600.0, 1234.0, 1200.0, 0, None)
                for arm in self.arms
            },
            curves=curves,
            searches=(Searched(self.arms[-1].name, (TASKS[0],), {0.3: 51.0, 1.0: 53.2, 3.0: None}, 1.0, False),),
            machine={"processor": "a processor", "torch": "2.13"},
            sentences=("The first thing that it found: <b>+1.0</b>.", "The second thing that it found."),
        )


def joint_vs_single(**changes: object) -> Findings:
    """One joint arm and two of single models; one task is not learned alone."""
    each = tuple((task,) for task in TASKS)
    arms = [
        Arm(name="stop-and-go", meaning="one model, a task that no longer improves is stopped", models=(TASKS,)),
        Arm(name="single", meaning="a model for each task, as many updates", models=each),
        Arm(
            name="single-longer", meaning="a model for each task, twice", models=each, rates=Rates(factors=(0.3, 1, 3))
        ),
    ]
    contrasts = [Contrast(arm="stop-and-go", minus=arm, tasks=TASKS) for arm in ("single-longer", "single")]
    unlearned = {"nlvr2": ("single", "single-longer")}
    question = "Is one model for all tasks as good as a model for each?"
    return Made("joint-vs-single", question, arms, contrasts, unlearned=unlearned, **changes).findings()  # type: ignore[arg-type]


def groups() -> Findings:
    """All subsets of four groups; one group is not learned alone."""
    arms, contrasts = [], []
    for size in range(1, 5):
        for chosen in combinations(GROUPS, size):
            tasks = tuple(task for group in chosen for task in GROUPS[group])
            arms.append(Arm(name="+".join(chosen), meaning=f"{size} groups", models=(tasks,)))
            for group in chosen if size > 1 else ():
                contrasts.append(Contrast(arm="+".join(chosen), minus=group, tasks=GROUPS[group]))
    unlearned = {"flickr30k": ("retrieval",)}
    question = "Which groups of tasks help which?"
    return Made("groups", question, arms, contrasts, unlearned=unlearned, recorded=False).findings()
