"""The parts of a run that its configuration describes: streams of batches, optimizer, schedule, layers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from twelve.data.batch import Collator
from twelve.data.kept import kept_of_regions
from twelve.data.loader import Pool, TaskBatches
from twelve.data.prepare import Prepared, TaskData
from twelve.model.attention import Block
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.outputs import check_head, get_output
from twelve.settings import RunConfig, TrainingSettings
from twelve.training.freezing import rates_by_depth
from twelve.training.optimizer import AdamW, LearningRate, parameter_groups
from twelve.training.schedules import Schedule, make_schedule


def streams_of(
    config: RunConfig,
    data: Prepared,
    processor: TwelveProcessor,
    pool: Pool,
    part: slice,
    counted: Mapping[str, NDArray[np.int64]],
) -> dict[str, TaskBatches]:
    """The batches of each task, of which this process takes a part.

    Args:
        counted: task -> (N,) word pieces of each training text.
    """
    found, store = {}, data.store
    for name, task in data.tasks.items():
        negatives, keep = task.settings.negatives, kept_of_regions(store)
        drawn = task.output.prepare(task.train, store.get, negatives=negatives, keep=keep)
        contrast = config.contrast is not None and task.output.contrasts
        collator = Collator(name, task.output, task.task.output, processor, store, drawn, contrast=contrast)
        lengths, seed = np.minimum(counted[name], processor.max_text[name]), config.seed + task.task.token
        found[name] = TaskBatches(
            task.train, lengths, collator, batch_size=task.batch_size, seed=seed, pool=pool, part=part
        )
    return found


def check_heads(model: Twelve, data: Prepared) -> None:
    """Raise ConfigError if a task's output, which may be one of a program, has another head than the model has."""
    for task in data.tasks.values():
        if task.output.own_head:
            kind = model.config.heads[task.task.output]["kind"]
            same = task.output.head_kind == kind != task.output.kind  # an output that uses the head of another
            check_head(task.output, kind, None if same else type(get_output(kind)).head)


def optimizer_of(
    config: RunConfig, model: Twelve, tasks: Mapping[str, TaskData], iterations: int
) -> tuple[AdamW, LearningRate]:
    """The optimizer of the model's parameters, which are where they train, and its learning rate."""
    settings = config.optimizer
    groups = parameter_groups(
        model,
        base_lr=min(task.learning_rate for task in tasks.values()),
        head_lr=settings.head_learning_rate,
        weight_decay=settings.weight_decay,
        factors=settings.factors,
        by_name=rates_by_depth(model.config, settings.layer_decay),
    )
    optimizer = AdamW(
        groups,
        betas=settings.betas,
        eps=settings.eps,
        bias_correction=settings.bias_correction,
        tasks=tasks if settings.states == "task" else (),
    )
    rate = LearningRate.over(
        optimizer,
        iterations=iterations,
        warmup=settings.warmup,
        accumulate=settings.accumulate,
        first=settings.rate_first,
        falls=settings.decay == "linear",
    )
    return optimizer, rate


def schedule_of(config: RunConfig, tasks: Mapping[str, TaskData], iterations: int) -> Schedule:
    """The schedule that chooses the tasks of every iteration."""
    return make_schedule(
        config.schedule.name,
        config.schedule.options,
        tasks=list(tasks),
        sizes={name: len(task.train) for name, task in tasks.items()},
        seed=config.seed,
        iterations=iterations,
        groups={name: task.output.skill for name, task in tasks.items()},
    )


def set_layers(model: Twelve, settings: TrainingSettings) -> None:
    """How the layers of a model train: packed or padded, with gradient checkpointing, compiled. Every layer is compiled
    by itself, which takes less time than the whole model, in place: names of parameters stay."""
    model.packs_training = settings.packed
    if settings.compile:
        import torch._dynamo

        # Streams, connections, masks and gradients make more variants of a layer than the 8 that torch expects.
        torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
    for part in model.modules():
        if isinstance(part, Block):
            part.gradient_checkpointing = settings.gradient_checkpointing
            if settings.compile:
                part.compile(dynamic=True)
