"""Scores of a model on the validation splits of its tasks, while it trains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from twelve import forked
from twelve.data.batch import Collator
from twelve.data.loader import ahead
from twelve.data.prepare import TaskData
from twelve.model.precision import for_predicting
from twelve.model.vilbert import Twelve
from twelve.settings import RunConfig
from twelve.threads import Threads
from twelve.training.contrast import recall_at_1
from twelve.training.devices import Devices
from twelve.training.side_by_side import lost
from twelve.types.batch import Batch
from twelve.types.examples import Example

BATCH = 64
"""Examples in one forward pass."""


def in_words(scores: Mapping[str, float]) -> str:
    """Scores in 0..1 as training shows them: ``validation: vqa 42.9% gqa 34.0%``, or nothing without scores."""
    shown = " ".join(f"{name} {100 * score:.1f}%" for name, score in scores.items())
    return shown and f"validation: {shown}"


class Validation:
    """Scores tasks, in one process or in all processes of the run together.

    Args:
        collators: task -> what builds its batches.
        contrast_alone: the contrast head is all that trains, and all that is scored.
        processes: to fork on this machine, each of which scores a task at a time; 1: none.
        between: is called before every batch; what it raises ends the validation.
    """

    def __init__(
        self,
        config: RunConfig,
        model: Twelve,
        tasks: Mapping[str, TaskData],
        collators: Mapping[str, Collator],
        devices: Devices,
        *,
        contrast_alone: bool,
        processes: int = 1,
        between: Callable[[], object] = lambda: None,
    ) -> None:
        self.config, self.model, self.tasks, self.collators = config, model, tasks, collators
        self.devices, self.contrast_alone, self.processes = devices, contrast_alone, processes
        self.between = between
        # Parameters that processes share are gathered by all of them in the same order.
        side_by_side = devices.device.type == "cpu" and not devices.sharded
        self.threads = Threads(config.training.threads, processes=devices.neighbours, auto=side_by_side)

    def examples(self, name: str) -> Sequence[Example]:
        """The examples of a task that are scored."""
        return self.tasks[name].validation[: self.config.training.eval_examples]

    def scores(self, names: Sequence[str]) -> Iterable[tuple[str, float]]:
        """(task, its mean score 0..1) of each task. The model, which this leaves in evaluation mode, is converted to
        the precision of predictions once; parameters that processes share stay as they are."""
        network = self.model.train(False)
        if not self.devices.sharded:
            network = for_predicting(network, self.config.evaluation.precision)

        def score(name: str) -> float:
            if self.processes > 1:
                self.threads = Threads(1)
            return self.score(network, name)

        return forked.each(score, names, min(self.processes, len(names)), lost()).items()

    def score(self, network: Twelve, name: str, examples: Sequence[Example] | None = None) -> float:
        """Mean score, 0..1, of a task, on other ``examples`` than those of :meth:`examples` if they are given; batches
        are scored as in the original program."""
        examples = self.examples(name) if examples is None else examples
        collator, devices = self.collators[name], self.devices
        if self.contrast_alone:
            return recall_at_1(network, collator, examples)
        blocks = [slice(start, start + BATCH) for start in range(0, len(examples), BATCH)]
        numbers = range(devices.rank, devices.rank + len(blocks), devices.count)

        def batches() -> Iterator[tuple[bool, Batch]]:
            for number in numbers:
                self.between()
                # All processes must run a sharded model: one that has no block left repeats the last one.
                block = blocks[min(number, len(blocks) - 1)]
                # The same negatives in every validation, so that scores can be compared.
                rng = np.random.default_rng((self.config.seed, block.start))
                yield number < len(blocks), collator(examples[block], rng)

        output = self.tasks[name].output

        def scored(numbered: tuple[bool, Batch]) -> Tensor:
            batch = numbered[1]
            logits = network(**batch.inputs(devices.device), outputs=(batch.output,)).logits[batch.output]
            return output.score(logits.float(), batch.targets_on(devices.device)).sum()

        found = self.threads.each(scored, ahead(batches(), devices.device))
        scores = [score for (counts, _), score in found if counts]
        return devices.total(sum(torch.stack(scores).tolist()) if scores else 0.0) / len(examples)
