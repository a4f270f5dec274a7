"""``optimizer.together``: gradients of several tasks at the same weights, in one process or in several."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import tiny
import torch
from helpers_left import left
from rich.console import Console
from safetensors.torch import load_file
from test_devices import trace, tree
from torch import Tensor, nn

from twelve import config as configuration
from twelve.data.loader import TaskBatches
from twelve.errors import ConfigError
from twelve.run_folder import RunFolder
from twelve.runs.train import beginning, train
from twelve.training import trainer as training
from twelve.training.devices import Devices
from twelve.training.losses import Losses, NonFiniteLoss
from twelve.training.side_by_side import HelperLost, SideBySide
from twelve.training.state import TrainerState
from twelve.training.trainer import Trainer

QUIET = Console(quiet=True)
forks = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("root"), train=12, val=4)


def settings(root: Path, run: Path, together: int, *, dropout: float = 0.1, **given: Any) -> dict[str, Any]:
    found = tree(root, run, **given)
    found["optimizer"] |= {"together": together}
    found["model"]["architecture"] |= {"hidden_dropout_prob": dropout, "v_hidden_dropout_prob": dropout}
    return found


def trained(root: Path, run: Path, together: int, **given: Any) -> RunFolder:
    return RunFolder(train(configuration.parse(settings(root, run, together, **given)), console=QUIET))


def last(run: RunFolder) -> dict[str, Tensor]:
    """Weights and states at the end, without the generators': they are seeded before each step."""
    found = load_file(run.saved()[-1] / "tensors.safetensors")
    return {name: value for name, value in found.items() if not name.startswith("random/")}


def assert_equal(one: RunFolder, other: RunFolder) -> None:
    ours, theirs = last(one), last(other)
    assert ours.keys() == theirs.keys()
    assert not [name for name, value in ours.items() if not torch.equal(value, theirs[name])]
    assert [sorted(part) for part in trace(one.path)] == [sorted(part) for part in trace(other.path)]


@pytest.fixture(scope="module")
def one(root: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return trained(root, tmp_path_factory.mktemp("one") / "run", 3)


@forks
@pytest.mark.parametrize("processes", [2, 3])
def test_processes_train_the_model_of_one(
    root: Path, one: RunFolder, tmp_path: Path, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    class Counted(SideBySide):
        def __init__(self, count: int, *given: Any) -> None:
            started.append(count)
            super().__init__(count, *given)

    monkeypatch.setattr(training, "SideBySide", Counted)
    assert_equal(trained(root, tmp_path / "run", 3, threads=processes), one)
    assert started == [processes - 1]
    assert not left()


@forks
def test_a_run_goes_on_in_another_number_of_processes(root: Path, one: RunFolder, tmp_path: Path) -> None:
    found = settings(root, tmp_path / "run", 3, threads=2, iterations=4)
    train(configuration.parse(found), console=QUIET)
    found["training"] |= {"threads": 1, "iterations": 8}
    run = train(configuration.parse(found), resume=True, console=QUIET)
    whole = settings(root, tmp_path / "whole", 3, threads=1, iterations=4)
    train(configuration.parse(whole), console=QUIET)
    whole["training"] |= {"threads": 2, "iterations": 8}
    other = train(configuration.parse(whole), resume=True, console=QUIET)
    assert_equal(RunFolder(run), RunFolder(other))


def test_gradients_are_of_the_weights_before_the_updates(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each iteration, the losses of three tasks are those of one set of weights, and each has an update."""
    seen: list[tuple[str, float]] = []
    gradients, update = Trainer._gradients, Trainer._update

    def weight(run: Trainer) -> float:
        return sum(float(each.detach().double().abs().sum()) for each in run.model.parameters())

    def noting(run: Trainer, name: str, losses: Losses) -> tuple[Tensor, int]:
        seen.append(("gradients", weight(run)))
        return gradients(run, name, losses)

    def noting_update(run: Trainer, name: str) -> None:
        update(run, name)
        seen.append(("update", weight(run)))

    monkeypatch.setattr(Trainer, "_gradients", noting)
    monkeypatch.setattr(Trainer, "_update", noting_update)
    trained(root, tmp_path / "run", 3)
    del seen[6 * len(tiny.TASKS) :]
    kinds = [kind for kind, _ in seen]
    groups = [3] * (len(tiny.TASKS) // 3) + ([len(tiny.TASKS) % 3] if len(tiny.TASKS) % 3 else [])
    assert kinds == 3 * [kind for size in groups for kind in ["gradients"] * size + ["update"] * size]
    start = 0
    for size in 3 * groups:
        before = {value for _, value in seen[start : start + size]}
        assert len(before) == 1
        if start:
            assert before == {seen[start - 1][1]}
        start += 2 * size
    after = [value for kind, value in seen if kind == "update"]
    assert len(set(after)) == len(after)


def test_one_at_a_time_is_what_it_was(root: Path, tmp_path: Path) -> None:
    plain = tree(root, tmp_path / "plain")
    assert_equal(
        RunFolder(train(configuration.parse(plain), console=QUIET)), trained(root, tmp_path / "run", 1, dropout=0.0)
    )


@pytest.mark.parametrize("wrong", [{"update": "iteration"}, {"accumulate": 2}])
def test_gradients_that_add_up_are_refused(root: Path, tmp_path: Path, wrong: dict[str, Any]) -> None:
    found = settings(root, tmp_path / "run", 2)
    found["optimizer"] |= wrong
    with pytest.raises(ConfigError, match=r"optimizer\.together"):
        train(configuration.parse(found), console=QUIET)


def test_skipped_batches_are_those_that_would_have_come(root: Path, tmp_path: Path) -> None:
    config = configuration.parse(tree(root, tmp_path / "run"))
    model, processor, data, known = beginning(config)
    run = Trainer(config, data, model, processor, tmp_path / "run", Devices(config.training, tmp_path), known)
    stream = next(iter(run.streams.values()))

    def ids(stream: TaskBatches, skipped: Sequence[bool]) -> list[Any]:
        stream.load_state_dict({"epoch": 0, "number": 0})
        found: list[Any] = []
        for skip in skipped:
            if skip:
                stream.skip()
            found.append(None if skip else [example.id for example in stream.next().examples])
        return found

    length = 2 * stream.batches_per_epoch + 1
    whole = ids(stream, [False] * length)
    pattern = [place % 3 != 1 for place in range(length)]
    assert [batch for batch in ids(stream, pattern) if batch] == [
        batch for batch, skip in zip(whole, pattern, strict=True) if not skip
    ]


# --- what goes wrong ----------------------------------------------------------------------------------------------


@contextmanager
def beside(work: Callable[[], object]) -> Iterator[SideBySide]:
    """This process and a helper, which takes one of two tasks and does ``work`` on it."""
    parent, taken = os.getpid(), multiprocessing.get_context("fork").Event()

    def compute(task: str, state: TrainerState) -> tuple[Tensor, int]:
        if os.getpid() == parent:
            assert taken.wait(60)
        else:
            taken.set()
            work()
        return torch.zeros(()), 1

    both = SideBySide(1, [nn.Parameter(torch.ones(5))], 2, compute, lambda task: None)
    try:
        yield both
    finally:
        both.close()
        assert not left()


@forks
def test_a_helper_that_ends_is_one_line() -> None:
    with (
        beside(lambda: os.kill(os.getpid(), signal.SIGKILL)) as both,
        pytest.raises(HelperLost, match="--continue"),
    ):
        both.compute(["a", "b"], TrainerState())


@forks
def test_an_error_in_a_helper_is_raised_here() -> None:
    def fail() -> None:
        raise NonFiniteLoss("the loss of b is nan")

    with beside(fail) as both, pytest.raises(NonFiniteLoss, match="the loss of b is nan"):
        both.compute(["a", "b"], TrainerState())


TRAINER = """
import sys
from rich.console import Console
from twelve import config, runs
from twelve.runs.train import train
train(config.load(sys.argv[1]), console=Console(quiet=True))
"""


@forks
def test_a_killed_run_takes_its_helpers_along(root: Path, tmp_path: Path) -> None:
    tree = settings(root, tmp_path / "run", 3, threads=2, iterations=400, save_every=2, eval_every=400)
    file = tmp_path / "run.yaml"
    file.write_text(json.dumps(tree))  # JSON is YAML
    run = RunFolder(tmp_path / "run")
    with subprocess.Popen([sys.executable, "-c", TRAINER, str(file)]) as trainer:
        while not run.saved():
            assert trainer.poll() is None
            time.sleep(0.05)
        helpers = psutil.Process(trainer.pid).children()
        trainer.kill()
    assert len(helpers) == 1
    assert not psutil.wait_procs(helpers, timeout=60)[1]
    done = int(run.saved()[-1].name.removeprefix("step-"))
    tree["training"]["iterations"] = max(8, done + 2)
    train(configuration.parse(tree), resume=True, console=QUIET)
    assert run.trained.is_file()
