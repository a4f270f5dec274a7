"""The protocol of a study on its page: the command that runs it, its configuration, and its tasks."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from twelve.progress import counted
from twelve.study.finding_types import Findings
from twelve.study.plan import COPY, Plan
from twelve.study.report.beside import short
from twelve.study.studies import STUDIES
from twelve.study.studies.base import Subjects
from twelve.tasks.base import all_tasks
from twelve.tasks.custom import own_tasks
from twelve.training.convergence import GAIN, POINTS

CONFIGURATION = "study.yaml"
"""What the command calls the configuration."""


@dataclass(frozen=True, slots=True)
class StudyProtocol:
    """How a study was run.

    Attributes:
        command: that runs it, with the code of today.
        own: what the command calls the user's file that defines the study; None for a study of this package.
        configuration: its keys that do not have their defaults, as YAML.
        length: of the joint run.
        tasks: title -> (batch size, learning rate).
        convergence: when a run counts as converged.
    """

    command: str
    own: str | None
    configuration: str
    length: str
    tasks: Mapping[str, tuple[int, float]]
    convergence: str


def protocol(found: Findings) -> StudyProtocol:
    """The protocol of a study, from its plan."""
    config = found.plan.parsed()
    training = config.training
    known, tasks = all_tasks(own_tasks(config.tasks)), {}
    for row in found.rows:
        own, usual = config.tasks[row.name], known[row.name].defaults
        tasks[short(found, row.name)] = own.batch_size or usual.batch_size, own.learning_rate or usual.learning_rate
    changed = config.model_dump(mode="json", exclude_defaults=True)
    return StudyProtocol(
        command=command(found.plan),
        own=None if found.plan.study in STUDIES else _file(found.plan),
        configuration=yaml.safe_dump(changed, sort_keys=False, allow_unicode=True),
        length=(
            f"{training.epochs:g} epoch{'s' * (training.epochs != 1)}"
            if training.iterations is None
            else counted(training.iterations, "iteration")
        ),
        tasks=tasks,
        convergence=(
            f"a task has converged if the line that fits its validation scores over the last third of the run changes "
            f"by less than {100 * GAIN:g} points; unknown with fewer than {POINTS} validations in this third"
        ),
    )


def _file(plan: Plan) -> str:
    """The name of the user's file that defines a study; that of its copy, where an earlier version recorded none."""
    return COPY if plan.code is None else plan.code.name


def command(plan: Plan) -> str:
    """The command that runs a study, with the code of today, without arms and options that are the study's own."""
    study = STUDIES.get(plan.study)
    words = ["twelve", "study", *([plan.study] if study else ["run", _file(plan)])]
    words += ["--config", CONFIGURATION, "--seeds", str(len(plan.seeds))]
    usual = []
    if study is not None:
        own = study.model_validate(dict(plan.options))
        usual = [arm.name for arm in own.arms(Subjects(plan.parsed())) if not arm.extra]
    if sorted(usual) != sorted(plan.names):
        words += ["--arms", ",".join(plan.names)]
    defaults = {} if study is None else study.model_construct().model_dump(mode="json")
    for name, value in plan.options.items():
        if name not in defaults or value != defaults[name]:
            words += ["--option", f"{name}={json.dumps(value)}"]
    return shlex.join(words)
