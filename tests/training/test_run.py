"""A run's folder: what a failure leaves there, what may be resumed, and what a damaged part of it leads to."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from twelve import cli
from twelve import config as configuration
from twelve.data.clean import HeldOut
from twelve.data.prepare import prepare
from twelve.errors import CheckpointError, ConfigError, MissingData, RegionError, TwelveError
from twelve.formats.data_root import DataRoot
from twelve.io import files
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.progress import Track
from twelve.regions.store.region_store import RegionStore
from twelve.report.reading import read_run
from twelve.report.write import write_report
from twelve.run_folder import RunFolder
from twelve.runs import early
from twelve.runs.announced import without_regions
from twelve.runs.evaluate import evaluate_run
from twelve.runs.run_card import kept_scores
from twelve.runs.train import _familiar, train
from twelve.runs.unfinished import unfinished
from twelve.settings import RunConfig, TaskSettings
from twelve.tasks.custom import own_tasks
from twelve.training import checkpoint
from twelve.training.eta import Pace
from twelve.training.trainer import Trainer
from twelve.training.validation import Validation
from twelve.types.examples import Example

QUIET = Console(quiet=True)
TASKS = ("vqa", "snli_ve")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("root"), train=6, val=2)


def parsed(root: Path, run: Path, **training: Any) -> RunConfig:
    tree = tiny.tree(root, run)
    tree |= {"tasks": {task: tree["tasks"][task] for task in TASKS}, "sources": {}}
    tree["training"] |= {"iterations": 4, "save_every": 2, "eval_every": 2} | training
    return configuration.parse(tree)


@pytest.fixture(scope="module")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(parsed(root, tmp_path_factory.mktemp("runs") / "good"), console=QUIET)


def test_the_card_says_what_was_scored_when_the_model_was_saved(finished: Path) -> None:
    kept, text = kept_scores(finished), (finished / "model" / "README.md").read_text()
    assert kept.keys() == set(TASKS) and all(f"| {100 * score:.1f} |" in text for score in kept.values())
    assert "drawn" not in text and "not been evaluated yet" in text
    assert "- Its confidence states how often such an answer was correct " in text


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished run."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.mark.parametrize("keep", ["best", "last"])
def test_which_model_is_kept(keep: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, kept = iter([0.5, 0.5, 0.6, 0.6, 0.4, 0.4]), list[int]()
    save = Trainer.save_model

    def noted(self: Trainer) -> None:
        kept.append(self.state.iteration)
        save(self)

    monkeypatch.setattr(Trainer, "save_model", noted)
    monkeypatch.setattr(
        Validation, "score", lambda self, network, name, examples=None: 0.0 if examples else next(scores)
    )
    run = train(parsed(root, tmp_path / "run", iterations=3, eval_every=1, keep_model=keep), console=QUIET)
    assert kept == ([1, 2] if keep == "best" else [1, 2, 3])
    assert kept_scores(run) == dict.fromkeys(TASKS, 0.6 if keep == "best" else 0.4)
    found = read_run(run).kept
    assert found is not None and (found.iteration, found.last) == (kept[-1], keep == "last")


@pytest.mark.parametrize("done", [2, 4])
def test_a_model_that_is_gone_is_saved_again(
    done: int, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best one is gone with the folder, so it is the last one, whatever its score."""
    scores = iter([0.6, 0.6, 0.4, 0.4, 0.4, 0.4])
    monkeypatch.setattr(
        Validation, "score", lambda self, network, name, examples=None: 0.0 if examples else next(scores)
    )
    run = RunFolder(train(parsed(root, tmp_path / "run"), console=QUIET))
    last = checkpoint.newest(run)
    assert kept_scores(run.path) == dict.fromkeys(TASKS, 0.6) and last is not None
    shutil.rmtree(run.model)
    if done == 2:
        shutil.rmtree(run.checkpoint(4))
    with pytest.raises(CheckpointError, match="the model of this run is gone"):
        evaluate_run(run.path, console=QUIET)
    console = Console(record=True, width=200)
    train(parsed(root, run.path), resume=True, console=console)
    assert "the model was gone: saved the last one, of iteration 4\n" in console.export_text()
    saved = Twelve.from_pretrained(run.model).state_dict()
    assert all(torch.equal(saved[name], weights) for name, weights in last[1]["model"].items())
    assert kept_scores(run.path) == dict.fromkeys(TASKS, 0.4)
    assert read_run(run.path).kept is None  # the log names the iteration of a better one


def failing(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    step, calls = Trainer._step, 0

    def fails(self: Trainer, name: str) -> float:
        nonlocal calls
        calls += 1
        if calls > at:
            raise RegionError("a flaw that shows late", file="somewhere")
        return step(self, name)

    monkeypatch.setattr(Trainer, "_step", fails)


def test_a_run_that_failed_in_its_first_step_is_begun_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, at=3)
    with pytest.raises(RegionError, match="shows late"):
        train(parsed(root, tmp_path / "run"), console=QUIET)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"no model yet -> train it: .*--continue"):
        evaluate_run(tmp_path / "run", console=QUIET)
    train(parsed(root, tmp_path / "run"), console=QUIET)
    logged = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in logged if line["kind"] == "step"] == [1, 2, 3, 4]
    with pytest.raises(ConfigError, match="already holds a run"):
        train(parsed(root, tmp_path / "run"), console=QUIET)


def test_a_run_may_lie_in_new_folders_but_not_in_a_new_one_at_the_root(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (Path("runs/new"), Path("new"), Path("runs/sweep/new"), tmp_path / "runs" / "new", Path("/new-run")):
        early.check(parsed(root, path), resume=False, reads=False)
    for path in (Path("/no such folder/new"), Path("/no such folder/x/new")):
        with pytest.raises(ConfigError, match=r"folder /no such folder does not exist .*: mkdir '/no such folder'$"):
            early.check(parsed(root, path), resume=False, reads=False)


def test_an_interrupted_run_says_so_and_knows_its_training_texts(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, at=5)  # in the third iteration, after a validation and a checkpoint
    with pytest.raises(RegionError, match="shows late"):
        train(parsed(root, tmp_path / "run"), console=QUIET)
    monkeypatch.undo()
    run = RunFolder(tmp_path / "run")
    words = TwelveProcessor.from_pretrained(run.model).known_words
    assert words is not None and words.complete and words.words
    told = "training has not ended; 2 of 4 iterations are done, so this is not the final model; to resume it: "
    told += f"twelve train {run.config} --continue"
    assert unfinished(run.path) == unfinished(run.model) == told
    image = tmp_path / "image.png"
    Image.new("RGB", (64, 64)).save(image)
    monkeypatch.setattr("twelve.web.serve", lambda *_, **__: None)
    for command in (
        ["evaluate"],
        ["predict", "--image", str(image), "--ask", "what is it ?"],
        ["serve", "--port", "0"],
    ):
        said = CliRunner().invoke(cli.app, [command[0], str(run.path), *command[1:]])
        assert said.stderr.count(f"warning: {told}\n") == 1 and told not in said.stdout, (command, said.output)
    shutil.rmtree(run.checkpoints)
    assert unfinished(run.path) == told.replace("to resume it", "no checkpoint yet; start again")
    train(parsed(root, run.path), resume=True, console=QUIET)
    assert unfinished(run.path) is None
    assert TwelveProcessor.from_pretrained(run.model).known_words == words


@pytest.mark.parametrize("name", ["logged", "diverged"])
def test_a_log_that_cannot_be_read_does_not_stop_what_uses_the_model(
    name: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(run)
    folder.trained.unlink()
    folder.config.write_text(re.sub(r"iterations: \d+", "iterations: 100", folder.config.read_text()))
    assert unfinished(run) is not None

    def unreadable(self: RunFolder) -> None:
        raise CheckpointError("cannot be read", file=self.metrics)

    monkeypatch.setattr(RunFolder, name, unreadable)
    assert unfinished(run) is None


def test_test_images_without_regions_are_told_before_training(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, lacking = prepare(parsed(root, tmp_path / "run")), set[str]()
    (images,) = (
        split.images
        for split in data.held_out.splits
        if split.task == "snli_ve" and split.split == data.tasks["snli_ve"].test_split
    )
    assert not list(without_regions(data))
    lacking.add(min(images))
    monkeypatch.setattr(RegionStore, "__contains__", lambda self, image: image not in lacking)
    (line,) = without_regions(data)
    title, split = data.tasks["snli_ve"].task.title, data.tasks["snli_ve"].test_split
    assert line.startswith(f"{title}: 1 of {len(images)} images of its test split {split} have no regions")
    assert "extract them, now or after training: twelve regions " in line
    console = Console(record=True, width=200)
    train(parsed(root, tmp_path / "run", iterations=1), console=console)
    assert f"warning: {line}\n" in console.export_text().partition("one model,")[0]


def test_each_source_without_regions_has_its_command(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = prepare(parsed(root, tmp_path / "run"))
    test = HeldOut("snli_ve", data.tasks["snli_ve"].test_split, "test", frozenset({"flickr30k/x", "coco/y", "coco/z"}))
    data = replace(data, held_out=replace(data.held_out, splits=(test,)))

    def sought(self: DataRoot, image: str) -> Path | None:
        raise AssertionError("the files of a known dataset are not looked for")

    with monkeypatch.context() as patch:
        patch.setattr(DataRoot, "image_file", sought)
        (line,) = without_regions(data)
    assert "3 of 3 images" in line and "put the" not in line
    coco, flickr = line.partition("now or after training: ")[2].split("; twelve")
    assert coco.startswith("twelve regions extract") and "images/coco" in coco
    assert flickr.startswith(" regions extract") and "images/flickr30k" in flickr
    own = own_tasks({"mine": TaskSettings(kind="answer", train="a.jsonl", test_split="b.jsonl", images="coco")})["mine"]
    tasks = {"snli_ve": replace(data.tasks["snli_ve"], task=own)}
    (line,) = without_regions(replace(data, tasks=tasks))
    for count, source in ((2, "coco"), (1, "flickr30k")):
        assert f"put the {count} that are missing into {root / 'images' / source}, then " in line


def test_a_resumed_run_logs_everything_once(root: Path, run: Path) -> None:
    before = (run / "metrics.jsonl").read_text()
    shutil.rmtree(run / "checkpoints" / "step-0000004")
    with open(run / "metrics.jsonl", "ab") as stream:
        stream.write(b'{"kind": "st\xff')  # killed while writing
    train(parsed(root, run), resume=True, console=QUIET)

    def without_times(text: str) -> list[Any]:
        return [json.loads(line) | {"seconds": 0} for line in text.splitlines()]

    assert without_times((run / "metrics.jsonl").read_text()) == without_times(before)


def test_the_time_left_of_a_resumed_run_is_that_of_what_is_left(
    root: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done before counts neither as done in no time nor as left to do."""
    given: list[int] = []

    class Noting(Pace):
        def __init__(self, iterations: int, validations: Mapping[str, float], *, stops: bool) -> None:
            super().__init__(iterations, validations, stops=stops)
            given.append(iterations)

    def noted(*_: object, done: int, **__: object) -> Track:
        given.append(done)
        return Track("training", 4, done=done, shown=False)

    shutil.rmtree(run / "checkpoints" / "step-0000004")
    monkeypatch.setattr("twelve.training.trainer.Track", noted)
    monkeypatch.setattr("twelve.training.trainer.Pace", Noting)
    train(parsed(root, run), resume=True, console=QUIET)
    assert given == [2, 2]  # of four iterations two were done, and two are left


def test_continue_begins_a_run_and_goes_on_with_it(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, iterate, done = tmp_path / "run", Trainer._iterate, list[int]()

    def counted(self: Trainer, pace: Pace) -> dict[str, float]:
        done.append(self.state.iteration)
        return iterate(self, pace)

    monkeypatch.setattr(Trainer, "_iterate", counted)
    (tmp_path / "run.json").write_text(parsed(root, run).model_dump_json())
    for expected in ([0, 1, 2, 3], [2, 3]):
        done.clear()
        said = CliRunner().invoke(cli.app, ["train", str(tmp_path / "run.json"), "--continue"])
        assert said.exit_code == 0, (said.output, said.exception)
        assert done == expected
        shutil.rmtree(run / "checkpoints" / "step-0000004")


@pytest.mark.parametrize("key", ["seed", "tasks.vqa.batch_size", "optimizer.weight_decay"])
def test_another_configuration_is_not_resumed(root: Path, run: Path, key: str) -> None:
    tree = parsed(root, run).model_dump(mode="json")
    node: Any = tree
    *above, last = key.split(".")
    for part in above:
        node = node[part]
    node[last] = 1
    with pytest.raises(ConfigError) as caught:
        train(configuration.parse(tree), resume=True, console=QUIET)
    assert caught.value.record == key and "begun with" in caught.value.problem


def test_tasks_in_another_order_are_not_resumed(root: Path, run: Path) -> None:
    """Their order is that of the heads and of the steps: the optimizer's state would be of other weights."""
    config = parsed(root, run)
    tasks = dict(reversed(config.tasks.items()))
    with pytest.raises(ConfigError) as caught:
        train(config.model_copy(update={"tasks": tasks}), resume=True, console=QUIET)
    assert caught.value.record == "tasks" and "begun with" in caught.value.problem


@pytest.mark.parametrize("name", ["evaluation.json", "metrics.jsonl", "data.json", "report.html", "model"])
def test_a_run_does_not_write_out_of_its_folder(root: Path, run: Path, tmp_path: Path, name: str) -> None:
    """A run may come from anybody: whatever its links lead to is not its own."""
    mine = tmp_path / "mine"
    if name == "model":
        shutil.move(run / name, mine)
    else:
        (run / name).unlink(missing_ok=True)
        mine.write_text("mine")
    before = mine.stat().st_mtime_ns
    (run / name).symlink_to(mine)
    problem = (
        rf"run/{re.escape(name)} is a link out of its run; the file that it leads to would be replaced: .*mine -> put"
    )
    with pytest.raises(ConfigError, match=problem):
        train(parsed(root, run, iterations=9), resume=True, console=QUIET)
    with pytest.raises(ConfigError, match=problem):
        evaluate_run(run, console=QUIET)
    with pytest.raises(TwelveError, match=re.escape(f"run/{name}")):  # or what it holds
        write_report(run)
    assert mine.stat().st_mtime_ns == before and (name == "model" or mine.read_text() == "mine")
    (run / name).unlink()
    if name == "model":
        shutil.move(mine, run / name)
        (tmp_path / "alias").symlink_to(run)
        train(
            parsed(root, tmp_path / "alias", iterations=9), resume=True, console=QUIET
        )  # the folder itself may be one


def test_without_an_intact_checkpoint_nothing_is_resumed(root: Path, run: Path) -> None:
    for folder in (run / "checkpoints").iterdir():
        (folder / "state.json").write_text("[]")
    with pytest.raises(CheckpointError, match="none of the 2 checkpoints is intact"):
        train(parsed(root, run, iterations=9), resume=True, console=QUIET)


def _iteration(tree: Any) -> None:
    tree["trainer"]["iteration"] = "many"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_iteration, r" \[trainer.iteration\]: expected an integer, found str 'many'"),
        (lambda tree: tree.pop("random"), " does not fit this run"),
        (lambda tree: tree.pop("stream vqa"), " does not fit this run"),
        (lambda tree: tree["schedule"].pop("vqa"), ": the checkpoint schedules snli_ve, the run snli_ve, vqa"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(
    root: Path, run: Path, change: Callable[[Any], object], words: str
) -> None:
    folder = RunFolder(run).saved()[-1]
    tree = checkpoint.load(folder)
    change(tree)
    checkpoint.save(folder, tree)
    with pytest.raises(CheckpointError, match=f"step-0000004{words}"):
        train(parsed(root, run, iterations=9), resume=True, console=QUIET)


def test_two_processes_do_not_train_into_one_folder(root: Path, tmp_path: Path) -> None:
    with files.alone(tmp_path / "run"), pytest.raises(TwelveError, match="another process is writing here"):
        train(parsed(root, tmp_path / "run"), console=QUIET)


def test_full_disk_while_training_keeps_what_there_was(root: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = {path.name: path.read_bytes() for path in (run / "model").iterdir()}

    def full(self: object, folder: Path, **_: object) -> None:
        (folder / "tokenizer.json").write_text("half")
        raise Exception("No space left on device (os error 28)")

    monkeypatch.setattr("twelve.training.trainer.TwelveProcessor.save_pretrained", full)
    failing(monkeypatch, at=100)
    folder = RunFolder(run).saved()[-1]
    tree = checkpoint.load(folder)
    tree["trainer"]["best"] = -1.0  # the next model is the best, whatever is computed
    checkpoint.save(folder, tree)
    longer = parsed(root, run, iterations=40, eval_every=1)
    with pytest.raises(TwelveError, match=r"run/model cannot be written: No space left"):
        train(longer, resume=True, console=QUIET)
    assert {path.name: path.read_bytes() for path in (run / "model").iterdir()} == model
    assert not (run / ".model.partial").exists()


def test_missing_annotations_are_told_before_missing_regions(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    tree = {"run": str(tmp_path / "run"), "data": str(tmp_path / "data"), "tasks": ["vqa"]}
    fetched = rf"put .* into it, or run twelve data fetch vqa --root {tmp_path / 'data'} --yes$"
    with pytest.raises(MissingData, match=rf"the data root has no folder for vqa -> make it and {fetched}"):
        train(configuration.parse(tree), console=QUIET)


def test_a_store_that_does_not_exist_is_said_to(root: Path, tmp_path: Path) -> None:
    tree = parsed(root, tmp_path / "run").model_dump(mode="json") | {"regions": str(tmp_path / "none")}
    with pytest.raises(RegionError, match=r"none: no such region store.*twelve regions extract --images .*--out"):
        train(configuration.parse(tree), console=QUIET)
    (tmp_path / "none").write_text("")
    with pytest.raises(RegionError, match="this is a file"):
        train(configuration.parse(tree), console=QUIET)


def test_heads_are_not_configured(root: Path, tmp_path: Path) -> None:
    tree = parsed(root, tmp_path / "run").model_dump(mode="json")
    tree["model"]["architecture"]["heads"] = {}
    with pytest.raises(ConfigError, match=r"model\.architecture\.heads"):
        train(configuration.parse(tree), console=QUIET)


def test_training_saves_what_its_images_have_in_common(
    root: Path, tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are enough images to tell, fewer than which say nothing."""
    assert TwelveProcessor.from_pretrained(finished / "model").familiar is None
    monkeypatch.setattr("twelve.model.familiarity.LEAST", 4)
    run = train(parsed(root, tmp_path / "run"), console=QUIET)
    saved = TwelveProcessor.from_pretrained(run / "model").familiar
    assert saved is not None and len(saved.mean) == Twelve.from_pretrained(run / "model").config.v_feature_size
    monkeypatch.setattr("twelve.model.familiarity.LEAST", 1 << 20)
    config = parsed(root, tmp_path / "few")
    config = config.model_copy(update={"model": config.model.model_copy(update={"init": str(run)})})
    few = train(config, console=QUIET)
    kept = TwelveProcessor.from_pretrained(few / "model").familiar  # the base model's, for its images and the run's own
    assert (
        kept is not None
        and (kept.mean == saved.mean).all()
        and all(k >= s for k, s in zip(kept.limits, saved.limits, strict=True))
    )


def test_images_of_ones_own_are_a_kind_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside those of datasets, even where a dataset has such images too."""
    told: dict[str, str] = {}
    monkeypatch.setattr(
        "twelve.runs.train.familiarity_of",
        lambda images, features, kind_of: told.update({image: kind_of(image) for image in images}),
    )

    def task(kind: str | None, *images: str) -> Any:
        examples = [Example(image, "what is it?", (image,)) for image in images]
        return SimpleNamespace(train=examples, settings=SimpleNamespace(kind=kind))

    tasks = {"vqa": task(None, "coco/1"), "mine": task("answer", "mine/1", "coco/2"), "gqa": task(None, "vg/1")}
    data: Any = SimpleNamespace(tasks=tasks, store=None)
    _familiar(data, 4, None)
    assert told == {"coco/1": "", "mine/1": "mine", "coco/2": "", "vg/1": ""}
