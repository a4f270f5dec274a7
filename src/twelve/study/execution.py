"""Executes a plan step by step; finished steps are skipped, and interrupted ones are resumed.

The folder of a study::

    study.json                              the plan
    search/ARM[/TASKS].json                 searches of learning rates, with their validation scores
    seed-0/data, seed-0/regions             the seed's world, where the data are drawn
    seed-0/world.json                       its fingerprint
    seed-0/start, seed-0/start-pretrained   the models that the runs of the seed begin with
    seed-0/starts/ARM                       the same of an arm whose model is made in another way
    seed-0/runs/ARM[/TASKS]                 the runs
    seed-0/extended/ARM[/TASKS]/1           extensions of runs that had not converged
    seed-0/results/ARM/TASK.json            contribution of every example to the score, what was measured in training
    seed-0/probes/ARM[/TASKS]/NAME.json     what an arm's probes found, and NAME-1.json in the first extension
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from twelve.errors import ConfigError
from twelve.io import files
from twelve.run_folder import model_folder
from twelve.runs.new_model import Start
from twelve.settings import RunConfig
from twelve.study import initialization as starts
from twelve.study import pretraining, runs, worlds
from twelve.study.arms import Arm, Length
from twelve.study.losses import with_losses
from twelve.study.observing import PartOver
from twelve.study.overrides import model_overrides, naming_arm
from twelve.study.plan import Plan, Step
from twelve.study.results import (
    History,
    Result,
    Search,
    has_result,
    is_done,
    probe_file,
    read_result,
    searched,
    seed_folder,
    write_result,
    write_search,
)
from twelve.study.training import Trained, best_run, total
from twelve.training.convergence import convergence
from twelve.training.losses import NonFiniteLoss
from twelve.training.provenance import machine

EXTENSION = 0.5
"""Length of an extension, as a share of the run's."""


class Seed:
    """One seed of a study: its data, its initial models, and its runs.

    Args:
        over: whether the time of this part of the study is over.
        worlds_of: the folder of a study whose world of this seed is taken, if it has one.
    """

    def __init__(
        self,
        plan: Plan,
        out: Path,
        seed: int,
        over: Callable[[], bool] = lambda: False,
        worlds_of: Path | None = None,
    ) -> None:
        self.plan, self.out, self.seed, self.over, self.worlds_of = plan, out, seed, over, worlds_of
        self.folder = seed_folder(out, seed)
        self.origin = _origin()
        self.config: RunConfig = starts.of_seed(plan.parsed(), seed, self.folder, plan.worlds)

    @cached_property
    def beginning(self) -> starts.Beginning:
        with files.alone(self.folder, wait=True):
            if self.plan.worlds:
                worlds.provide(self.config, self.folder, self.worlds_of)
            return starts.Beginning(self.config, self.folder)

    @property
    def has_world(self) -> bool:
        """Whether its world, if the plan has any, need not be drawn any more."""
        return not self.plan.worlds or worlds.is_finished(self.out, self.seed)

    def prepare(self) -> None:
        """Draw or take the seed's world, open its data, and make the initial models of arms that change ``model``, if
        that was not done. So an arm whose model cannot be made ends the study before an arm is trained."""
        _ = self.beginning
        left = {step.arm.name for step in self.plan.steps() if step.seed == self.seed and not self.done(step)}
        for arm in self.plan.arms:
            if arm.name in left and arm.start == "seed":
                self._made(arm)

    def forget(self) -> None:
        """Free the memory of the data."""
        self.__dict__.pop("beginning", None)

    # --- steps ------------------------------------------------------------------------------------------------

    def done(self, step: Step) -> bool:
        return is_done(self.out, step)

    def lacks(self, step: Step) -> list[str]:
        """Searches and runs that must be done before a step, by their keys."""
        found = []
        if not step.search and step.arm.rates.searches(step.model) and searched(self.out, step).chosen is None:
            found.append(f"the learning rate of {step.key}")
        for name in step.arm.needs:
            tasks = self.plan.arm(name).tasks if self._in_all(step.arm, name) else step.model
            found += [name for task in tasks if not has_result(self.out, self.seed, name, task)][:1]
        return found

    def _in_all(self, arm: Arm, name: str) -> bool:
        return arm.length.rule == "total" and name in arm.length.of

    def take(self, step: Step) -> None:
        """Execute a step that is not done.

        Raises:
            PartOver: the time of this part is over; what was trained is kept.
        """
        if step.search:
            self._search(step)
        else:
            self._run(step)

    def _run(self, step: Step) -> None:
        arm, chosen = step.arm, searched(self.out, step).chosen
        factor = arm.rates.of(step.model)[0] if chosen is None else chosen
        trained = self._trained(step, factor)
        kept = trained.best
        first = {name for name in step.model if self.plan.base(name) == arm}
        for measured in runs.measure(kept.config, self.beginning.part(kept.config), first=first):
            name = measured["task"]
            own: dict[str, Any] = {
                "arm": arm.name,
                "seed": self.seed,
                "factor": factor,
                "validation": kept.history.kept[name],
                "on_training_examples": kept.history.on_training_examples.get(name),
                "training_examples": kept.history.training_examples.get(name),
                **self.origin,
            }
            if arm.start == "pretrained":
                own["pretrained"] = pretraining.cost(self.beginning, arm)
            write_result(self.out, Result(**own, **trained.of(name), **measured))

    def _trained(self, step: Step, factor: float) -> Trained:
        """Train the run of a step and, until it has converged, its extensions."""
        folder, trained = self.folder / "runs" / step.key, Trained()
        names = step.arm.probes
        start = self._start(step.arm, step.model)
        trained.add(*self._train(step, folder, factor, start, probes=self._probes(names, step.key, 0)))
        while len(trained.parts) <= step.arm.length.extend and trained.unfinished:
            number, earlier = len(trained.parts), tuple(part.history.iterations for part in trained.parts)
            folder, probes = self.folder / "extended" / step.key / str(number), self._probes(names, step.key, number)
            start = trained.best.model
            try:
                trained.add(*self._train(step, folder, factor, start, probes=probes, earlier=earlier))
            except NonFiniteLoss:
                break  # the best model so far is kept
            if trained.best is not trained.parts[-1]:
                break  # the next extension would begin with the same model, and repeat this one
        return trained

    def _probes(self, names: Sequence[str], key: str, extension: int) -> dict[str, Path]:
        """Name of each probe -> file for what it finds in a run (0) or in an extension of it."""
        return {name: probe_file(self.out, self.seed, key, name, extension) for name in names}

    def _search(self, step: Step) -> None:
        """Train a run for each factor, and choose the factor with the best validation score."""
        share, factors = step.arm.rates.share, step.arm.rates.factors
        folders = {factor: self.folder / "searches" / step.key / str(factor) for factor in factors}
        for factor in factors:
            mine, name = searched(self.out, step), str(factor)
            if name in mine.validations:
                continue
            batches, seconds = dict(mine.batches), dict(mine.seconds)
            validation: float | None = None
            try:
                start = self._start(step.arm, step.model)
                _, history = self._train(step, folders[factor], factor, start, share=share)
                validation = runs.validation_score(history)
                batches[name], seconds[name] = sum(history.batches.values()), history.seconds
            except NonFiniteLoss:
                pass
            validations = {**mine.validations, name: validation}
            write_search(self.out, step, Search(validations=validations, batches=batches, seconds=seconds))
        mine = searched(self.out, step)
        chosen = best(mine.validations, step.key)
        target = self.folder / "runs" / step.key
        if share == 1 and not step.arm.probes and folders[chosen].is_dir() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            folders[chosen].rename(target)  # the search was as long as the run, so this is the run
        for folder in folders.values():
            if folder.is_dir():
                files.remove(folder)
        write_search(self.out, step, mine.model_copy(update={"chosen": chosen}))

    def _train(
        self,
        step: Step,
        folder: Path,
        factor: float,
        start: Path,
        *,
        share: float = 1.0,
        probes: Mapping[str, Path] | None = None,
        earlier: tuple[int, ...] = (),
    ) -> tuple[RunConfig, History]:
        if self.over():
            raise PartOver
        arm, length = step.arm, self._length(step.arm, step.model)
        config = runs.run_config(
            self.config,
            self.beginning.data,
            arm,
            folder,
            step.model,
            iterations=max(1, round(EXTENSION * length)) if earlier else length,
            factor=factor,
            share=share,
            start=start,
            convergence=None if arm.convergence is None else self._convergence(arm.convergence, step.model),
        )
        known = bool(earlier) or arm.start_arm is not None

        def begin() -> Start:
            return with_losses(self.beginning.start(config, start, known=known), arm)

        return config, runs.trained(config, begin, over=self.over, probes=probes, earlier=earlier)

    # --- details of a step -------------------------------------------------------------------------------------

    def _start(self, arm: Arm, model: tuple[str, ...]) -> Path:
        """The saved model that an arm's model begins with."""
        if arm.start_arm is not None:
            source = self.plan.arm(arm.start_arm)
            return self.kept(source, source.model_of(model[0]))
        if arm.start == "seed":
            return self._made(arm)
        beginning = self.beginning
        with files.alone(self.folder, wait=True):
            return pretraining.start(beginning, arm, self.over)

    def _made(self, arm: Arm) -> Path:
        """The saved model, not trained, that an arm begins with."""
        beginning, made = self.beginning, model_overrides(arm)
        if not made:
            return beginning.folder
        code = self.plan.code
        with (
            files.alone(self.folder, wait=True),
            naming_arm(arm, code.name if code else f"the study {self.plan.study}"),
        ):
            return beginning.made_otherwise(arm.name, made)

    def kept(self, arm: Arm, model: tuple[str, ...]) -> Path:
        """The model of a run or, if it was extended, the best one of it and its extensions."""
        run, extended = self.folder / "runs" / arm.key(model), self.folder / "extended" / arm.key(model)
        parts = [run, *(extended / str(number) for number in range(1, arm.length.extend + 1))]
        there = [part for part in parts if part.is_dir()]
        if not there:
            raise ConfigError(
                f"the model of {arm.key(model)} is gone, and another arm begins with it",
                file=run,
                remedy=f"copy it back, or remove {self.folder / 'results' / arm.name} and go on: --resume",
            )
        return model_folder(best_run(there))

    def _length(self, arm: Arm, model: tuple[str, ...]) -> int:
        """Iterations of a model's full run, without extensions."""
        joint, rule = runs.length(self.config, self.beginning.data), arm.length
        own, tasks = self._counts(arm.overrides, rule), model
        if rule.rule == "joint":
            wanted = {task: joint * count for task, count in self._counts({}, rule).items() if task in model}
        else:
            wanted = total(self._trained_on(self.plan.arm(name), rule) for name in rule.of)
        if rule.rule == "total":
            tasks = arm.tasks
        else:
            wanted = {task: wanted[task] for task in model}
        return max(1, round(rule.factor * sum(wanted.values()) / sum(own[task] for task in tasks)))

    def _counts(self, overrides: Mapping[str, Any], length: Length) -> Mapping[str, int]:
        """Task -> what a batch counts for in a length."""
        if length.unit == "updates":
            return dict.fromkeys(self.config.tasks, 1)
        return runs.batch_sizes(self.config, self.beginning.data, overrides)

    def _trained_on(self, arm: Arm, length: Length) -> Mapping[str, int]:
        """Task -> updates (or examples) in an arm of this seed, of the tasks that have run."""
        counts = self._counts(arm.overrides, length)
        return {
            task: counts[task] * read_result(self.plan, self.out, self.seed, arm.name, task).batches[task]
            for task in arm.tasks
            if has_result(self.out, self.seed, arm.name, task)
        }

    def _convergence(self, name: str, model: tuple[str, ...]) -> dict[str, int]:
        """Task -> iterations that it took to converge in an arm of this seed.

        Raises:
            ConfigError: the arm has no validation scores.
        """
        found = {}
        for task in model:
            recorded = read_result(self.plan, self.out, self.seed, name, task).recorded
            took = convergence(recorded.curve if recorded else ())
            if took is None:
                problem = f"the arm {name} has no validation scores of {task}, which show when it converges"
                raise ConfigError(problem, record="training.eval_every", remedy="validate more often")
            found[task] = took
        return found


@cache
def _origin() -> Mapping[str, str | None]:
    """Fields of :class:`twelve.study.results.Result` about what makes it. They are found once, when the process begins:
    the code of a checkout that changes later is not what runs here."""
    found = machine()
    return {"commit": found["commit"] or found["twelve"], "processor": found["accelerator"] or found["processor"]}


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
