"""What the twelve tasks declare: the original's settings, splits that exist, unknown splits refused."""

from __future__ import annotations

import re

import pytest

from twelve.errors import ConfigError
from twelve.tasks.base import get

# name: token, longest text, batch, learning rate, output key, image source (the original's task table)
TABLE = {
    "vqa": (1, 23, 128, 4e-5, "answer", "coco"),
    "flickr30k": (8, 30, 128, 2e-5, "alignment", "flickr30k"),
    "refcoco": (9, 20, 256, 2e-5, "region", "coco"),
    "nlvr2": (12, 40, 64, 2e-5, "pair", "nlvr2"),
    "snli_ve": (13, 56, 256, 2e-5, "entailment", "flickr30k"),
    "gqa": (15, 26, 128, 4e-5, "answer_gqa", "vg"),
    "vg_qa": (2, 26, 128, 4e-5, "answer", "vg"),
    "coco": (7, 30, 128, 2e-5, "alignment", "coco"),
    "refcoco+": (10, 20, 256, 2e-5, "region", "coco"),
    "refcocog": (11, 20, 256, 2e-5, "region", "coco"),
    "visual7w": (4, 20, 256, 2e-5, "region", "vg"),
    "guesswhat": (17, 256, 64, 2e-5, "region", "coco"),
}


@pytest.mark.parametrize("name", TABLE)
def test_settings_of_the_original(name: str) -> None:
    task = get(name)
    defaults = task.defaults
    row = (task.token, defaults.max_text, defaults.batch_size, defaults.learning_rate, task.output, task.source)
    assert row == TABLE[name]
    assert defaults.epochs == 20


@pytest.mark.parametrize("name", TABLE)
def test_named_splits_exist(name: str) -> None:
    task = get(name)
    held_out = [split for splits in task.held_out_splits.values() for split in splits]
    assert set(task.held_out_splits) == {"test", "val"}
    for split in (task.train_split, task.test_split, *held_out):
        assert all(file.endswith((".json", ".jsonl", ".jsonl.gz", ".p")) for file in task.files(split))
        assert task.protocol(split).split == split
    assert task.train_split not in held_out
    assert task.test_split in held_out


@pytest.mark.parametrize("name", TABLE)
def test_unknown_splits_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{re.escape(name)} has no split 'tset'.* -> choose among"):
        get(name).files("tset")
