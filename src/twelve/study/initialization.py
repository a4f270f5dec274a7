"""The initial model and the data of a study: for each seed, one random model and one split of the data for all arms.

The model is made once, for all tasks, and saved. An arm that trains a task alone takes this model without the heads of
other tasks, and the data of that task. So parameters, tokenizer, answers, the scale of the regions, and the training
and validation sets are equal in all arms.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from twelve.config import parse
from twelve.data.prepare import Prepared, prepare
from twelve.errors import CheckpointError
from twelve.io import files
from twelve.model.opening import open_saved
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.runs.new_model import Start
from twelve.runs.train import beginning
from twelve.settings import RunConfig
from twelve.study.overrides import overridden


def of_seed(config: RunConfig, seed: int, folder: Path, worlds: bool) -> RunConfig:
    """The configuration of one seed; ``folder`` is the seed's folder, where its world is if it has one."""
    tree = config.model_dump(mode="json") | {"seed": seed}
    if worlds:
        tree |= {"data": str(folder / "data"), "regions": str(folder / "regions")}
    return parse(tree)


class Beginning:
    """The initial model and the data of one seed.

    Args:
        config: of the seed, with all tasks.
        folder: of the seed; the model is saved in ``start`` there.
    """

    def __init__(self, config: RunConfig, folder: Path) -> None:
        self.config, self.folder = config, folder / "start"
        self.data: Prepared
        if files.is_there(self.folder / "config.json", CheckpointError):
            processor = TwelveProcessor.from_pretrained(self.folder)
            self.data = prepare(config, processor.vocabularies)
        else:
            model, processor, self.data, _ = beginning(config)
            save(model, processor, self.folder)

    def start(self, config: RunConfig, folder: Path, *, known: bool = False) -> Start:
        """What a run begins with.

        Args:
            config: of the run; its tasks have the learning rates and sizes of batches that it says.
            folder: a saved model that has the heads of these tasks, with those of others or without.
            known: the model was trained on these tasks; they are validated before the first step.
        """
        model, processor = open_saved(folder)
        part = self.part(config)
        keys = {task.task.output for task in part.tasks.values() if task.output.own_head}
        processor.task_outputs = {task: key for task, key in processor.task_outputs.items() if key in keys}
        processor.left_out = tuple(task for task in processor.left_out if task in processor.task_outputs)
        processor.vocabularies = {key: labels for key, labels in processor.vocabularies.items() if key in keys}
        return only(model, keys), processor, part, list(config.tasks) if known else []

    def part(self, config: RunConfig) -> Prepared:
        """The data of a run's tasks alone, split as for all tasks together."""
        tasks = {name: replace(self.data.tasks[name], settings=settings) for name, settings in config.tasks.items()}
        return replace(self.data, tasks=tasks)

    def made_otherwise(self, name: str, overrides: Mapping[str, Any]) -> Path:
        """The folder of the model that an arm begins with whose model is made in another way: with the parameters of
        the seed's model where it has the same ones.

        Args:
            name: of the arm.
            overrides: of the configuration.
        """
        folder = self.folder.with_name("starts") / name
        if not files.is_there(folder / "config.json", CheckpointError):
            config = parse(overridden(self.config.model_dump(mode="json"), overrides))
            model, processor, _, _ = beginning(config)
            model.load_state_dict(_alike(open_saved(self.folder)[0].state_dict(), model.state_dict()))
            save(model, processor, folder)
        return folder


def _alike(theirs: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A model's own state, with the tensors of another one where names and shapes are equal."""
    return {
        name: theirs[name] if name in theirs and theirs[name].shape == value.shape else value
        for name, value in own.items()
    }


def save(model: Twelve, processor: TwelveProcessor, folder: Path) -> None:
    """Save a model and its processor; the folder appears complete or not at all."""
    with files.replacing(folder) as partial:
        model.save_pretrained(partial)
        processor.save_pretrained(partial)


def only(model: Twelve, heads: set[str]) -> Twelve:
    """The model with these heads alone."""
    kept: Mapping[str, Any] = {key: head for key, head in model.config.heads.items() if key in heads}
    if len(kept) == len(model.config.heads):
        return model
    settings = copy.deepcopy(model.config)
    settings.heads = dict(kept)
    smaller = Twelve(settings)
    names = set(smaller.state_dict())
    smaller.load_state_dict({name: value for name, value in model.state_dict().items() if name in names})
    return smaller
