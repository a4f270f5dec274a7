"""What a run writes down while it trains: metrics.jsonl, and the same numbers to whatever trackers are on.

A line holds its ``kind`` and ``iteration`` and, by kind: ``step`` mean losses since the line before; ``validation`` a
task's score on the validation split; ``event`` what the schedule or the run did; ``kept`` what a task scored before the
first step, and what the saved model scores.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from twelve.errors import CheckpointError, ConfigError
from twelve.io import files, json_file
from twelve.run_folder import METRICS
from twelve.training.devices import Devices

TRACKERS: Mapping[str, tuple[str, ...]] = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
}
"""Modules of which one must be installed."""


def check_trackers(names: Collection[str]) -> None:
    """Raises ConfigError when a tracker is not installed."""
    for name in names:
        if not any(importlib.util.find_spec(module) for module in TRACKERS[name]):
            raise ConfigError(
                f"the tracker {name} is not installed",
                record="training.trackers",
                remedy=f"pip install {name}, or leave it out: everything is in {METRICS} all the same",
            )


def flat(tree: Mapping[str, Any], place: str = "") -> dict[str, str | int | float | bool]:
    """A tree as trackers take it: ``{"a": {"b": 1}}`` is ``{"a.b": 1}``; lists are text, absent values are left out."""
    found: dict[str, str | int | float | bool] = {}
    for key, value in tree.items():
        name = f"{place}{key}"
        if isinstance(value, Mapping):
            found |= flat(value, name + ".")
        elif value is not None:
            found[name] = value if isinstance(value, str | int | float | bool) else json.dumps(value)
    return found


class RunLog:
    """Writes lines; in processes other than the first it does nothing."""

    def __init__(self, folder: Path, devices: Devices, trackers: Collection[str]) -> None:
        self.path, self.devices, self.trackers = folder / METRICS, devices, tuple(trackers)
        self.lines = 0
        """How many there are."""

    def start_trackers(self, name: str, configuration: Mapping[str, Any]) -> None:
        """Let the trackers know the run, before its first line."""
        if self.trackers:
            self.devices.accelerator.init_trackers(name, config=flat(configuration))

    def write(self, kind: str, iteration: int, **values: Any) -> None:
        """One line, its numbers also to the trackers."""
        if not self.devices.main:
            return
        files.append(self.path, json.dumps({"kind": kind, "iteration": iteration, **values}) + "\n")
        self.lines += 1
        if self.trackers:
            self.devices.accelerator.log(_numbers(kind, values), step=iteration)

    def clear(self) -> None:
        """Remove what a run left that ended before its first checkpoint."""
        self.lines = 0
        if self.devices.main:
            self.path.unlink(missing_ok=True)

    def keep_until(self, iteration: int) -> None:
        """Leave what was logged up to an iteration, but for what ends a run, so that a resumed run logs all of it once.

        A line that was cut when the run was killed goes as well.
        """
        self.lines = 0
        if not self.devices.main or not files.is_there(self.path, CheckpointError):
            return
        with files.replacing(self.path) as partial, open(partial, "w", encoding="utf-8") as kept:
            for line in json_file.log_lines(self.path):
                try:
                    tree = json_file.decode(line, strict=False)
                    stays = line.endswith("\n") and tree["iteration"] <= iteration and tree["kind"] != "kept"
                except (ValueError, LookupError, TypeError):
                    continue
                if stays:
                    kept.write(line)
                    self.lines += 1

    def events(self) -> list[dict[str, Any]]:
        """Every event so far: who stopped or went again, and when."""
        lines = (json_file.decode(line, strict=False) for line in json_file.log_lines(self.path))
        return [
            {key: value for key, value in line.items() if key != "kind"} for line in lines if line["kind"] == "event"
        ]


def logged(folder: Path) -> int:
    """The last iteration that a run's metrics.jsonl has losses of; 0 where it has none."""
    last = 0
    path = folder / METRICS
    for line in json_file.log_lines(path):
        try:
            tree = json_file.decode(line, strict=False)
            last = max(last, int(tree["iteration"]) if tree["kind"] == "step" else 0)
        except (ValueError, LookupError, TypeError):
            continue
    return last


def _numbers(kind: str, values: Mapping[str, Any]) -> dict[str, float]:
    """A line's numbers under the names that trackers group by."""
    if "task" in values:
        place = f"{kind}/{values['task']}"
        single = {"validation": ("score",), "event": ("best",)}.get(kind, tuple(values))
        named = {place if key == single[0] else f"{place}/{key}": values.get(key) for key in single}
    else:
        named = {f"{kind}/{key}": value for key, value in values.items()}
        named |= {f"loss/{name}": value for name, value in values.get("losses", {}).items()}
    return {name: value for name, value in named.items() if isinstance(value, int | float)}
