"""The number of threads that a run's steps compute with: measured at the start, at checkpoints, and when steps slow
down. A number changes only at a checkpoint, so that a resumed run computes what the uninterrupted one would."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from twelve.progress import counted
from twelve.settings import TrainingSettings
from twelve.threads import PATIENCE, ROUNDS, Threads, Watch
from twelve.training.devices import Devices


class StepThreads:
    """Chooses the threads of a run.

    Args:
        tasks: names of the run's tasks.
        trial: task -> a function that does the work of one of its steps and changes nothing, to be timed.
        log: writes an event into the run's log.
        say: tells a person.
        measured: whether the number may be measured; not if processes compute side by side, with one thread each.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        devices: Devices,
        tasks: Sequence[str],
        trial: Callable[[str], Callable[[], object]],
        log: Callable[..., None],
        say: Callable[[str], None],
        *,
        measured: bool = True,
    ) -> None:
        self._threads = Threads(
            settings.threads if measured else 1,
            say,
            processes=devices.neighbours,
            agree=devices.largest,
            auto=devices.device.type == "cpu",
        )
        self._devices, self._tasks, self._trial, self._log, self._say = devices, tasks, trial, log, say
        self._watch: Watch | None = None
        self._next = 0  # task that is measured next

    @property
    def auto(self) -> bool:
        """Whether the number is measured (on a CPU, where the configuration names none)."""
        return self._threads.auto

    @property
    def measured(self) -> bool:
        return self._watch is not None

    def choose(self, iteration: int, *, alarm: bool = False) -> bool:
        """Measure, and set the fastest number of threads; returns whether it changed.

        Args:
            iteration: where the run stands, for the message.
            alarm: whether steps have become slow; if the number stays, the next alarm takes twice as long.
        """
        if not self.auto:
            return False
        names, known, patience, before = self._tasks, dict[str, float](), PATIENCE, self._threads.number
        if self._watch is not None:  # a few tasks are enough, others every time
            known = self._watch.expected
            names = [names[(self._next + turn) % len(names)] for turn in range(min(ROUNDS, len(names)))]
            self._next += ROUNDS
        found = self._threads.choose([self._trial(name) for name in names])
        seconds = {names[index]: spent for index, spent in found.works.items()}
        scale = np.median([seconds[name] / known[name] for name in seconds if name in known] or [1.0])
        changed = self._threads.number != before
        if alarm and not changed and self._watch is not None:
            patience = 2 * self._watch.patience
        if changed or self._watch is None:
            self._threads.tell(found, f"iteration {iteration}: " if self._watch is not None else "")
            self._log("event", event="threads", threads=found.number, reason=str(found))
        self._watch = Watch({name: float(scale) * spent for name, spent in known.items()} | seconds, patience)
        return changed

    def slow(self, seconds: Mapping[str, float]) -> bool:
        """Whether steps have become so slow that fewer threads may be faster; the same in all processes.

        Args:
            seconds: task -> duration of its step in the last iteration.
        """
        if not self.auto:
            return False
        slow = self._watch is not None and self._threads.number > 1 and self._watch.slow(seconds)
        return self._devices.largest(float(slow)) > 0

    def state_dict(self) -> dict[str, Any]:
        expected = self._watch.whole() if self._watch is not None else {}
        return {"number": self._threads.number, "expected": expected}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the number of threads of a checkpoint; if this machine has fewer, they are measured again."""
        number = int(state["number"])
        if self.auto and 1 <= number <= self._threads.most:
            self._threads.set(number)
            self._watch = Watch({str(name): float(seconds) for name, seconds in state["expected"].items()})
            self._say(f"{counted(number, 'thread')}, as in the checkpoint")
