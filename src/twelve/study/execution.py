"""Carries a plan out, step by step; what is finished is not done again, what was interrupted goes on.

A study's folder::

    study.json, search.json                 the plan; learning rates that were searched, with the looks that chose them
    seed-0/data, seed-0/regions             the seed's world, where the data are drawn
    seed-0/start, seed-0/start-pretrained   the models that all runs of the seed begin with
    seed-0/runs/ARM[/TASK]                  runs
    seed-0/results/ARM/TASK.json            what every example contributed to the score, and what the run cost
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from twelve import files
from twelve.config import RunConfig
from twelve.data.records import read_object
from twelve.errors import ConfigError
from twelve.study import pretraining, runs, starts
from twelve.study.arms import ARMS, BASE, Arm
from twelve.study.plan import Plan, Step
from twelve.training.trainer import NonFiniteLoss

SEARCH, RESULTS = "search.json", "results"


def seed_folder(out: Path, seed: int) -> Path:
    return out / f"seed-{seed}"


def result_file(out: Path, seed: int, arm: str, task: str) -> Path:
    return seed_folder(out, seed) / RESULTS / arm / f"{task}.json"


def searched(out: Path) -> dict[str, Any]:
    """What searches have found so far: ``{key: {"looks": {factor: score or None}, "chosen": factor}}``."""
    return dict(read_object(out / SEARCH).fields) if (out / SEARCH).is_file() else {}


class Seed:
    """One seed of a study: its data, the models that its runs begin with, and its runs."""

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
        """Draw the world, if the seed has one, and make the start, unless they are there."""
        _ = self.beginning

    # --- steps ------------------------------------------------------------------------------------------------

    def done(self, step: Step) -> bool:
        if step.search:
            return "chosen" in searched(self.out).get(step.key, {})
        return all(result_file(self.out, self.seed, step.arm, name).is_file() for name in self._names(step))

    def take(self, step: Step) -> None:
        """Do a step that is not done."""
        if step.search:
            self._search(step)
        else:
            self._run(step)

    def _run(self, step: Step) -> None:
        found = searched(self.out).get(step.key, {})
        factor = found.get("chosen", self.plan.factors[0])
        config, history = self._train(step, self.folder / "runs" / step.key, factor, 1.0)
        for record in runs.measure(config, self._part(step), floors=step.arm == BASE):
            record |= {"arm": step.arm, "seed": self.seed, "factor": factor}
            record |= {key: history[key] for key in ("iterations", "batches", "seconds")}
            record["look"] = history["kept"][record["task"]]
            runs.write_json(result_file(self.out, self.seed, step.arm, record["task"]), record)

    def _search(self, step: Step) -> None:
        """Short runs, one a factor; the one whose kept model has the best look decides."""
        for factor in self.plan.factors:
            found = searched(self.out)
            mine = found.setdefault(step.key, {"looks": {}, "batches": {}})
            if str(factor) in mine["looks"]:
                continue
            folder = self.folder / "search" / step.key / str(factor)
            try:
                _, history = self._train(step, folder, factor, self.plan.search)
                mine["looks"][str(factor)] = runs.look_score(history)
                mine["batches"][str(factor)] = sum(history["batches"].values())
            except NonFiniteLoss:
                mine["looks"][str(factor)] = None
            runs.write_json(self.out / SEARCH, found)
            files.remove(folder)
        found = searched(self.out)
        found[step.key]["chosen"] = best(found[step.key]["looks"], step.key)
        runs.write_json(self.out / SEARCH, found)

    def _train(self, step: Step, folder: Path, factor: float, share: float) -> tuple[RunConfig, dict[str, Any]]:
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

    # --- what they are about ----------------------------------------------------------------------------------

    def _names(self, step: Step) -> Sequence[str]:
        return [step.task] if step.task else list(self.config.tasks)

    def _part(self, step: Step) -> Any:
        return self.beginning.part(self._names(step))

    def _length(self, arm: Arm, task: str | None) -> int:
        """Iterations of an arm's run at its full length; those of most arms follow from the base arm's updates."""
        if not (arm.alone or arm.equal):
            return runs.length(self.config, self.beginning.data)
        batches = self._base_batches()
        if task is None:
            return max(1, round(sum(batches.values()) / len(batches)))
        return max(1, round(batches[task] * (self.plan.longer if arm.doubled else 1.0)))

    def _base_batches(self) -> Mapping[str, int]:
        """Updates that each task had in this seed's base arm, which runs first."""
        name = next(iter(self.config.tasks))
        batches = read_object(result_file(self.out, self.seed, BASE, name)).record("batches")
        return {task: batches.integer(task) for task in self.config.tasks}


def best(looks: Mapping[str, float | None], key: str) -> float:
    """The factor with the best look; of equals the one nearest 1.

    Raises:
        ConfigError: all of them diverged.
    """
    scores = {float(factor): score for factor, score in looks.items() if score is not None}
    if not scores:
        raise ConfigError(
            f"every learning rate of {key} made the loss infinite", record="factors", remedy="search smaller factors"
        )
    return min(scores, key=lambda factor: (-scores[factor], max(factor, 1 / factor)))
