"""Continues from a saved model, also with tasks that it does not know.

Known tasks keep their rows of the task-token table, their rows of vocabularies, and all parameters. New tasks get free
rows and, where needed, new heads or new answers at the end of a head.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from twelve.data.batch import SeenRegions
from twelve.data.examples.columns import distinct_images
from twelve.data.prepare import Prepared, TaskData, prepare, sources_of, subset
from twelve.errors import CheckpointError, ConfigError
from twelve.model.opening import open_saved
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.outputs.base import Output
from twelve.outputs.pretraining import Pretraining
from twelve.regions.recipe import recipe_of
from twelve.settings import RunConfig
from twelve.tasks.base import all_tasks
from twelve.types.examples import Example

STATISTICS_EXAMPLES = 2000
"""Training examples whose targets initialise a new head."""


def continued(config: RunConfig, folder: Path) -> tuple[Twelve, TwelveProcessor, Prepared, list[str]]:
    """A saved model and its processor, the data of the run, and the tasks of the run that the model knows.

    Args:
        folder: what from_pretrained opens.

    Raises:
        CheckpointError: a new task needs a head whose name the checkpoint has for another kind of head.
        ConfigError: no task token is left, a text is longer than the model reads, or a replayed task is unknown.
    """
    model, processor = open_saved(folder)
    processor.allow_other_features = config.model.allow_other_features
    processor.use_task_tokens(_task_tokens(config, processor))
    known = [name for name in config.tasks if name in processor.task_outputs]
    new = [name for name in config.tasks if name not in known]
    if unknown := [name for name in config.replay if name in new]:
        raise ConfigError(
            f"the model has not learned {unknown[0]}",
            record="replay",
            remedy=f"it knows {', '.join(processor.task_outputs)}",
        )
    data = prepare(config, processor.vocabularies, adding=new, recipes=processor.region_recipes)
    sources = sources_of(data)
    processor.check_regions(data.store, sources, insist="--set model.allow_other_features=true")
    for source in sources:
        processor.region_fingerprints[source] = data.store.fingerprint(source)
        processor.region_recipes |= recipe_of(data.store.metadata(source), source)
    tasks = [data.tasks[name] for name in new]
    heads = _heads(model, data, tasks, folder)
    asked = _asked(model, data, folder)
    if not asked:
        _forget_pretraining(processor)
    for task in tasks:
        _add(task, processor, model)
    for name in known:
        if config.tasks[name].max_text is not None:
            processor.max_text[name] = _readable(data.tasks[name], model)
    processor.vocabularies = {key: list(answers) for key, answers in data.vocabularies.items()}
    changed = {"heads": heads, "pretraining": False, "task_specific_tokens": processor.task_tokens != "none"} | asked
    processor.use_heads(heads)
    changed["contrast"] = _contrast(model, config, folder)
    if any(getattr(model.config, name) != value for name, value in changed.items()):
        model = grown(model, changed, data, tasks, processor, config.seed)
    # The first task of a kind answers where none is named: one that this run trains, not one that it only keeps.
    trained = {name: processor.task_outputs[name] for name in config.tasks if name in processor.task_outputs}
    kept = {name: key for name, key in processor.task_outputs.items() if name not in trained}
    if not config.freeze.all_but_heads:
        processor.left_out = tuple(kept)
    elif config.contrast is None:  # the trunk stays as the tasks know it, and these have trained their heads
        processor.left_out = tuple(name for name in processor.left_out if name in kept)
    processor.task_outputs = trained | kept
    return model, processor, data, known


def _task_tokens(config: RunConfig, processor: TwelveProcessor) -> str:
    """The kind of task tokens of the run: that of the model, unless it has only been pretrained.

    Raises:
        ConfigError: another kind is asked for, with which the model would no longer know its tasks.
    """
    asked, there = config.model.task_tokens, processor.task_tokens
    if all(key == Pretraining.kind for key in processor.task_outputs.values()):
        return asked or "dataset"
    if asked not in (None, there):
        raise ConfigError(
            f"the model was trained with {there!r}, found {asked!r}",
            record="model.task_tokens",
            remedy="leave it out, or train a new model",
        )
    return there


def contrast_size(config: RunConfig) -> int:
    """Width of the vectors of a run's contrast head; 0 for none. A head that is not trained on would no longer fit."""
    return config.contrast.size if config.contrast else 0


def reserved_rows() -> list[int]:
    """Rows of the task-token table that registered tasks have in the released model."""
    return [task.token for task in all_tasks().values()]


def architecture(data: Prepared, visual_target: int | None) -> dict[str, Any]:
    """Fields of the model's configuration, other than its heads, that the outputs of the run's tasks need."""
    trained: dict[Output, list[Sequence[Example]]] = {}
    for task in data.tasks.values():
        if not task.output.own_head:
            trained.setdefault(task.output, []).append(task.train)
    fields: dict[str, Any] = {}
    for output, parts in trained.items():
        fields |= output.architecture(distinct_images(*parts), data.store.get, visual_target)
    return fields


def _asked(model: Twelve, data: Prepared, folder: Path) -> dict[str, Any]:
    """The fields of :func:`architecture` for a saved model, which keeps its pretraining heads if it has them.

    Raises:
        CheckpointError: these heads predict other numbers of a region than the run's regions have.
    """
    has = model.config.pretraining
    asked = architecture(data, model.config.visual_target if has else None)
    if has and asked and asked["v_target_size"] != model.config.v_target_size:
        raise CheckpointError(
            f"it predicts {model.config.v_target_size} numbers of a hidden region, these have {asked['v_target_size']}",
            file=folder,
            remedy="pretrain on regions of the extractor that it was pretrained with",
        )
    return asked


def _contrast(model: Twelve, config: RunConfig, folder: Path) -> int:
    """:func:`contrast_size`, which must be that of the model's head, if it has one; raises CheckpointError."""
    size, there = contrast_size(config), model.config.contrast
    if size and there and size != there:
        raise CheckpointError(
            f"its contrast head gives vectors of {there} numbers, not {size}",
            file=folder,
            remedy=f"--set contrast.size={there}",
        )
    return size


def _forget_pretraining(processor: TwelveProcessor) -> None:
    """Remove pretraining tasks, whose heads are removed as well, and free their tokens."""
    for name in [name for name, key in processor.task_outputs.items() if key == Pretraining.kind]:
        for known in (processor.task_outputs, processor.token_rows, processor.max_text):
            known.pop(name, None)


def start_heads(
    model: Twelve, data: Prepared, tasks: Iterable[TaskData], processor: TwelveProcessor, seed: int
) -> None:
    """Initialise the new heads of these tasks with the frequencies of their labels."""
    # Of tasks that share a head, the first one counts.
    for task in reversed([task for task in tasks if task.output.own_head]):
        examples = subset(task.train, STATISTICS_EXAMPLES, seed)
        seen = SeenRegions(data.store, examples, processor.max_regions)
        targets = task.output.targets(examples, seen, data.vocabularies.get(task.task.output, ()))
        task.output.start_from(model.heads[task.task.output], targets)


def grown(
    model: Twelve,
    changed: Mapping[str, Any],
    data: Prepared,
    tasks: Sequence[TaskData],
    processor: TwelveProcessor,
    seed: int,
) -> Twelve:
    """The model with ``changed`` fields of its configuration. Parts that it still has keep their parameters, and a head
    that is larger now keeps its first rows."""
    settings = copy.deepcopy(model.config)
    for field, value in changed.items():
        setattr(settings, field, copy.deepcopy(value))
    torch.manual_seed(seed)
    larger = Twelve(settings)
    start_heads(larger, data, tasks, processor, seed)
    ours = larger.state_dict()
    for name, old in model.state_dict().items():
        if name not in ours:  # a part that is no longer needed
            continue
        new = ours[name]  # shares its memory with the model
        if new.shape == old.shape:
            new.copy_(old)
        else:
            new[: len(old)].copy_(old)
    return larger


def _heads(model: Twelve, data: Prepared, tasks: Sequence[TaskData], folder: Path) -> dict[str, dict[str, Any]]:
    """The heads of the checkpoint, and those that new tasks need."""
    heads: dict[str, dict[str, Any]] = {key: dict(head) for key, head in model.config.heads.items()}
    for task in tasks:
        if not task.output.own_head:
            continue
        key, kind = task.task.output, task.output.head_kind
        head = heads.setdefault(key, {"kind": kind, "size": 1})
        if head["kind"] != kind:
            raise CheckpointError(
                f"its head {key!r} is of kind {head['kind']}, {task.task.name} needs one of kind {kind}",
                file=folder,
                remedy=f"give the task a head of its own: tasks.{task.task.name}.output",
            )
        if task.output.needs_vocabulary:
            head["size"] = max(1, len(data.vocabularies[key]))
    return heads


def _readable(task: TaskData, model: Twelve) -> int:
    """The task's ``max_text``: of its default, as much as the model has positions for; raises ConfigError if the
    configuration asks for more."""
    longest = model.config.max_position_embeddings
    if task.settings.max_text is None:
        return min(task.max_text, longest)
    if task.max_text > longest:
        raise ConfigError(
            f"the model reads texts of at most {longest} word pieces, max_text is {task.max_text}",
            record=f"tasks.{task.task.name}.max_text",
            remedy=f"set it to at most {longest}",
        )
    return task.max_text


def _add(task: TaskData, processor: TwelveProcessor, model: Twelve) -> None:
    processor.add_task(
        task.task.name,
        output=task.task.output,
        max_text=_readable(task, model),
        row=task.task.token,
        reserved=reserved_rows(),
        rows=model.config.num_task_tokens,
    )
