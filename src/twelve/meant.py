"""Keys of a configuration by the names that other programs give them, for errors about an unknown key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

TASK = "TASK"
"""Stands for the name of any task."""
_RATE, _BATCH = "tasks.TASK.learning_rate", "tasks.TASK.batch_size"
_EPOCHS, _ITERATIONS, _DECAY = "training.epochs", "training.iterations", "optimizer.weight_decay"
MEANT: Mapping[str, str] = {
    "lr": _RATE,
    "learning_rate": _RATE,
    "bs": _BATCH,
    "batch": _BATCH,
    "batch_size": _BATCH,
    "epochs": _EPOCHS,
    "num_epochs": _EPOCHS,
    "num_train_epochs": _EPOCHS,
    "steps": _ITERATIONS,
    "max_steps": _ITERATIONS,
    "iters": _ITERATIONS,
    "iterations": _ITERATIONS,
    "wd": _DECAY,
    "decay": _DECAY,
    "weight_decay": _DECAY,
}
"""Last part of an unknown key -> the key."""


def meant(place: Sequence[str], known: Sequence[str]) -> str | None:
    """The key that is meant by an unknown one at ``place``; None where nobody knows.

    Args:
        known: keys of the section of ``place``, which come first: ``evaluation`` has a batch size of its own.
    """
    key = MEANT.get(place[-1].lower())
    if key is None:
        return None
    name = key.rpartition(".")[2]
    if name in known:
        return ".".join((*place[:-1], name))
    return key.replace(TASK, place[1]) if len(place) > 2 and place[0] == "tasks" else key
