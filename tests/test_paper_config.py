"""configs/paper.yaml is the paper's: its tasks, splits, hyper-parameters and, number for number, its model."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from twelve import config
from twelve.errors import ConfigError
from twelve.model.config import TwelveConfig
from twelve.model.vilbert import Twelve
from twelve.outputs import get_output
from twelve.tasks.base import all_tasks, get

PAPER = "configs/paper.yaml"
DOCS = Path(__file__).parents[1] / "docs" / "configuration.md"
# What the released checkpoints hold with these answers, see tests/model/test_released.py.
# 11,020,800 of them (biOutput.q_dense1 and 2 of the six connections) it never uses.
RELEASED, UNUSED = 268_028_859, 11_020_800
ANSWERS = {"answer": 3129, "answer_gqa": 1533}
SIZES = {"pair": 2, "entailment": 3}


class Original(NamedTuple):
    """A row of the original's task table (facebookresearch/vilbert-multi-task @ f22b84a: vlbert_tasks.yml), and what
    its readers do with the names of the splits.

    Attributes:
        token: of the task; its number in the table.
        words: longest text in word pieces.
        regions: places for regions; 101 are the whole image and the detected ones.
        rate: learning rate of the task, in 1e-5.
        train, val: splits; those of ours follow where the names differ.
    """

    token: int
    words: int
    regions: int
    batch: int
    rate: int
    epochs: int
    train: str
    val: str


ORIGINAL = {
    "vqa": Original(1, 23, 101, 128, 4, 20, "trainval", "minval"),
    "vg_qa": Original(2, 26, 101, 128, 4, 20, "train", "val"),
    "visual7w": Original(4, 20, 200, 256, 2, 20, "train", "val"),
    "coco": Original(7, 30, 101, 128, 2, 20, "train", "val"),
    "flickr30k": Original(8, 30, 101, 128, 2, 20, "train", "val"),
    "refcoco": Original(9, 20, 101, 256, 2, 20, "train", "val"),
    "refcoco+": Original(10, 20, 101, 256, 2, 20, "train", "val"),
    "refcocog": Original(11, 20, 101, 256, 2, 20, "train", "val"),
    "nlvr2": Original(12, 40, 101, 64, 2, 20, "train", "dev"),
    "snli_ve": Original(13, 56, 101, 256, 2, 20, "train", "dev"),
    "gqa": Original(15, 26, 101, 128, 4, 20, "trainval", "minval"),
    "guesswhat": Original(17, 256, 306, 64, 2, 20, "train", "valid"),
}
REPORTED = {"vqa": "test-dev", "vg_qa": "val", "gqa": "testdev_balanced", "nlvr2": "test1"}
"""Splits of the paper's numbers that are not called test."""
PROTOCOLS = {
    **{"coco": "1k", "flickr30k": "1k", "guesswhat": "all"},
    **dict.fromkeys(("refcoco", "refcoco+", "refcocog"), "original"),
}
GROUPS = (
    ("vqa", "vg_qa", "gqa"),
    ("coco", "flickr30k"),
    ("refcoco", "refcoco+", "refcocog", "visual7w", "guesswhat"),
    ("nlvr2", "snli_ve"),
)


def parameters(**fields: Any) -> int:
    found = config.load(PAPER)
    heads = {
        task.output: {
            "kind": get_output(task.kind).head_kind,
            "size": ANSWERS.get(task.output, SIZES.get(task.kind, 1)),
        }
        for task in (all_tasks()[name] for name in found.tasks)
    }
    with torch.device("meta"):
        model = Twelve(TwelveConfig(**{**found.model.architecture, "heads": heads} | fields))
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_model_has_the_size_of_the_released_one() -> None:
    assert parameters(pretraining=True, word_logit=True) == RELEASED - UNUSED
    assert parameters() == 253_689_917  # without the heads that the twelve tasks do not use


def test_the_twelve_tasks_are_those_of_the_original() -> None:
    assert set(config.load(PAPER).tasks) == set(ORIGINAL)


@pytest.mark.parametrize("name", ORIGINAL)
def test_a_task_is_trained_as_by_the_authors(name: str) -> None:
    found, original = config.load(PAPER), ORIGINAL[name]
    settings, task = found.tasks[name], get(name)
    assert (task.token, settings.max_text, settings.batch_size) == (original.token, original.words, original.batch)
    assert settings.learning_rate == pytest.approx(original.rate * 1e-5)
    assert found.training.epochs == task.defaults.epochs == original.epochs
    assert found.model.max_regions == 100
    assert original.regions == 101 or task.has_candidates  # whose regions come on top, as many as an example has
    assert (settings.train or task.train_split, settings.val_split) == (original.train, original.val)
    assert (settings.test_split or task.test_split) == REPORTED.get(name, "test")
    assert settings.negatives == ("train" if task.kind == "alignment" else None)
    assert found.evaluation.protocols.get(name) == PROTOCOLS.get(name)


def test_the_rest_is_as_by_the_authors() -> None:
    found = config.load(PAPER)
    assert found.schedule.name == "stop-and-go" and found.hold_out == "test"
    assert found.validation_images == "shared" and found.evaluation.gallery is None
    assert found.optimizer.eps == 1e-6 and not found.optimizer.bias_correction
    assert found.optimizer.head_learning_rate == pytest.approx(1e-4) and found.optimizer.warmup == 0.1
    assert found.vocabulary.min_count == 9 and found.vocabulary.counted["answer"] == {"vqa": ("train", "val")}
    assert found.model.init == config.load("configs/pretrain.yaml").run
    assert config.load(PAPER, ["init=null"]).model.text_encoder == "bert-base-uncased"


def rows(text: str) -> list[list[str]]:
    """File and settings of each command in a text."""
    text = re.sub(r"\\\n\s*", "", text)
    commands = re.findall(r"^(?:# )?twelve train (configs/paper.*)$", text, flags=re.MULTILINE)
    return [[word for word in shlex.split(command) if word not in ("--set", "data=DATA")] for command in commands]


def test_every_row_of_the_table_is_a_documented_command() -> None:
    text = DOCS.read_text(encoding="utf-8").partition("## The paper's runs")[2].partition("\n## ")[0]
    heads = "\n".join(path.read_text() for name, path in config.shipped().items() if name.startswith("paper"))
    assert sorted(rows(text)) == sorted(row for row in rows(heads) if "training.precision=bf16" not in row)
    found = [config.load(file, settings) for file, *settings in rows(text)]
    made = {(tuple(each.tasks), each.hold_out, each.model.init) for each in found}
    everything, fresh = tuple(config.load(PAPER).tasks), "runs/pretrain"
    assert made == {
        *((("vqa",), hold_out, fresh) for hold_out in ("none", "test")),
        (("gqa",), "test", fresh),
        *((group, "test", fresh) for group in GROUPS),
        *((everything, hold_out, fresh) for hold_out in ("none", "test")),
        (tuple(name for name in everything if name not in GROUPS[3]), "test", fresh),
        (("vqa",), "test", "runs/paper-group-1"),
        *(((name,), "test", "runs/paper") for name in ("vqa", "gqa")),
        (("vqa",), "none", "runs/paper-not-clean"),
    }
    assert len({each.run for each in found}) == len(found) == len(made)
    assert {each.model.init for each in found} - {fresh} <= {each.run for each in found}
    assert sorted(name for group in GROUPS for name in group) == sorted(everything)
    varying = {"run", "tasks", "hold_out", "model"}  # all else is the paper's in every row
    assert all(each.model_dump(exclude=varying) == found[0].model_dump(exclude=varying) for each in found)
    for each in found:
        assert all(settings == found[0].tasks[name] for name, settings in each.tasks.items())
        assert each.model == found[0].model.model_copy(update={"init": each.model.init})


def test_a_subset_keeps_the_settings_of_the_file() -> None:
    whole, part = config.load(PAPER), config.load(PAPER, ["tasks=[nlvr2,vqa]"])
    assert list(part.tasks) == ["nlvr2", "vqa"]
    assert all(part.tasks[name] == whole.tasks[name] for name in part.tasks)
    lacking = config.load("configs/finetune.yaml", ["tasks=[vqa,foil]", "model.init=null", "data=d"]).tasks["foil"]
    assert lacking.batch_size is None  # the run says which values of its own a task has: tests/training/test_regime.py


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["tasks.vqa.negatives=train"], r"tasks\.vqa\.negatives\]: this task draws no negatives .* coco, flickr30k"),
        (["tasks.coco.negatives=all"], r"tasks\.coco\.negatives\]"),
        (["hold_out=clean"], r"hold_out\]"),
        (["validation_images=apart"], r"tasks\.vg_qa\.val_split\]: training may not validate on .* the test split"),
        (["tasks.vqa.val_split=trainval"], r"tasks\.vqa\.val_split\]"),
        (["vocabulary.counted={answer: {vqq: [val]}}"], r"vocabulary\.counted\.answer\.vqq\]: unknown name 'vqq'"),
        (["vocabulary.counted={answers: {vqa: [val]}}"], r"vocabulary\.counted\.answers\]: unknown name"),
    ],
)
def test_mistakes(settings: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config.load(PAPER, settings)


@pytest.mark.parametrize("name", sorted(each for each in config.shipped() if not each.startswith("paper")))
def test_other_configurations_train_as_before(name: str) -> None:
    alone = ["model.init=null", "data=d", "replay=[]", "freeze.all_but_heads=false", "freeze.but=[]"]
    found = config.load(name, alone if name in BARE else [])
    assert found.hold_out != "none" and found.validation_images == "apart" and not found.vocabulary.counted
    assert all(task.negatives is None for task in found.tasks.values())
    retrieval = [each for each in found.tasks if get(each).kind == "alignment"]
    assert not retrieval or name in BARE or found.evaluation.gallery == 100


BARE = ("contrast.yaml", "finetune.yaml", "grow.yaml")
"""Configurations that take their data, and how it is measured, from the run that they go on from."""
