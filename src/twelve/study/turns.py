"""Which process takes which step of a study: several may run one study in one folder, and wait for each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from twelve.errors import ConfigError
from twelve.study.plan import Step

if TYPE_CHECKING:
    from twelve.study.execution import Seed


@contextmanager
def next_step(left: list[Step], seeds: Mapping[int, Seed], out: Path) -> Iterator[Step | None]:
    """The first step that can be taken, which no other process takes meanwhile; None if all are done, or others work
    on what is left or on what that needs. Removes steps that are done.

    Raises:
        ConfigError: nothing can be taken, and nobody works on what it needs.
    """
    held, lacking = False, dict[str, Step]()
    for step in list(left):
        with turn(out, step) as mine:
            if seeds[step.seed].done(step):
                left.remove(step)
            elif not mine:
                held = True
            elif needed := seeds[step.seed].lacks(step):
                lacking.setdefault(needed[0], step)
            else:
                yield step
                return
    if left and not held and not any(_held(out, step) for step in _all(seeds)):
        name, step = next(iter(lacking.items()))
        remedy = f"run that first: --only {name.rpartition(' ')[2]}"
        raise ConfigError(f"{step} needs {name}, which has not run", record="only", remedy=remedy)
    yield None


def _all(seeds: Mapping[int, Seed]) -> list[Step]:
    return next(iter(seeds.values())).plan.steps()


def _held(out: Path, step: Step) -> bool:
    with turn(out, step) as mine:
        return not mine


@contextmanager
def turn(out: Path, step: Step) -> Iterator[bool]:
    """Whether no other process has the step; none takes it while this process has."""
    from filelock import FileLock, Timeout

    path = out / "locks" / f"{step.seed}-{step.key.replace('/', '-')}{'-search' * step.search}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
