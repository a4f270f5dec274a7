"""The files in which a study keeps the results of its runs.

``seed-0/results/ARM/TASK.json`` holds a :class:`Result`, ``search/ARM[/TASKS].json`` a :class:`Search`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import Field, model_validator

from twelve.errors import DataError
from twelve.formats.records import Record, describe, read_object
from twelve.io import files
from twelve.settings import Strict
from twelve.study.plan import Plan, Step, checked
from twelve.training.convergence import Gain, falls, fitted_gain

SEARCH, RESULTS, PROBES = "search", "results", "probes"
AGAIN = "remove this file and go on: --resume"

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
PerCent: TypeAlias = Annotated[float, Field(ge=0, le=100)]
Count: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]
Seconds: TypeAlias = Annotated[float, Field(ge=0, le=1e12)]
ByType: TypeAlias = Mapping[str, Mapping[str, tuple[PerCent, Count]]]
"""Kind of type, e.g. ``question_type`` -> type -> (mean score, examples)."""


class RunMemory(Strict):
    """Bytes that a run needs (training/memory.py)."""

    lasting: Count
    """Parameters, gradients and optimizer states, with what balancing keeps."""
    activations: Count
    """What a step on the largest batch keeps for its backward pass."""


class Spent(Strict):
    """The cost of a run. What an earlier version did not record is None."""

    iterations: Count
    batches: Mapping[str, Count] = Field(min_length=1)
    """Task -> batches, each of which is an update unless those of an iteration share one."""
    examples: Mapping[str, Count] | None = None
    """Task -> examples in these batches."""
    steps: Count | None = None
    """Updates, of all tasks together."""
    memory: RunMemory | None = None
    seconds: Seconds
    """Of training."""


class History(Spent):
    """The summary of a run, see :func:`twelve.runs.run_summary.history`."""

    before: Mapping[str, float]
    kept: Mapping[str, Share]
    """Task -> validation score of the saved model."""
    events: tuple[Mapping[str, Any], ...]
    training_examples: Mapping[str, Count] = {}
    """Task -> its training examples."""
    on_training_examples: Mapping[str, Share] = {}
    """Task -> validation score of the saved model on examples that it was trained on."""


class Event(Strict):
    """The schedule stopped a task after this many iterations (``stop``), or let it go on (``go``)."""

    iteration: Count
    event: str


class Recorded(Strict):
    """What was measured of one task while its run and the extensions of it trained; iterations count on."""

    curve: tuple[tuple[Count, Share], ...] = ()
    """(iteration, validation score)."""
    events: tuple[Event, ...] = ()
    gradient_norms: tuple[tuple[Count, Annotated[float, Field(ge=0)]], ...] = ()
    """(iteration, norm of the gradient that a batch gives the trunk), now and then."""


class Pretrained(Strict):
    """The cost of pretraining the model that a run begins with; all models of a seed share it."""

    iterations: Count
    """Updates."""
    examples: Count | None = None
    """Pairs of an image and a caption."""
    processor_seconds: Seconds | None = None


class Result(Spent):
    """One task of one run. What a study of an earlier version did not record is None."""

    arm: str
    seed: int
    task: str
    title: str
    metric: str
    split: str
    group: str = ""
    """The skill that the task needs (``Output.skill``)."""
    factor: float = Field(gt=0)
    """Of all learning rates."""
    score: PerCent
    validation: Share
    """Validation score of the saved model."""
    on_training_examples: Share | None = None
    """The same on examples that it was trained on; None where it was not measured."""
    training_examples: Count | None = None
    """How many there are."""
    parameters: Count
    groups: tuple[str, ...] = Field(min_length=1)
    values: tuple[Share, ...]
    """Contribution of each example to the score; examples of one cluster are resampled together."""
    shuffled: PerCent | None = None
    """The score with shuffled images."""
    shuffled_values: tuple[Share, ...] | None = None
    """Contribution of each example to it."""
    by_type: ByType = Field(default_factory=dict)
    kinds: Mapping[str, tuple[str, ...]] | None = None
    """Kind (evaluation/kinds.py) -> value of each example; of the first arm that trains the task, for all arms."""
    recorded: Recorded | None = None
    parts: tuple[Count, ...] = ()
    """Iterations of the run and of each of its extensions."""
    converged: bool | None = None
    """Whether the run had converged in this task at its end (convergence.py); None where too little is known. Earlier
    versions called a run converged, too, whose score :attr:`falls`."""
    processor_seconds: Seconds | None = None
    """Processor time of training."""
    pretrained: Pretrained | None = None
    """What pretraining cost; None where a run begins with new weights."""
    baselines: Mapping[str, PerCent] | None = None
    """Of the first arm that trains the task; they hold for all arms."""
    upper_bound: PerCent | None = None
    """Of the first arm that trains the task; None where nothing bounds the score."""
    commit: str | None = None
    """Of the code of the process that wrote the result (training/provenance.py); its version, without a checkout."""
    processor: str | None = None
    """Of the process that wrote the result: the accelerator, if there is one."""

    @property
    def passes(self) -> float | None:
        """How often the arm's own training has seen each of the task's training examples; None where that is not
        known."""
        seen = (self.examples or {}).get(self.task)
        return None if seen is None or not self.training_examples else seen / self.training_examples

    @property
    def falls(self) -> bool:
        """Whether the score is known to have fallen at the end of the run (convergence.py)."""
        return self.recorded is not None and falls(self.recorded.curve, self.iterations)

    @property
    def late_gain(self) -> Gain | None:
        """What the validation score gained over the last third of the run; None where too little is known."""
        return None if self.recorded is None else fitted_gain(self.recorded.curve, self.iterations)

    @model_validator(mode="after")
    def _a_group_each(self) -> Result:
        for values in (self.values, self.shuffled_values or self.values, *(self.kinds or {}).values()):
            if len(values) != len(self.groups):
                raise ValueError(f"{len(values)} values and {len(self.groups)} groups: each value has one")
        return self


class Search(Strict):
    """Runs of one model of an arm that choose its learning rate."""

    validations: Mapping[str, Share | None] = Field(default_factory=dict)
    """Factor -> mean validation score; None where the loss became infinite."""
    batches: Mapping[str, Count] = Field(default_factory=dict)
    """Factor -> updates."""
    seconds: Mapping[str, Seconds] = Field(default_factory=dict)
    """Factor -> seconds of training."""
    chosen: float | None = None
    """Factor with the best validation score, once all have been tried."""


def seed_folder(out: Path, seed: int) -> Path:
    return out / f"seed-{seed}"


def result_file(out: Path, seed: int, arm: str, task: str) -> Path:
    return seed_folder(out, seed) / RESULTS / arm / f"{task}.json"


def probe_file(out: Path, seed: int, key: str, name: str, extension: int = 0) -> Path:
    """What a probe found in a run, or in an extension of it (the first is 1).

    Args:
        key: of the arm's model (:meth:`twelve.study.arms.Arm.key`).
    """
    return seed_folder(out, seed) / PROBES / key / f"{name}{f'-{extension}' if extension else ''}.json"


def has_result(out: Path, seed: int, arm: str, task: str) -> bool:
    """Whether there is a result.

    Raises:
        DataError: a folder, a pipe or a device is in its place.
    """
    return files.is_there(result_file(out, seed, arm, task), DataError)


def is_done(out: Path, step: Step) -> bool:
    """Whether a step has its results."""
    if step.search:
        return searched(out, step).chosen is not None
    return all([has_result(out, step.seed, step.arm.name, name) for name in step.model])


def write_result(out: Path, result: Result) -> None:
    """Write a result."""
    _write(result_file(out, result.seed, result.arm, result.task), result.model_dump(mode="json", exclude_unset=True))


def read_result(plan: Plan, out: Path, seed: int, arm: str, task: str) -> Result:
    """One task of one run.

    Raises:
        DataError: the file is damaged, or of another study, seed, arm or task; names the field.
    """
    record, planned = read_object(result_file(out, seed, arm, task)), plan.arm(arm)
    result = checked(Result, record, AGAIN)
    model = planned.model_of(task)
    for name, found, wanted in (
        ("seed", result.seed, (seed,)),
        ("arm", result.arm, (arm,)),
        ("task", result.task, (task,)),
        ("factor", result.factor, planned.rates.of(model)),
        ("batches", tuple(sorted(result.batches)), (tuple(sorted(model)),)),
    ):
        if found not in wanted:
            raise _other(record, name, found, wanted)
    return result


def search_file(out: Path, key: str) -> Path:
    return out / SEARCH / f"{key}.json"


def searched(out: Path, step: Step) -> Search:
    """What the search of a step has found so far.

    Raises:
        DataError: the file is damaged, or of another study; names the field.
    """
    path = search_file(out, step.key)
    if not files.is_there(path, DataError):
        return Search()
    record = read_object(path)
    search = checked(Search, record, AGAIN)
    factors = {str(factor): factor for factor in step.arm.rates.factors}
    for name, there in (
        ("validations", search.validations),
        ("batches", search.batches),
        ("seconds", search.seconds),
    ):
        if not there.keys() <= factors.keys():
            raise _other(record, name, tuple(there), tuple(factors))
    if search.chosen is not None:
        if search.chosen not in factors.values():
            raise _other(record, "chosen", search.chosen, step.arm.rates.factors)
        if search.validations.keys() != factors.keys():
            raise _other(record, "validations", tuple(search.validations), tuple(factors))
    return search


def write_search(out: Path, step: Step, search: Search) -> None:
    """Write what the search of a step has found."""
    exclude = {"chosen"} if search.chosen is None else None
    _write(search_file(out, step.key), search.model_dump(mode="json", exclude=exclude))


def _write(path: Path, tree: Any) -> None:
    files.check_links([path], path.parent, "study")
    with files.replacing(path) as partial:
        partial.write_text(json.dumps(tree) + "\n", encoding="utf-8")


def _other(record: Record, name: str, found: object, wanted: Collection[object]) -> DataError:
    """An error about a value of another study, or of another part of it, to raise."""
    place = f"{record.place}.{name}" if record.place else name
    problem = f"expected {' or '.join(map(str, wanted))}, found {describe(found)}"
    return DataError(problem, file=record.file, record=place, remedy=AGAIN)
