"""A run of a study with its extensions: which model is kept, and what was measured on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twelve.formats.records import finite
from twelve.run_folder import RunFolder, model_folder
from twelve.settings import RunConfig
from twelve.study.observing import GRADIENT, PROCESSOR
from twelve.study.results import Event, History, Recorded
from twelve.study.runs import validation_score
from twelve.training.convergence import falls, has_converged


@dataclass(frozen=True, slots=True)
class Part:
    """A finished run: that of an arm's model, or an extension of it."""

    config: RunConfig
    history: History
    lines: tuple[Mapping[str, Any], ...]
    """Its log."""

    @property
    def model(self) -> Path:
        """The folder of its model."""
        return model_folder(Path(self.config.run))


@dataclass(slots=True)
class Trained:
    """A run and its extensions, in order."""

    parts: list[Part] = field(default_factory=list)

    def add(self, config: RunConfig, history: History) -> None:
        self.parts.append(Part(config, history, tuple(RunFolder(config.run).logged())))

    @property
    def best(self) -> Part:
        """The part whose model has the best mean validation score, the first of equals: its model is kept."""
        return max(self.parts, key=lambda part: validation_score(part.history))

    @property
    def length(self) -> int:
        return sum(part.history.iterations for part in self.parts)

    @property
    def unfinished(self) -> bool:
        """Whether the score of one of the tasks is known to rise still."""
        tasks = self.parts[0].config.tasks
        return any(self.converged(task) is False and not self._falls(task) for task in tasks)

    def converged(self, task: str) -> bool | None:
        """Whether a task has converged; None if too little is known."""
        return has_converged(self.recorded(task).curve, self.length)

    def _falls(self, task: str) -> bool:
        return falls(self.recorded(task).curve, self.length)

    def recorded(self, task: str) -> Recorded:
        """What was measured of a task in all parts; iterations count on."""
        curve, events, norms, before = list[Any](), list[Any](), list[Any](), 0
        for part in self.parts:
            for line in part.lines:
                if line.get("task") != task:
                    continue
                kind, iteration = line.get("kind"), before + line["iteration"]
                if kind == "validation" and finite(line.get("score")) and not (before and iteration == before):
                    curve.append((iteration, line["score"]))
                elif kind == "event" and isinstance(line.get("event"), str):
                    events.append(Event(iteration=iteration, event=line["event"]))
                elif kind == GRADIENT and finite(line.get("norm")):
                    norms.append((iteration, line["norm"]))
            before += part.history.iterations
        return Recorded(curve=tuple(curve), events=tuple(events), gradient_norms=tuple(norms))

    def of(self, task: str) -> dict[str, Any]:
        """Fields of :class:`twelve.study.results.Result` about training."""
        times = [line[PROCESSOR] for part in self.parts for line in part.lines if finite(line.get(PROCESSOR))]
        return {
            "iterations": self.length,
            "batches": total(part.history.batches for part in self.parts),
            **self._counted(),
            "seconds": sum(part.history.seconds for part in self.parts),
            "processor_seconds": sum(times) if times else None,
            "parts": tuple(part.history.iterations for part in self.parts),
            "converged": self.converged(task),
            "recorded": self.recorded(task),
        }

    def _counted(self) -> dict[str, Any]:
        """What the summaries of runs of an earlier version lack: examples, updates, memory."""
        histories = [part.history for part in self.parts]
        examples = [each.examples for each in histories if each.examples is not None]
        steps = [each.steps for each in histories if each.steps is not None]
        memory = histories[0].memory
        if memory is None or not len(examples) == len(steps) == len(histories):
            return {}
        return {"examples": total(examples), "steps": sum(steps), "memory": memory}


def total(batches: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Task -> its updates in several runs together."""
    found: Counter[str] = Counter()
    for each in batches:
        found.update(each)
    return dict(found)


def best_run(folders: Iterable[Path]) -> Path:
    """Of finished runs, that whose model has the best mean validation score, the first of equals."""

    def score(folder: Path) -> float:
        kept = RunFolder(folder).read(RunFolder(folder).trained).get("kept")
        scores = [value for value in kept.values() if finite(value)] if isinstance(kept, dict) else []
        return sum(scores) / len(scores) if scores else -1.0

    return max(folders, key=score)
