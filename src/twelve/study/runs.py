"""One run of a study: its configuration, its training, and its evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from twelve.config import parse
from twelve.data.prepare import Prepared
from twelve.errors import DataError
from twelve.evaluation.evaluate import Evaluator
from twelve.formats.records import read_object
from twelve.io import files
from twelve.model.opening import open_saved
from twelve.model.precision import for_predicting
from twelve.run_folder import RunFolder, model_folder
from twelve.runs.new_model import Start
from twelve.runs.train import train
from twelve.settings import RunConfig
from twelve.study.arms import Arm
from twelve.study.plan import checked
from twelve.study.results import History

STOPPING = ("stop-and-go", "stop-and-go-as-worded")


def length(config: RunConfig, data: Prepared) -> int:
    """Iterations of the joint run."""
    if config.training.iterations:
        return config.training.iterations
    sizes = [(len(task.train), task.batch_size) for task in data.tasks.values()]
    epoch = max(max(1, count // min(size, count)) for count, size in sizes)
    return math.ceil(config.training.epochs * epoch)


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
) -> RunConfig:
    """The configuration of one run.

    Args:
        config: of the seed, with all tasks.
        iterations: of the run at its full length.
        factor: of all learning rates.
        share: of the full length; intervals between validations shrink by the same share.
        start: the saved model that the run begins with.
    """
    tree = config.model_dump(mode="json")
    rates = {name: data.tasks[name].learning_rate * factor for name in names}
    tree["run"] = str(folder)
    tree["tasks"] = {name: tree["tasks"][name] | {"learning_rate": rates[name]} for name in names}
    tree["optimizer"]["head_learning_rate"] *= factor
    tree["model"] |= {"init": str(start)}
    if arm.alone or arm.schedule is not None or tree["schedule"]["name"] not in STOPPING:
        tree["schedule"] = {"name": "always-go" if arm.alone else arm.schedule or STOPPING[0], "options": {}}
    training = tree["training"]
    training |= {"iterations": max(1, round(share * iterations)), "keep": 1}
    if training["eval_every"]:
        training["eval_every"] = max(1, round(share * training["eval_every"]))
    return parse(tree)


def trained(config: RunConfig, start: Callable[[], Start]) -> History:
    """Train a run, resume it where it was interrupted, or leave it where it is finished; returns its summary.

    Raises:
        DataError: the file with the summary is damaged.
    """
    run = RunFolder(config.run)
    if not files.is_there(run.trained, DataError):
        train(config, go_on=True, console=Console(quiet=True), start=start())
    if run.checkpoints.is_dir():
        files.remove(run.checkpoints)
    return checked(History, read_object(run.trained), "remove this run's folder and go on: --resume")


def validation_score(history: History) -> float:
    """Mean validation score, 0..1, of the saved model over the run's tasks."""
    scores = history.kept.values()
    return float(sum(scores) / len(scores))


def measure(config: RunConfig, data: Prepared, *, baselines: bool) -> list[dict[str, Any]]:
    """Evaluate a trained run: fields of :class:`twelve.study.results.Result` of each task. ``baselines`` adds these and
    the upper bound."""
    model, processor = open_saved(model_folder(Path(config.run)))
    if torch.cuda.is_available():
        torch.nn.Module.to(model, "cuda")
    faster = for_predicting(model, config.evaluation.precision)
    evaluator = Evaluator(config, faster, processor, baselines=baselines, data=data)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    found = []
    for name in config.tasks:
        result = evaluator.measure(name)
        ours = evaluator.measurements[name]
        record: dict[str, Any] = {
            "task": name,
            "title": result.title,
            "metric": result.metric,
            "split": result.protocol.split,
            "score": result.score.mean,
            "parameters": parameters,
            "groups": list(ours.groups),
            "values": [round(float(value), 6) for value in ours.per_example],
        }
        if baselines:
            record["baselines"] = {baseline.name: baseline.score for baseline in result.baselines.values()}
            record["upper_bound"] = result.upper_bound
        found.append(record)
    return found
