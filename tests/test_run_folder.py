"""Names of a run's files are spelt in one place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from twelve.config import load_run
from twelve.errors import CheckpointError, ConfigError
from twelve.run_folder import MODEL_FILES, RunFolder, model_folder

SOURCE = Path(__file__).parents[1] / "src" / "twelve"
NAMES = {path.name for name, path in vars(RunFolder("")).items() if name != "path"}
ALLOWED = {("io/hub.py", "model"): "the folder in a PyPI package", ("report/write.py", "report.html"): "a template"}


def spelt(source: str) -> Iterator[str]:
    """Names of a run's files in the code of a module: those with an ending in any text but docstrings, "model" and
    "checkpoints" where they are joined to a path."""
    tree = ast.parse(source)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            words = [word.strip(".-") for word in re.findall(r"[\w.-]+", node.value)]
            yield from (name for name in NAMES if "." in name and name in words)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant):
            yield from {node.right.value} & {name for name in NAMES if "." not in name}


def test_no_other_module_spells_a_name() -> None:
    assert len(NAMES) == 13
    found = {
        (path.relative_to(SOURCE).as_posix(), name)
        for path in SOURCE.rglob("*.py")
        if path.name != "run_folder.py"
        for name in spelt(path.read_text(encoding="utf-8"))
    }
    assert found == ALLOWED.keys()


@pytest.mark.parametrize("line", ['a / "model"', 'open(f"{run}/data.json")', 'f("see config.yaml in it")'])
def test_a_name_is_seen(line: str) -> None:
    assert list(spelt(line))


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert not run.holds_training() and not run.saved() and not list(run.logged()) and run.read(run.trained) == {}
    with pytest.raises(ConfigError, match="this folder holds no run -> train one"):
        load_run(tmp_path)
    with pytest.raises(ConfigError, match="the folder does not exist"):
        load_run(tmp_path / "none")
    RunFolder(tmp_path / "alive").path.mkdir()
    with pytest.raises(
        ConfigError, match=r'does not exist \(did you mean ".*/alive"\?\) -> check its name, or train one'
    ):
        load_run(tmp_path / "alve")
    with pytest.raises(CheckpointError, match="no model here"):
        model_folder(tmp_path)
    run.config.touch()
    for advice in (
        r"this run has no model yet -> train it: twelve train .*config.yaml --continue$",
        r"this run has no model -> continue training: twelve train .*config.yaml --continue$",
        r"the model of this run is gone -> copy it back, or save the last one, .*: twelve train .*yaml --continue$",
        r"the model and the checkpoints of this run are gone -> copy them back, or .*: twelve train .*config.yaml$",
    ):
        with pytest.raises(CheckpointError, match=advice):
            model_folder(tmp_path)
        if not run.saved():
            run.checkpoint(2).mkdir(parents=True)
        elif run.trained.exists():
            run.checkpoint(2).rmdir()
        else:
            run.trained.touch()


@pytest.mark.parametrize("lacking", [*MODEL_FILES, "model.safetensors"])
def test_a_missing_file_of_a_model_is_named(tmp_path: Path, lacking: str) -> None:
    run = RunFolder(tmp_path)
    run.config.touch()
    run.model.mkdir()
    for name in {*MODEL_FILES, "model.safetensors"} - {lacking}:
        (run.model / name).touch()
    named = rf"/model: no file named {lacking} here -> copy the whole run again"
    command = rf"twelve train {run.config} --continue$"
    with pytest.raises(CheckpointError, match=f"{named}, or train it again: {command}"):
        model_folder(tmp_path)
    run.checkpoint(2).mkdir(parents=True)
    with pytest.raises(CheckpointError, match=f"{named}, or continue training: {command}"):
        model_folder(tmp_path)
    run.trained.touch()
    with pytest.raises(CheckpointError, match=f"{named}, or save the last model, that of its checkpoint: {command}"):
        model_folder(tmp_path)
    run.config.unlink()
    with pytest.raises(CheckpointError, match=f"{named}$" if lacking.startswith("model") else "no model here|no file"):
        model_folder(tmp_path)


def test_the_run_of_a_data_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    run = RunFolder(Path("runs", "mine"))
    run.path.mkdir(parents=True)
    with pytest.raises(CheckpointError, match="no model here -> name a run's folder or a model's folder"):
        model_folder(Path("mine"))
    run.config.touch()
    with pytest.raises(CheckpointError, match=r"no model here -> name its run: runs/mine$"):
        model_folder(Path("mine"))
    with pytest.raises(ConfigError, match=r"holds no run -> name its run: runs/mine$"):
        load_run(Path("mine"))


def test_the_runs_of_a_folder_are_named(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").touch()
    first = ", ".join(str(tmp_path / name) for name in "abc")
    with pytest.raises(ConfigError, match=rf"holds no run -> name one of the 4 runs in it: {first}, \.\.\.$"):
        load_run(tmp_path)
    (tmp_path / "d" / "config.yaml").unlink()
    with pytest.raises(CheckpointError, match=rf"no model here -> name one of the 3 runs in it: {first}$"):
        model_folder(tmp_path)


def test_files_come_back(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.write(run.data, {"a": [1]})
    assert run.read(run.data) == {"a": [1]}
    run.data.write_text("[1]")
    assert run.read(run.data) == {}
    run.metrics.write_text('{"iteration": 1}\n[]\n{"iteration": "2"}\nnull\n{"iteration": 3, "ki')
    assert list(run.logged()) == [{"iteration": 1}]
    for step in (100, 20):
        run.checkpoint(step).mkdir(parents=True)
    (run.checkpoints / "step-1.partial").mkdir()
    assert [path.name for path in run.saved()] == ["step-0000020", "step-0000100"] and run.holds_training()
