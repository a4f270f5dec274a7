"""``twelve parity`` on recordings that are damaged: one line that names the file and the part, never a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from twelve import cli, parity
from twelve.errors import DataError, TwelveError
from twelve.outputs.answer import Answer
from twelve.parity import losses
from twelve.parity.discover import Recording

BIAS = "bert.embeddings.LayerNorm.bias"
WORDS = "bert.embeddings.word_embeddings.weight"


@pytest.fixture
def recording(goldens: Path, tmp_path: Path) -> Path:
    """A copy of a recorded model and of a training run that started from it."""
    shutil.copytree(goldens / "model" / "train_trace", tmp_path / "train_trace")
    return Path(shutil.copytree(goldens / "model" / "public_multitask", tmp_path / "public_multitask"))


def edit(file: Path, change: Callable[[Any], object]) -> None:
    if file.suffix == ".json":
        tree = json.loads(file.read_text())
        change(tree)
        file.write_text(json.dumps(tree))
    else:
        tensors = load_file(file)
        change(tensors)
        save_file({name: value.contiguous() for name, value in tensors.items()}, file)


def config(**changes: Any) -> Callable[[Any], object]:
    return lambda tree: tree["effective_config"].update(changes)


def tensor(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Any], object]:
    return lambda tensors: tensors.update({name: change(tensors[name])})


@pytest.mark.parametrize(
    ("file", "change", "line"),
    [
        ("meta.json", config(hidden_size="x"), r"meta\.json: hidden_size must be an integer"),
        ("meta.json", config(vocab_size=2_000_000), rf"state\.safetensors: expected {WORDS} of shape"),
        ("meta.json", config(a_switch=True), r"meta\.json: unknown setting 'a_switch'"),
        (
            "meta.json",
            config(task_specific_tokens="yes"),
            r"meta\.json \[task_specific_tokens\] must be true or false",
        ),
        ("meta.json", lambda t: t.update(model_class=3), r"meta\.json \[model_class\]"),
        ("state.safetensors", lambda t: t.pop(BIAS), rf"state\.safetensors: the checkpoint lacks 1 weights: {BIAS}"),
        ("state.safetensors", tensor(BIAS, lambda t: t.int()), rf"\[{BIAS}\]: a weight cannot be \[32\] of int32"),
        ("state.safetensors", tensor(BIAS, lambda t: t[0]), rf"\[{BIAS}\]: a weight cannot be \[\] of float32"),
        (
            "state.safetensors",
            tensor(BIAS, lambda t: t * torch.nan),
            rf"\[{BIAS}\] contains values that are not finite",
        ),
        ("inputs.safetensors", lambda t: t.pop("attention_mask"), r"inputs\.safetensors \[attention_mask\]: .*missing"),
        (
            "inputs.safetensors",
            tensor("input_ids", lambda t: t + 10**6),
            r"\[input_ids\] must contain integers from",
        ),
        ("inputs.safetensors", tensor("input_ids", lambda t: t.bool()), r"\[input_ids\] must contain integers from"),
        ("inputs.safetensors", tensor("token_type_ids", lambda t: t + 2), r"\[token_type_ids\] must .* 0 to 1"),
        ("inputs.safetensors", tensor("task_ids", lambda t: t - 30), r"\[task_ids\] must .* from 0 to 19"),
        ("inputs.safetensors", tensor("image_feat", lambda t: t / 0), r"\[image_feat\] must contain finite"),
        ("inputs.safetensors", tensor("image_loc", lambda t: t.long()), r"\[image_loc\] must contain finite"),
        ("outputs.safetensors", lambda t: t.pop("vil_logit"), r"outputs\.safetensors \[vil_logit\]: .*missing"),
    ],
)
def test_parts_of_a_model_that_cannot_be(
    recording: Path, file: str, change: Callable[[Any], object], line: str
) -> None:
    (recording / "retrieval_meta.json").unlink()
    edit(recording / file, change)
    with pytest.raises(TwelveError, match=line):
        parity.compare(Recording("forward", recording))


@pytest.mark.parametrize("name", ["state.safetensors", "inputs.safetensors", "outputs.safetensors", "meta.json"])
def test_cut_files(recording: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = recording / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert _command(recording) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("twelve: ") and f"{name}" in lines[0] and "not " in lines[0]


def test_numbers_that_are_off_are_a_failed_check(recording: Path) -> None:
    edit(recording / "outputs.safetensors", tensor("vil_logit", lambda t: t * torch.nan))
    assert _command(recording) == 1


def _command(path: Path) -> int:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as left:
        patch.setattr("sys.argv", ["twelve", "parity", str(path)])
        cli.main()
    return int(left.value.code or 0)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda t: t.update(task_lr=[0.0] * len(t["task_lr"])), r"trace\.json \[task_lr\.0\]: .*more than 0"),
        (lambda t: t["steps"][0].update(iteration=10**30), r"trace\.json \[steps\.0\.iteration\]"),
        (lambda t: t["steps"][0].update(loss="3.5"), r"trace\.json \[steps\.0\.loss\]: .*expected a number"),
        (lambda t: t["steps"][0].update(score=True), r"trace\.json \[steps\.0\.score\]: .*expected a number"),
        (lambda t: t["optimizer"].update(betas=[-1, 0.9]), r"trace\.json: .* do not fit together: .*beta"),
    ],
)
def test_training_runs_that_cannot_be(recording: Path, change: Callable[[Any], object], line: str) -> None:
    trace = recording.with_name("train_trace") / "trace.json"
    edit(trace, change)
    with pytest.raises(DataError, match=line):
        parity.compare(Recording("train_trace", trace))


def test_a_training_run_from_weights_that_are_no_numbers(recording: Path) -> None:
    edit(recording / "state.safetensors", tensor(BIAS, lambda t: t * torch.inf))
    with pytest.raises(DataError, match=rf"public_multitask/state\.safetensors \[{BIAS}\] contains values"):
        parity.run(recording.with_name("train_trace"))


@pytest.mark.parametrize("error", [TypeError, AttributeError, ZeroDivisionError, OverflowError, KeyError, MemoryError])
def test_what_breaks_a_comparison_names_the_recording(
    goldens: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def broken(*_: object) -> None:
        raise error("odd")

    file = goldens / "model" / "losses_scores.json"
    monkeypatch.setattr(losses, "output_of", broken)
    with pytest.raises(DataError, match=rf"losses_scores\.json: .* do not fit together: {error.__name__}"):
        parity.run(file)


def test_refusals_name_the_recording(goldens: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise TwelveError("not offered")

    monkeypatch.setattr(Answer, "loss", refuse)
    with pytest.raises(TwelveError, match=r"losses_scores\.json: not offered"):
        parity.run(goldens / "model" / "losses_scores.json")
