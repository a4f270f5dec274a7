"""A trained model learns another task while the old ones are replayed; what is forgotten is reported."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from rich.console import Console
from safetensors.torch import load_file

from twelve import config as configuration
from twelve.errors import ConfigError
from twelve.model.processor import TwelveProcessor
from twelve.runs.evaluate import evaluate_run
from twelve.runs.train import train
from twelve.training.continued import _readable, continued
from twelve.training.schedules import make_schedule
from twelve.training.trainer import Trainer
from twelve.training.validation import Validation

QUIET = Console(quiet=True)
OLD = ["vqa", "refcoco"]
SHORT = ["training.iterations=8", "training.eval_every=4", "training.log_every=1", "training.save_every=2"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on two tasks, and its measurement."""
    root = tiny.make(tmp_path_factory.mktemp("root"), train=12, val=4)
    tree = tiny.tree(root, tmp_path_factory.mktemp("runs") / "first")
    tree |= {"tasks": {name: tree["tasks"][name] for name in OLD}}
    tree["training"] |= {"iterations": 40, "eval_every": 20, "save_every": 40}
    run = train(configuration.parse(tree), console=QUIET)
    evaluate_run(run, console=QUIET)
    return run


def grow(trained: Path, run: Path, *settings: str, **options: Any) -> Path:
    # What is new is not in the first run, nor are its settings.
    task = "tasks={snli_ve: {test_split: dev, batch_size: 8, learning_rate: 6e-3, max_text: 12}}"
    found = configuration.load("configs/grow.yaml", [f"init={trained}", f"run={run}", task, *SHORT, *settings])
    return train(found, **{"console": QUIET} | options)


def lines(run: Path, kind: str) -> list[dict[str, Any]]:
    logged = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line for line in logged if line["kind"] == kind]


@pytest.fixture
def constant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look finds the same."""
    monkeypatch.setattr(Validation, "score", lambda self, network, name, examples=None: 0.5)


def test_old_tasks_begin_stopped_and_train_in_every_fourth_iteration(
    trained: Path, tmp_path: Path, constant: None
) -> None:
    run = grow(trained, tmp_path / "grown")
    validations = [(line["iteration"], line["task"]) for line in lines(run, "validation")]
    assert validations[:2] == [(0, "vqa"), (0, "refcoco")]
    assert [(e["iteration"], e["task"], e["event"]) for e in lines(run, "event")[:2]] == [
        (0, name, "stop") for name in OLD
    ]
    for line in lines(run, "step"):
        assert set(line["losses"]) == ({*OLD, "snli_ve"} if (line["iteration"] - 1) % 4 == 0 else {"snli_ve"})


def test_a_task_that_falls_is_woken(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_vqa = iter([0.5])  # before the first iteration
    monkeypatch.setattr(
        Validation, "score", lambda self, network, name, examples=None: next(of_vqa, 0.4) if name == "vqa" else 0.5
    )
    run = grow(trained, tmp_path / "grown")
    assert {(e["iteration"], e["task"], e["event"]) for e in lines(run, "event")} >= {(4, "vqa", "go")}
    assert [line["iteration"] for line in lines(run, "step") if "vqa" in line["losses"]] == [1, 5, 6, 7, 8]
    assert lines(run, "kept")[0] == {"kind": "kept", "iteration": 8, "task": "vqa", "before": 0.5, "after": 0.4}


def test_what_is_forgotten_is_told(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = grow(trained, tmp_path / "grown", console=Console(width=200))
    before = {line["task"]: line["score"] for line in lines(run, "validation") if line["iteration"] == 0}
    kept = {line["task"]: line for line in lines(run, "kept")}
    assert set(kept) == set(OLD)
    for name, line in kept.items():
        assert line["before"] == before[name]
        assert line["after"] in [each["score"] for each in lines(run, "validation") if each["task"] == name]
    told = json.loads((run / "trained.json").read_text())
    assert told["before"].keys() == set(OLD) and told["kept"].keys() == {*OLD, "snli_ve"}
    assert [(e["iteration"], e["task"]) for e in told["events"][:2]] == [(0, name) for name in OLD]
    shown = capsys.readouterr().out
    assert "VQA v2:" in shown and " before, " in shown and ", replayed)" in shown
    said = re.search(
        r"Kept: the model of iteration (\d+), with the best mean validation score of the 3 tasks, [\d.]+"
        r" \((on as few as|on) \d+ validation examples\)\.",
        " ".join(shown.split()),
    )
    assert said
    at = {line["task"]: line["score"] for line in lines(run, "validation") if line["iteration"] == int(said[1])}
    assert at == {task: round(score, 5) for task, score in told["kept"].items()}
    evaluate_run(run, console=Console(width=200))
    shown = capsys.readouterr().out
    assert "before, " in shown.split("VQA v2, accuracy")[-1].splitlines()[0]


def test_a_grown_run_is_resumed_exactly(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = grow(trained, tmp_path / "whole")
    step, calls = Trainer._step, 0

    def fails(self: Trainer, name: str) -> float:
        nonlocal calls
        calls += 1
        if calls > 9:
            raise KeyboardInterrupt
        return step(self, name)

    monkeypatch.setattr(Trainer, "_step", fails)
    with pytest.raises(KeyboardInterrupt):
        grow(trained, tmp_path / "cut")
    monkeypatch.undo()
    cut = grow(trained, tmp_path / "cut", resume=True)
    models = [load_file(run / "model" / "model.safetensors") for run in (whole, cut)]
    assert all(torch.equal(value, models[1][name]) for name, value in models[0].items())
    assert [line | {"seconds": 0} for line in lines(whole, "validation")] == [
        line | {"seconds": 0} for line in lines(cut, "validation")
    ]
    assert lines(whole, "kept") == lines(cut, "kept")
    grow(trained, tmp_path / "cut", resume=True)  # there is nothing left to do, and nothing is told twice
    assert lines(whole, "kept") == lines(cut, "kept")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["schedule={name: always-go}"], r"schedule\.name\]: schedule 'always-go' never stops a task"),
        (
            ["replay=[nlvr2]", "tasks.nlvr2={batch_size: 8, test_split: dev}"],
            r"\[replay\]: the model has not learned nlvr2",
        ),
    ],
)
def test_what_cannot_be_replayed(
    trained: Path, tmp_path: Path, settings: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object, **__: object) -> None:
        raise AssertionError("something was read")

    monkeypatch.setattr("twelve.training.continued.prepare", read)
    with pytest.raises(ConfigError, match=words):
        grow(trained, tmp_path / "run", *settings)


def test_a_resting_task_wakes_below_its_first_score_and_rests_again_after_a_reset() -> None:
    schedule = make_schedule("stop-and-go-as-worded", {}, tasks=["a", "b"], sizes={"a": 1, "b": 1})
    schedule.begin_stopped("a", 0.5)
    assert schedule.stopped == {"a"} and schedule.tasks_at(1) == ["b"] and schedule.tasks_at(4) == ["a", "b"]
    assert schedule.observe("a", 0.4980) is None
    event = schedule.observe("a", 0.4974)
    assert event is not None and event.change == "go" and event.best == 0.5
    other = make_schedule("stop-and-go-as-worded", {}, tasks=["a", "b"], sizes={"a": 1, "b": 1})
    other.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    assert other.stopped == set()
    other.reset()
    assert other.stopped == {"a"} and other.observe("a", 0.49) is not None


def test_a_default_length_is_at_most_what_the_model_reads() -> None:
    """That of tasks of one's own is longer than some models read; what a configuration asks for is an error instead."""
    model: Any = SimpleNamespace(config=SimpleNamespace(max_position_embeddings=30))
    own: Any = SimpleNamespace(name="mine")
    for asked, default, length in ((None, 60, 30), (None, 20, 20), (30, 60, 30)):
        task: Any = SimpleNamespace(
            settings=SimpleNamespace(max_text=asked), task=own, max_text=default if asked is None else asked
        )
        assert _readable(task, model) == length
    task = SimpleNamespace(settings=SimpleNamespace(max_text=31), task=own, max_text=31)
    with pytest.raises(ConfigError, match=r"at most 30 word pieces, max_text is 31 -> set it to at most 30"):
        _readable(task, model)


def test_a_known_task_reads_as_much_as_is_asked_for(trained: Path, tmp_path: Path) -> None:
    config = configuration.load(trained / "config.yaml", [f"init={trained}", f"run={tmp_path / 'run'}", *SHORT[:1]])
    longest = json.loads((trained / "model" / "config.json").read_text())["max_position_embeddings"]
    for length in (5, longest + 1):
        asked = config.model_copy(
            update={"tasks": config.tasks | {"vqa": config.tasks["vqa"].model_copy(update={"max_text": length})}}
        )
        if length > longest:
            with pytest.raises(ConfigError, match=f"reads texts of at most {longest} word pieces"):
                continued(asked, trained / "model")
        else:
            assert continued(asked, trained / "model")[1].max_text["vqa"] == length


def test_tasks_that_a_run_leaves_out_are_recorded(trained: Path, tmp_path: Path) -> None:
    old = set(TwelveProcessor.from_pretrained(trained).task_outputs)
    short = ("training.iterations=2", "training.eval_every=2")
    assert TwelveProcessor.from_pretrained(grow(trained, tmp_path / "kept", *short)).left_out == ()
    alone = grow(trained, tmp_path / "alone", "replay=[]", *short)
    assert set(TwelveProcessor.from_pretrained(alone).left_out) == old
    frozen = grow(trained, tmp_path / "frozen", "replay=[]", "freeze.all_but_heads=true", *short)
    assert TwelveProcessor.from_pretrained(frozen).left_out == ()
    again = grow(alone, tmp_path / "again", *short, "replay=[]", "freeze.all_but_heads=true")
    assert set(TwelveProcessor.from_pretrained(again).left_out) == old
    taught = configuration.load("configs/grow.yaml", [
        *(f"init={alone}", f"run={tmp_path / 'taught'}", "tasks=[vqa]", "replay=[]", "freeze.all_but_heads=true"),
        *SHORT,
        *short,
    ])  # fmt: skip
    assert set(TwelveProcessor.from_pretrained(train(taught, console=QUIET)).left_out) == old - {"vqa"}
