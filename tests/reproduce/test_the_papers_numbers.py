"""docs/the-papers-numbers.md, followed from its first command to its last, with stand-ins of what was published."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from download_server import DownloadServer
from published_files import SMALL, TASKS, StandIn
from test_docs import blocks, words
from typer.testing import CliRunner

from twelve import cli

PAGE = (Path(__file__).parents[2] / "docs" / "the-papers-numbers.md").read_text(encoding="utf-8")


def commands() -> list[list[str]]:
    lines = [line for body in blocks(PAGE, "bash") for line in body.splitlines()]
    lines += [line[4:] for line in PAGE.splitlines() if line.startswith("    ")]
    return [words(line) for line in lines if line.startswith("twelve ")]


SMALLER = [
    "training.iterations=2",
    "training.threads=1",
    "training.workers=0",
    "training.eval_every=2",
    "training.eval_examples=8",
    "init=null",
    "model.text_encoder=null",
    "vocabulary.min_count=1",
    *(f"tasks.{task}.{key}" for task in ("vqa", "gqa") for key in ("train=null", "max_train=32")),
    "tasks.vqa.val_split=val",
    "tasks.gqa.val_split=val_balanced",
]
"""The settings by which a drawn world of some images can stand for the paper's data, on a CPU, in seconds; minval alone
has more questions than it."""


@pytest.fixture
def here(stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the page assumes: a data root with regions, and the released files."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(stand_in.world, "data")
    shutil.copytree(stand_in.world.with_name("regions"), "data/regions")
    shutil.copy(stand_in.served / "released" / "multi_task_model.bin", ".")
    with tarfile.open(stand_in.served / "released" / "datasets.tar.gz") as members:
        for folder, name in (("VQA", "trainval_label2ans.pkl"), ("gqa", "gqa_label2ans.pkl")):
            member = members.extractfile(f"datasets/{folder}/cache/trainval_label2ans.pkl")
            assert member is not None
            Path(name).write_bytes(member.read())
    return tmp_path


def additions(stand_in: StandIn, registry: Path) -> Mapping[str, Sequence[str]]:
    """What a command needs besides, here."""
    released = stand_in.served / "released"
    config = released / "bert_base_6layer_6conect.json"
    sizes = json.loads(config.read_text())
    shape = [f"model.architecture.{name}={value}" for name, value in SMALL.items() if name in sizes]
    shape += [f"model.architecture.v_feature_size={sizes['v_feature_size']}", f"model.tokenizer={released}/vocab.txt"]
    return {
        "train": [word for setting in (*SMALLER, *shape) for word in ("--set", setting)],
        "convert": ["--config", str(config), "--tokenizer", f"{released}/vocab.txt"],
        "reproduce": ["--yes", "--registry", str(registry)],
    }


def test_the_page_is_followed(stand_in: StandIn, server: DownloadServer, here: Path) -> None:
    more = additions(stand_in, stand_in.registry(here / "registry.toml", server.url))
    asked = commands()
    assert [each[0] for each in asked].count("evaluate") == 3
    assert {each[0] for each in asked} == {"published", "data", "train", "convert", "evaluate", "reproduce"}
    for arguments in asked:
        result = CliRunner().invoke(cli.app, [*arguments, *more.get(arguments[0], ())])
        assert result.exit_code == 0, (arguments, result.output, result.exception)
    for folder, hidden in (("results", {"vqa"}), ("released-results", set())):  # the server has the answers of test-dev
        index = json.loads(Path(folder, "results.json").read_text())["tasks"]
        assert set(index) == set(TASKS) - hidden
        assert {name: index[name]["protocol"] for name in ("refcoco", "refcocog", "guesswhat")} == {
            **dict.fromkeys(("refcoco", "refcocog"), "original"),
            "guesswhat": "all",
        }
    assert json.loads(Path("results.json").read_text())
    assert Path("data/reproduced/table.md").is_file()
