"""A pretrained initial model for a study: it first learns the captions of the run's retrieval tasks.

It predicts hidden words and regions (docs/pretraining.md). Its images are those that the retrieval tasks train on, so
it sees nothing that an arm without pretraining lacks, and no image of a validation or test set.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twelve.config import parse
from twelve.errors import CheckpointError, ConfigError, DataError
from twelve.formats.records import finite
from twelve.io.files import is_there
from twelve.model.opening import open_saved
from twelve.run_folder import RunFolder
from twelve.runs.train import beginning
from twelve.settings import RunConfig
from twelve.study import initialization as starts
from twelve.study import runs
from twelve.study.observing import PROCESSOR
from twelve.study.results import Pretrained

if TYPE_CHECKING:
    from twelve.study.arms import Arm
    from twelve.study.initialization import Beginning

PAIRS = 4
"""Pairs of an example of retrieval training; as many captions make a batch of pretraining equally large."""


def start(begun: Beginning, arm: Arm, over: Callable[[], bool] = lambda: False) -> Path:
    """The folder of the pretrained model of a seed that an arm begins with, which is trained unless it exists.

    Args:
        over: whether the time of this part of the study is over.
    """
    folder = _folder(begun, arm)
    if is_there(folder / "config.json", CheckpointError):
        return folder
    run = _run(folder)
    captions = caption_tasks(begun, arm.pretraining_rate)
    every, alone = (_config(begun, run, captions, arm.pretraining, alone=alone) for alone in (False, True))

    def begin() -> Any:
        model, processor, data, known = beginning(every)
        return model, processor, replace(data, tasks={name: data.tasks[name] for name in captions}), known

    runs.trained(alone, begin, over=over)
    tree = begun.config.model_dump(mode="json")
    tree["model"] |= {"init": str(run)}
    model, processor, _, _ = beginning(parse(tree))
    same, _ = open_saved(begun.folder)
    model.heads.load_state_dict(same.heads.state_dict())
    starts.save(model, processor, folder)
    return folder


def cost(begun: Beginning, arm: Arm) -> Pretrained | None:
    """What the pretraining of the model that an arm begins with cost; None if its run is gone.

    Raises:
        DataError: the summary of the run is damaged.
    """
    run = RunFolder(_run(_folder(begun, arm)))
    if not is_there(run.trained, DataError):
        return None
    history = runs.history(run)
    times = [line[PROCESSOR] for line in run.logged() if finite(line.get(PROCESSOR))]
    return Pretrained(
        iterations=history.iterations,
        examples=None if history.examples is None else sum(history.examples.values()),
        processor_seconds=sum(times) if times else None,
    )


def _folder(begun: Beginning, arm: Arm) -> Path:
    share, rate = arm.pretraining, arm.pretraining_rate
    parts = [f"-{share:g}"] * (share != 1 or rate is not None) + ([] if rate is None else [f"-{rate:g}"])
    return begun.folder.with_name("".join(["start-pretrained", *parts]))


def _run(folder: Path) -> Path:
    """The run that trains a pretrained model."""
    return folder.with_name("runs") / folder.name


def caption_tasks(begun: Beginning, rate: float | None = None) -> dict[str, dict[str, Any]]:
    """Name -> settings of a pretraining task, for each retrieval task.

    Args:
        rate: the learning rate; None: that of the retrieval task.

    Raises:
        ConfigError: the run has no retrieval task.
    """
    found = {}
    for name, task in begun.data.tasks.items():
        if task.output.ranks_gallery:
            found[re.sub(r"[^a-z0-9]", "_", name) + "_captions"] = {
                "kind": "pretraining",
                "captions": name,
                "test_split": task.test_split,
                "batch_size": PAIRS * task.batch_size,
                "learning_rate": rate or task.learning_rate,
                "max_text": task.max_text,
            }
    if not found:
        raise ConfigError("no task has captions to pretrain on", record="arms", remedy="leave out the pretrained arm")
    return found


def _config(begun: Beginning, run: Path, captions: dict[str, Any], share: float, *, alone: bool) -> RunConfig:
    tree = begun.config.model_dump(mode="json")
    iterations = max(1, round(share * runs.length(begun.config, begun.data)))
    tree["run"], tree["tasks"] = str(run), captions if alone else tree["tasks"] | captions
    tree["model"] |= {"tokenizer": str(begun.folder)}
    tree["schedule"] = {"name": "always-go", "options": {}}
    tree["training"] |= {"iterations": iterations, "keep": 1}
    return parse(tree)
