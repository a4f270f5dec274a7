"""Two processes train as one does: the same losses, scores and weights, each with the whole model or sharing it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch.distributed import TCPStore

from twelve import config as configuration
from twelve.errors import ConfigError
from twelve.model.vilbert import Twelve
from twelve.run_folder import RunFolder
from twelve.runs.train import train

QUIET = Console(quiet=True)
TRAINER = """
import sys
from pathlib import Path
from twelve import config
from twelve.errors import TwelveError
from twelve.runs import train as run
from rich.console import Console
resume = "resume" in sys.argv
code = 0
try:
    run.train(config.load(sys.argv[1]), resume=resume, console=Console(quiet=True))
except TwelveError as error:
    print(f"twelve: {error}", file=sys.stderr, flush=True)
    code = error.exit_code
threads = [name.read_text().strip() for name in Path("/proc/self/task").glob("*/comm")]
left = [name for name in threads if "gloo" in name or "tcpstore" in name]
assert not left, f"threads that the end of the interpreter may abort: {left}"
raise SystemExit(code)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("root"), train=12, val=4)


def tree(root: Path, run: Path, **training: Any) -> dict[str, Any]:
    found = tiny.tree(root, run)
    for settings in found["tasks"].values():
        settings["batch_size"] = 5  # three examples in one process, two in the other
    found["model"]["architecture"] |= {"pooled_dropout": 0.0}
    found["training"] |= {"iterations": 8, "eval_every": 4, "save_every": 4, "log_every": 1, "threads": 1} | training
    return found


EVALUATOR = """
import os, sys
from pathlib import Path
from rich.console import Console
from twelve.evaluation import predict
from twelve.runs.evaluate import evaluate_run
predict.TILE_IMAGES = 2
made, passes = [], predict.passes
def counted(examples, lengths, collator, many, part):
    for rows, batch in passes(examples, lengths, collator, 4, part):
        made.append(len(rows))
        yield rows, batch
predict.passes = counted
run = Path(sys.argv[1])
results = evaluate_run(run, console=Console(quiet=True))
(run.parent / f"{run.name}-{os.environ['RANK']}").write_text(f"{sum(made)} {[result.score for result in results]}")
"""


CHOOSING = (
    """
import os, time
import torch
from twelve import threads
from twelve.training.trainer import Trainer
threads.most = lambda processes=1: 2
rank, used, tried = os.environ["RANK"], [2], Trainer._trial
torch.set_num_threads, torch.get_num_threads = used.append, lambda: used[-1]
def slow(self, name):  # two threads are faster here and much slower there
    work = tried(self, name)
    def timed():
        work()
        time.sleep({("0", 1): 0.5, ("0", 2): 0.0, ("1", 1): 0.0, ("1", 2): 5.0}[rank, used[-1]])
    return timed
Trainer._trial = slow
stepped = Trainer._step
def step(self, name):
    (self.run.path.parent / f"threads-{rank}").write_text(str(used[-1]))
    return stepped(self, name)
Trainer._step = step
"""
    + TRAINER
)


STORES: list[TCPStore] = []
"""One for each start of processes, which ends with this module's tests."""
LONGEST = 240
"""Seconds after which processes count as waiting for each other: fewer than a test may take (pytest-timeout), whose
error does not say where they wait."""


def processes(file: Path, count: int, *arguments: str, script: str = TRAINER) -> list[subprocess.Popen[str]]:
    """One training process a rank, as torchrun starts them: they meet at a store of the program that starts them. A
    store of the first process would need a port that nobody takes until that process has imported torch."""
    STORES.append(TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False))
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(STORES[-1].port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    shared |= {"WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
    return [
        subprocess.Popen(
            [sys.executable, "-c", script, str(file), *arguments],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def ended(started: list[subprocess.Popen[str]]) -> None:
    """Wait for processes, which must end well. Once one has failed the others wait for it in vain; they, and those
    that wait for each other, are ended, so that the test says what each printed and where it was."""
    until = time.monotonic() + LONGEST
    while any(process.poll() is None for process in started) and not any(process.poll() for process in started):
        if time.monotonic() > until:
            break
        time.sleep(0.05)
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGABRT)  # faulthandler prints the stacks of all threads
    errors = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0] * len(started), "\n\n".join(errors)


def together(tree: dict[str, Any], *arguments: str, count: int = 2, script: str = TRAINER) -> Path:
    run = Path(tree["run"])
    file = run.with_suffix(".yaml")
    file.write_text(json.dumps(tree))  # JSON is YAML
    ended(processes(file, count, *arguments, script=script))
    return run


def trace(run: Path) -> tuple[list[float], list[float]]:
    """Every loss and every score, in order."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [loss for line in lines if line["kind"] == "step" for loss in line["losses"].values()]
    return losses, [line["score"] for line in lines if line["kind"] == "validation"]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return dict(Twelve.from_pretrained(run / "model").state_dict())


@pytest.fixture(scope="module")
def alone(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(configuration.parse(tree(root, tmp_path_factory.mktemp("alone") / "run")), console=QUIET)


@pytest.mark.parametrize("sharding", [False, True], ids=["whole models", "shared model"])
def test_two_processes_are_one(root: Path, alone: Path, tmp_path: Path, sharding: bool) -> None:
    run = together(tree(root, tmp_path / "run", sharding=sharding))
    losses, scores = trace(run)
    expected, expected_scores = trace(alone)
    assert len(losses) == 8 * len(tiny.TASKS)
    assert losses == pytest.approx(expected, abs=1e-5)
    assert scores == pytest.approx(expected_scores, abs=1e-5)
    assert RunFolder(run).trained.is_file()
    for name, value in weights(run).items():
        if name.endswith("key.bias") or name == "heads.alignment.bias":
            continue  # no loss depends on them: Adam makes steps of the rounding of a gradient that is zero
        assert torch.allclose(value, weights(alone)[name], atol=1e-4), name


@pytest.mark.parametrize("sharding", [False, True], ids=["whole models", "shared model"])
def test_two_processes_go_on_where_they_stopped(root: Path, alone: Path, tmp_path: Path, sharding: bool) -> None:
    short = tree(root, tmp_path / "run", sharding=sharding)
    file = tmp_path / "run.yaml"
    file.write_text(json.dumps(short))
    started = processes(file, 2)
    checkpoint = tmp_path / "run" / "checkpoints" / "step-0000004"
    waited = time.monotonic()
    while not checkpoint.is_dir():
        time.sleep(0.005)
        assert time.monotonic() - waited < 900 and all(process.poll() is None for process in started)
    for process in started:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    together(short, "resume")
    assert trace(tmp_path / "run")[0] == pytest.approx(trace(alone)[0], abs=1e-5)


def test_accumulating_gradients_stay_in_their_process(root: Path, tmp_path: Path) -> None:
    """Two processes that exchange gradients only in the last of two iterations are one, also from a checkpoint between
    them, which keeps their mean."""
    options = {"iterations": 6, "save_every": 3, "eval_every": 6}
    whole, parts = (tree(root, tmp_path / name, **options) for name in ("whole", "parts"))
    for each in (whole, parts):
        each["optimizer"] = each.get("optimizer", {}) | {"accumulate": 2}
    train(configuration.parse(whole), console=QUIET)
    together(parts)
    expected = trace(tmp_path / "whole")[0]
    assert trace(tmp_path / "parts")[0] == pytest.approx(expected, abs=1e-5)
    state = load_file(tmp_path / "parts" / "checkpoints" / "step-0000003" / "tensors.safetensors")
    theirs = load_file(tmp_path / "whole" / "checkpoints" / "step-0000003" / "tensors.safetensors")
    gradients = [name for name in theirs if name.startswith("gradients/")]
    assert gradients and all(torch.allclose(state[name], theirs[name], atol=1e-5) for name in gradients)
    final = (tmp_path / "parts" / "checkpoints" / "step-0000006" / "tensors.safetensors").read_bytes()
    shutil.rmtree(tmp_path / "parts" / "checkpoints" / "step-0000006")
    together(parts, "resume")
    assert (tmp_path / "parts" / "checkpoints" / "step-0000006" / "tensors.safetensors").read_bytes() == final


@pytest.mark.parametrize("sharding", [False, True], ids=["whole models", "shared model"])
def test_processes_choose_the_same_threads(root: Path, alone: Path, tmp_path: Path, sharding: bool) -> None:
    settings = tree(root, tmp_path / "run", sharding=sharding, threads="auto")
    run = together(settings, script=CHOOSING)
    assert [(tmp_path / f"threads-{rank}").read_text() for rank in range(2)] == ["1", "1"]
    assert trace(run)[0] == pytest.approx(trace(alone)[0], abs=1e-5)


def test_two_processes_evaluate_as_one(alone: Path, tmp_path: Path) -> None:
    """Each predicts a part; the scores, the files and what each of them returns are those of one process."""
    told = []
    for count in (1, 2):
        run = Path(shutil.copytree(alone, tmp_path / f"by-{count}"))
        ended(processes(run, count, script=EVALUATOR))
        told.append(sorted(tmp_path.glob(f"by-{count}-*")))
    one, two = ([path.read_text().split(" ", 1) for path in paths] for paths in told)
    assert len(two) == 2 and two[0][1] == two[1][1] == one[0][1]
    predicted = [int(number) for number, _ in two]
    assert sum(predicted) == int(one[0][0]) and min(predicted) > 0
    files = [RunFolder(tmp_path / f"by-{count}") for count in (1, 2)]
    assert files[0].predictions.read_text() == files[1].predictions.read_text()


def test_a_lost_process_ends_the_others_with_one_line(root: Path, tmp_path: Path) -> None:
    endless = tree(root, tmp_path / "run", iterations=100_000, save_every=100_000, eval_every=100_000)
    (tmp_path / "run.yaml").write_text(json.dumps(endless))
    first, second = processes(tmp_path / "run.yaml", 2)
    waited = time.monotonic()
    while not (tmp_path / "run" / "metrics.jsonl").is_file():
        time.sleep(0.01)
        assert time.monotonic() - waited < 900
    second.kill()
    second.communicate()
    error = first.communicate(timeout=900)[1]
    assert first.returncode == 1
    assert "another process of this run has ended" in error and "--continue" in error and "Traceback" not in error


def test_recomputing_activations_changes_nothing(root: Path, alone: Path, tmp_path: Path) -> None:
    run = train(configuration.parse(tree(root, tmp_path / "run", gradient_checkpointing=True)), console=QUIET)
    assert trace(run)[0] == pytest.approx(trace(alone)[0], abs=1e-6)


def test_half_precision_on_a_processor_is_refused(root: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigError, match=r"training.precision.*fp16 needs a GPU"):
        train(configuration.parse(tree(root, tmp_path / "run", precision="fp16")), console=QUIET)
