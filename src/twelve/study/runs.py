"""One run of a study: its configuration, its training, and its evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from twelve.config import parse
from twelve.data.prepare import Prepared
from twelve.errors import DataError
from twelve.evaluation.evaluate import SHUFFLED, Evaluator
from twelve.evaluation.kinds import kinds_of
from twelve.formats.records import read_object
from twelve.io import files
from twelve.model.opening import open_saved
from twelve.model.precision import for_predicting
from twelve.run_folder import RunFolder, model_folder
from twelve.runs.new_model import Start
from twelve.runs.train import train
from twelve.settings import RunConfig
from twelve.stopping import Stopped
from twelve.study.arms import Arm
from twelve.study.by_type import by_type
from twelve.study.observing import Hooks, Observed, Observer, Probe
from twelve.study.overrides import ALONE, overridden
from twelve.study.plan import checked
from twelve.study.probes import probe_of
from twelve.study.results import History
from twelve.training.hooks import TrainingHook


def length(config: RunConfig, data: Prepared) -> int:
    """Iterations of the joint run."""
    if config.training.iterations:
        return config.training.iterations
    sizes = [(len(task.train), task.batch_size) for task in data.tasks.values()]
    epoch = max(max(1, count // min(size, count)) for count, size in sizes)
    return math.ceil(config.training.epochs * epoch)


def batch_sizes(config: RunConfig, data: Prepared, overrides: Mapping[str, Any]) -> dict[str, int]:
    """Task -> examples in a batch of an arm with these overrides."""
    own = parse(overridden(config.model_dump(mode="json"), overrides)).tasks
    tasks = {name: replace(task, settings=own[name]) for name, task in data.tasks.items()}
    return {name: min(task.batch_size, len(task.train)) for name, task in tasks.items()}


def run_config(
    config: RunConfig,
    data: Prepared,
    arm: Arm,
    folder: Path,
    names: Sequence[str],
    *,
    iterations: int,
    factor: float,
    share: float = 1.0,
    start: Path,
    convergence: Mapping[str, int] | None = None,
) -> RunConfig:
    """The configuration of one run. A model of one task trains it in every iteration.

    Args:
        config: of the seed, with all tasks.
        iterations: of the run at its full length.
        factor: of all learning rates.
        share: of the full length; intervals between validations shrink by the same share.
        start: the saved model that the run begins with.
        convergence: task -> iterations it takes to converge, for a schedule that has this option.
    """
    tree = config.model_dump(mode="json")
    if len(names) == 1:
        tree["schedule"] = ALONE
    tree["tasks"] = {name: settings | {"learning_rate": data.tasks[name].learning_rate} for name, settings in
                     tree["tasks"].items()}  # fmt: skip
    tree = overridden(tree, arm.overrides)
    tree["tasks"] = {name: tree["tasks"][name] for name in names}
    for settings in tree["tasks"].values():
        settings["learning_rate"] *= factor
    tree["run"] = str(folder)
    tree["optimizer"]["head_learning_rate"] *= factor
    tree["model"] |= {"init": str(start)}
    if convergence is not None:
        options = tree["schedule"].get("options") or {}
        tree["schedule"]["options"] = {**options, "convergence": {name: convergence[name] for name in names}}
    training = tree["training"]
    training |= {"iterations": max(1, round(share * iterations)), "keep": 1}
    if training["eval_every"]:
        training["eval_every"] = max(1, round(share * training["eval_every"]))
    return parse(tree)


def trained(
    config: RunConfig,
    start: Callable[[], Start],
    *,
    over: Callable[[], bool] = lambda: False,
    probes: Mapping[str, Path] | None = None,
    earlier: tuple[int, ...] = (),
) -> History:
    """Train a run, resume it where it was interrupted, or leave it where it is finished; returns its summary.

    Args:
        over: whether the time of this part of the study is over.
        probes: name of a probe -> file for what it finds.
        earlier: see :class:`Observed`.

    Raises:
        PartOver: the time was over; the run has a checkpoint.
        DataError: the file with the summary is damaged.
    """
    run = RunFolder(config.run)
    if not files.is_there(run.trained, DataError):
        begun = start()
        observer = Observer(config, run, over)
        observed = Observed(config, *begun[:3], run, earlier)
        measuring: dict[Path, Probe] = {path: probe_of(name, observed) for name, path in (probes or {}).items()}
        hooks: list[TrainingHook] = [observer, *measuring.values()]
        try:
            train(config, go_on=True, console=Console(quiet=True), start=begun, hook=Hooks(hooks))
        except Stopped as stopped:
            observer.finish(stopped.iteration)
            raise
        observer.finish(int(run.read(run.trained).get("iterations", 0)))
        for path, probe in measuring.items():
            run.write(path, probe.found())
    if run.checkpoints.is_dir():
        files.remove(run.checkpoints)
    return history(run)


def history(run: RunFolder) -> History:
    """The summary of a finished run; raises DataError if it is damaged."""
    return checked(History, read_object(run.trained), "remove this run's folder and go on: --resume")


def validation_score(history: History) -> float:
    """Mean validation score, 0..1, of the saved model over the run's tasks."""
    scores = history.kept.values()
    return float(sum(scores) / len(scores))


def measure(config: RunConfig, data: Prepared, *, first: Collection[str]) -> list[dict[str, Any]]:
    """Evaluate a trained run: fields of :class:`twelve.study.results.Result` of each task.

    Args:
        data: of the run's tasks.
        first: tasks whose baselines, all of them, and upper bound are measured; of the others, only shuffled images.
    """
    model, processor = open_saved(model_folder(Path(config.run)))
    if torch.cuda.is_available():
        torch.nn.Module.to(model, "cuda")
    faster = for_predicting(model, config.evaluation.precision)
    evaluator = Evaluator(config, faster, processor, data=data)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    found = []
    for name in config.tasks:
        evaluator.image_free = name in first
        evaluator.baselines = evaluator.image_free or config.evaluation.derangements > 0
        result = evaluator.measure(name)
        ours = evaluator.measurements[name]
        kinds = kinds_of(evaluator.examples[name])
        record: dict[str, Any] = {
            "task": name,
            "title": result.title,
            "metric": result.metric,
            "split": result.protocol.split,
            "group": data.tasks[name].output.skill,
            "score": result.score.mean,
            "parameters": parameters,
            "groups": list(ours.groups),
            "values": [round(float(value), 6) for value in ours.per_example],
            "by_type": by_type(kinds, ours.per_example),
        }
        if name in evaluator.shuffled:
            record["shuffled"] = result.baselines[SHUFFLED].score
            record["shuffled_values"] = [round(float(value), 6) for value in evaluator.shuffled[name]]
        if name in first:
            record["baselines"] = {baseline.name: baseline.score for baseline in result.baselines.values()}
            record["upper_bound"] = result.upper_bound
            record["kinds"] = kinds
        found.append(record)
    return found
