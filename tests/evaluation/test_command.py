"""``twelve evaluate``: runs that are missing or damaged, and that a task is measured from its own files alone."""

from __future__ import annotations

import errno
import io
import json
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny
from rich.console import Console
from typer.testing import CliRunner

from twelve import cli
from twelve import config as configuration
from twelve.data.clean import HeldOut, HeldOutImages
from twelve.data.prepare import ValidationImages, prepare, prepare_measuring
from twelve.errors import CheckpointError, ConfigError, DataError, RegionError, TwelveError
from twelve.evaluation.evaluate import Evaluator
from twelve.evaluation.results import Baseline, TaskResult, read_results
from twelve.metrics.bootstrap import FEW, Interval, few_groups
from twelve.regions.store.region_store import RegionStore
from twelve.runs.evaluate import evaluate_run
from twelve.runs.results_table import protocol_line, table
from twelve.runs.train import train
from twelve.settings import EvaluationSettings
from twelve.tasks.base import all_tasks, get
from twelve.training.provenance import machine
from twelve.types.measurement import MARKS, Measurement, Protocol

QUIET = Console(quiet=True)
TASKS = ("vqa", "snli_ve")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("root"), train=8, val=3)


@pytest.fixture(scope="module")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tiny.tree(root, tmp_path_factory.mktemp("runs") / "good")
    tree |= {"tasks": {task: tree["tasks"][task] for task in TASKS}, "sources": {}}
    tree["training"] |= {"iterations": 2, "eval_every": 2}
    return train(configuration.parse(tree), console=QUIET)


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of a trained run."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.mark.parametrize("max_train", [None, 5])
def test_what_was_held_back_is_read_back_task_by_task(root: Path, tmp_path: Path, max_train: int | None) -> None:
    tree: Any = tiny.tree(root, tmp_path / "run", hold_out="test")
    tree["tasks"]["nlvr2"]["max_train"] = max_train
    tree["tasks"]["vqa"]["test_split"] = "val"
    config = configuration.parse(tree)
    whole = prepare(config)
    whole.validation_images.write(tmp_path / "validation_images.json")
    held_back = ValidationImages.read(tmp_path / "validation_images.json")
    for name in ("vqa", "nlvr2", "snli_ve", "refcoco"):
        alone = prepare_measuring(config, {}, [name], held_back)
        assert set(alone.tasks) == {name} and whole.tasks[name].train and whole.tasks[name].validation
        assert alone.tasks[name].train == whole.tasks[name].train
        assert alone.tasks[name].validation == whole.tasks[name].validation


def test_held_out_images_stay_out(root: Path, tmp_path: Path) -> None:
    examples = list(prepare(configuration.parse(tiny.tree(root, tmp_path / "run"))).tasks["nlvr2"].train)
    first, third = examples[0], next(example for example in examples if example.images != examples[0].images)
    held_back = ValidationImages(frozenset({first.images[1]}), frozenset({third.images[0]}))
    kept, validation = held_back.parts([first, third])
    assert first not in kept and first not in validation and validation == [third]


def test_photographs_held_out_under_another_source_stay_out(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configuration.parse(tiny.tree(root, tmp_path / "run"))
    twin = prepare(config).tasks["vqa"].train[0].images[0]
    held_out = HeldOutImages("test", (HeldOut("other", "test", "test", frozenset({"other/1"})),), {}, {twin: "other/1"})
    monkeypatch.setattr("twelve.data.prepare.held_out_images", lambda *_, **__: held_out)
    whole = prepare(config)
    assert whole.validation_images.left_out == {twin}
    alone = prepare_measuring(config, {}, ["vqa"], whole.validation_images).tasks["vqa"]
    assert alone.train == whole.tasks["vqa"].train and alone.validation == whole.tasks["vqa"].validation
    assert twin not in {image for example in [*alone.train, *alone.validation] for image in example.images}


def test_a_task_is_measured_without_the_other_tasks_files(root: Path, run: Path, tmp_path: Path) -> None:
    whole = {result.task: result for result in evaluate_run(run, console=QUIET)}
    lone = tmp_path / "lone"
    shutil.copytree(root, lone)
    shutil.rmtree(lone / "vqa")
    (alone,) = evaluate_run(run, tasks=["snli_ve", "snli_ve"], settings=[f"data={lone}"], console=QUIET)
    assert alone.score == whole["snli_ve"].score and alone.baselines == whole["snli_ve"].baselines
    (lone / "snli_ve" / "snli_ve_train.jsonl").unlink()
    said = io.StringIO()
    (taught,) = evaluate_run(
        run, tasks=["snli_ve"], settings=[f"data={lone}"], console=Console(file=said, width=80)
    )  # what does not learn from training texts is measured all the same
    assert taught.score == alone.score and {*alone.baselines} - {*taught.baselines} == {"bag of words"}
    assert all(taught.baselines[name] == alone.baselines[name] for name in taught.baselines)
    (line,) = (line for line in said.getvalue().splitlines() if "baselines that learn" in line)
    assert "snli_ve_train.jsonl: no such file -> download" in line
    (bare,) = evaluate_run(run, tasks=["snli_ve"], settings=[f"data={lone}"], baselines=False, console=QUIET)
    assert bare.score == alone.score and not bare.baselines


@pytest.mark.parametrize(("task", "split"), [("vqa", "val"), ("snli_ve", "dev")])
def test_a_split_is_measured_where_the_data_root_holds_no_other(
    root: Path, run: Path, tmp_path: Path, task: str, split: str
) -> None:
    lone = shutil.copytree(root, tmp_path / "lone", ignore=shutil.ignore_patterns("*train*"))
    words = ["evaluate", str(run), "--task", task, "--split", split, "--set", f"data={lone}"]
    said = CliRunner().invoke(cli.app, words)
    assert said.exit_code == 0, (said.output, said.exception)
    assert "baselines that learn from its training texts are not measured: " in said.output
    assert all(f"over {name}" in said.output for name in ("chance", "majority", "shuffled images"))
    assert "over bag of words" not in said.output


def test_a_split_without_answers_is_predicted_and_not_measured(root: Path, run: Path, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    shutil.copytree(root, hidden)
    questions = json.loads((root / "vqa" / "v2_OpenEnded_mscoco_val2014_questions.json").read_text())
    name = "v2_OpenEnded_mscoco_test2015_questions.json"
    (hidden / "vqa" / name).write_text(json.dumps(questions | {"data_subtype": "test2015"}))
    data = [f"data={hidden}"]
    problem = rf"vqa/{name}: the split 'test' of vqa has no answers.* -> .*--task vqa --split test --submit FILE"
    with pytest.raises(DataError, match=problem):
        evaluate_run(run, tasks=["vqa"], split="test", settings=data, console=QUIET)
    for file in (hidden / "vqa").glob("*train2014*"):
        file.unlink()
    for held_back in ("there", "gone"):
        if held_back == "gone":
            (run / "validation_images.json").unlink()
        out = tmp_path / "results.json"
        assert evaluate_run(run, tasks=["vqa"], split="test", submit=out, settings=data, console=QUIET) == []
        assert len(json.loads(out.read_text())) == len(questions["questions"])
        out.unlink()


def test_a_split_with_answers_is_predicted_and_measured_with_its_baselines(run: Path, tmp_path: Path) -> None:
    (plain,) = evaluate_run(run, tasks=["vqa"], console=QUIET)
    (result,) = evaluate_run(run, tasks=["vqa"], submit=tmp_path / "results.json", console=QUIET)
    assert (result.score, result.baselines) == (plain.score, plain.baselines) and result.baselines


def test_a_run_without_its_validation_images_is_measured_the_same(run: Path) -> None:
    (one,) = evaluate_run(run, tasks=["snli_ve"], console=QUIET)
    (run / "validation_images.json").unlink()
    (other,) = evaluate_run(run, tasks=["snli_ve"], console=QUIET)
    assert one.baselines == other.baselines


def test_mistakes_in_what_to_measure(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run here"):
        evaluate_run(tmp_path / "nothing", console=QUIET)
    with pytest.raises(ConfigError, match=r"no task 'vqq' \(did you mean \"vqa\"\?\)"):
        evaluate_run(run, tasks=["vqq"], console=QUIET)
    with pytest.raises(ConfigError, match="vqa has no split 'nope'"):
        evaluate_run(run, split="nope", console=QUIET)


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("model/model.safetensors", b"cut", r"model"),
        ("model/config.json", b'{"hidden_size": "x"}', r"hidden_size"),
        ("model/config.json", b"[", r"config\.json"),
        ("model/processor_config.json", b"[]", r"processor_config\.json: expected a JSON object"),
        ("model/tokenizer.json", b"{}", r"tokenizer\.json.*: not a tokenizer"),
        ("validation_images.json", b"[]", r"validation_images\.json: expected an object"),
        (
            "validation_images.json",
            b'{"left_out": [1], "validation": []}',
            r"validation_images\.json.*left_out.* -> delete it",
        ),
    ],
)
def test_damaged_parts_of_a_run_are_named(run: Path, file: str, content: bytes, problem: str) -> None:
    (run / file).write_bytes(content)
    with pytest.raises(TwelveError, match=problem):
        evaluate_run(run, console=QUIET)


def test_a_run_without_a_model_says_how_to_go_on(run: Path) -> None:
    shutil.rmtree(run / "model")
    advice = r"model of this run is gone -> copy it back, or .*: twelve train \S*config\.yaml --continue"
    with pytest.raises(CheckpointError, match=advice):
        evaluate_run(run, console=QUIET)


def test_results_say_when_where_and_by_which_commit_they_were_measured(run: Path) -> None:
    before = datetime.now(UTC).date()
    evaluate_run(run, console=QUIET)
    _, facts = read_results(run / "evaluation.json")
    assert before <= date.fromisoformat(facts["date"]) <= datetime.now(UTC).date()
    here, there = machine(), facts["machine"]
    assert "commit" in there and {**there, "commit": None} == {**here, "commit": None}  # files may change meanwhile


def test_a_model_that_stepped_aside_is_found(run: Path) -> None:
    (run / "model").rename(run / ".model.old")
    assert evaluate_run(run, tasks=["snli_ve"], baselines=False, console=QUIET)


def test_other_regions_are_named(run: Path, tmp_path: Path) -> None:
    tiny.write_regions(tmp_path / "regions", {f"coco/{number}": number for number in range(11)}, fingerprint="other")
    with pytest.raises(RegionError, match=r"regions/coco: .*other.*tiny-1"):
        evaluate_run(run, tasks=["vqa"], settings=[f"regions={tmp_path / 'regions'}"], console=QUIET)


@pytest.mark.parametrize("moment", [(Evaluator, "measure"), (Path, "write_text")])
def test_interrupted_the_old_results_stay(run: Path, monkeypatch: pytest.MonkeyPatch, moment: tuple[Any, str]) -> None:
    (run / "evaluation.json").write_text("good")

    def interrupted(self: object, *_: object, **__: object) -> None:
        if isinstance(self, Path):
            self.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(*moment, interrupted)
    monkeypatch.setattr("sys.argv", ["twelve", "evaluate", str(run)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 130
    assert (run / "evaluation.json").read_text() == "good"
    assert not list(run.glob(".*.partial"))


def test_full_disk_leaves_the_old_results(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run / "evaluation.json").write_text(json.dumps({"good": True}))

    def full(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(TwelveError, match=r"evaluation\.json cannot be written: No space left"):
        evaluate_run(run, console=QUIET)
    assert json.loads((run / "evaluation.json").read_text()) == {"good": True}


def test_the_next_command_is_named_where_the_results_were_saved(run: Path) -> None:
    def said(*options: str) -> str:
        return CliRunner().invoke(cli.app, ["evaluate", str(run), *options]).output

    whole = said()
    assert whole.splitlines()[-1] == f"next: twelve report {run}"
    for options in (["--task", "vqa"], ["--no-baselines"], ["--json"]):
        assert "vqa" in (other := said(*options)).lower() and "next: " not in other


class _ClosedPipe(Console):
    def print(self, *_: object, **__: object) -> None:
        raise BrokenPipeError


def test_results_are_saved_before_a_reader_can_leave(run: Path) -> None:
    data = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps(data | {"region_samples": {}}))  # a note is said before any score
    told = io.StringIO()
    evaluate_run(run, console=Console(file=told))
    lines = told.getvalue().splitlines()
    assert lines[0].startswith("note: the run has no record of its regions") and lines[1].startswith("task, metric")
    for name in ("evaluation.json", "predictions.jsonl"):
        (run / name).unlink()
    with pytest.raises(BrokenPipeError):
        evaluate_run(run, console=_ClosedPipe())
    assert {result.task for result in read_results(run / "evaluation.json")[0]} == set(TASKS)
    assert (run / "predictions.jsonl").stat().st_size


@pytest.mark.parametrize("groups", [FEW - 1, FEW])
def test_a_table_fits_into_80_columns(groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = Interval(-3.25, -100.0, 100.0)
    baselines = {name: Baseline(name, 100.0, wide) for name in ("majority", "shuffled images", "trained box prior")}
    protocol = Protocol(split="test")
    result = TaskResult(
        "guesswhat_answerer",
        get("guesswhat_answerer").title,
        protocol,
        groups,
        groups,
        "accuracy",
        Interval(100, 0, 100),
        {},
        baselines,
        upper_bound=100.0,
    )
    lines = table([result]).splitlines()
    assert max(map(len, lines)) <= 80
    verdict = "too few to tell" if groups < FEW else "undecided"
    assert lines[0].split() == ["task,", "metric", "/", "baseline", "score", "lead", "[95%", "interval]", "verdict"]
    assert lines[1].endswith(" 100.0 [0.0, 100.0]")  # each interval stands behind its number
    assert lines[0].index("[95% interval]") == lines[2].index("[-100.0")
    legend = " ".join(lines[lines.index("") :])
    one_each = (
        "by Wilson's formula if the score is the share of correct examples and each image has one example; otherwise "
        "from resampling images"
    )
    one_training = "how much the score could change with different test images. Another training seed may"
    assert f"interval: 95%, {one_each}. It shows {one_training} change it more." in legend
    several = replace(result, examples=2 * groups)
    assert "interval: 95%, from resampling images; of 0 and 100," in " ".join(table([several]).split())
    assert "Wilson" not in table([replace(several, score=Interval(50, 0, 100))])
    warned = few_groups(groups)
    assert bool(warned) is (groups < FEW) and ("warning" in protocol_line(several)) is bool(warned)
    assert protocol_line(several).endswith(f"\n  warning: {warned}" if warned else "")
    assert "warning" not in protocol_line(result)
    undecided = "undecided: not shown to be better, the difference may be chance."
    assert f"better: the interval is above 0; worse: below 0; {undecided}" in legend
    majority = "majority: always giving the most frequent answer of the evaluated split"
    assert f"{majority}; shuffled images: the same model with wrong" in legend
    assert [line.endswith(f"[-100.0, +100.0] {verdict}") for line in lines[2:5]] == [True] * 3
    assert "score: official metric, per cent." in " ".join(lines)
    own = replace(result, task="mine", title="mine")
    assert "score: the metric on your file, per cent." in table([own])
    both = " ".join(table([own, result]).split())
    assert "score: the official metric; of your own tasks, the metric on your file, per cent." in both
    of_code = SimpleNamespace(reader=SimpleNamespace())  # a class of a program's own
    known = {**all_tasks(), "riding": of_code}
    monkeypatch.setattr("twelve.runs.results_table.all_tasks", lambda: known)
    coded = replace(result, task="riding", title="riding")
    assert "score: the metric of your task, per cent." in table([coded])
    assert "own tasks, the metric on your file or the metric of your task, per" in " ".join(
        table([own, result, coded]).split()
    )
    assert "official" not in protocol_line(coded) and "ties" not in protocol_line(coded)
    share = protocol_line(replace(result, calibration_error=0.154))
    assert share.endswith("calibration error 0.15 percentage points") and "error" not in protocol_line(result)
    why = "this needs 50 validation examples, the task has 6"
    raw = replace(result, calibration_error=0.154, uncalibrated=f"not calibrated: {why}")
    told = protocol_line(raw).splitlines()[-1]
    assert told.endswith(f"  calibration error 0.15 percentage points, without calibration ({why})")
    assert "protocol official" in protocol_line(result) and "official" not in protocol_line(own)
    assert "ties: first of equals" in protocol_line(result) and "ties" not in protocol_line(own)
    assert "ties" in protocol_line(replace(own, protocol=replace(own.protocol, note=MARKS)))
    assert "ties" in protocol_line(replace(own, metric="R@1"))


def test_all_right_leads_chance_by_no_more_than_chance_leaves() -> None:
    evaluator = Evaluator.__new__(Evaluator)
    evaluator.settings, evaluator.without_images, evaluator.shuffled = EvaluationSettings(), {}, {}
    ours = Measurement("accuracy", {"accuracy": 100.0}, np.ones(20), [str(number) for number in range(20)])
    task: Any = SimpleNamespace(task=SimpleNamespace(name="mine"))
    lead = evaluator._baselines(task, ours, np.full(20, 0.019), {})["chance"].advantage
    score = evaluator._interval(ours.per_example, ours.groups)
    assert (lead.low, lead.high) == (pytest.approx(score.low - 1.9), pytest.approx(98.1))


def test_regions_that_have_changed_under_the_same_extractor(root: Path, run: Path, tmp_path: Path) -> None:
    """``twelve train --resume`` notices them too (training/test_sameness.py)."""
    regions = tmp_path / "regions"
    shutil.copytree(root / "regions", regions)
    before = evaluate_run(run, settings=[f"regions={regions}"], console=QUIET)
    images = {image: number + 1 for number, image in enumerate(RegionStore(root / "regions").ids("flickr30k"))}
    shutil.rmtree(regions / "flickr30k")
    tiny.write_regions(regions, images)
    there = [f"regions={regions}"]
    with pytest.raises(
        RegionError, match=r"flickr30k: not the regions .* images that were compared have other"
    ) as told:
        evaluate_run(run, settings=there, console=QUIET)
    assert "--allow-changed-data" in str(told.value)
    said = io.StringIO()
    found = evaluate_run(run, tasks=["vqa"], settings=there, console=Console(file=said, width=200))
    assert found[0].score == before[0].score  # of coco alone
    assert "to save, omit --task" in said.getvalue() and not (run / "evaluation.json").exists()

    config = run / "config.yaml"
    config.write_text(config.read_text().replace("\nregions: null\n", f"\nregions: {regions}\n"))
    tree = json.loads((run / "data.json").read_text())
    said = io.StringIO()
    evaluate_run(run, allow_changed_data=True, console=Console(file=said, width=200))
    assert "warning: flickr30k: not the regions that the run was trained with" in said.getvalue()
    facts = json.loads((run / "evaluation.json").read_text())["facts"]
    assert list(facts["changed_regions"]) == ["flickr30k"]

    del tree["region_samples"]
    (run / "data.json").write_text(json.dumps(tree))
    said = io.StringIO()
    evaluate_run(run, console=Console(file=said, width=200))
    assert "note: the run has no record of its regions" in said.getvalue() and "not saved" not in said.getvalue()
    assert "changed_regions" not in json.loads((run / "evaluation.json").read_text())["facts"]
