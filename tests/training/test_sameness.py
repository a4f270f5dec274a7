"""A run that goes on notices what changed since it was begun."""

from __future__ import annotations

import dataclasses
import io
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from rich.console import Console

from twelve import config as configuration
from twelve.data.examples.codec import Codec
from twelve.data.examples.columns import take
from twelve.data.examples.store import checksum, open_examples, write_examples
from twelve.errors import CheckpointError, ConfigError, DataError, TwelveError
from twelve.run_folder import RunFolder
from twelve.runs.train import train
from twelve.settings import RunConfig
from twelve.training import checkpoint, sameness
from twelve.training.trainer import Trainer
from twelve.training.validation import Validation
from twelve.types.examples import Example
from twelve.types.packed import Packed

TASKS = ("vqa", "snli_ve")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a run on it: four iterations, a checkpoint after two and after four."""
    place = tmp_path_factory.mktemp("made")
    tiny.make(place / "data", train=6, val=2)
    train(parsed(place), console=Console(quiet=True))
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "place"))


def parsed(place: Path, **training: Any) -> RunConfig:
    tree = tiny.tree(place / "data", place / "run")
    tree |= {"tasks": {task: tree["tasks"][task] for task in TASKS}, "sources": {}}
    tree["training"] |= {"iterations": 4, "save_every": 2, "eval_every": 2} | training
    return configuration.parse(tree)


def resumed(place: Path, config: RunConfig | None = None, **options: Any) -> str:
    """Resume from the checkpoint before the last; returns what was said."""
    shutil.rmtree(place / "run" / "checkpoints" / "step-0000004", ignore_errors=True)
    said = io.StringIO()
    train(config or parsed(place), resume=True, console=Console(file=said, width=10_000), **options)
    return said.getvalue()


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) | {"seconds": 0} for line in (run / "metrics.jsonl").read_text().splitlines()]


def flip(place: Path) -> None:
    """Every label becomes another one; all counts stay."""
    for file in (place / "data" / "snli_ve").glob("*train*.jsonl"):
        other = {"entailment": "neutral", "neutral": "contradiction", "contradiction": "entailment"}
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        tiny.write_lines(file, [row | {"gold_label": other[row["gold_label"]]} for row in rows])


def test_unchanged_it_goes_on_without_a_word(place: Path) -> None:
    before = lines(place / "run")
    said = resumed(place)
    assert "resumed at iteration 2 of 4" in said
    assert not any(word in said for word in ("changed: ", "lost:", "was lost", "earlier version", "skipped: "))
    assert lines(place / "run") == before


def test_without_a_checkpoint_it_begins_again(place: Path) -> None:
    before = lines(place / "run")
    shutil.rmtree(place / "run" / "checkpoints")
    (place / "run" / "trained.json").unlink()
    (place / "run" / "metrics.jsonl").write_text("")  # as if killed in the first iteration
    said = resumed(place)
    assert "the run has no checkpoint: it starts again" in said and "resumed" not in said
    assert lines(place / "run") == before


def test_flipped_labels_are_refused_and_may_be_insisted_on(place: Path) -> None:
    flip(place)
    with pytest.raises(DataError, match=r"step-0000002: not what .*the data \(snli_ve\.train\).*--allow-changed-data"):
        resumed(place)
    assert json.loads(RunFolder(place / "run").trained.read_text())["iterations"] == 4  # nothing was touched
    said = resumed(place, allow_changed_data=True)
    assert "changed: the data (snli_ve.train)" in said
    tree = json.loads((place / "run" / "data.json").read_text())
    read = {name: each["sha256"] for name, each in tree["files"].items()}  # the model was last trained on these
    assert read == {name: checksum(place / "data" / name) for name in read} and any("snli_ve" in name for name in read)
    (change,) = tree["changed"]
    assert change["iteration"] == 2 and "snli_ve.train" in change["what"][0]
    assert any("snli_ve.train" in line.get("event", "") for line in lines(place / "run"))
    assert "changed: " not in resumed_again(place)  # the checkpoints that follow are of these data


def resumed_again(place: Path) -> str:
    """Resume from the last checkpoint, as if the run had been killed then."""
    RunFolder(place / "run").trained.unlink()
    said = io.StringIO()
    train(parsed(place), resume=True, console=Console(file=said, width=10_000))
    return said.getvalue()


def _another_image(place: Path) -> None:
    images = {f"{source}/{base + n}": n + 1 for source, base in (("coco", 0), ("flickr30k", 9000)) for n in range(8)}
    shutil.rmtree(place / "data" / "regions")
    tiny.write_regions(place / "data" / "regions", images)


def _another_word(place: Path) -> None:
    file = place / "data" / "tokenizer" / "vocab.txt"
    file.write_text(file.read_text().replace("someone\nsings", "sings\nsomeone"))


def _another_answer(place: Path) -> None:
    file = next((place / "data" / "vqa").glob("*train*annotations*.json"))
    file.write_text(file.read_text().replace('"red"', '"reddish"'))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_another_image, r"the regions \(\w+\.content\).*--allow-changed-data"),
        (_another_word, "the tokenizer"),
        (_another_answer, r"the data \(vqa\.train\)"),
    ],
)
def test_other_data_are_refused(place: Path, change: Callable[[Path], None], words: str) -> None:
    change(place)
    with pytest.raises(TwelveError, match=words):
        resumed(place)


def test_other_answers_are_refused_even_if_somebody_insists(place: Path) -> None:
    _another_answer(place)
    with pytest.raises(ConfigError, match=r"the answers of a head \(answer\).*restore the files"):
        resumed(place, allow_changed_data=True)


def test_what_is_not_trained_on_may_change(place: Path) -> None:
    for file in (place / "data" / "snli_ve").glob("*.jsonl"):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        tiny.write_lines(file, [row | {"note": "new"} for row in rows])
    assert "changed: " not in resumed(place)


def test_precision_is_not_changed_midway(place: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[training\.precision\] is 'bf16', but .*begun with 'fp32'"):
        resumed(place, parsed(place, precision="bf16"))
    folder = place / "run" / "checkpoints" / "step-0000002"
    state = checkpoint.load(folder)
    state["record"]["precision"] = "bf16"  # nor behind its back, in config.yaml
    checkpoint.save(folder, state)
    with pytest.raises(ConfigError, match=r"step-0000002: .*training\.precision: bf16 before, fp32 now"):
        resumed(place)


def test_a_changed_configuration_file_is_noticed(place: Path) -> None:
    file = place / "run" / "config.yaml"
    file.write_text(file.read_text().replace("seed: 3", "seed: 4"))
    with pytest.raises(ConfigError, match=r"the configuration \(seed\): 3 before, 4 now"):
        resumed(place, configuration.load(file))


def test_fewer_iterations_than_are_done_are_refused(place: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[training\.iterations\]: 1 are asked for, but 2 are done.*2 or more"):
        resumed(place, parsed(place, iterations=1))
    said = resumed(place, parsed(place, iterations=2))
    assert "changed: the length" in said and "4 before, 2 now" in said


def test_more_iterations_are_said(place: Path) -> None:
    assert "changed: the length, which the learning rate follows from here: 4 before, 6 now" in resumed(
        place, parsed(place, iterations=6)
    )
    assert json.loads(RunFolder(place / "run").trained.read_text())["iterations"] == 6
    assert configuration.load(place / "run" / "config.yaml").training.iterations == 6
    assert any(line.get("event", "").startswith("changed: the length") for line in lines(place / "run"))


def test_which_model_is_kept_may_change_and_is_said(place: Path) -> None:
    record = (place / "run" / "checkpoints" / "step-0000002" / "state.json").read_text()
    assert "eval_every" in record and "keep_model" not in record  # of the best model, as in earlier versions
    said = resumed(place, parsed(place, keep_model="last"))
    assert "changed: when and how training validates (keep_model): none before, last now" in said
    assert "Kept: the model of iteration 4, the last one (training.keep_model=last)" in said


def test_a_setting_that_earlier_versions_lack_counts_only_if_it_changes_something(place: Path) -> None:
    record = (place / "run" / "checkpoints" / "step-0000002" / "state.json").read_text()
    assert '"microworld":{' in record and "draw_wordings" not in record
    base: dict[str, Any] = dict.fromkeys(sameness.PARTS) | {"iterations": 4}
    before, same, other = (
        base | {"settings": {"microworld": {"apart": False} | added}}
        for added in ({}, {"draw_wordings": False}, {"draw_wordings": True})
    )
    for then in (before, same):
        assert sameness.compare(then, before, done=2, file=place) == []
    with pytest.raises(ConfigError, match=r"the configuration \(microworld\.draw_wordings\): none before, True now"):
        sameness.compare(before, other, done=2, file=place)


def test_lost_history_is_said(place: Path) -> None:
    file = place / "run" / "metrics.jsonl"
    rows = file.read_text().splitlines(keepends=True)
    file.write_text("".join(rows[1:]))
    assert "history lost: metrics.jsonl has" in resumed(place)
    assert any(line.get("event", "").startswith("history lost") for line in lines(place / "run"))
    file.unlink()
    assert "history lost: metrics.jsonl has 0 of the" in resumed(place)


@pytest.mark.parametrize("name", ["data.json", "machine.json"])
@pytest.mark.parametrize("text", [None, "\x00garbage", "[]"])
def test_lost_facts_are_written_again(place: Path, name: str, text: str | None) -> None:
    file = place / "run" / name
    before = json.loads(file.read_text())
    file.unlink() if text is None else file.write_text(text)
    assert f"{name} was lost or damaged" in resumed(place)
    assert json.loads(file.read_text()) == before


def test_another_machine_is_said(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from twelve.training import provenance

    here = provenance.machine()
    monkeypatch.setattr(provenance, "machine", lambda: here | {"torch": "9.9"})
    assert "changed: the machine" in resumed(place)


def test_lost_checkpoints_are_not_begun_again(place: Path) -> None:
    shutil.rmtree(place / "run" / "checkpoints")
    with pytest.raises(CheckpointError, match="its checkpoints are gone"):
        resumed(place)
    RunFolder(place / "run").trained.unlink()
    with pytest.raises(CheckpointError, match="its checkpoints are gone"):
        train(parsed(place), go_on=True, console=Console(quiet=True))


def test_a_checkpoint_of_an_earlier_version(place: Path) -> None:
    folder = place / "run" / "checkpoints" / "step-0000002"
    state = checkpoint.load(folder)
    del state["record"], state["logged"]
    checkpoint.save(folder, state)
    with pytest.raises(CheckpointError, match=r"written by an earlier version, .* -> train anew: --set run=ANOTHER"):
        resumed(place)


# --- begin or go on -----------------------------------------------------------------------------------------------
STOPS = ("before anything", "before config.yaml", "before the first step", "before the first checkpoint", "after it")


class Killed(BaseException):
    pass


def _killed(monkeypatch: pytest.MonkeyPatch, stop: str) -> None:
    def kill(*_: Any, **__: Any) -> None:
        raise Killed

    step, calls = Trainer._step, 0
    limit = {"before the first step": 0, "before the first checkpoint": 3, "after it": 5}.get(stop, 100)

    def counted(self: Trainer, name: str) -> float:
        nonlocal calls
        calls += 1
        return step(self, name) if calls <= limit else kill()  # type: ignore[func-returns-value, return-value]

    monkeypatch.setattr(Trainer, "_step", counted)
    if stop == "before anything":
        monkeypatch.setattr("twelve.runs.train.beginning", kill)
    if stop == "before config.yaml":
        monkeypatch.setattr(RunConfig, "write", kill)


def test_one_command_begins_and_goes_on(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "data", tmp_path / "data")
    config = parsed(tmp_path)
    for stop in STOPS:
        with pytest.MonkeyPatch.context() as patch:
            _killed(patch, stop)
            with pytest.raises(Killed):
                train(config, go_on=True, console=Console(quiet=True))
            assert (tmp_path / "run" / "config.yaml").is_file() == (stop not in STOPS[:2])
    assert [path.name for path in RunFolder(tmp_path / "run").saved()] == ["step-0000002"]
    for _ in range(2):  # and once more when it is done
        train(config, go_on=True, console=Console(quiet=True))
        assert lines(tmp_path / "run") == lines(made / "run")


def told(config: RunConfig | str, *settings: str, **options: Any) -> str:
    """Resume a run, or the configuration in a file with settings; returns what was said."""
    said = io.StringIO()
    parsed_config = configuration.load(config, settings) if isinstance(config, str) else config
    train(parsed_config, resume=True, console=Console(file=said, width=10_000), **options)
    return said.getvalue()


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def followed(said: str) -> str:
    """Follow the advice to train longer; returns what was said."""
    words = shlex.split(said.partition("to train it longer: ")[2])
    assert words[:2] == ["twelve", "train"] and words[3] == "--continue"
    return told(words[2], *(setting for option, setting in zip(words[4::2], words[5::2], strict=True)))


def test_a_complete_run_whose_data_are_gone_is_complete(place: Path) -> None:
    """There is nothing to compare it with. The tokenizer stays, since the configuration names it."""
    for path in (place / "data").iterdir():
        if path.name != "tokenizer":
            shutil.rmtree(path)
    assert "this run is complete" in told(parsed(place))


def test_a_complete_run_is_left_as_it_is(place: Path) -> None:
    before = contents(place / "run")
    for options in ({"resume": True}, {"go_on": True}):
        said = io.StringIO()
        train(parsed(place), console=Console(file=said, width=10_000), **options)
        assert said.getvalue() == (
            "this run is complete, with 4 iterations: nothing was trained, and its folder is unchanged\n"
            f"to train it longer: twelve train {place / 'run' / 'config.yaml'} --continue --set training.iterations=8\n"
        )
    assert contents(place / "run") == before
    assert "resumed at iteration 4 of 8" in followed(told(parsed(place)))
    assert json.loads(RunFolder(place / "run").trained.read_text())["iterations"] == 8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (flip, "the training examples of snli_ve: 20 examples, .* before, 20 examples, .* now"),
        (_another_image, r"the regions \(\w+\.content\)"),
        (_another_word, "the tokenizer"),
    ],
)
def test_a_complete_run_of_other_data_is_refused(place: Path, change: Callable[[Path], None], words: str) -> None:
    change(place)
    before = contents(place / "run")
    anew = "train into a new folder: --set run=ANOTHER, without --resume or --continue"
    for options in ({"resume": True}, {"go_on": True}):
        with pytest.raises(TwelveError, match=f"changed since this run was trained: {words}.* -> {anew}") as caught:
            train(parsed(place), console=Console(quiet=True), **options)
        assert caught.value.file == place / "run"
    if change is not _another_word:  # which nothing allows
        assert "this run is complete" in told(parsed(place), allow_changed_data=True)
    with pytest.raises(ConfigError, match=rf"seed.*was begun with 3 -> {anew}; or, to go on"):
        told(configuration.load(place / "run" / "config.yaml", ["seed=4"]))
    assert contents(place / "run") == before


def test_a_folder_with_a_run_is_refused_by_what_is_left_to_do(place: Path) -> None:
    complete = r"already holds a run, which is complete -> train into another: --set run=ANOTHER \(.*longer, add {}\)"

    def refused(*settings: str, words: str) -> None:
        with pytest.raises(ConfigError, match=words):
            train(configuration.load(place / "run" / "config.yaml", settings), console=Console(quiet=True))

    refused(words=complete.format("--continue --set training.iterations=8"))
    refused("seed=4", words=complete.format("--continue --set training.iterations=8"))
    unfinished = "already holds a run -> add --continue, or --set run=ANOTHER"
    refused("training.iterations=6", words=unfinished)
    shutil.rmtree(place / "run" / "checkpoints" / "step-0000004")
    refused(words=unfinished)


@pytest.mark.parametrize(
    "name", ["data.json", "machine.json", "validation_images.json", "trained.json", "model/model.safetensors"]
)
def test_what_a_complete_run_lacks_is_written_again(place: Path, name: str) -> None:
    (place / "run" / name).unlink()
    assert "is complete" not in told(parsed(place)) and (place / "run" / name).is_file()
    assert "this run is complete" in told(parsed(place))


def test_other_settings_of_a_complete_run_are_written(place: Path) -> None:
    config = configuration.load(place / "run" / "config.yaml", ["evaluation.gallery=50"])
    assert "is complete" not in told(config)
    assert configuration.load(place / "run" / "config.yaml").evaluation.gallery == 50
    assert "this run is complete" in told(config)


def test_a_run_of_so_many_epochs_is_complete(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "data", tmp_path / "data")
    config = parsed(tmp_path, iterations=None, epochs=1)
    done = json.loads(RunFolder(train(config, console=Console(quiet=True))).trained.read_text())["iterations"]
    assert f"this run is complete, with {done} iterations: nothing" in told(config)
    assert "is complete" not in told(parsed(tmp_path, iterations=None, epochs=2))


def test_a_run_that_was_stopped_early_is_complete(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Validation, "scores", lambda self, names: [(name, 0.5) for name in names])
    shutil.copytree(made / "data", tmp_path / "data")
    config = parsed(tmp_path, iterations=30, patience=1, eval_every=2)
    run = train(config, console=Console(quiet=True))
    assert json.loads((run / "trained.json").read_text())["iterations"] == 4
    before = contents(run)
    said = told(config)
    assert "is complete, with 4 iterations; it was stopped because its validation score no longer rose: " in said
    assert said.endswith(" --continue --set training.patience=null\n") and contents(run) == before
    longer = told(parsed(tmp_path, iterations=6, patience=1, eval_every=2))  # its patience would stop it at once
    assert longer.endswith(" --continue --set training.iterations=6 --set training.patience=null\n")
    (run / "trained.json").unlink()
    assert "is complete" not in told(config)
    assert json.loads((run / "trained.json").read_text())["iterations"] == 4  # not one iteration more
    events = [line for line in lines(run) if line.get("event") == "early stop"]
    assert len(events) == 1
    assert "resumed at iteration 4 of 6" in followed(longer)
    assert json.loads((run / "trained.json").read_text())["iterations"] == 6


def test_strictly_resumed_a_run_must_be_there(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "data", tmp_path / "data")
    with pytest.raises(ConfigError, match=r"no run to resume -> omit --resume, or use --continue"):
        train(parsed(tmp_path), resume=True, console=Console(quiet=True))


def test_a_killed_worker_is_one_line_and_the_run_goes_on(place: Path) -> None:
    (place / "c.yaml").write_text(json.dumps(parsed(place, iterations=4000, workers=1).model_dump(mode="json")))
    script = (
        "import os, signal, sys\n"
        "from twelve.training.trainer import Trainer\n"
        "from twelve.cli import main\n"
        "step, killed = Trainer._step, []\n"
        "def killing(self, name):\n"
        "    value = step(self, name)\n"
        "    if self.state.iteration == 8 and not killed:\n"
        "        killed.append(next(iter(self.pool._processes._processes)))\n"
        "        os.kill(killed[0], signal.SIGKILL)\n"
        "    return value\n"
        "Trainer._step = killing\n"
        "sys.argv = ['twelve', 'train', 'c.yaml', '--resume']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=place, capture_output=True, text=True, timeout=600)
    assert done.returncode == 1, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("twelve: c.yaml [training.workers]: a process that reads ahead has ended"), done.stderr
    assert "--continue" in last
    assert "Traceback" not in done.stderr
    train(parsed(place, iterations=12, workers=1), go_on=True, console=Console(quiet=True))


def test_what_is_wrong_with_an_example_is_one_line_with_workers_too(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flawed(*_: Any, **__: Any) -> Any:
        raise DataError("a flaw that shows late", file="somewhere", remedy="mend it")

    monkeypatch.setattr("twelve.data.loader.Collator.__call__", flawed)
    monkeypatch.setattr(Validation, "score", lambda self, network, name, examples=None: 0.0)
    monkeypatch.setattr("twelve.runs.train.announced", lambda *_: ())
    with pytest.raises(DataError) as caught:
        resumed(place, parsed(place, workers=1))
    assert str(caught.value) == "somewhere: a flaw that shows late -> mend it"


# --- digests ------------------------------------------------------------------------------------------------------
def test_a_digest_says_what_is_trained_on_and_not_how_it_is_held(tmp_path: Path) -> None:
    examples = [
        Example(str(n), f"text {n % 5}", (f"coco/{n % 4}",), target, "g", ((0.0, 0.0, 1.0, float(n)),), ("a", "b"))
        for n, target in enumerate([{"yes": 1.0, "no": 0.3}, True, 1, 1.0, "x", None, (1.0, 2.0, 3.0, 4.0)] * 3)
    ]

    class Task:
        fact_types = ()

    def digest(found: Any) -> str:
        return sameness._examples(type("Data", (), {"task": Task})(), found)

    whole = digest(examples)
    write_examples(tmp_path / "stored", examples, Codec())
    stored = open_examples(tmp_path / "stored", Codec())
    assert digest(stored) == digest(Packed(examples)) == whole
    rows = np.arange(0, 21, 2)
    assert digest(take(stored, rows)) == digest(take(examples, rows)) != whole
    for field, value in (("text", "other"), ("images", ("coco/9",)), ("target", False), ("candidates", ())):
        assert digest([dataclasses.replace(examples[0], **{field: value}), *examples[1:]]) != whole
    assert digest(examples[::-1]) != whole
    assert digest([*examples[:2], dataclasses.replace(examples[2], target=True), *examples[3:]]) != whole
