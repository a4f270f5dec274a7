"""What a study says of the model that all its arms begin with (``model.init``): it may know the study's tasks."""

from __future__ import annotations

from pathlib import Path

from twelve.io.json_file import read_object
from twelve.model.processor_file import CONFIG_FILE, SAVED
from twelve.outputs.pretraining import Pretraining
from twelve.progress import counted, enumerated
from twelve.runs.early import base_folder
from twelve.settings import RunConfig
from twelve.study.plan import Plan

NAMED = 3
"""Most tasks of the model that are named; the others are counted."""


def known_tasks(config: RunConfig) -> tuple[str, ...] | None:
    """Tasks that the model named by ``model.init`` was trained on, those of the configuration first; None without it.

    Raises:
        ConfigError: there is no such model.
        CheckpointError: it is damaged.
    """
    folder = base_folder(config)
    if folder is None:
        return None
    outputs = read_object(folder / CONFIG_FILE, remedy=SAVED).get("task_outputs")
    known = [name for name, key in outputs.items() if key != Pretraining.kind] if isinstance(outputs, dict) else []
    return tuple(sorted(known, key=lambda name: name not in config.tasks))


def told(plan: Plan) -> str | None:
    """What all arms and seeds begin with, in words; None where each seed begins with a new model."""
    init = plan.parsed().model.init
    if init is None:
        return None
    mine = [name for name in plan.known or () if name in plan.tasks]
    base = f"All arms begin with {'/'.join(Path(init).parts[-2:])}"
    if plan.known is None:
        base += "; which tasks it was trained on was not recorded."
    elif not mine:
        base += ", which was trained on none of these tasks before."
    else:
        base += f", which was already trained on {_listed(mine, len(plan.known))}"
        single = len(plan.known) > 1 and any(len(model) == 1 for arm in plan.arms for model in arm.models)
        base += ": a single-task model here is not one that was trained alone." if single else "."
    if len(plan.seeds) > 1:
        base += " All seeds begin with its weights, so the spread between seeds is understated."
    return base


def _listed(names: list[str], count: int) -> str:
    """The first names and how many more there are: ``vqa, refcoco and 10 more tasks``."""
    shown = names[:NAMED]
    if more := count - len(shown):
        return f"{', '.join(shown)} and {counted(more, 'more task')}"
    return enumerated(shown)
