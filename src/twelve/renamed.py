"""Keys of a configuration by their earlier names, for errors; docs/renamed.md shows the same table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

TASK = "TASK"
"""Stands for the name of any task."""
KEYS: Mapping[str, str] = {
    "carve": "val_fraction",
    "tasks.TASK.look": "tasks.TASK.val_split",
    "tasks.TASK.report": "tasks.TASK.test_split",
    "training.look_every": "training.eval_every",
    "training.look_examples": "training.eval_examples",
    "training.recompute": "training.gradient_checkpointing",
}
"""Earlier name -> name."""


def renamed(place: Sequence[str]) -> str | None:
    """The name of the key that an earlier version had at ``place``, or below a section that ``place`` leaves out; None
    where it had none."""
    task = place[1] if len(place) > 2 and place[0] == "tasks" else TASK
    given = ".".join(place if task == TASK else (place[0], TASK, *place[2:]))
    for old, new in KEYS.items():
        if given == old or (len(place) == 1 and old.endswith(f".{given}")):
            return new.replace(TASK, task)
    return None
