"""configs/paper.yaml is the paper's: its tasks, hyper-parameters and, number for number, its model."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from twelve import config
from twelve.model.config import TwelveConfig
from twelve.model.vilbert import Twelve
from twelve.outputs import get_output
from twelve.tasks.base import all_tasks

# What the released checkpoints hold with these answers, see tests/model/test_released.py.
# 11,020,800 of them (biOutput.q_dense1 and 2 of the six connections) it never uses.
RELEASED, UNUSED = 268_028_859, 11_020_800
ANSWERS = {"answer": 3129, "answer_gqa": 1533}
SIZES = {"pair": 2, "entailment": 3}
BATCHES = {
    **dict.fromkeys(("vqa", "vg_qa", "gqa", "coco", "flickr30k"), 128),
    **dict.fromkeys(("refcoco", "refcoco+", "refcocog", "visual7w", "snli_ve"), 256),
    **dict.fromkeys(("nlvr2", "guesswhat"), 64),
}
LENGTHS = {"vqa": 23, "vg_qa": 26, "gqa": 26, "coco": 30, "flickr30k": 30, "nlvr2": 40, "snli_ve": 56, "guesswhat": 256}


def parameters(**fields: Any) -> int:
    found = config.load("configs/paper.yaml")
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


def test_the_twelve_tasks_are_trained_as_by_the_authors() -> None:
    found = config.load("configs/paper.yaml")
    assert {name: task.batch_size for name, task in found.tasks.items()} == BATCHES
    for name, task in found.tasks.items():
        assert task.max_text == LENGTHS.get(name, 20)
        assert task.learning_rate == (4e-5 if name in ("vqa", "vg_qa", "gqa") else 2e-5)
    assert found.training.epochs == 20 and found.schedule.name == "stop-and-go" and found.hold_out == "test"
    assert found.optimizer.eps == 1e-6 and not found.optimizer.bias_correction
    assert found.optimizer.head_learning_rate == pytest.approx(1e-4) and found.optimizer.warmup == 0.1
