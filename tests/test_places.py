"""Runs are used from any folder, and may be moved, with their data or without."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
from rich.console import Console

from twelve import config as configuration
from twelve.data.opening import open_root
from twelve.export.check import samples_of
from twelve.export.export import open_model
from twelve.io import paths as places
from twelve.predictor.loading import load as load_predictor
from twelve.report.write import write_report
from twelve.runs.evaluate import evaluate_run
from twelve.runs.train import train
from twelve.study import plan as plans
from twelve.study.engine import planned
from twelve.study.studies import get_study

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a run on it, begun there under relative names."""
    place = tmp_path_factory.mktemp("made")
    root = tiny.make(place / "data", train=6, val=2)
    shutil.move(root / "regions", place / "regions")
    tree: dict[str, Any] = tiny.tree(Path("data"), Path("runs/first"), regions="regions", sources={})
    tree |= {"tasks": {name: tree["tasks"][name] for name in ("vqa", "snli_ve")}}
    tree["training"] |= {"iterations": 4, "save_every": 2, "eval_every": 2}
    (place / "labels.json").write_text(json.dumps(["red", "green", "blue"]))
    tree["vocabulary"]["label_maps"] = {"answer": "labels.json"}
    (place / "mine.yaml").write_text(json.dumps(tree))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        train(configuration.load("mine.yaml"), console=QUIET)
    return place


def use(run: Path) -> None:
    """Everything that reads a run's data."""
    results = evaluate_run(run, console=QUIET)
    assert {result.task for result in results} == {"vqa", "snli_ve"}
    assert "is not on this machine" not in write_report(run).read_text()
    _, processor, config = open_model(run)
    samples, lacking = samples_of(config, processor, "answer")
    assert samples and not lacking
    load_predictor(run)
    before = (run / "metrics.jsonl").read_text().splitlines()
    shutil.rmtree(run / "checkpoints" / "step-0000004")
    train(configuration.load(run / "config.yaml"), resume=True, console=QUIET)
    after = (run / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) | {"seconds": 0} for line in after] == [
        json.loads(line) | {"seconds": 0} for line in before
    ]


@pytest.mark.parametrize("relative", [False, True])
def test_a_run_is_used_from_another_folder(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: bool
) -> None:
    place = Path(shutil.copytree(made, tmp_path / "copy"))
    shutil.move(made, hidden := made.with_name("hidden"))  # a copy does not lean on what it was copied from
    try:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        use(Path("..", "copy", "runs", "first") if relative else place / "runs" / "first")
        shutil.move(place, tmp_path / "moved")
        use(Path("..", "moved", "runs", "first") if relative else tmp_path / "moved" / "runs" / "first")
        assert not (tmp_path / "copy").exists()
    finally:
        shutil.move(hidden, made)


def test_a_run_alone_is_moved(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = Path(shutil.copytree(made / "runs" / "first", tmp_path / "alone"))
    use(run)
    assert configuration.load(run / "config.yaml").data == str(made / "data")


def test_the_copys_data_are_the_copys(made: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(made, tmp_path / "copy"))
    found = configuration.load(place / "runs" / "first" / "config.yaml")
    assert (found.run, found.data) == (str(place / "runs" / "first"), str(place / "data"))
    assert found.vocabulary.label_maps == {"answer": str(place / "labels.json")}
    assert found.regions == str(place / "regions") and found.model.tokenizer == str(place / "data" / "tokenizer")


def test_the_configuration_that_began_a_run_resumes_it_after_a_move(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path(shutil.copytree(made, tmp_path / "copy"))
    monkeypatch.chdir(place)
    train(configuration.load("mine.yaml"), resume=True, console=QUIET)


def test_what_goes_on_from_a_run_takes_its_data_from_any_folder(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path(shutil.copytree(made, tmp_path / "copy"))
    monkeypatch.chdir(tmp_path)
    found = configuration.load("finetune.yaml", ["init=copy/runs/first", "tasks=[vqa]"])
    assert found.data == "copy/data" or Path(found.data).samefile(place / "data")
    open_root(found, list(found.tasks))


def test_a_run_of_an_earlier_version_with_relative_paths(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path(shutil.copytree(made, tmp_path / "copy"))
    monkeypatch.chdir(tmp_path)
    file = place / "runs" / "first" / "config.yaml"
    file.write_text(file.read_text().replace(f"{made}/", ""))
    assert "run: runs/first\n" in file.read_text()
    found = configuration.load(file)
    assert found.data == str(place / "data") and found.regions == str(place / "regions")


def test_other_configurations_stay_relative(made: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text((made / "mine.yaml").read_text())
    found = configuration.load(tmp_path / "config.yaml")
    assert (found.run, found.data) == ("runs/first", "data")


def test_names_that_are_no_paths_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bert").mkdir()
    tree = {"run": "r", "model": {"text_encoder": "package:x", "tokenizer": "bert", "init": None}, "tasks": 3}
    found = places.absolute(tree)
    assert found["model"] == {"text_encoder": "package:x", "tokenizer": str(tmp_path / "bert"), "init": None}
    assert found["run"] == str(tmp_path / "r") and places.absolute({"schedule": {"options": 3}, "vocabulary": None})


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
@pytest.mark.parametrize("utf8", ["0", None])
def test_names_of_any_letters_in_a_locale_without_them(made: Path, tmp_path: Path, utf8: str | None) -> None:
    place = Path(shutil.copytree(made, tmp_path / "Füße"))
    variables = {name: value for name, value in os.environ.items() if name not in ("LANG", "PYTHONUTF8", "LC_CTYPE")}
    variables |= {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"} | ({} if utf8 is None else {"PYTHONUTF8": utf8})
    # Python reads the .pth file of an editable install in the locale, so it may not find such a checkout by that.
    variables["PYTHONPATH"] = str(Path(configuration.__file__).parents[1])

    def twelve(*words: str) -> None:
        command = [sys.executable, "-m", "twelve", *words]
        done = subprocess.run(command, cwd=place, env=variables, capture_output=True, timeout=600)
        assert done.returncode == 0, done.stderr

    twelve("train", "mine.yaml", "--set", "run=läufe", "--set", f"data={place / 'data'}")
    twelve("evaluate", str(place / "läufe"))
    twelve("report", "läufe")
    twelve("train", "läufe/config.yaml", "--resume")
    assert (place / "läufe" / "report.html").is_file()
    written = (place / "läufe" / "config.yaml").read_text(encoding="utf-8")
    assert f"run: {place / 'läufe'}\n" in written and configuration.load(place / "läufe" / "config.yaml").seed == 3


def test_a_study_finds_its_data_from_any_folder_and_after_a_move(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path(shutil.copytree(made, tmp_path / "copy"))
    monkeypatch.chdir(place)
    (place / "study").mkdir()
    study = get_study("joint-vs-single", {})
    plan = planned(study, configuration.load("mine.yaml"), seeds=1)
    plans.write(plan, Path("study"), {})
    monkeypatch.chdir(tmp_path)
    assert plans.read(Path("copy/study")).parsed().data == str(place / "data")
    shutil.move(place, tmp_path / "moved")
    found = plans.read(tmp_path / "moved" / "study")
    assert found.parsed().data == str(tmp_path / "moved" / "data")
    monkeypatch.chdir(tmp_path / "moved")
    plans.agree(planned(study, configuration.load("mine.yaml"), seeds=1), found, tmp_path / "moved" / "study")
