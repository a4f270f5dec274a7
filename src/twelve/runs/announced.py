"""What ``twelve train`` says before it begins: what is trained on what, what may be wrong with it, and the memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from twelve.data.examples.columns import distinct_images
from twelve.data.examples.reading import read_examples
from twelve.data.opening import command_for
from twelve.data.own_files import correcting, too_few, warnings_of, with_counts
from twelve.data.prepare import Prepared, TaskData
from twelve.data.vocabulary import labels_of
from twelve.formats.data_root import IMAGES, DataRoot
from twelve.model.vilbert import Twelve
from twelve.progress import counted
from twelve.runs.base_images import BaseImages, lines
from twelve.runs.cut_texts import is_official
from twelve.settings import RunConfig
from twelve.tasks.base import Task
from twelve.tasks.custom import AnswerFile, FileTask
from twelve.training.memory import advice, need_of
from twelve.types.examples import Example

if TYPE_CHECKING:
    from twelve.training.trainer import Trainer


def announced(config: RunConfig, data: Prepared, model: Twelve, trainer: Trainer, base: BaseImages) -> Iterator[str]:
    """What will be trained on what, warnings, and how much memory training needs."""
    yield str(data.cleaned)
    if config.model.init is not None:
        yield from lines(base, data, trainer.run.path, config.model.init)
    yield from (_examples(name, data) for name in data.tasks)
    for task in data.tasks.values():
        warnings = _of_own_file(task.task, data.root)
        yield from (f"warning: {data.root.path / task.task.train_split}: {warning}" for warning in warnings)
        yield from (f"note: {line}" for line in (correcting(task.task, data.root) if warnings else ()))
    few = too_few({task.task.title: len(task.train) for task in data.tasks.values()})
    yield from (f"warning: {line}" for line in (*without_regions(data), *few))
    for name, cut in trainer.cut.items():
        if cut.same or cut.matters(official=is_official(data.tasks[name].task)):
            kind = "note" if cut.same else "warning"
            positions, grows = model.config.max_position_embeddings, config.model.grows
            told = cut.told(name, positions, grows=grows, texts="training texts")
            yield f"{kind}: {data.tasks[name].task.title}: {told}"
    parameters = sum(parameter.numel() for parameter in model.parameters())
    frozen = f" ({trainer.frozen / 1e6:.1f} M frozen)" if trainer.frozen else ""
    threads = "" if trainer.threads.auto else f", {counted(torch.get_num_threads(), 'thread')}"
    if trainer.helpers:
        threads = f", {1 + trainer.helpers} processes side by side, each with one thread"
    yield (
        f"one model, {parameters / 1e6:.1f} M parameters{frozen}, {counted(trainer.total, 'iteration')}, "
        f"{config.training.precision}{threads} on {trainer.device}"
    )
    need = need_of(trainer)
    yield from (str(need), *advice(need, trainer))


def _examples(name: str, data: Prepared) -> str:
    """How many examples a task has, what was found of its data, and the values that it takes by default."""
    task = data.tasks[name]
    line = f"{task.task.title}: {sizes('training', task.train)}, {sizes('validation', task.validation)}"
    for noted in (data.coverage, data.found):
        line += f"; {noted[name]}" if name in noted else ""
    if isinstance(task.task, AnswerFile):
        line += f"; the training examples have {with_counts(labels_of(task.train))}"
    return line + _defaults(task)


def without_regions(data: Prepared) -> Iterator[str]:
    """Which tasks cannot be evaluated because test images have no regions, with the commands that extract them:
    training, which does not read these images, does not stop."""
    for split in data.held_out.splits:
        trained = data.tasks.get(split.task)
        if trained is None or split.split != trained.test_split or trained.task.partial:  # of these, a part is enough
            continue
        task, missing = trained.task, [image for image in sorted(split.images) if image not in data.store]
        if not missing:
            continue
        sought = missing if isinstance(task, FileTask) else ()  # the images of a known dataset come with it
        absent = Counter(image.split("/")[0] for image in sought if data.root.image_file(image) is None)
        first = "".join(
            f"put the {count:,} that are missing into {data.root.path / IMAGES / source}, then "
            for source, count in absent.items()
        )
        sources, given = dict.fromkeys(image.split("/")[0] for image in missing), [task] if task.has_candidates else []
        yield (
            f"{task.title}: {len(missing):,} of {counted(len(split.images), 'image')} of its test split {split.split} "
            f"have no regions, so twelve evaluate will not run; {first}extract them, now or after training: "
            f"{'; '.join(command_for(data.store, source, given) for source in sources)}"
        )


def _of_own_file(task: Task, root: DataRoot) -> list[str]:
    """What data check warns of in the training file of a task of one's own."""
    if not isinstance(task, FileTask):
        return []
    examples = read_examples(task, root, task.train_split)  # also those whose images are left out of training
    return warnings_of(task, root, task.train_split, examples, examples)


def sizes(part: str, examples: Sequence[Example]) -> str:
    """How many examples and images a part of a training set has: of few images, another share than
    ``val_fraction`` may be held out."""
    count, images = len(examples), len(distinct_images(examples))
    return f"{counted(count, f'{part} example')} of {counted(images, 'image')}"


def _defaults(task: TaskData) -> str:
    """The task's own values of what a configuration does not say, if it leaves out how many or how fast."""
    settings = task.settings
    if settings.batch_size is not None and settings.learning_rate is not None:
        return ""
    values = {"batch_size": task.batch_size, "learning_rate": task.learning_rate, "max_text": task.max_text}
    return f"; by default {', '.join(f'{k} {v:g}' for k, v in values.items() if getattr(settings, k) is None)}"
