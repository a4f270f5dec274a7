"""The files in which a study keeps the results of its runs.

``seed-0/results/ARM/TASK.json`` holds a :class:`Result`, ``search.json`` a :class:`Search` for each search.
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
from twelve.study.arms import ARMS
from twelve.study.plan import Plan, checked

SEARCH, RESULTS = "search.json", "results"
AGAIN = "remove this file and go on: --resume"

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
PerCent: TypeAlias = Annotated[float, Field(ge=0, le=100)]
Count: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]


class Spent(Strict):
    """The cost of a run."""

    iterations: Count
    batches: Mapping[str, Count] = Field(min_length=1)
    """Task -> updates."""
    seconds: float = Field(ge=0, le=1e12)


class History(Spent):
    """The summary of a run, see :func:`twelve.runs.run_summary.history`."""

    before: Mapping[str, float]
    kept: Mapping[str, Share]
    """Task -> validation score of the saved model."""
    events: tuple[Mapping[str, Any], ...]

    def spent(self) -> dict[str, Any]:
        """Fields of :class:`Spent`."""
        return self.model_dump(include=set(Spent.model_fields))


class Result(Spent):
    """One task of one run."""

    arm: str
    seed: int
    task: str
    title: str
    metric: str
    split: str
    factor: float = Field(gt=0)
    """Of all learning rates."""
    score: PerCent
    validation: Share
    """Validation score of the saved model."""
    parameters: Count
    groups: tuple[str, ...] = Field(min_length=1)
    values: tuple[Share, ...]
    """Contribution of each example to the score; examples with the same group are resampled together."""
    baselines: Mapping[str, PerCent] | None = None
    """Of the base arm alone; they hold for all arms."""
    upper_bound: PerCent | None = None
    """Of the base arm alone; None where nothing bounds the score."""

    @model_validator(mode="after")
    def _a_group_each(self) -> Result:
        if len(self.values) != len(self.groups):
            raise ValueError(f"{len(self.values)} values and {len(self.groups)} groups: each value has one")
        return self


class Search(Strict):
    """Short runs of one arm, or of one of its tasks, that choose its learning rate."""

    validations: Mapping[str, Share | None] = Field(default_factory=dict)
    """Factor -> mean validation score; None where the loss became infinite."""
    batches: Mapping[str, Count] = Field(default_factory=dict)
    """Factor -> updates."""
    chosen: float | None = None
    """Factor with the best validation score, once all have been tried."""


def seed_folder(out: Path, seed: int) -> Path:
    return out / f"seed-{seed}"


def result_file(out: Path, seed: int, arm: str, task: str) -> Path:
    return seed_folder(out, seed) / RESULTS / arm / f"{task}.json"


def has_result(out: Path, seed: int, arm: str, task: str) -> bool:
    """Whether there is a result.

    Raises:
        DataError: a folder, a pipe or a device is in its place.
    """
    return files.is_there(result_file(out, seed, arm, task), DataError)


def write_result(out: Path, result: Result) -> None:
    """Write a result."""
    _write(result_file(out, result.seed, result.arm, result.task), result.model_dump(mode="json", exclude_unset=True))


def read_result(plan: Plan, out: Path, seed: int, arm: str, task: str) -> Result:
    """One task of one run.

    Raises:
        DataError: the file is damaged, or of another study, seed, arm or task; names the field.
    """
    record = read_object(result_file(out, seed, arm, task))
    result = checked(Result, record, AGAIN)
    tasks = (task,) if ARMS[arm].alone else tuple(plan.tasks)
    for name, found, wanted in (
        ("seed", result.seed, (seed,)),
        ("arm", result.arm, (arm,)),
        ("task", result.task, (task,)),
        ("factor", result.factor, plan.factors),
        ("batches", tuple(sorted(result.batches)), (tuple(sorted(tasks)),)),
    ):
        if found not in wanted:
            raise _other(record, name, found, wanted)
    return result


def searched(plan: Plan, out: Path) -> dict[str, Search]:
    """:attr:`twelve.study.plan.Step.key` -> what the search has found so far.

    Raises:
        DataError: the file is damaged, or of another study; names the field.
    """
    if not files.is_there(out / SEARCH, DataError):
        return {}
    record, found = read_object(out / SEARCH), {}
    known = {step.key for step in plan.steps() if step.search}
    factors = {str(factor): factor for factor in plan.factors}
    for key in record.fields:
        if key not in known:
            raise record.error(f"no search of this study: {key!r}", AGAIN)
        entry = record.record(key)
        search = found[key] = checked(Search, entry, AGAIN)
        for name, there in (("validations", search.validations), ("batches", search.batches)):
            if not there.keys() <= factors.keys():
                raise _other(entry, name, tuple(there), tuple(factors))
        if search.chosen is None:
            continue
        if search.chosen not in plan.factors:
            raise _other(entry, "chosen", search.chosen, plan.factors)
        if search.validations.keys() != factors.keys():
            raise _other(entry, "validations", tuple(search.validations), tuple(factors))
    return found


def write_searched(out: Path, found: Mapping[str, Search]) -> None:
    """Write what searches have found."""
    _write(
        out / SEARCH,
        {
            key: one.model_dump(mode="json", exclude={"chosen"} if one.chosen is None else None)
            for key, one in found.items()
        },
    )


def _write(path: Path, tree: Any) -> None:
    files.check_links([path], path.parent, "study")
    with files.replacing(path) as partial:
        partial.write_text(json.dumps(tree) + "\n", encoding="utf-8")


def _other(record: Record, name: str, found: object, wanted: Collection[object]) -> DataError:
    """An error about a value of another study, or of another part of it, to raise."""
    place = f"{record.place}.{name}" if record.place else name
    problem = f"expected {' or '.join(map(str, wanted))}, found {describe(found)}"
    return DataError(problem, file=record.file, record=place, remedy=AGAIN)
