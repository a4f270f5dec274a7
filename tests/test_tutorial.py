"""docs/tutorial.md from its first command to its last, with drawn images and an untrained model to start from."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import test_docs
import tiny_model
from typer.testing import CliRunner

import twelve
from twelve import cli
from twelve.microworld.draw import draw
from twelve.microworld.scene import sample_scene

PAGE = test_docs.HOME / "docs" / "tutorial.md"


def test_the_tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PAGE.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    tiny_model.make(tmp_path / "quickstart" / "run")
    images = tmp_path / "mine" / "images" / "mine"
    images.mkdir(parents=True)
    line = json.loads(test_docs.blocks(text, "json")[0].splitlines()[0])
    lines = []
    for number in range(12):
        draw(sample_scene(np.random.default_rng(number)), seed=number).save(images / f"{number:02}.jpg")
        lines.append(json.dumps(line | {"image": f"{number:02}.jpg", "target": ("yes", "no")[number % 2]}) + "\n")
    drawn = tmp_path / "quickstart" / "data" / "images" / "vg"
    drawn.mkdir(parents=True)
    shutil.copy(images / "00.jpg", drawn / "2300000.jpg")
    (tmp_path / "mine" / "questions.jsonl").write_text("".join(lines[:10]))
    (tmp_path / "mine" / "check.jsonl").write_text("".join(lines[10:]))
    (tmp_path / "tutorial.yaml").write_text(test_docs.blocks(text, "yaml")[0])
    commands = [command for body in test_docs.blocks(text, "bash") for command in body.splitlines()]
    assert len(commands) == 5
    for command in commands:
        result = CliRunner().invoke(cli.app, shlex.split(command)[1:])
        assert result.exit_code == 0, (command, result.output, result.exception)
    assert "mine, accuracy" in CliRunner().invoke(cli.app, ["evaluate", "runs/mine"]).output
    model = twelve.load("runs/mine")
    assert model.question("answer", "is it red?", model.scene(images / "10.jpg")).task == "mine"  # not one of the base
    kept = [json.loads(line) for line in (tmp_path / "runs/mine/predictions.jsonl").read_text().splitlines()]
    assert {each["task"] for each in kept} == {"mine"}
