"""SIGINT and SIGTERM while the command line trains: the run ends at a checkpoint, and what resumes from it is the
uninterrupted run."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import tiny
from rich.console import Console
from safetensors.torch import load_file
from test_devices import processes

from twelve import config as configuration
from twelve.run_folder import RunFolder
from twelve.runs.train import train
from twelve.stopping import Stop, Stopped, allowed, awaited
from twelve.training import validation
from twelve.training.trainer import Trainer
from twelve.training.validation import Validation

QUIET = Console(quiet=True)
LENGTH = 12
SLOWLY = """
import sys, time
from pathlib import Path
from twelve.__main__ import main
from twelve.training.trainer import Trainer
iterate, sent = Trainer._iterate, Path(sys.argv[1] + ".sent")
def waiting(self, pace):
    while self.state.iteration == 4 and not sent.exists():  # so that a signal finds the run in its middle
        time.sleep(0.02)
    return iterate(self, pace)
Trainer._iterate = waiting
sys.argv[:1] = ["twelve", "train"]
main()
"""
posix = pytest.mark.skipif(os.name != "posix", reason="Windows has neither SIGTERM nor process groups")


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """Also where the tests run in the background of a shell, which lets them, and what they start, ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("root"), train=6, val=4)


def tree(root: Path, run: Path, **training: Any) -> dict[str, Any]:
    """Losses are logged, tasks validated and gradients applied at other iterations than those where a run is stopped;
    no checkpoint is due before its end."""
    found = tiny.tree(root, run)
    found |= {"tasks": {name: found["tasks"][name] for name in ("vqa", "snli_ve")}, "sources": {}}
    found["training"] |= {"iterations": LENGTH, "save_every": 1000, "eval_every": 4, "log_every": 3, "threads": 1}
    found["training"] |= training
    found["optimizer"] = found.get("optimizer", {}) | {"accumulate": 2}
    found["model"]["architecture"] |= {"hidden_dropout_prob": 0.1, "v_hidden_dropout_prob": 0.1}
    return found


@pytest.fixture(scope="module")
def whole(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(configuration.parse(tree(root, tmp_path_factory.mktemp("whole") / "run")), console=QUIET)


def assert_same(run: Path, whole: Path, *, drawn: bool = True) -> None:
    """The logs, the checkpoints at the end, and the saved models are the same.

    Args:
        drawn: whether the generators of random numbers are, too; side by side, each task seeds its own again, so they
            depend on which process computed which task.
    """
    told = []
    for each in (run, whole):
        lines = [json.loads(line) for line in (each / "metrics.jsonl").read_text().splitlines()]
        told.append([{key: line[key] for key in line if key != "seconds"} for line in lines])
    assert told[0] == told[1]
    for file in (f"checkpoints/step-{LENGTH:07}/tensors.safetensors", "model/model.safetensors"):
        found, expected = (load_file(each / file) for each in (run, whole))
        assert found.keys() == expected.keys()
        for name in (name for name in expected if drawn or not name.startswith("random/")):
            assert found[name].equal(expected[name]), name
    assert RunFolder(run).trained.is_file()


# --- in this process ----------------------------------------------------------------------------------------------


def in_an_iteration(patch: pytest.MonkeyPatch, sends: Callable[[int], None]) -> None:
    step = Trainer._step

    def stepping(self: Trainer, name: str) -> None:
        sends(self.state.iteration)
        step(self, name)

    patch.setattr(Trainer, "_step", stepping)


def in_a_validation(patch: pytest.MonkeyPatch, sends: Callable[[int], None]) -> None:
    """After the first of its tasks."""
    score, iteration = Validation.score, Trainer._iterate
    done = [0]

    def iterating(self: Trainer, pace: Any) -> dict[str, float]:
        done[0] = self.state.iteration
        return iteration(self, pace)

    def scoring(self: Validation, network: Any, name: str) -> float:
        found = score(self, network, name)
        sends(done[0])
        return found

    patch.setattr(Trainer, "_iterate", iterating)
    patch.setattr(Validation, "score", scoring)


@pytest.mark.parametrize(
    ("moment", "stops"),
    [(in_an_iteration, (4,)), (in_an_iteration, (3, 7)), (in_an_iteration, (11,)), (in_a_validation, (3, 11))],
)
def test_a_stopped_run_goes_on_as_if_it_had_not_been(
    root: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: Callable[[pytest.MonkeyPatch, Callable[[int], None]], None],
    stops: tuple[int, ...],
) -> None:
    """After an iteration, before a validation that would follow it, in a validation, and in the last iteration."""
    config = configuration.parse(tree(root, tmp_path / "run"))
    with monkeypatch.context() as patch, allowed():
        to_come = [*stops]

        def sends(iteration: int) -> None:
            if to_come and iteration == to_come[0]:
                to_come.pop(0)
                signal.raise_signal(signal.SIGTERM)

        moment(patch, sends)
        for stop in stops:
            before = signal.getsignal(signal.SIGTERM)
            with pytest.raises(Stopped) as caught:
                train(config, go_on=True, console=QUIET)
            assert (caught.value.iteration, caught.value.exit_code) == (stop + 1, 143)
            assert signal.getsignal(signal.SIGTERM) == before
            assert RunFolder(tmp_path / "run").saved()[-1].name == f"step-{stop + 1:07}"
            lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
            scored = [line["iteration"] for line in lines if line["kind"] == "validation"]
            assert stop + 1 not in scored  # the validation comes when the run is resumed
    assert_same(train(config, go_on=True, console=QUIET), whole)


def test_a_signal_after_the_last_look_acts_after_training(
    root: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, save = configuration.parse(tree(root, tmp_path / "run")), Trainer.save

    def saving(self: Trainer) -> None:
        save(self)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch, allowed(), pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "save", saving)
        train(config, console=QUIET)
    assert_same(train(config, go_on=True, console=QUIET), whole)


def test_patience_that_has_ended_is_logged_before_the_checkpoint(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation.Validation, "score", lambda self, network, name, examples=None: 0.5)
    config = configuration.parse(tree(root, tmp_path / "run", patience=1))
    forget = Trainer._forget

    def forgetting(self: Trainer) -> None:
        forget(self)
        if self.state.iteration == 8:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch, allowed(), pytest.raises(Stopped):
        patch.setattr(Trainer, "_forget", forgetting)
        train(config, console=QUIET)
    run = RunFolder(train(config, go_on=True, console=QUIET))
    assert run.read(run.trained)["iterations"] == 8
    assert [line["event"] for line in run.logged() if line.get("kind") == "event"].count("early stop") == 1


def test_the_second_interrupt_ends_at_once() -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with allowed():
        for first in (signal.SIGINT, signal.SIGTERM):
            with pytest.raises(KeyboardInterrupt), awaited(told=False) as stop:
                signal.raise_signal(first)
                signal.raise_signal(signal.SIGTERM)  # which supervisors repeat
                assert stop.signal == first
                signal.raise_signal(signal.SIGINT)
            assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_handlers_are_those_of_the_program_elsewhere() -> None:
    """Outside the command line, in other threads, where SIGINT is ignored, and in processes that helpers are."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    def unchanged() -> None:
        with awaited(told=False):
            assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    unchanged()
    with allowed():
        failed = list[BaseException]()

        def noting() -> None:
            try:
                unchanged()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=noting)
        thread.start()
        thread.join()
        assert not failed
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with awaited(told=False):
                assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        finally:
            signal.signal(signal.SIGINT, before[0])
    stop = Stop()
    stop._process += 1
    stop.ask(signal.SIGTERM, None)
    assert not stop.signal


# --- in processes of their own ------------------------------------------------------------------------------------


@contextlib.contextmanager
def training(file: Path) -> Iterator[subprocess.Popen[str]]:
    """``twelve train`` of a configuration, in a process group of its own, in the middle of its iterations."""
    metrics = file.with_suffix("") / "metrics.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", SLOWLY, str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            while not metrics.is_file():
                assert process.poll() is None, process.communicate()
                time.sleep(0.02)
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def sent(file: Path) -> None:
    """Let training go on, which waits until the signal is sent."""
    file.with_name(f"{file.name}.sent").touch()


def written(tree: dict[str, Any]) -> Path:
    file = Path(tree["run"]).with_suffix(".yaml")
    file.write_text(json.dumps(tree))  # JSON is YAML
    return file


@posix
@pytest.mark.parametrize(
    ("number", "group", "workers"),
    [(signal.SIGTERM, False, 0), (signal.SIGINT, True, 2), (signal.SIGTERM, True, 2)],
    ids=["SIGTERM", "Ctrl+C with workers", "SIGTERM to all with workers"],
)
def test_the_command_says_how_to_go_on(
    root: Path, whole: Path, tmp_path: Path, number: signal.Signals, group: bool, workers: int
) -> None:
    file = written(tree(root, tmp_path / "run", workers=workers))
    with training(file) as process:
        (os.killpg if group else os.kill)(process.pid, number)
        sent(file)
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 128 + number, errors
    assert not output and "Traceback" not in errors
    said = re.findall(rf"^twelve: {number.name}: stopped after iteration (\d+) of {LENGTH}, (.*)$", errors, re.M)
    assert len(said) == 1 and errors.endswith(f"{said[0][1]}\n"), errors
    done, rest = int(said[0][0]), said[0][1]
    assert 3 <= done <= 5 and [path.name for path in RunFolder(tmp_path / "run").saved()] == [f"step-{done:07}"]
    told, _, command = rest.partition(": ")
    assert told == f"with a checkpoint; resume from step-{done:07}"
    words = shlex.split(command)
    assert words == ["twelve", "train", str(file), "--continue"]
    subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True, timeout=240)
    assert_same(tmp_path / "run", whole)


@posix
@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
def test_processes_side_by_side_stop_with_the_one_that_they_help(root: Path, tmp_path: Path) -> None:
    settings = [tree(root, tmp_path / name, threads=2) for name in ("run", "whole")]
    for each in settings:
        each["optimizer"] = {"together": 2}
    with training(file := written(settings[0])) as process:
        helpers = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGTERM)
        sent(file)
        errors = process.communicate(timeout=240)[1]
    assert process.returncode == 143 and "Traceback" not in errors and "stopped after iteration" in errors, errors
    run, whole = (train(configuration.parse(each), go_on=True, console=QUIET) for each in settings)
    assert_same(run, whole, drawn=False)
    assert helpers and not psutil.wait_procs(helpers, timeout=60)[1]


@posix
@pytest.mark.parametrize(
    ("sharding", "number"),
    [(False, signal.SIGTERM), (False, signal.SIGINT), (True, signal.SIGTERM)],
    ids=["whole models", "Ctrl+C", "shared model"],
)
def test_several_processes_stop_together(root: Path, tmp_path: Path, sharding: bool, number: signal.Signals) -> None:
    """One of them gets the signal."""
    run = tmp_path / "run"
    file = written(tree(root, run, sharding=sharding, iterations=1000, eval_every=1000))
    started = processes(file, 2, script=SLOWLY)
    try:
        while not (run / "metrics.jsonl").is_file():
            assert all(process.poll() is None for process in started)
            time.sleep(0.02)
        started[1].send_signal(number)
        sent(file)
        errors = [process.communicate(timeout=240)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [128 + number] * 2, errors
    said = re.findall(rf"^twelve: {number.name}: stopped after iteration (\d+) of .*$", "\n".join(errors), re.M)
    assert len(said) == 1 and "Traceback" not in "".join(errors), errors
    assert "with a checkpoint; to resume, run the same command with --continue\n" in errors[0]
    assert [path.name for path in RunFolder(run).saved()] == [f"step-{int(said[0]):07}"]
