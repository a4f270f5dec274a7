"""A saved folder opens with the library's own Auto classes, once the model's module was imported."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_model
import torch
from transformers import AutoConfig, AutoModel, AutoProcessor

from twelve import Twelve, TwelveConfig, TwelveProcessor


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.make(tmp_path_factory.mktemp("model"))


def test_configuration_and_processor(folder: Path) -> None:
    config = AutoConfig.from_pretrained(folder)
    path = {"_name_or_path": ""}
    assert isinstance(config, TwelveConfig)
    assert config.to_dict() | path == TwelveConfig.from_pretrained(folder).to_dict() | path
    processor = AutoProcessor.from_pretrained(folder)
    assert isinstance(processor, TwelveProcessor) and processor.token_rows == {
        task: row for row, task in enumerate(tiny_model.TASKS)
    }
    assert processor.vocabularies == {"answer": tiny_model.ANSWERS} and processor.temperatures == {"vqa": 2.0}


@torch.inference_mode()
def test_model(folder: Path) -> None:
    ours, theirs = Twelve.from_pretrained(folder), AutoModel.from_pretrained(folder)
    assert isinstance(theirs, Twelve) and not theirs.training
    inputs = (torch.tensor([[2, 5, 3]]), torch.rand(1, 4, ours.config.v_feature_size), tiny_model.boxes(1, 4, 5))
    pairs = torch.tensor([0, 0])
    asked = {"task_rows": torch.tensor([0]), "pair_text": pairs, "pair_image": pairs}
    one, other = ours(*inputs, **asked).logits, theirs(*inputs, **asked).logits
    assert one.keys() == other.keys() == {head for head, _ in tiny_model.TASKS.values()}
    assert all(torch.equal(one[key], other[key]) for key in one)
