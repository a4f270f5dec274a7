"""Results of measured tasks, as an evaluation writes them; needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from twelve.errors import DataError, quoted
from twelve.formats.records import REMEDY, read_object
from twelve.formats.results import mended_by
from twelve.io import files
from twelve.io.invalid import problem_of
from twelve.metrics.bootstrap import Interval
from twelve.types.cut import Cut
from twelve.types.measurement import Protocol

CHANCE = "chance"
"""The baseline whose values follow from the examples: no model predicts it."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A score that is reached without the correct image, and the model's lead over it.

    Attributes:
        score: the baseline's headline number, in the metric's units.
        advantage: the model's headline number minus the baseline's, with its 95% interval, per cent.
        drawn_from: of chance, the number of answers that it draws from, if they are fewer than the model can give.
    """

    name: str
    score: float
    advantage: Interval
    drawn_from: Annotated[int, Field(ge=1, lt=2**31)] | None = None

    @property
    def beaten(self) -> bool:
        return self.advantage.low > 0


@dataclass(frozen=True, slots=True)
class ScoredPart:
    """The score on the examples of one kind (evaluation/kinds.py), such as the questions that ask how many.

    Attributes:
        kind, value: of the examples.
        examples, groups: how many there are, and how many clusters an interval resamples.
        score: per cent.
        baseline: the best of the task's baselines on these examples; None if none was measured.
    """

    kind: str
    value: str
    examples: int
    groups: int
    score: Interval
    baseline: Baseline | None = None


@dataclass(frozen=True, slots=True)
class ScoreBin:
    """Predictions whose scores are about equal: their number, their mean score and their mean mark, both 0..1."""

    examples: int
    score: float
    right: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often one value was predicted where another one is right.

    Attributes:
        wanted, said: the right value and the predicted one, in words.
        examples: how often.
        of: examples of which ``wanted`` is right.
    """

    wanted: str
    said: str
    examples: int
    of: int


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One task measured on one split."""

    task: str
    title: str
    protocol: Protocol
    examples: int
    groups: int
    metric: str
    score: Interval
    metrics: Mapping[str, float]
    baselines: Mapping[str, Baseline]
    upper_bound: float | None = None
    """The best possible score (evaluation/upper_bound.py); None if there is no known bound."""
    seconds: float = 0.0
    calibration_error: Annotated[float, Field(ge=0, le=100)] | None = None
    """Expected calibration error of the confidence of single predictions, per cent; None if a gallery is ranked."""
    uncalibrated: str = ""
    """Why the confidence of single predictions is not calibrated (evaluation/calibration.py), or empty."""
    parts: tuple[ScoredPart, ...] = ()
    """Scores by kind of example, where there are enough examples (evaluation/parts.py)."""
    calibration: tuple[ScoreBin, ...] = ()
    """The bins of ``calibration_error`` that hold predictions."""
    confusions: tuple[Confusion, ...] = ()
    """Right and predicted values, where the output chooses among named ones (evaluation/confusions.py)."""
    no_interval: str = ""
    """Why the score has no interval, as part of a sentence, or empty. The intervals are then the widest possible ones
    (evaluation/remeasured.py)."""
    cut: Cut | None = None
    """How many texts of the split the model did not read to the end; None if it read all of them."""
    unanswerable: tuple[str, ...] = ()
    """Of which questions of a file of one's own the model cannot be right, in clauses (data/own_files.py)."""
    contradicted: Mapping[str, int] = field(default_factory=dict)
    """Test or training file of one's own -> how many of its texts have answers that contradict each other."""
    train_warnings: tuple[str, ...] = ()
    """What may be wrong with the training file of a task of one's own, apart from contradictions, in clauses."""
    test_warnings: tuple[str, ...] = ()
    """The same of the test file, apart from what ``unanswerable`` says, and from images that both files have."""
    trained_images: int = 0
    """How many images of a file of one's own the model was trained on."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Each file of the split, relative to the data root -> its SHA-256; empty in results of earlier versions."""

    @property
    def ties_matter(self) -> bool:
        """Whether the order of equal scores says anything of a task of one's own: where a gallery is ranked, or answers
        can be right in part."""
        return self.protocol.marked or self.metric != "accuracy"

    @property
    def interval_note(self) -> str:
        """A sentence that says why the score has no interval, or empty."""
        return self.no_interval and f"{self.metric} has no interval: {self.no_interval}."

    @property
    def normalised(self) -> float | None:
        """The normalised score: 0 at the best baseline, 100 at the upper bound; None without an upper bound."""
        return normalised(self.score.mean, [baseline.score for baseline in self.baselines.values()], self.upper_bound)


def read_results(path: Path) -> tuple[list[TaskResult], dict[str, Any]]:
    """The results and facts of a file of :func:`write_results`.

    Raises:
        DataError: the file is missing or damaged.
    """
    found, task = [], "tasks"
    with mended_by(path, f"run: twelve evaluate {quoted(path.parent)}"):
        tree = read_object(path)
        facts, tasks = tree.record("facts"), tree.record("tasks")
        for name in ("parameters", "training_seconds", "evaluation_seconds"):
            facts.number(name)
        if "machine" in facts.fields:
            facts.record("machine")
        try:
            _text(facts.fields)
            for task in tasks.fields:
                found.append(_RESULT.validate_json(_text(tasks.record(task).fields), strict=True))
                _text(asdict(found[-1]))  # a number too large for a float has become infinite
                if found[-1].task != task:
                    raise ValueError(f"expected task {task}, found {found[-1].task}")
        except ValidationError as error:
            first = error.errors()[0]
            problem = f"{'.'.join(map(str, first['loc']))}: {problem_of(first)}"
            raise DataError(problem, file=path, record=task, remedy=REMEDY) from None
        except (ValueError, RecursionError) as error:
            problem = f"not the results of an evaluation: {str(error)[:300]}"
            raise DataError(problem, file=path, record=task, remedy=REMEDY) from None
    return found, dict(facts.fields)


_RESULT = TypeAdapter(TaskResult)


def _text(tree: Any) -> bytes:
    """JSON as UTF-8; raises ValueError for numbers that are not finite and unpaired surrogates."""
    return json.dumps(tree, allow_nan=False, ensure_ascii=False).encode()


def write_results(path: Path, results: Sequence[TaskResult], facts: Mapping[str, Any]) -> Path:
    """Write the results of a run."""
    tree = {"facts": dict(facts), "tasks": {result.task: asdict(result) for result in results}}
    with files.replacing(path) as partial:
        partial.write_text(json.dumps(tree, indent=1), encoding="utf-8")
    return path


def normalised(score: float, baselines: Sequence[float], upper_bound: float | None) -> float | None:
    """The normalised score of ``score``: 0 at the best baseline, 100 at the upper bound; None without an upper bound
    above the baselines."""
    if upper_bound is None or not baselines or upper_bound <= max(baselines):
        return None
    return 100 * (score - max(baselines)) / (upper_bound - max(baselines))
