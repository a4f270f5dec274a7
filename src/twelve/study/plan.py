"""The plan of a study, written to its folder before anything is trained."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator

from twelve.config import parse as parse_config
from twelve.errors import ConfigError, DataError
from twelve.formats.records import Record, describe, read_object
from twelve.io import files
from twelve.io import paths as places
from twelve.settings import RunConfig, Strict
from twelve.study.arms import ARMS, BASE, chosen

FILE = "study.json"
REMEDY = "restore the file from a copy"


M = TypeVar("M", bound=BaseModel)


class Plan(Strict):
    """The protocol of a study, fixed before the first run; only arms can be added later."""

    arms: tuple[str, ...]
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    """Each has a model and, where the data are drawn, a world."""
    worlds: bool
    """Whether the data are drawn for each seed."""
    factors: tuple[Annotated[float, Field(gt=0)], ...] = Field((0.3, 1.0, 3.0), min_length=1)
    """Factors of all learning rates that the search tries."""
    search: float = Field(0.25, gt=0, le=1)
    """Length of a run of the search, as a share of the arm's own length."""
    longer: float = Field(2.0, ge=1)
    """Most updates of a task alone in the longer arm, over those in the base arm."""
    pretraining: float = Field(1.0, gt=0)
    """Iterations of pretraining, as a share of the joint run's."""
    config: Mapping[str, Any]
    """The complete configuration; seed, run and drawn data are those of each seed. Other paths are absolute, and are
    found again after a move as those of a run (io/paths.py)."""

    @field_validator("arms")
    @classmethod
    def _known(cls, arms: tuple[str, ...]) -> tuple[str, ...]:
        if arms[:1] != (BASE,) or not set(arms) <= ARMS.keys():
            raise ValueError(f"must be {BASE} and others of {', '.join(ARMS)}")
        return arms

    @field_validator("arms", "seeds", "factors")
    @classmethod
    def _distinct(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError("must be distinct")
        return values

    def parsed(self) -> RunConfig:
        return parse_config(self.config)

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self.config["tasks"])

    def steps(self) -> list[Step]:
        """All steps, in order."""
        tasks = self.tasks
        found: list[Step] = []
        for seed in self.seeds:
            for name in self.arms:
                arm = ARMS[name]
                parts: list[str | None] = [*tasks] if arm.alone else [None]
                units = (self.longer if arm.doubled else 1.0) / len(parts)
                if seed == self.seeds[0] and len(self.factors) > 1:
                    validations = units * self.search * len(self.factors)
                    found += [Step(seed, name, part, True, validations) for part in parts]
                units += self.pretraining if arm.pretrained else 0.0
                found += [Step(seed, name, part, False, units) for part in parts]
        return found


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a study: the search of an arm's learning rate, or a run and its evaluation.

    Attributes:
        task: the task, for an arm that trains tasks alone; None: all tasks.
        search: whether it is a search.
        units: its cost, in joint runs.
    """

    seed: int
    arm: str
    task: str | None
    search: bool
    units: float

    @property
    def key(self) -> str:
        """Identifies its search."""
        return self.arm if self.task is None else f"{self.arm}/{self.task}"

    def __str__(self) -> str:
        return f"{'learning rate of ' if self.search else ''}{self.key}, seed {self.seed}"


def check_links(out: Path) -> None:
    """Raises ConfigError for a file in a study's folder that is a link out of it."""
    files.check_links((path for path in out.iterdir() if not path.is_dir()), out, "study")


def write(plan: Plan, out: Path, machine: Mapping[str, Any]) -> None:
    """Write the plan into a study's folder."""
    tree = {"folder": os.path.abspath(out), "plan": plan.model_dump(mode="json"), "machine": dict(machine)}
    with files.replacing(out / FILE) as partial:
        partial.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")


def read(out: Path) -> Plan:
    """The plan in a study's folder.

    Raises:
        DataError: there is no plan, or it is damaged.
    """
    path = out / FILE
    if not files.is_there(path, DataError):
        raise DataError("no study here", file=out, remedy="name the folder that a study was run in")
    record = read_object(path)
    plan, was = checked(Plan, record.record("plan"), REMEDY), record.fields.get("folder")
    plan = plan.model_copy(update={"config": places.moved(plan.config, was if isinstance(was, str) else "", out)})
    try:
        plan.parsed()
    except ConfigError as error:
        place = f"plan.config.{error.record}" if error.record else "plan.config"
        raise DataError(error.problem, file=path, record=place, remedy=REMEDY) from None
    return plan


def checked(model: type[M], record: Record, remedy: str) -> M:
    """A record that a study has written, with exactly the fields of ``model``, each of its type and in its range.

    Raises:
        DataError: names the field that is wrong.
    """
    try:
        return model.model_validate_json(json.dumps(record.fields), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, [*([record.place] if record.place else []), *first["loc"]]))
        problem = first["msg"].removeprefix("Value error, ")
        if first["type"] not in ("missing", "value_error", "json_invalid"):
            problem += f", found {describe(first['input'])}"
        raise DataError(problem, file=record.file, record=place or None, remedy=remedy) from None


def agree(plan: Plan, begun: Plan, out: Path) -> Plan:
    """The plan of a resumed study: the one that it was begun with, and new arms.

    Raises:
        ConfigError: anything but the arms has changed; names it.
    """
    now, then = (
        each.model_dump(mode="json", exclude={"arms"}) | {"config": places.absolute(each.config)}
        for each in (plan, begun)
    )
    for key in now:
        if now[key] != then[key]:
            what = key
            if isinstance(now[key], dict):
                what += f".{next(name for name in now[key] if now[key][name] != then[key].get(name))}"
            raise ConfigError(
                f"{what} is not what the study here was begun with",
                file=out / FILE,
                remedy="repeat the command that began it, with --resume, or name another folder: --out",
            )
    return begun.model_copy(update={"arms": chosen([*begun.arms, *plan.arms])})
