"""The log of a run, one JSON object a line, and the same numbers for the trackers that are on.

Every line has a ``kind`` and an ``iteration``. By kind, it has: ``step`` the mean losses since the line before, and
the factors of the tasks where something chooses them (``scales``, ``weights``, seconds of ``weighing``);
``validation`` the validation score of a task; ``event`` what the schedule or the run did; ``kept`` the validation score
of a task before the first step, and that of the saved model.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from twelve.errors import CheckpointError, ConfigError
from twelve.io import files, json_file
from twelve.run_folder import DIVERGED, RunFolder

if TYPE_CHECKING:
    from twelve.training.devices import Devices

TRACKERS: Mapping[str, tuple[str, ...]] = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
}
"""Tracker -> modules, one of which must be installed."""


def check_trackers(names: Collection[str]) -> None:
    """Raises ConfigError when a tracker is not installed."""
    for name in names:
        if not any(importlib.util.find_spec(module) for module in TRACKERS[name]):
            raise ConfigError(
                f"the tracker {name} is not installed",
                record="training.trackers",
                remedy=f"pip install {name}, or leave it out: the run's folder has all of it in any case",
            )


def flat(tree: Mapping[str, Any], place: str = "") -> dict[str, str | int | float | bool]:
    """A tree as trackers take it: ``{"a": {"b": 1}}`` becomes ``{"a.b": 1}``, lists become text, None is left out."""
    found: dict[str, str | int | float | bool] = {}
    for key, value in tree.items():
        name = f"{place}{key}"
        if isinstance(value, Mapping):
            found |= flat(value, name + ".")
        elif value is not None:
            found[name] = value if isinstance(value, str | int | float | bool) else json.dumps(value)
    return found


class RunLog:
    """Writes the log in the main process, and nothing in the others."""

    def __init__(self, run: RunFolder, devices: Devices, trackers: Collection[str]) -> None:
        self.run, self.path, self.devices, self.trackers = run, run.metrics, devices, tuple(trackers)
        self.lines = 0
        """Lines written so far."""

    def start_trackers(self, name: str, configuration: Mapping[str, Any]) -> None:
        """Tell the trackers about the run, before its first line."""
        if self.trackers:
            self.devices.accelerator.init_trackers(name, config=flat(configuration))

    def write(self, kind: str, iteration: int, **values: Any) -> None:
        """Write a line, and pass its numbers to the trackers."""
        if not self.devices.main:
            return
        files.append(self.path, json.dumps({"kind": kind, "iteration": iteration, **values}) + "\n")
        self.lines += 1
        if self.trackers:
            self.devices.accelerator.log(_numbers(kind, values), step=iteration)

    def clear(self) -> None:
        """Remove the log of a run that ended before its first checkpoint."""
        self.lines = 0
        if self.devices.main:
            self.path.unlink(missing_ok=True)

    def keep_until(self, iteration: int) -> None:
        """Keep the lines up to an iteration, without those that end a run, so that a resumed run logs everything once.

        A last line that was cut when the run was killed is removed as well.
        """
        self.lines = 0
        if not self.devices.main or not files.is_there(self.path, CheckpointError):
            return
        with files.replacing(self.path) as partial, open(partial, "w", encoding="utf-8") as kept:
            for line in json_file.log_lines(self.path):
                try:
                    tree = json_file.decode(line, strict=False)
                    ends = tree["kind"] == "kept" or tree.get("event") == DIVERGED
                    stays = line.endswith("\n") and tree["iteration"] <= iteration and not ends
                except (ValueError, LookupError, TypeError):
                    continue
                if stays:
                    kept.write(line)
                    self.lines += 1

    def events(self) -> list[dict[str, Any]]:
        """Every event so far: tasks that stopped or continued, checkpoints that were skipped, and so on."""
        events = (line for line in self.run.logged() if line.get("kind") == "event")
        return [{key: value for key, value in line.items() if key != "kind"} for line in events]


def _numbers(kind: str, values: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line, under names that trackers can group."""
    if "task" in values:
        place = f"{kind}/{values['task']}"
        single = {"validation": ("score",), "event": ("best",)}.get(kind, tuple(values))
        named = {place if key == single[0] else f"{place}/{key}": values.get(key) for key in single}
    else:
        named = {f"{kind}/{key}": value for key, value in values.items()}
        named |= {f"loss/{name}": value for name, value in values.get("losses", {}).items()}
    return {name: value for name, value in named.items() if isinstance(value, int | float)}
