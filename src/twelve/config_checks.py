"""Whether what a configuration names exists, and whether its parts suit each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from twelve.errors import ConfigError, check_all, nearest

if TYPE_CHECKING:
    from twelve.settings import RunConfig
    from twelve.tasks.base import Task


def check_names(config: RunConfig) -> None:
    """Check that the tasks and outputs that the configuration names exist, and what depends on them."""
    from twelve.tasks.base import all_tasks
    from twelve.tasks.custom import own_tasks

    known = all_tasks(own_tasks(config.tasks))
    outputs = sorted({task.output for task in known.values()})
    check_all(
        partial(_check_name, name, right, record)
        for record, names, right in (
            ("tasks", config.tasks, sorted(known)),
            ("sources", config.sources, sorted(known)),
            ("evaluation.protocols", config.evaluation.protocols, sorted(known)),
            ("vocabulary.label_maps", config.vocabulary.label_maps, outputs),
            ("vocabulary.counted", config.vocabulary.counted, outputs),
            *((f"vocabulary.counted.{key}", found, sorted(known)) for key, found in config.vocabulary.counted.items()),
        )
        for name in names
    )
    of_tasks = (_check_splits, _check_choices, _check_heads, _check_contrast)
    alone = (_check_replay, _check_freezing, _check_updates)
    check_all([*(partial(check, config, known) for check in of_tasks), *(partial(check, config) for check in alone)])


def _check_name(name: str, known: Sequence[str], record: str) -> None:
    from twelve.tasks.base import broken, remedy_for

    if name not in known:
        raise ConfigError(
            f"unknown name {name!r}{nearest(name, known)}{broken(name)}",
            record=f"{record}.{name}",
            remedy=remedy_for(name, known) if record == "tasks" else f"choose among {', '.join(known)}",
        )


def _check_updates(config: RunConfig) -> None:
    """Moments of a task need gradients of this task alone, and gradients together need an update of each task."""
    settings = config.optimizer
    if settings.together > 1 and (settings.update != "task" or settings.accumulate > 1):
        raise ConfigError(
            "expected an update after each batch (update: task, accumulate: 1), or together: 1",
            record="optimizer.together",
            remedy="--set optimizer.together=1",
        )
    for mixes, key, value in (
        (settings.update == "iteration", "update", "task"),
        (settings.accumulate > 1, "accumulate", "1"),
    ):
        if settings.states == "task" and mixes:
            raise ConfigError(
                "a step mixes gradients of several tasks, which have one state together",
                record=f"optimizer.{key}",
                remedy=f"--set optimizer.{key}={value}, or --set optimizer.states=shared",
            )


def _check_contrast(config: RunConfig, known: Mapping[str, Task]) -> None:
    """Something trains the contrast head."""
    from twelve.outputs import get_output

    if config.contrast is None:
        return
    able = [name for name, task in known.items() if get_output(task.kind).contrasts]
    if not set(able) & set(config.tasks):
        raise ConfigError(
            "none of the tasks matches captions with images, which is what trains this head",
            record="contrast",
            remedy=f"add one of {', '.join(able)}, or leave it out",
        )


def _check_freezing(config: RunConfig) -> None:
    """What a new model holds at random is not kept so, unless it is frozen by name."""
    frozen, model = config.freeze, config.model
    for key, asked, off, random in (
        ("text_layers", frozen.text_layers is not None, "null", model.init is None and model.text_encoder is None),
        ("image_layers", frozen.image_layers is not None, "null", model.init is None),
        ("all_but_heads", frozen.all_but_heads, "false", model.init is None),
    ):
        if asked and random:
            raise ConfigError(
                "these weights of a new model are random, and would stay so",
                record=f"freeze.{key}",
                remedy=f"leave it out (--set freeze.{key}={off}), or name a trained model: --set model.init=RUN",
            )


def _check_replay(config: RunConfig) -> None:
    """What is replayed has been learnt, by what the run goes on from, and something is learnt beside it."""
    problem = None
    if config.replay and config.model.init is None:
        problem, remedy = "a new model has nothing to replay", "name what it goes on from: --set model.init=RUN"
    elif lacking := [name for name in config.replay if name not in config.tasks]:
        problem, remedy = (
            f"{lacking[0]!r} is not among the tasks",
            f"add it to tasks, or replay {', '.join(config.tasks)}",
        )
    elif config.replay and set(config.tasks) <= set(config.replay):
        problem, remedy = "every task is replayed, none is new", "name what is to be learned: --set tasks=[TASK]"
    if problem:
        raise ConfigError(problem, record="replay", remedy=remedy)


def _check_splits(config: RunConfig, known: Mapping[str, Task]) -> None:
    """No split serves two purposes."""
    for name, settings in config.tasks.items():
        trained, reported = settings.train or known[name].train_split, settings.test_split or known[name].test_split
        allowed = reported if config.validation_images == "shared" else None  # as the original, on one dataset
        if reported == trained:
            problem, key = "the test split is the one that is trained on", "test_split"
        elif settings.val_split in (trained, reported) and settings.val_split != allowed:
            problem, key = "training may not validate on the split that it trains on, or on the test split", "val_split"
        else:
            continue
        raise ConfigError(
            problem, record=f"tasks.{name}.{key}", remedy=f"name another split: --set tasks.{name}.{key}=SPLIT"
        )


def _check_choices(config: RunConfig, known: Mapping[str, Task]) -> None:
    """Negatives are chosen for tasks that draw them, protocols among those of their task."""
    from twelve.outputs import get_output

    for name, settings in config.tasks.items():
        if settings.negatives is not None and settings.negatives not in get_output(known[name].kind).negatives:
            able = [each for each, task in known.items() if get_output(task.kind).negatives]
            raise ConfigError(
                "this task draws no negatives",
                record=f"tasks.{name}.negatives",
                remedy=f"leave it out; it is a key of {', '.join(able)}",
            )
    for name, protocol in config.evaluation.protocols.items():
        if protocol not in known[name].protocols:
            raise ConfigError(
                f"{known[name].title} has no protocol {protocol!r}{nearest(protocol, known[name].protocols)}",
                record=f"evaluation.protocols.{name}",
                remedy=f"choose among {', '.join(known[name].protocols)}",
            )


def _check_heads(config: RunConfig, known: Mapping[str, Task]) -> None:
    """Tasks that share a head are of one kind."""
    from twelve.outputs import get_output

    kinds = {task.output: get_output(task.kind).head_kind for name, task in known.items() if name not in config.tasks}
    for name in config.tasks:
        task = known[name]
        kind = get_output(task.kind).head_kind
        if kinds.setdefault(task.output, kind) != kind:
            raise ConfigError(
                f"the head {task.output!r} is of kind {kinds[task.output]}, this task is of kind {kind}",
                record=f"tasks.{name}.output",
                remedy=f"leave it out, or name a new head: --set tasks.{name}.output=NAME",
            )
