"""What twelve evaluate --results writes, twelve score gives the same numbers for, of all tasks and protocols."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_extras
import tiny_others
from rich.console import Console
from small_world import SIZES
from typer.testing import CliRunner

from twelve import cli
from twelve import config as configuration
from twelve.errors import ConfigError, DataError, TwelveError
from twelve.evaluation.result_files import ResultFolder, told
from twelve.evaluation.results import TaskResult
from twelve.formats.data_root import DataRoot, image_key
from twelve.metrics.bootstrap import Interval
from twelve.microworld.make import make_microworld
from twelve.outputs.alignment import RetrievalScores
from twelve.regions.extraction.extract import extract_root
from twelve.runs.evaluate import evaluate_run
from twelve.runs.train import train
from twelve.score import score
from twelve.tasks.base import all_tasks, get
from twelve.types.examples import Example
from twelve.types.measurement import Protocol

QUIET = Console(quiet=True)
TWELVE = [task.name for task in all_tasks().values() if not task.extra]
OTHERS = {
    "gqa": "val_balanced",
    "refcoco": "testA",
    "refcoco+": "val",
    "visual7w": "val",
    "nlvr2": "dev",
    "coco": "val",
}
"""A second split of some tasks."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has hardly learnt anything, of all twelve tasks on a small drawn world."""
    folder = tmp_path_factory.mktemp("drawn")
    make_microworld(folder / "data", 0, SIZES)
    changes = [f"run={folder / 'run'}", f"data={folder / 'data'}", "val_fraction=0.2", "vocabulary.min_count=1"]
    changes += [f"training.{name}" for name in ("iterations=2", "eval_every=2", "eval_examples=8", "threads=1")]
    config = configuration.load("quickstart.yaml", changes)
    extract_root(folder / "data", config.regions_folder)
    return train(config, console=QUIET)


def evaluated(run: Path, folder: Path, **options: Any) -> dict[str, Any]:
    evaluate_run(run, results_folder=folder, baselines=False, console=QUIET, **options)
    index: dict[str, Any] = json.loads((folder / "results.json").read_text())["tasks"]
    return index


def check(entry: dict[str, Any], folder: Path) -> None:
    """Score a file with the command in the index, and compare every number that was measured."""
    assert (folder / entry["file"]).is_file()
    words = shlex.split(entry["command"])
    said = CliRunner().invoke(cli.app, [*words[1:], "--json"])
    assert said.exit_code == 0, said.output
    scored = json.loads(said.stdout)
    assert scored["protocol"] == entry["protocol"]
    found = {name: number["value"] for name, number in scored["numbers"].items()}
    assert {name: found.get(name) for name in entry["metrics"]} == entry["metrics"]


def test_all_twelve_score_as_they_were_measured(run: Path, tmp_path: Path) -> None:
    index = evaluated(run, tmp_path)
    assert set(index) == set(TWELVE)
    for entry in index.values():
        check(entry, tmp_path)
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".json", ".jsonl", ".csv", ".npz"}


PROTOCOLS = {
    name: [task for task in TWELVE if name in get(task).protocols]
    for name in dict.fromkeys(name for task in TWELVE for name in get(task).protocols)
}


@pytest.mark.parametrize("name", [name for name in PROTOCOLS if name not in ("official", "1k-5fold")])
def test_every_protocol_scores_as_it_was_measured(run: Path, tmp_path: Path, name: str) -> None:
    """(Five galleries need five thousand images; see below.)"""
    index = evaluated(run, tmp_path, tasks=PROTOCOLS[name], protocols=[name])
    assert set(index) == set(PROTOCOLS[name])
    for task, entry in index.items():
        assert entry["protocol"] == ("given" if get(task).output == "alignment" else name)  # the galleries are small
        check(entry, tmp_path)


def test_another_gallery_scores_as_it_was_measured(run: Path, tmp_path: Path) -> None:
    index = evaluated(run, tmp_path, tasks=["coco", "flickr30k"], gallery=4)
    for entry in index.values():
        assert "R@1 of 4" in entry["metrics"]
        check(entry, tmp_path)


def test_the_page_names_the_files_and_the_commands(run: Path, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "score.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*`) \| (`.*) \| `(twelve score .*)` \|$", page, re.MULTILINE)
    told = {
        task: (files, shlex.split(command)) for tasks, files, command in rows for task in re.findall(r"`(\S+)`", tasks)
    }
    assert set(told) == set(TWELVE)
    for task, entry in evaluated(run, tmp_path).items():
        files, words = told[task]
        assert f"`{Path(entry['file']).name.partition('_unc_')[0].partition('_umd_')[0]}" in files
        truth = [word.removeprefix("ROOT/") for before, word in pairwise(words) if before == "--truth"]
        written = [Path(file).relative_to(run.parent / "data").as_posix() for file in entry["truth"]]
        if task.startswith("refcoco"):  # one row for three
            truth = [file.replace("refcoco/", f"{task}/", 1) for file in truth]
            truth = [file.replace("unc", get(task).split_by) for file in truth]  # type: ignore[attr-defined]
        assert truth == [file for file in written if "choices" not in file]
        assert words[-2] != "--protocol" or words[-1] in get(task).scoring_protocols


@pytest.mark.parametrize("task", OTHERS)
def test_another_split_scores_as_it_was_measured(run: Path, tmp_path: Path, task: str) -> None:
    index = evaluated(run, tmp_path, tasks=[task], split=OTHERS[task])
    assert index[task]["split"] == OTHERS[task]
    check(index[task], tmp_path)


def test_the_command_is_printed(run: Path, tmp_path: Path) -> None:
    words = ["evaluate", str(run), "--task", "nlvr2", "--no-baselines", "--results", str(tmp_path / "out")]
    said = CliRunner().invoke(cli.app, words)
    assert said.exit_code == 0, said.output
    command = json.loads((tmp_path / "out" / "results.json").read_text())["tasks"]["nlvr2"]["command"]
    assert f"score it with {command}" in said.output.replace("\n", "")


def test_a_split_without_files_of_its_own_is_written_and_says_so(run: Path, tmp_path: Path) -> None:
    (entry,) = evaluated(run, tmp_path, tasks=["vqa"], split="minval").values()
    assert entry["command"] is None and not entry["truth"]
    assert (
        entry["file"] == "vqa/v2_OpenEnded_mscoco_minval_twelve_results.json" and (tmp_path / entry["file"]).is_file()
    )


def test_another_runs_results_are_not_mixed_in(run: Path, tmp_path: Path) -> None:
    evaluated(run, tmp_path, tasks=["vqa"])
    assert set(evaluated(run, tmp_path, tasks=["nlvr2"])) == {"vqa", "nlvr2"}
    with pytest.raises(ConfigError, match=r"holds the results of another run.*give another folder"):
        ResultFolder(tmp_path, tmp_path / "another")


def write_vqa(folder: Path, split: str = "val") -> Path:
    """A result file without answers, by a folder of results that is opened anew."""
    folder.mkdir(exist_ok=True)
    result = replace(RESULT, task="vqa", protocol=Protocol(split))
    entry = ResultFolder(folder, folder).write(get("vqa"), DataRoot(folder), result, [], [])
    return folder / str(entry.file)


def test_processes_that_evaluate_different_tasks_share_a_folder(tmp_path: Path) -> None:
    both = [ResultFolder(tmp_path, tmp_path) for _ in range(2)]
    for folder, task, split in zip(both, ("vqa", "nlvr2"), ("val", "test1"), strict=True):
        folder.write(get(task), DataRoot(tmp_path), replace(RESULT, task=task, protocol=Protocol(split)), [], [])
    assert set(ResultFolder(tmp_path, tmp_path).entries) == {"vqa", "nlvr2"}
    write_vqa(tmp_path)  # known as the run's own


def test_files_of_others_are_not_replaced(tmp_path: Path) -> None:
    file = write_vqa(tmp_path)
    write_vqa(tmp_path, "minval")
    assert write_vqa(tmp_path) == file  # its own, though the index names another split's by now
    (tmp_path / "results.json").unlink()
    file.write_text("precious")
    with pytest.raises(ConfigError, match=r"is there, and results.json does not name it.* -> give another folder"):
        write_vqa(tmp_path)
    assert file.read_text() == "precious"


@pytest.mark.parametrize("what", ["file", "folder", "folder above"])
def test_a_file_of_others_is_refused_before_anything_is_computed(
    what: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twelve.runs.evaluate.open_saved", None)  # the model is not even opened
    file = tmp_path / "nlvr2" / "test1_predictions.csv"
    if what == "folder above":
        file.parent.write_text("precious")
    elif what == "folder":
        file.mkdir(parents=True)
    else:
        file.parent.mkdir()
        file.write_text("precious")
    with pytest.raises(TwelveError, match=r"nlvr2.*(is there, and results\.json does not name it|found a file).* -> "):
        evaluate_run(run, tasks=["vqa", "nlvr2"], results_folder=tmp_path, baselines=False, console=QUIET)
    assert not (tmp_path / "vqa").exists() and not (tmp_path / "results.json").exists()
    if what == "file":
        assert file.read_text() == "precious"


@pytest.mark.parametrize("link", ["results.json", "vqa", "vqa/v2_OpenEnded_mscoco_val2014_twelve_results.json"])
def test_links_out_of_the_folder_are_not_followed(tmp_path: Path, link: str) -> None:
    folder, outside = tmp_path / "out", tmp_path / "outside"
    file = write_vqa(folder)
    shutil.move(folder / link, outside)
    (folder / link).symlink_to(outside)
    kept = (outside / file.name if outside.is_dir() else outside).stat().st_mtime_ns
    with pytest.raises(ConfigError, match="is a link out of its folder of results"):
        write_vqa(folder)
    assert (outside / file.name if outside.is_dir() else outside).stat().st_mtime_ns == kept


@pytest.mark.parametrize(
    "index", ["[]", "{", '{"run": 5}', '{"run": "RUN", "tasks": []}', '{"run": "RUN", "tasks": {"vqa": 5}}']
)
def test_a_damaged_index_is_named(tmp_path: Path, index: str) -> None:
    (tmp_path / "results.json").write_text(index.replace("RUN", str(tmp_path.resolve())))
    with pytest.raises(DataError, match=r"-> give another folder, or remove results\.json") as raised:
        ResultFolder(tmp_path, tmp_path)
    assert raised.value.file == tmp_path / "results.json"


def test_a_file_is_complete_or_absent(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> str:
        raise KeyboardInterrupt

    before = evaluated(run, tmp_path, tasks=["vqa", "nlvr2"])
    kept = (tmp_path / before["nlvr2"]["file"]).read_bytes()
    monkeypatch.setattr(type(get("nlvr2")), "submission", killed)
    with pytest.raises(KeyboardInterrupt):
        evaluate_run(run, tasks=["nlvr2"], results_folder=tmp_path, baselines=False, console=QUIET)
    assert (tmp_path / before["nlvr2"]["file"]).read_bytes() == kept
    (tmp_path / before["nlvr2"]["file"]).unlink()
    with pytest.raises(KeyboardInterrupt):
        evaluate_run(run, tasks=["nlvr2"], results_folder=tmp_path, baselines=False, console=QUIET)
    assert [path.name for path in (tmp_path / "nlvr2").iterdir()] == []


def test_several_galleries_are_one_file(tmp_path: Path) -> None:
    task, rng = get("coco"), np.random.default_rng(0)
    images = [
        {"filename": f"COCO_val2014_{n:012d}.jpg", "cocoid": n, "split": "test", "sentences": sentences(n)}
        for n in range(1, 5001)
    ]
    truth = tmp_path / "dataset_coco.json"
    truth.write_text(json.dumps({"dataset": "coco", "images": images}))
    galleries = []
    for start in range(1, 5001, 1000):
        ids = tuple(f"coco/{number}" for number in range(start, start + 1000))
        captions = tuple(str(number) for number in range(start, start + 1000))
        scores = rng.standard_normal((1000, 1000)).astype(np.float32)
        galleries.append(RetrievalScores(scores, captions, ids, np.arange(1000)))
    (tmp_path / "scores.npz").write_bytes(task.submission([], galleries))
    found = score("coco", truth, tmp_path / "scores.npz", "1k-5fold")
    shown = [
        task.measure([Example(key, "", (key,)) for key in each.caption_ids], each).metrics["R@10"] for each in galleries
    ]
    assert found.numbers["R@10"].value == np.mean(shown)


def sentences(number: int) -> list[dict[str, Any]]:
    return [{"raw": "x", "sentid": number, "tokens": ["x"]}]


@pytest.fixture(scope="module")
def real(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has hardly learnt anything, of the five tasks of the real annotations; its regions are made up."""
    folder = tmp_path_factory.mktemp("real")
    tiny.make(folder / "tiny", train=4, val=2)
    kinds = {"flickr30k": "*.jpg", "coco/train2014": "*.jpg", "coco/val2014": "*.jpg", "nlvr2": "*.png"}
    names = [
        f"{kind.partition('/')[0]}/{image_key(path.name)}"
        for kind, pattern in kinds.items()
        for path in sorted((realdata / "images" / kind).glob(pattern))
    ]
    tiny.write_regions(folder / "regions", {name: number for number, name in enumerate(names)})
    tree = tiny.tree(realdata, folder / "run", regions=str(folder / "regions"))
    tree["model"]["tokenizer"] = str(folder / "tiny" / "tokenizer")
    tree["training"] |= {"iterations": 2, "eval_every": 2, "eval_examples": 8}
    for settings in tree["tasks"].values():
        settings["max_train"] = 64
    return train(configuration.parse(tree), console=QUIET)


@pytest.mark.slow
def test_the_real_annotations_score_as_they_were_measured(real: Path, tmp_path: Path) -> None:
    index = evaluated(real, tmp_path, gallery=100)
    assert set(index) == set(tiny.TASKS)
    for entry in index.values():
        check(entry, tmp_path)


def test_extra_tasks_score_as_they_were_measured(tmp_path: Path) -> None:
    root = tiny_others.make(tmp_path / "root", train=8, val=4)
    tree = tiny.tree(root, tmp_path / "run", sources={})
    tree["tasks"] = {}
    for module in tiny_extras.EXTRAS:
        module.make(root, train=8, val=4)
        tree["tasks"] |= {task: module.settings(task) for task in module.REPORTS}
    tree["training"] |= {"iterations": 2, "eval_every": 2}
    index = evaluated(train(configuration.parse(tree), console=QUIET), tmp_path / "out")
    able = {task.name for task in all_tasks().values() if task.extra and task.scoring_protocols}
    assert set(index) == able
    for entry in index.values():
        check(entry, tmp_path / "out")


def test_a_task_without_a_format_says_so(tmp_path: Path) -> None:
    entry = ResultFolder(tmp_path, tmp_path).write(get("conceptual_captions"), DataRoot(tmp_path), RESULT, [], None)
    assert entry.file is None and "has no format" in told(entry, tmp_path)
    assert json.loads((tmp_path / "results.json").read_text())["tasks"]["conceptual_captions"]["file"] is None


RESULT = TaskResult("conceptual_captions", "", Protocol("val"), 1, 1, "R@1", Interval(1.0, 1.0, 1.0), {"R@1": 1.0}, {})
