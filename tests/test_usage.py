"""A command that is used wrongly says in one line what to do, and exits with code 2."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from twelve import cli
from twelve.cli import usage
from twelve.config import load
from twelve.device import check_name
from twelve.downloads.registry import choose, shipped
from twelve.errors import CheckpointError, ConfigError, DataError
from twelve.formats.records import parse
from twelve.run_folder import MODEL_FILES, model_folder

EXAMPLE = Path(__file__).parents[1] / "examples" / "quickstart-model"


@pytest.mark.parametrize(
    ("line", "problem", "remedy"),
    [
        ("predict RUN --imag x", 'no such option --imag (did you mean "--image"?)', "run twelve predict --help"),
        ("predict --zzz", "no such option --zzz", "e.g. twelve predict examples/quickstart-model"),
        ("predict RUN --question x", '(did you mean "--ask"?)', ""),
        ("predict RUN --query=x", '(did you mean "--ask"?)', ""),
        ("predict RUN --img x", '(did you mean "--image"?)', ""),
        ("match RUN x --picture x", '(did you mean "--images"?)', ""),
        ("predict RUN --phrase x", '(did you mean "--locate"?)', ""),
        ("predict RUN --find x", '(did you mean "--locate"?)', ""),
        ("predict RUN --statement x", '(did you mean "--entails"?)', ""),
        ("tasks --question x", "no such option --question", ""),
        ("predict", "missing argument 'run' (a run's folder, a model's folder, or hub:owner/model)", "e.g. twelve"),
        ("train x.yaml --set", "option '--set' requires an argument (change one value", "run twelve train --help"),
        ("tran", "no such command 'tran' (did you mean \"train\"?)", "run twelve --help for all commands"),
        (
            "train x.yaml --epochs 3",
            'no such option --epochs (did you mean "--set training.epochs=..."?)',
            "e.g. twelve",
        ),
        ("train x.yaml --batch-size 3", '(did you mean "--set tasks.TASK.batch_size=..."?)', ""),
        ("evaluate RUN --data x", '(did you mean "--set data=..."?)', ""),
        ("evaluate RUN --taks x", '(did you mean "--task"?)', ""),
        ("train x.yaml training.epochs=3", '(did you mean "--set training.epochs=3"?)', ""),
        ("predict RUN --epochs 3", "no such option --epochs", ""),
        (
            "search RUN x",
            "no such command 'search' (did you mean \"twelve match\"?)",
            'e.g. twelve match run "a red boat"',
        ),
        ("search", "", "--images folder --index file; run twelve match --help for all options"),
        ("ask RUN x", '(did you mean "twelve predict"?)', "twelve predict run --image file --ask"),
        ("locate", '(did you mean "twelve predict"?)', "--locate"),
        ("extract", '(did you mean "twelve regions extract"?)', "run twelve regions extract --help"),
        ("version", "no such command 'version' (did you mean \"twelve --version\"?)", "run twelve --help"),
        ("help", "no such command 'help' (did you mean \"twelve --help\"?)", ""),
        ("data help", '(did you mean "twelve data --help"?)', "run twelve data --help"),
        ("study joint-vs-singel", '(did you mean "joint-vs-single"?)', "run twelve study --help for all commands"),
        (
            "study groups",
            "missing option '--config' (configuration of the joint run",
            "e.g. twelve study groups --config",
        ),
        (
            "evaluate RUN --gallery x",
            "invalid value for '--gallery': expected a number",
            "run twelve evaluate --help for all options",
        ),
        ("serve RUN --tokn x", 'no such option --tokn (did you mean "--token"?)', ""),
        ("serve RUN --max-wait 9", '(did you mean "--max-waiting"?)', ""),
        (
            "serve RUN --workers 2",
            "no such option --workers ->",
            "docs/deploy.md, several processes, and updates",
        ),
        ("serve RUN --threads 2", "no such option --threads ->", "set OMP_NUM_THREADS"),
        ("serve RUN --reload", "no such option --reload ->", "docs/deploy.md"),
        ("serve RUN --ssl-keyfile=x", "no such option --ssl-keyfile ->", "reverse proxy"),
        ("serve RUN --nonsense", "no such option --nonsense ->", "run twelve serve --help for all options"),
        ("serve RUN --max-waiting 0", "'--max-waiting': expected at least 1, found 0", "run twelve serve --help"),
        ("serve RUN --answer-seconds x", "invalid value for '--answer-seconds': expected a number", ""),
        ("serve RUN --port abc", "invalid value for '--port': expected a number", ""),
        ("study groups --config c.yaml --seeds 0", "invalid value for '--seeds': expected at least 1, found 0", ""),
        (f"serve {EXAMPLE} --port 99999", "expected a port of 0 to 65,535, found 99999", "choose one, such as 8012"),
        (
            "predict RUN --image a/1.jpg a/2.jpg a/3.jpg --ask x",
            "got unexpected extra arguments (a/2.jpg a/3.jpg)",
            "write --image before each image, or name their folder: --image a",
        ),
        ("predict RUN --image a/1.jpg b/2.jpg c/3.jpg --ask x", "(b/2.jpg c/3.jpg)", "their folder: --image FOLDER"),
        ("predict RUN --image a.jpg --ask is it red", "arguments (it red)", "e.g. twelve predict"),
        ("tasks foo", "got unexpected extra argument", "e.g. twelve tasks;"),
        ("--foo", "no such option --foo", "run twelve --help for all commands"),
        ("published refcocoo", "no published score of 'refcocoo' (did you mean \"refcoco\"?)", "name one of"),
        ("score vqaa", "unknown task 'vqaa' (did you mean \"vqa\"?)", ""),
        ("quickstart real-sample.yaml", "has no microworld", "train it: twelve train real-sample.yaml"),
        ("score mine", "unknown task 'mine'", "a task of your own has no official format"),
        ("score conceptual_captions", "has no result format", "measure a model with twelve evaluate"),
        ("score vqa --truth a.json", "no --predictions", "give the official files"),
    ],
)
def test_one_line_with_a_remedy(
    line: str, problem: str, remedy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["twelve", *line.split()])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    said = capsys.readouterr().err
    assert caught.value.code == 2 and re.fullmatch(r"twelve: .* -> .*\n", said), said
    found, _, advice = said.lower().partition(" -> ")
    assert problem.lower() in f"{found} ->" and remedy.lower() in advice


def test_commands_that_people_try_lead_to_commands() -> None:
    group = typer.main.get_command(cli.app)
    for unknown, line in usage.COMMANDS.items():
        assert unknown not in group.commands  # type: ignore[attr-defined]
        name, below = group, line.split()[1:]
        while below and below[0] in getattr(name, "commands", {}):
            name = name.commands[below.pop(0)]  # type: ignore[attr-defined]
        options = {spelt for each in name.params for spelt in each.opts}
        assert name is not group and not hasattr(name, "commands"), line
        assert {word for word in below if word.startswith("--")} <= options, line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("run groupss", "groupss: unknown study 'groupss' (did you mean"),
        ("groups --arms nope", "--arms: unknown arm 'nope'"),
        ("groups --option nope", "cannot read option 'nope'"),
        ("groups --option nope=1", "--option nope: the study groups has no such option"),
    ],
)
def test_a_mistake_in_a_studys_options_is_not_put_down_to_its_configuration(words: str, told: str) -> None:
    command = ["study", *words.split(), "--config", "study-microworld.yaml", "--dry-run"]
    assert str(CliRunner().invoke(cli.app, command).exception).startswith(told)


def test_where_a_file_or_a_folder_is_wanted_is_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twelve.microworld.train_detector._fit", lambda *_: pytest.fail("it trains"))
    found = CliRunner().invoke(cli.app, ["data", "train-detector", "--out", str(tmp_path)]).exception
    assert "expected a file, found a folder" in str(found)
    (tmp_path / "x.jpg").write_text("")
    extract = ["regions", "extract", "--boxes", "detect", "--backbone", "microworld", "--out", str(tmp_path / "out")]
    found = CliRunner().invoke(cli.app, [*extract, "--images", str(tmp_path / "x.jpg")]).exception
    assert "expected a folder of images, found a file -> give a folder to --images" in str(found)


def test_a_group_without_a_command_shows_its_help() -> None:
    shown = CliRunner().invoke(cli.app, ["study"])
    assert shown.exit_code == 2 and shown.output.startswith("Usage:") and "->" not in shown.output


def test_json_flaws_have_a_column() -> None:
    for text, problem in (('{"text": "a\tb"}', "Invalid control character at column 12"), ('{"a" 1}', "at column 6")):
        with pytest.raises(DataError) as caught:
            parse(text, Path("a.jsonl"), "line 3")
        assert problem in str(caught.value) and "at at" not in str(caught.value)


@pytest.mark.parametrize(("made", "options"), [(True, []), (False, []), (False, ["--task", "nlvr2"])])
def test_a_data_root_without_files_is_told_how_to_fetch_them(tmp_path: Path, made: bool, options: list[str]) -> None:
    root = tmp_path / "my data"
    if made:
        root.mkdir()
    said = str(CliRunner().invoke(cli.app, ["data", "check", str(root), *options]).exception)
    found = re.search(rf"twelve data fetch (\w+) --root {re.escape(shlex.quote(str(root)))}", said)
    assert found and found[1] == (options[1] if options else found[1]), said
    assert choose(shipped(), [found[1]], ["annotation"]), "the registry has the files"


def test_a_configuration_in_the_place_of_its_run_leads_to_the_run(tmp_path: Path) -> None:
    file, run = tmp_path / "mine.yaml", tmp_path / "run"
    file.write_text(f"run: {run}\n")
    asked = (["evaluate"], ["report"], ["export", "out", "--output", "answer"])
    told = [f"this is a configuration, not a run -> train it, then name its run: twelve train {file}"]
    said = [str(CliRunner().invoke(cli.app, [name, str(file), *rest]).exception) for name, *rest in asked]
    assert [each.partition(": ")[2] for each in said] == told * 3
    (run / "model").mkdir(parents=True)
    (run / "config.yaml").write_text("{}")
    for place, problem in ((file, "this is a configuration"), (run / "config.yaml", "expected a folder, found a file")):
        with pytest.raises(CheckpointError, match=rf"{problem}.* -> name .*: {re.escape(str(run))}$"):
            model_folder(place)


def test_a_models_folder_in_the_place_of_its_run_leads_to_the_run(tmp_path: Path) -> None:
    model = tmp_path / "run" / "model"
    model.mkdir(parents=True)
    for name in MODEL_FILES:
        (model / name).write_text("{}")
    found = str(CliRunner().invoke(cli.app, ["report", str(model)]).exception)
    assert found == f"{model}: this is a model's folder, not a run's -> name the folder of a run"
    (tmp_path / "run" / "config.yaml").write_text("{}")
    step = tmp_path / "run" / "checkpoints" / "step-0000060"
    step.mkdir(parents=True)
    for place in (model, step, step.parent):
        found = str(CliRunner().invoke(cli.app, ["report", str(place)]).exception)
        assert found.endswith(f"-> name its run: {tmp_path / 'run'}")
    with pytest.raises(CheckpointError, match=re.escape(f"no model here -> name its run: {tmp_path / 'run'}")):
        model_folder(step)


def test_a_model_of_another_program_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vilt"}')
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"not one of twelve: its model_type is 'vilt' -> name a"):
            model_folder(tmp_path)
        (tmp_path / "processor_config.json").write_text("{}")
    (tmp_path / "processor_config.json").unlink()
    shutil.copy(EXAMPLE / "config.json", tmp_path)
    with pytest.raises(CheckpointError, match=r"no file named processor_config\.json here -> copy the whole folder"):
        model_folder(tmp_path)


@pytest.mark.parametrize("left", ["model.safetensors", "processor_config.json"])
def test_a_model_without_its_configuration_is_told_so(tmp_path: Path, left: str) -> None:
    (tmp_path / left).touch()
    with pytest.raises(CheckpointError, match=r": no file named config\.json here -> copy the whole folder that was"):
        model_folder(tmp_path)


def test_a_folder_around_a_run_or_a_data_root_names_it(tmp_path: Path) -> None:
    (tmp_path / "quickstart" / "run").mkdir(parents=True)
    (tmp_path / "quickstart" / "run" / "config.yaml").write_text("{}")
    (tmp_path / "quickstart" / "data" / "vqa").mkdir(parents=True)
    folder = tmp_path / "quickstart"
    found = CliRunner().invoke(cli.app, ["evaluate", str(folder)]).exception
    assert str(found).endswith(f"name the run in it: {folder / 'run'}")
    with pytest.raises(CheckpointError, match=re.escape(f"name the run in it: {folder / 'run'}")):
        model_folder(folder)
    found = CliRunner().invoke(cli.app, ["data", "check", str(folder)]).exception
    assert str(found).startswith(f"{folder}: the data root has no folder of any task")
    assert f'did you mean "{folder / "data"}"?' in str(found)
    assert str(found).endswith("for a task of your own, add its configuration: --config FILE")
    with pytest.raises(ConfigError, match="expected a configuration file, found a folder -> name a file; for"):
        load(folder)
    with pytest.raises(ConfigError, match=re.escape(f"name a file: {folder / 'run' / 'config.yaml'} --continue; for")):
        load(folder / "run")
    with pytest.raises(ConfigError, match='did you mean "cuda"'):
        check_name("gpu")
