"""The plan of a study, written to its folder before anything is trained."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from twelve.config import parse as parse_config
from twelve.errors import ConfigError, DataError, quoted
from twelve.formats.records import Record, describe, read_object
from twelve.io import files
from twelve.io import paths as places
from twelve.io.invalid import beginning, problem_of
from twelve.progress import counted
from twelve.settings import RunConfig, Strict
from twelve.study.arms import Arm, Contrast

FILE, COPY = "study.json", "study.py"
REMEDY = "restore the file from a copy"
EARLIER_GALLERY = 100
"""Images that retrieval ranked before ``evaluation.gallery`` said how many."""


M = TypeVar("M", bound=BaseModel)


class Code(Strict):
    """A file of the user's that defines a study. The study's folder has a copy of it (:data:`COPY`)."""

    name: str
    """Of the file, without its folder."""
    sha256: str


class Plan(Strict):
    """The protocol of a study, fixed before the first run; only seeds, and arms with their contrasts, can be added
    later."""

    study: str
    """The study's name (studies/)."""
    options: Mapping[str, Any] = Field(default_factory=dict)
    """The study's own options, all of them."""
    question: str = ""
    claim: str = ""
    """The paper's claim that it tests."""
    arms: tuple[Arm, ...] = Field(min_length=1)
    contrasts: tuple[Contrast, ...] = ()
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    """Each has a model and, where the data are generated, a microworld."""
    worlds: bool
    """Whether each seed generates its own data."""
    config: Mapping[str, Any]
    """The complete configuration; seed, run and drawn data are those of each seed. Other paths are absolute, and are
    found again after a move as those of a run (io/paths.py)."""
    known: tuple[str, ...] | None = None
    """Tasks that the model named by ``model.init`` was trained on; None without it, and in earlier versions."""
    code: Code | None = None
    """The user's file that defines the study; None for a study of this package, and in earlier versions."""

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("must be distinct")
        return seeds

    @field_validator("arms")
    @classmethod
    def _in_order(cls, arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
        there: dict[str, Arm] = {}
        for arm in arms:
            if arm.name in there:
                raise ValueError(f"two arms are called {arm.name}")
            if lacking := [name for name in arm.needs if name not in there]:
                raise ValueError(f"{arm.name} needs {lacking[0]}, which must be an arm before it")
            for model in arm.models:
                _check_model(arm, model, there)
            there[arm.name] = arm
        return arms

    @model_validator(mode="after")
    def _of_arms(self) -> Plan:
        for contrast in self.contrasts:
            for name in contrast.arms:
                if name not in self.names or not set(contrast.tasks) <= set(self.arm(name).tasks):
                    raise ValueError(f"contrasts: no arm {name} trains all tasks of {contrast.name}")
        if unknown := {task for arm in self.arms for task in arm.tasks} - set(self.config.get("tasks") or ()):
            raise ValueError(f"arms: {min(unknown)} is not a task of the configuration")
        return self

    def parsed(self) -> RunConfig:
        return parse_config(self.config)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(arm.name for arm in self.arms)

    def arm(self, name: str) -> Arm:
        return next(arm for arm in self.arms if arm.name == name)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that an arm trains, in the configuration's order."""
        trained = {task for arm in self.arms for task in arm.tasks}
        return tuple(task for task in self.config["tasks"] if task in trained)

    def base(self, task: str) -> Arm:
        """The first arm that trains a task: the task's baselines and upper bound are measured with its model."""
        return next(arm for arm in self.arms if task in arm.tasks)

    def steps(self) -> list[Step]:
        """All steps, in order: every arm of a seed before the next seed."""
        return [step for seed in self.seeds for arm in self.arms for step in self._of_arm(seed, arm)]

    def _of_arm(self, seed: int, arm: Arm) -> Iterator[Step]:
        rates, tasks = arm.rates, len(self.config["tasks"])
        units = {model: self._iterations(arm) * len(model) / tasks for model in arm.models}
        if seed == self.seeds[0]:
            for model in arm.models:
                if rates.searches(model):
                    yield Step(seed, arm, model, True, units[model] * rates.share * len(rates.factors))
        for model in arm.models:
            searched = seed == self.seeds[0] and rates.searches(model) and rates.share == 1
            yield Step(seed, arm, model, False, units[model] * (0.1 if searched else 1))

    def _iterations(self, arm: Arm) -> float:
        """The expected iterations of an arm's models, in those of the configuration."""
        others = [(self._iterations(other), other) for other in map(self.arm, arm.length.of)]
        if arm.length.rule == "total":
            updates = sum(iterations * sum(map(len, other.models)) for iterations, other in others)
            return arm.length.factor * updates / sum(map(len, arm.models))
        return arm.length.factor * (sum(iterations for iterations, _ in others) if others else 1)


def _check_model(arm: Arm, model: tuple[str, ...], there: Mapping[str, Arm]) -> None:
    """What a model needs of other arms, they have."""
    for name in arm.needs:
        if lacking := set(model) - set(there[name].tasks):
            taken = "model" if name == arm.start_arm else "convergence" if name == arm.convergence else "length"
            raise ValueError(
                f"{arm.name} takes its {taken} from {name}, so it can only train tasks that {name} trains "
                f"({', '.join(there[name].tasks)}), found {min(lacking)}"
            )
    if arm.start_arm is not None and not set(model) <= set(there[arm.start_arm].model_of(model[0])):
        raise ValueError(f"no model of {arm.start_arm} has the tasks {', '.join(model)} that one of {arm.name} has")
    if arm.start != "seed" and any(key.partition(".")[0] == "model" for key in arm.overrides):
        raise ValueError(f"{arm.name}: only a model that starts from the seed can be made in another way")


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a study: the search of a model's learning rate, or a run and its evaluation.

    Attributes:
        model: the tasks that are trained together.
        search: whether it is a search.
        units: its expected cost, in joint runs.
    """

    seed: int
    arm: Arm
    model: tuple[str, ...]
    search: bool
    units: float

    @property
    def key(self) -> str:
        """Identifies the model in its seed, and its search."""
        return self.arm.key(self.model)

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
    record = _record(out)
    plan, was = checked(Plan, record.record("plan"), REMEDY), record.fields.get("folder")
    config = places.moved(plan.config, was if isinstance(was, str) else "", out)
    plan = plan.model_copy(update={"config": _complete(config)})
    try:
        complete = plan.parsed().model_dump(mode="json")
    except ConfigError as error:
        place = f"plan.config.{error.record}" if error.record else "plan.config"
        raise DataError(error.problem, file=path, record=place, remedy=REMEDY) from None
    return plan.model_copy(update={"config": complete})


def _complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with the gallery that studies ranked when it was no key yet."""
    evaluation = config.get("evaluation", {})
    if not isinstance(evaluation, Mapping) or "gallery" in evaluation:
        return dict(config)
    return {**config, "evaluation": {**evaluation, "gallery": EARLIER_GALLERY}}


def machine_of(out: Path) -> Mapping[str, Any]:
    """The machine that a study was begun on; empty if it was not recorded.

    Raises:
        DataError: there is no plan, or it is damaged.
    """
    machine = _record(out).fields.get("machine")
    return machine if isinstance(machine, Mapping) else {}


def _record(out: Path) -> Record:
    check_there(out)
    return read_object(out / FILE)


def check_there(out: Path) -> None:
    """Raises DataError for a folder without a study."""
    if not files.is_there(out / FILE, DataError):
        hint = "" if out.exists() else files.folder_beside(out)
        raise DataError(f"no study here{hint}", file=out, remedy="name the folder that a study was run in")


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
        raise DataError(problem_of(first, describe), file=record.file, record=place or None, remedy=remedy) from None


def code_of(file: Path) -> Code:
    """The record of a user's file that defines a study."""
    return Code(name=file.name, sha256=hashlib.sha256(file.read_bytes()).hexdigest())


def check_code(file: Path, plan: Plan, begun: Plan, out: Path) -> None:
    """Raises ConfigError if a study is resumed with another file than the one that it was begun with.

    Args:
        file: that defines the study now.
    """
    if begun.code is None or plan.code is None or plan.code.sha256 == begun.code.sha256:
        return
    copy, other = out / COPY, "name another folder: --out"
    kept = files.is_there(copy, DataError) and code_of(copy).sha256 == begun.code.sha256
    raise ConfigError(
        f"is not the file that the study in {out} was begun with",
        file=file,
        remedy=f"name the copy of that file in its place, {quoted(copy)}, or {other}" if kept else other,
    )


def agree(plan: Plan, begun: Plan, out: Path) -> Plan:
    """The plan of a resumed study: the one that it was begun with, further seeds, and new arms with their contrasts.
    The question, the claim and the meanings of arms are words alone: those that were recorded stay.

    Raises:
        ConfigError: anything that was there has changed; names it.
    """
    now, then = (
        each.model_dump(mode="json", exclude={"arms", "contrasts", "seeds", "known", "code"})
        | {"config": places.absolute(each.config)}
        for each in (plan, begun)
    )
    mine, its = (
        {arm.name: arm.model_dump(mode="json", exclude={"meaning"}) for arm in each.arms} for each in (plan, begun)
    )
    now["arms"], then["arms"] = {name: mine.get(name, arm) for name, arm in its.items()}, its
    if changed := [
        each for key in now if key not in ("question", "claim") for each in _differs(key, now[key], then[key])
    ]:
        more = f" ({counted(len(changed) - 1, 'more difference')})" * (len(changed) > 1)
        raise ConfigError(
            f"{changed[0]}{more}",
            file=out / FILE,
            remedy="repeat the command that began it, with --resume, or name another folder: --out",
        )
    new = tuple(arm for arm in plan.arms if arm.name not in begun.names)
    contrasts = tuple(dict.fromkeys((*begun.contrasts, *plan.contrasts)))
    seeds = tuple(dict.fromkeys((*begun.seeds, *plan.seeds)))
    return begun.model_copy(update={"arms": (*begun.arms, *new), "contrasts": contrasts, "seeds": seeds})


def _differs(key: str, now: Any, then: Any) -> list[str]:
    """The keys in which the command differs from the study, with both values."""
    if now == then:
        return []
    if isinstance(now, dict) and isinstance(then, dict):
        start = "" if key == "config" else f"{key}."
        return [each for name in {**then, **now} for each in _differs(start + name, now.get(name), then.get(name))]
    return [f"{key}: the study has {beginning(then)}, the command says {beginning(now)}"]
