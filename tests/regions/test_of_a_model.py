"""``twelve regions info`` of a model names the network of its regions, and a command that makes others like them."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
import tiny_model
from typer.testing import CliRunner

from twelve import cli
from twelve.run_folder import RunFolder

EXAMPLES = Path(__file__).parents[2] / "examples"


def info(*words: str | Path) -> str:
    result = CliRunner().invoke(cli.app, ["regions", "info", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_the_command_makes_regions_that_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("images/coco").mkdir(parents=True)
    shutil.copy(EXAMPLES / "scene.jpg", "images/coco/1.jpg")
    said = info(EXAMPLES / "quickstart-model").splitlines()
    assert "coco" in said[0] and said[1] == "  name: microworld"
    command = said[2].partition(": ")[2]
    assert shlex.split(command)[:3] == ["twelve", "regions", "extract"]
    assert CliRunner().invoke(cli.app, shlex.split(command)[1:], catch_exceptions=False).exit_code == 0
    mark = said[0].rpartition(" ")[2]
    assert f"extractor {mark}" in info("DATA/regions")


def test_of_a_run_and_as_json(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(EXAMPLES / "quickstart-model", run.model)
    run.config.write_text("run: run\n")
    (report,) = json.loads(info(run.path, "--json"))
    assert report["name"] == "microworld" and report["path"] == str(run.path)


def test_imported_regions(tmp_path: Path) -> None:
    folder = tiny_model.make(tmp_path / "model", tiny_model.TASKS)
    file = folder / "processor_config.json"
    tree = json.loads(file.read_text())
    tree["region_recipes"] = {}
    tree["region_fingerprints"] = {"coco": "ab12"}
    file.write_text(json.dumps(tree))
    said = info(folder)
    assert "coco: extractor ab12" in said and "not recorded" in said and "were imported" in said
