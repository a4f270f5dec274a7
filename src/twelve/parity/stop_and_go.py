"""Comparison of dynamic stop-and-go on recorded validation scores: dsg.json."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from twelve.parity.recording import Recorded, read
from twelve.parity.report import Difference
from twelve.training.schedules.stop_and_go import Controller

BEST_TOLERANCE = 1e-12


class Rules(Recorded):
    mode: Literal["max"]
    threshold_mode: Literal["rel"]
    patience: int
    cooldown: int
    threshold: float
    continue_threshold: float


class Run(Recorded):
    """The state after each score; None where not recorded."""

    kind: str = "reset"
    scores: list[float]
    in_stop: list[bool]
    best: list[float | None] | None = None
    num_bad: list[int] | None = None
    cooldown: list[int] | None = None
    reset_before_index: int | None = None


class StopAndGoRecord(Recorded):
    params: Rules
    sequences: list[Run]
    reset: Run | None = None


def run(path: Path) -> list[Difference]:
    """Compare the state after every score of every sequence; ``path`` is the JSON file.

    Raises:
        DataError: a key is missing, or a recorded mode is unknown.
    """
    recording = read(path, StopAndGoRecord)
    runs = [*recording.sequences, *([recording.reset] if recording.reset else [])]
    worst: dict[str, Difference] = {}
    for number, sequence in enumerate(runs):
        for quantity, step, size, tolerance in _compare(sequence, recording.params):
            if quantity not in worst or not size <= worst[quantity].largest:
                note = "" if size <= tolerance else f"sequence {number} ({sequence.kind}), score {step}"
                worst[quantity] = Difference(quantity, size, tolerance, note)
    return list(worst.values())


def _compare(sequence: Run, rules: Rules) -> list[tuple[str, int, float, float]]:
    """(quantity, step, difference, tolerance) for every recorded state."""
    controller = Controller(rules.threshold, rules.continue_threshold, rules.patience, rules.cooldown)
    states: dict[str, list[float]] = {"in_stop": [], "best": [], "num_bad": [], "cooldown": []}
    for index, score in enumerate(sequence.scores):
        if index == sequence.reset_before_index:
            controller.reset()
        controller.step(score)
        state = (controller.stopped, controller.best, controller.bad, controller.cooling)
        for ours, value in zip(states.values(), state, strict=True):
            ours.append(float(value))
    found = []
    for quantity, ours in states.items():
        theirs: Sequence[float | None] | None = getattr(sequence, quantity)
        if theirs is None:
            continue
        if len(theirs) != len(ours):
            found.append((quantity, min(len(ours), len(theirs)), math.inf, 0.0))
            continue
        for step, (our, their) in enumerate(zip(ours, theirs, strict=True)):
            there = -math.inf if their is None else float(their)
            size = 0.0 if our == there else abs(our - there)
            found.append((quantity, step, size, BEST_TOLERANCE if quantity == "best" else 0.0))
    return found
