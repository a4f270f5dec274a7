"""The folder of a run: what its files are called, and how they are read and written.

No other module spells one of these names; ``tests/test_run_folder.py`` holds that.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from twelve.errors import CheckpointError, ConfigError, TwelveError, quoted
from twelve.io import files, json_file, paths

CONFIG = "config.yaml"
MODEL_FILES = ("config.json", "processor_config.json")
WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
DIVERGED = "diverged"
"""The event in a run's log that says that training stopped because a loss or a weight was not a number, and which
``setting``, with a lower rate, to try."""
NAMED = 3
"""Most runs in a folder that are named."""
KIND = "twelve"
"""``model_type`` in a model's ``config.json``."""


class RunFolder:
    """A run's folder, which need not exist yet.

    Attributes:
        path: the folder.
        config: the complete configuration.
        data: what the run trained on: numbers of examples, official files and their checksums.
        machine: the machine and the versions that trained.
        validation_images: training images that the run did not train on.
        metrics: losses, scores and events, one JSON object a line (training/log.py).
        checkpoints: one folder for each checkpoint that was kept.
        model: the model with the best validation score, or the last one (``training.keep_model``), and its processor,
            as from_pretrained opens them.
        trained: a summary, written after the last iteration; ``model`` alone does not mean that training has ended.
        affinity: how the run's tasks affect each other, where that was measured (training/affinity.py).
        stages: stage of ``twelve quickstart`` -> seconds it took.
        evaluation: results of ``twelve evaluate``.
        predictions: some predictions of each task, for the report.
        report: the HTML report.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / CONFIG
        self.data = self.path / "data.json"
        self.machine = self.path / "machine.json"
        self.validation_images = self.path / "validation_images.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"
        self.trained = self.path / "trained.json"
        self.affinity = self.path / "affinity.json"
        self.stages = self.path / "stages.json"
        self.evaluation = self.path / "evaluation.json"
        self.predictions = self.path / "predictions.jsonl"
        self.report = self.path / "report.html"

    def evaluation_by(self, label: str) -> Path:
        """Results of ``twelve evaluate`` under other protocols than the run's, which ``label`` names."""
        return self.path / f"evaluation-{label}.json"

    def check(self) -> None:
        """Raise ConfigError where the folder holds no run."""
        if not files.is_there(self.config, ConfigError):
            near = _nearest_run(self.path)
            remedy = near or "train one: twelve train CONFIG"
            problem = "this folder holds no run"
            if not self.path.exists():
                problem, hint = "no run here, the folder does not exist", files.folder_beside(self.path)
                problem, remedy = problem + hint, f"check its name, or {remedy}" if hint else remedy
            elif self.path.is_file():
                problem, remedy = _in_its_place(self.path)
            elif all((self.path / name).is_file() for name in MODEL_FILES):
                problem = "this is a model's folder, not a run's"
                remedy = near or "name the folder of a run"
            raise ConfigError(problem, file=self.path, remedy=remedy)

    def check_links(self) -> None:
        """Refuse a run, which may come from anybody, whose files are links out of its folder, before it is written to:
        their targets would be replaced. (The folder itself, and ``checkpoints``, may be links.)

        Raises:
            ConfigError: names the link.
        """
        own = (value for value in vars(self).values() if value not in (self.path, self.checkpoints))
        files.check_links(own, self.path, "run")

    def lacking(self) -> str | None:
        """The first file that the saved model lacks, by its name; None if it is whole."""
        if name := next((name for name in MODEL_FILES if not (self.model / name).is_file()), None):
            return name
        return None if any(os.path.lexists(self.model / name) for name in (WEIGHTS, INDEX)) else WEIGHTS

    def saved(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        found = [path for path in self.checkpoints.glob("step-*") if re.fullmatch(r"step-\d+", path.name)]
        return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))

    def checkpoint(self, iteration: int) -> Path:
        """Where the checkpoint of an iteration is written."""
        return self.checkpoints / f"step-{iteration:07}"

    def holds_training(self) -> bool:
        """Whether the folder holds anything trained: a model or a checkpoint."""
        files.settle(self.model)
        return self.model.is_dir() or bool(self.saved())

    def logged(self) -> Iterator[dict[str, Any]]:
        """The objects in ``metrics``; damaged lines (a killed run cuts its last one) are skipped.

        Raises:
            CheckpointError: the file cannot be read.
        """
        for line in json_file.log_lines(self.metrics):
            try:
                tree = json_file.decode(line, strict=False)
            except ValueError:
                continue
            if isinstance(tree, dict) and type(tree.get("iteration")) is int:
                yield tree

    def iterations(self) -> int:
        """How many iterations were trained, by the steps and validations in the log; 0 without any.

        Raises:
            CheckpointError: the log cannot be read.
        """
        done = (line["iteration"] for line in self.logged() if line.get("kind") in ("step", "validation"))
        return max(done, default=0)

    def outdated(self, facts: Mapping[str, Any]) -> int | None:
        """After how many iterations an evaluation was made, if the run was trained on since: its scores may be those of
        an earlier model. None if it was not, or if the evaluation does not tell.

        Args:
            facts: what the evaluation says of the run (evaluation/results.py).

        Raises:
            CheckpointError: the log cannot be read.
        """
        since = facts.get("iterations")
        return since if type(since) is int and self.iterations() > since else None

    def diverged(self) -> str | None:
        """The command that trains a run again which stopped because a loss or a weight was not a number; None if none
        was."""
        stopped = [line for line in self.logged() if line.get("event") == DIVERGED]
        if not stopped:
            return None
        settings = [str(stopped[-1].get("setting", ""))]
        if self.holds_training():  # which is not overwritten
            names = (self.path.with_name(f"{self.path.name}-{number}") for number in itertools.count(2))
            settings.append(f"run={next(path for path in names if not path.exists())}")
        return shlex.join(["twelve", "train", str(self.config), *(w for each in settings for w in ("--set", each))])

    def read(self, file: Path) -> dict[str, Any]:
        """The object in one of the JSON files; empty where the file is missing or damaged."""
        tree = json_file.read_or_none(file)
        return tree if isinstance(tree, dict) else {}

    def write(self, file: Path, tree: Mapping[str, Any]) -> None:
        """Replace one of the JSON files."""
        with files.replacing(file) as partial:
            partial.write_text(json.dumps(tree, indent=1), encoding="utf-8")


def runs_in(folder: Path) -> list[Path]:
    """The folders of runs directly in a folder, sorted; none if the system refuses access."""
    try:
        return [one for one in sorted(folder.iterdir()) if (one / CONFIG).is_file()]
    except OSError:
        return []


def _run_around(path: Path) -> Path | None:
    """The run that a file or folder is part of, such as a checkpoint; None if there is none."""
    return next((one for one in list(path.parents)[:2] if (one / CONFIG).is_file()), None)


def _nearest_run(folder: Path) -> str | None:
    """To name the run in a folder that is none, the run that it is part of, or the run of the same name in ``runs``
    beside it, as of the data in ``mine``; None if there is none."""
    if inside := runs_in(folder):
        names = ", ".join(map(quoted, inside[:NAMED])) + (", ..." if len(inside) > NAMED else "")
        return f"name {'the run' if len(inside) == 1 else f'one of the {len(inside)} runs'} in it: {names}"
    found = _run_around(folder)
    if found is None and RunFolder(beside := folder.parent / "runs" / folder.name).config.is_file():
        found = beside
    return None if found is None else f"name its run: {quoted(found)}"


def _in_its_place(file: Path) -> tuple[str, str]:
    """What a file is that was named in the place of a run or a model, and what to name instead."""
    holder = _run_around(file)
    if holder is not None or (file.parent / MODEL_FILES[0]).is_file():
        return "expected a folder, found a file in it", f"name the folder: {quoted(holder or file.parent)}"
    if file.suffix not in (".yaml", ".yml"):
        return "expected the folder of a run, found a file", "name the folder of the run"
    from twelve.io.yaml_text import read_text, read_yaml  # imports YAML, which no other path needs

    remedy = f"train it, then name its run: twelve train {quoted(file)}"
    with suppress(TwelveError):
        tree = read_yaml(read_text(file), file)
        run = tree.get("run") if isinstance(tree, dict) else None
        if isinstance(run, str) and RunFolder(run).config.is_file():
            remedy = f"name its run: {quoted(run)}"
    return "this is a configuration, not a run", remedy


def _without_model(run: RunFolder) -> tuple[str, str]:
    """What is wrong with a run whose folder has no model, and what to do. Training writes a model that is gone from a
    checkpoint; without one, it begins again."""
    train, ended = f"twelve train {quoted(run.config)}", run.trained.is_file()
    if run.saved():
        if ended:
            problem = "the model of this run is gone"
            return problem, f"copy it back, or save the last one, that of its checkpoint: {train} --continue"
        return "this run has no model", f"continue training: {train} --continue"
    if ended:
        return "the model and the checkpoints of this run are gone", f"copy them back, or train it again: {train}"
    return "this run has no model yet", f"train it: {train} --continue"


def _incomplete(run: RunFolder, name: str) -> CheckpointError:
    """The error about a run whose model lacks a file."""
    remedy = "copy the whole run again"
    if run.config.is_file():
        again = "train it again"
        if run.saved():
            again = "save the last model, that of its checkpoint" if run.trained.is_file() else "continue training"
        remedy += f", or {again}: twelve train {quoted(run.config)} --continue"
    return CheckpointError(f"no file named {name} here", file=run.model, remedy=remedy)


def _other_kind(folder: Path) -> tuple[str, str] | None:
    """What is wrong with a folder that another program wrote a model to, or that lacks a file of its model, and what to
    do; None if there is no model."""
    if (folder / MODEL_FILES[0]).is_symlink():  # nothing outside the folder is read
        return None
    tree = json_file.read_or_none(folder / MODEL_FILES[0])
    kind = tree.get("model_type") if isinstance(tree, dict) else None
    if kind == KIND or not (folder / MODEL_FILES[0]).exists():
        lacking = [name for name in MODEL_FILES if not (folder / name).exists()]
        if not lacking or not any((folder / name).is_file() for name in (*MODEL_FILES, WEIGHTS)):
            return None
        return f"no file named {lacking[0]} here", "copy the whole folder that was saved"
    if not isinstance(kind, str):
        return None
    problem = f"this model is not one of twelve: its model_type is {kind[:40]!r}"
    return problem, "name a run's folder, or the folder of a model of this project"


def of_run(tree: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """The tree of the configuration ``file``; where that is a run's own, with its paths as they are now."""
    run = RunFolder(file.parent)
    if file.name != CONFIG or not any(
        files.is_there(each, ConfigError) for each in (run.machine, run.validation_images)
    ):  # a person's own
        return dict(tree)
    return {**paths.moved(tree, str(tree.get("run", "")), run.path), "run": str(run.path)}


def in_a_program(saved: Path) -> str:
    """What to do with a model, in the folder ``saved``, a part of which only a program knows."""
    begun = "if it is your own, import the module that registers it, in a program of yours, and call"
    if not RunFolder(saved.parent).config.is_file():
        return f"{begun} twelve.load({str(saved)!r}) there"
    run = str(saved.parent)
    return f"{begun} twelve.runs.evaluate.evaluate_run(Path({run!r})), or twelve.load({run!r}), there"


def saved_in(folder: Path) -> Path:
    """What from_pretrained reads in a folder: a run's ``model``, if it is a run's folder, else the folder itself.

    Raises:
        CheckpointError: the folder is a run's, and has no model.
    """
    run = RunFolder(folder)
    if files.is_there(folder / "config.json", CheckpointError) or not files.is_there(run.config, CheckpointError):
        return folder
    return model_folder(folder)


def model_folder(path: Path) -> Path:
    """The folder that from_pretrained opens: a run's ``model``, or ``path`` itself.

    Raises:
        CheckpointError: neither holds a model, a file of the run's model is missing, or one is a folder, a pipe or a
            device.
    """
    run = RunFolder(path)
    files.settle(run.model)
    for folder in (run.model, path):
        if all([files.is_there(folder / name, CheckpointError) for name in MODEL_FILES]):
            if (other := _other_kind(folder)) is not None:
                raise CheckpointError(other[0], file=folder, remedy=other[1])
            if folder == run.model and (name := run.lacking()) is not None:
                raise _incomplete(run, name)
            return folder
    if files.is_there(run.config, CheckpointError):
        if (again := run.diverged()) is not None:
            problem = "this run has no model: its training stopped because a loss or a weight was not a number"
            raise CheckpointError(problem, file=path, remedy=f"train it with a lower learning rate: {again}")
        if run.model.is_dir():
            raise _incomplete(run, str(run.lacking()))
        problem, remedy = _without_model(run)
        raise CheckpointError(problem, file=path, remedy=remedy)
    problem, remedy = "no model here", "name a run's folder or a model's folder"
    if not path.exists():
        problem = f"no such folder{files.folder_beside(path)}"
    elif path.is_file():
        problem, remedy = _in_its_place(path)
    elif (other := _other_kind(path)) is not None:
        problem, remedy = other
    else:
        remedy = _nearest_run(path) or remedy
    raise CheckpointError(problem, file=path, remedy=remedy)
