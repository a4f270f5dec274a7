"""Executes a plan step by step; finished steps are skipped, and interrupted ones are resumed.

The folder of a study::

    study.json, search.json                 the plan; searches of learning rates, with their validation scores
    seed-0/data, seed-0/regions             the seed's world, where the data are drawn
    seed-0/start, seed-0/start-pretrained   the models that all runs of the seed begin with
    seed-0/runs/ARM[/TASK]                  the runs
    seed-0/results/ARM/TASK.json            contribution of every example to the score, and cost of the run
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from twelve.errors import ConfigError
from twelve.io import files
from twelve.settings import RunConfig
from twelve.study import initialization as starts
from twelve.study import pretraining, runs
from twelve.study.arms import ARMS, BASE, Arm
from twelve.study.plan import Plan, Step
from twelve.study.results import (
    History,
    Result,
    Search,
    has_result,
    read_result,
    searched,
    seed_folder,
    write_result,
    write_searched,
)
from twelve.training.losses import NonFiniteLoss


class Seed:
    """One seed of a study: its data, its initial models, and its runs."""

    def __init__(self, plan: Plan, out: Path, seed: int) -> None:
        self.plan, self.out, self.seed = plan, out, seed
        self.folder = seed_folder(out, seed)
        self.config: RunConfig = starts.of_seed(plan.parsed(), seed, self.folder, plan.worlds)

    @cached_property
    def beginning(self) -> starts.Beginning:
        if self.plan.worlds:
            starts.draw_world(self.config)
        return starts.Beginning(self.config, self.folder)

    def ready(self) -> None:
        """Draw the world, if the seed has one, and make the initial model, unless they exist."""
        _ = self.beginning

    # --- steps ------------------------------------------------------------------------------------------------

    def done(self, step: Step) -> bool:
        if step.search:
            return self._searched(step).chosen is not None
        return all([has_result(self.out, self.seed, step.arm, name) for name in self._names(step)])

    def take(self, step: Step) -> None:
        """Execute a step that is not done."""
        if step.search:
            self._search(step)
        else:
            self._run(step)

    def _searched(self, step: Step) -> Search:
        """What the search of the step has found so far."""
        return searched(self.plan, self.out).get(step.key, Search())

    def _run(self, step: Step) -> None:
        chosen = self._searched(step).chosen
        factor = self.plan.factors[0] if chosen is None else chosen
        config, history = self._train(step, self.folder / "runs" / step.key, factor, 1.0)
        for measured in runs.measure(config, self._part(step), baselines=step.arm == BASE):
            own = {"arm": step.arm, "seed": self.seed, "factor": factor, "validation": history.kept[measured["task"]]}
            write_result(self.out, Result(**own, **history.spent(), **measured))

    def _search(self, step: Step) -> None:
        """Train a short run for each factor, and choose the factor with the best validation score."""
        for factor in self.plan.factors:
            mine, name = self._searched(step), str(factor)
            if name in mine.validations:
                continue
            folder = self.folder / "search" / step.key / name
            batches = dict(mine.batches)
            validation: float | None = None
            try:
                _, history = self._train(step, folder, factor, self.plan.search)
                validation, batches[name] = runs.validation_score(history), sum(history.batches.values())
            except NonFiniteLoss:
                pass
            self._keep(step, Search(validations={**mine.validations, name: validation}, batches=batches))
            files.remove(folder)
        mine = self._searched(step)
        self._keep(step, mine.model_copy(update={"chosen": best(mine.validations, step.key)}))

    def _keep(self, step: Step, found: Search) -> None:
        write_searched(self.out, searched(self.plan, self.out) | {step.key: found})

    def _train(self, step: Step, folder: Path, factor: float, share: float) -> tuple[RunConfig, History]:
        arm, names, start = ARMS[step.arm], self._names(step), self.beginning.folder
        if arm.pretrained:
            start = pretraining.start(self.beginning, self.plan.pretraining)
        config = runs.run_config(
            self.config,
            self.beginning.data,
            arm,
            folder,
            names,
            iterations=self._length(arm, step.task),
            factor=factor,
            share=share,
            start=start,
        )
        return config, runs.trained(config, partial(self.beginning.start, names, start))

    # --- details of a step -------------------------------------------------------------------------------------

    def _names(self, step: Step) -> Sequence[str]:
        return [step.task] if step.task else list(self.config.tasks)

    def _part(self, step: Step) -> Any:
        return self.beginning.part(self._names(step))

    def _length(self, arm: Arm, task: str | None) -> int:
        """Iterations of an arm's full run; those of most arms follow from the updates of the base arm."""
        if not (arm.alone or arm.equal):
            return runs.length(self.config, self.beginning.data)
        batches = self._base_batches()
        if task is None:
            return max(1, round(sum(batches.values()) / len(batches)))
        return max(1, round(batches[task] * (self.plan.longer if arm.doubled else 1.0)))

    def _base_batches(self) -> Mapping[str, int]:
        """Task -> updates in the base arm of this seed, which runs first."""
        return read_result(self.plan, self.out, self.seed, BASE, self.plan.tasks[0]).batches


def best(validations: Mapping[str, float | None], key: str) -> float:
    """The factor with the best validation score; of equal ones, the one closest to 1.

    Raises:
        ConfigError: every run diverged.
    """
    scores = {float(factor): score for factor, score in validations.items() if score is not None}
    if not scores:
        raise ConfigError(
            f"every learning rate of {key} made the loss infinite", record="factors", remedy="search smaller factors"
        )
    return min(scores, key=lambda factor: (-scores[factor], max(factor, 1 / factor)))
