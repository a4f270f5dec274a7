"""Retrieval by a model that was only pretrained: the head that tells matching pairs ranks the images."""

from __future__ import annotations

from twelve.model.processor import TwelveProcessor
from twelve.outputs.pretraining import Pretraining
from twelve.settings import RunConfig
from twelve.tasks.base import get
from twelve.tasks.custom import own_tasks


def lend_pretraining(processor: TwelveProcessor, config: RunConfig) -> None:
    """Let the tasks that a model was not trained on use its pretraining heads and, if it has one, their task token.

    Args:
        processor: changed in memory; what is saved stays as it is.
    """
    trained = next((name for name, key in processor.task_outputs.items() if key == Pretraining.kind), None)
    for name in [name for name in config.tasks if name not in processor.task_outputs]:
        length = config.tasks[name].max_text or get(name, own_tasks(config.tasks)).defaults.max_text
        processor.task_outputs[name] = Pretraining.kind
        processor.max_text[name] = length if trained is None else min(length, processor.max_text[trained])
        if trained in processor.token_rows:
            processor.token_rows[name] = processor.token_rows[trained]
