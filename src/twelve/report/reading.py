"""The files of a run folder; all but the configuration may be missing."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from twelve.config import load_run
from twelve.errors import DataError, quoted
from twelve.evaluation import recorded
from twelve.evaluation.results import TaskResult, read_results
from twelve.formats.records import finite
from twelve.io.files import is_there
from twelve.io.invalid import problem_of
from twelve.io.json_file import read_object, read_or_none
from twelve.io.yaml_text import read_text
from twelve.progress import enumerated
from twelve.run_folder import MODEL_FILES, RunFolder
from twelve.runs.base_images import BaseImages
from twelve.runs.measured_data import other_files, other_regions, other_training
from twelve.settings import RunConfig
from twelve.tasks.base import Task, called, foreign, get
from twelve.tasks.custom import own_tasks
from twelve.training.kept import Kept, kept_model
from twelve.types.cut import Cut
from twelve.types.measurement import Owner
from twelve.types.predictions import RecordedPrediction


@dataclass(frozen=True, slots=True)
class Cleaned:
    mode: Any = None
    removed: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    overlap: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of a task's training data; ``cut``: how many of its training texts were longer than the model reads."""

    train: int = 0
    validation: int = 0
    cut: Cut | None = None


@dataclass(frozen=True, slots=True)
class Data:
    """The parts of data.json that the report uses.

    Attributes:
        region_samples: image id -> digest of its regions, of some images of every source.
        taught: see :func:`twelve.runs.measured_data.taught`.
        vocabularies: output -> number of its answers.
        base_images: the comparison of the test images with those of the base model.
    """

    cleaned: Cleaned = field(default_factory=Cleaned)
    tasks: Mapping[str, Sizes] = field(default_factory=dict)
    coverage: Mapping[str, str] = field(default_factory=dict)
    files: Any = None
    taught: Mapping[str, str] = field(default_factory=dict)
    region_samples: Mapping[str, str] = field(default_factory=dict)
    vocabularies: Mapping[str, int] = field(default_factory=dict)
    base_images: BaseImages = field(default_factory=BaseImages)


@dataclass(slots=True)
class History:
    """The contents of metrics.jsonl by task; iterations are counted from 1.

    Attributes:
        losses: task -> (iteration, mean loss since the previous line).
        scores: task -> (iteration, score in 0..1 on the validation split).
        changes: task -> (iteration, "stop" or "go").
        kept: task of an earlier run -> its score before the first step, and that of the model kept.
        iterations, pairs, seconds: so far.
    """

    losses: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    scores: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    changes: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    kept: dict[str, tuple[float, float]] = field(default_factory=dict)
    iterations: int = 0
    pairs: int = 0
    seconds: float = 0.0

    def stopped(self, task: str) -> list[tuple[int, int]]:
        """(from, to) iterations in which a task was stopped."""
        spans, since = [], None
        for iteration, change in self.changes.get(task, ()):
            if change == "stop" and since is None:
                since = iteration
            elif change == "go" and since is not None:
                spans.append((since, iteration))
                since = None
        if since is not None and since < self.iterations:
            spans.append((since, self.iterations))
        return spans


@dataclass(frozen=True, slots=True)
class Run:
    """The files of a run folder; a missing one is empty.

    Attributes:
        trained: whether training has ended.
        saved_scores: task -> validation score of the saved model, 0..1; empty until training has ended.
        learned: task -> score of the saved model on examples that it was trained on, 0..1.
        examples: task -> how many examples were trained on, each counted as often; empty until training has ended.
        model, checkpoints: whether the folder holds a model, and checkpoints to resume from.
        positions: word pieces that the model reads, at most; None if that is not known.
        changed, gone: files of the evaluated splits, relative to the data root, that have changed since the evaluation,
            or are no longer there.
        other_training: see :func:`twelve.runs.measured_data.other_training`.
        other_regions: see :func:`twelve.runs.measured_data.other_regions`; of the evaluated images.
    """

    folder: Path
    config: RunConfig
    config_text: str
    data: Data
    machine: Mapping[str, Any]
    results: Mapping[str, TaskResult]
    facts: Mapping[str, Any]
    history: History
    predictions: Mapping[str, Sequence[RecordedPrediction]]
    trained: bool = False
    saved_scores: Mapping[str, float] = field(default_factory=dict)
    learned: Mapping[str, float] = field(default_factory=dict)
    examples: Mapping[str, float] = field(default_factory=dict)
    model: bool = False
    checkpoints: bool = False
    positions: int | None = None
    changed: Sequence[str] = ()
    gone: Sequence[str] = ()
    other_training: Mapping[str, str] = field(default_factory=dict)
    other_regions: Mapping[str, str] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether training has ended: after all iterations, or early because nothing improved."""
        return self.trained or self.history.iterations >= (self.config.training.iterations or float("inf"))

    def validation_examples(self, name: str) -> int | None:
        """How many examples a validation score of a task is of; None where data.json does not say."""
        sizes, most = self.data.tasks.get(name), self.config.training.eval_examples
        return None if sizes is None else min(sizes.validation, most or sizes.validation)

    @property
    def alone(self) -> str | None:
        """The run's only task; None if it has several."""
        return next(iter(self.config.tasks)) if len(self.config.tasks) == 1 else None

    @property
    def epochs(self) -> float | None:
        """How often the examples of the only task were trained on; None where that is not known, or of several tasks,
        which have different ones."""
        sizes = self.data.tasks.get(self.alone or "")
        if self.alone is None or sizes is None or not sizes.train:
            return None
        # A batch is never larger than the training set.
        seen = self.history.iterations * min(self.batch_size(self.alone), sizes.train)
        return self.examples.get(self.alone, seen) / sizes.train

    def batch_size(self, name: str) -> int:
        """The batch size of one of the configuration's tasks."""
        return self.config.tasks[name].batch_size or self.task(name).defaults.batch_size

    def learning_rate(self, name: str) -> float:
        """The learning rate of one of the configuration's tasks."""
        return self.config.tasks[name].learning_rate or self.task(name).defaults.learning_rate

    @property
    def kept(self) -> Kept | None:
        """The model that is kept; None if the log does not tell."""
        tasks = self.config.tasks
        examples = [count for task in tasks if (count := self.validation_examples(task)) is not None]
        last = self.config.training.keep_model == "last"
        return kept_model(tasks, self.history.scores, self.saved_scores, examples, last=last)

    @property
    def changed_data(self) -> list[str]:
        """What has changed since the evaluation, in words: files, and the regions of image sources."""
        known = self.facts.get("changed_regions")  # they were other ones already when they were evaluated
        others = [each for each in self.other_regions if not isinstance(known, dict) or each not in known]
        return [*self.changed, *([f"the regions of {enumerated(others)}"] if others else [])]

    @property
    def measured_before(self) -> int | None:
        """After how many iterations the results were measured, if the model that is kept now is another one, or may be;
        None if it is not, or that is not known. A run that was trained on keeps its model if none was better."""
        since, now = self.facts.get("iterations"), self.kept
        if type(since) is not int or self.history.iterations <= since or (now is not None and now.iteration <= since):
            return None
        return since

    def is_own(self, name: str) -> bool:
        """Whether a task reads files of one's own (tasks/custom.py), which no dataset publishes and scores."""
        settings = self.config.tasks.get(name)
        return settings is not None and settings.kind is not None and settings.captions is None

    def can_grow(self, name: str) -> bool:
        """Whether the examples of a task are in the hands of whoever reads the report: files of one's own, or a task
        that another package or a program defines."""
        return self.owner(name) != "dataset"

    def owner(self, name: str) -> Owner:
        """Whose metric a task has."""
        return "file" if self.is_own(name) else "code" if foreign(self.task(name)) else "dataset"

    @property
    def owners(self) -> Collection[Owner]:
        """Whose metrics the trained and measured tasks have."""
        return {self.owner(name) for name in {*self.config.tasks, *self.results}}

    @property
    def own(self) -> bool:
        """Whether a trained or measured task is none of a dataset."""
        return self.owners != {"dataset"}

    def task(self, name: str) -> Task:
        """A task by its name, among them the run's own; raises ConfigError when there is none."""
        settings = self.config.tasks.get(name)
        return called(get(name, own_tasks(self.config.tasks)), settings.title if settings is not None else None)


def read_run(folder: Path) -> Run:
    """Read a run's folder. Commands name a folder below the current one by its relative path.

    Raises:
        ConfigError: the folder holds no run, or its configuration is not valid.
        DataError: one of its files is damaged; names it.
    """
    files = RunFolder(folder)
    config = load_run(folder)
    results, facts = read_results(files.evaluation) if is_there(files.evaluation, DataError) else ([], {})
    again = f"it is written again by: twelve train {quoted(files.config)} --continue"
    trained = files.read(files.trained)
    data = _data(files.data, again)
    predictions = recorded.read(files.predictions) if is_there(files.predictions, DataError) else {}
    shown = {image.partition("/")[0] for each in predictions.values() for one in each for image in one.images}
    changed, gone = other_files(Path(config.data), results)
    return Run(
        folder=folder.relative_to(Path.cwd()) if Path.cwd() in folder.parents else folder,
        config=config,
        config_text=read_text(files.config),
        data=data,
        machine=_tree(files.machine, again),
        results={result.task: result for result in results},
        facts=facts,
        history=read_history(files),
        predictions=predictions,
        trained=is_there(files.trained, DataError),
        saved_scores=_scores(trained.get("kept")),
        learned=_scores(trained.get("on_training_examples")),
        examples=_scores(trained.get("examples")),
        model=files.model.is_dir(),
        checkpoints=bool(files.saved()),
        positions=_positions(files.model),
        changed=changed,
        gone=gone,
        other_training=other_training(config, data.files, data.taught),
        other_regions=other_regions(config, files.model, data.region_samples, sorted(shown)),
    )


def _positions(model: Path) -> int | None:
    """``max_position_embeddings`` of a saved model."""
    tree = read_or_none(model / MODEL_FILES[0])
    found = tree.get("max_position_embeddings") if isinstance(tree, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _scores(tree: object) -> dict[str, float]:
    """The numbers of a mapping."""
    return {str(key): float(value) for key, value in tree.items() if finite(value)} if isinstance(tree, dict) else {}


def read_history(run: RunFolder) -> History:
    """The log of a run. A resumed run has some iterations twice; the later ones count."""
    lines: list[dict[str, Any]] = []
    step = latest = 0
    for line in run.logged():
        at, kind = line["iteration"], line.get("kind")
        if kind in ("step", "validation"):
            if at < latest or (kind == "step" and at == step):
                lines = [earlier for earlier in lines if earlier["iteration"] < at]
            latest, step = at, at if kind == "step" else min(step, at)
        lines.append(line)
    history = History()
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, LookupError, AttributeError):  # a damaged line is skipped
            _take(history, line)
    return history


def _number(value: object) -> float:
    if not finite(value):
        raise ValueError("not a number")
    return float(value)  # type: ignore[arg-type]


def _take(history: History, line: Mapping[str, Any]) -> None:
    iteration, kind = line["iteration"], line.get("kind")
    if kind == "step":
        history.iterations = max(history.iterations, iteration)
        history.pairs = max(history.pairs, int(_number(line.get("pairs", 0))))
        history.seconds = max(history.seconds, _number(line.get("seconds", 0.0)))
        for task, loss in line.get("losses", {}).items():
            history.losses.setdefault(str(task), []).append((iteration, _number(loss)))
    elif kind == "validation":
        history.iterations = max(history.iterations, iteration)
        history.seconds = max(history.seconds, _number(line.get("seconds", 0.0)))
        history.scores.setdefault(str(line["task"]), []).append((iteration, _number(line["score"])))
    elif kind == "kept":
        history.kept[str(line["task"])] = _number(line["before"]), _number(line["after"])
    elif kind == "event" and line.get("event") in ("stop", "go") and "task" in line:
        history.changes.setdefault(str(line["task"]), []).append((iteration, line["event"]))
    elif kind == "event" and line.get("event") == "reset":  # every task goes again
        for task in history.changes:
            history.changes[task].append((iteration, "go"))


def _data(path: Path, remedy: str) -> Data:
    try:
        return TypeAdapter(Data).validate_python(_tree(path, remedy))
    except ValidationError as error:
        first = error.errors()[0]
        record = ".".join(map(str, first["loc"]))
        raise DataError(problem_of(first), file=path, record=record, remedy=remedy) from None


def _tree(path: Path, remedy: str) -> Mapping[str, Any]:
    if not is_there(path, DataError):
        return {}
    return read_object(path, DataError, remedy=remedy)
