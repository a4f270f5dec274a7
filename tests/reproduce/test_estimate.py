"""Estimates: the operations of a pair are those that PyTorch counts."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from twelve.model.checkpoints import read_released_config
from twelve.model.vilbert import Twelve
from twelve.reproduce.estimate import images, operations, pairs, spent
from twelve.reproduce.measures import Measure
from twelve.runs.convert import PAPER
from twelve.tasks.base import get


@pytest.mark.parametrize(("words", "regions"), [(23, 101), (256, 101), (8, 20)])
def test_operations_are_those_that_are_counted(words: int, regions: int) -> None:
    heads = {"region": {"kind": "region", "size": 1}}
    config = read_released_config(dict(PAPER), task_specific_tokens=True, heads=heads)
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        one = torch.zeros(1, dtype=torch.long)
        Twelve(config).eval()(  # type: ignore[no-untyped-call]
            input_ids=torch.zeros(1, words - 1, dtype=torch.long),  # and the task's token
            features=torch.zeros(1, regions, 2048),
            boxes=torch.zeros(1, regions, 5),
            task_rows=one,
            pair_text=one,
            pair_image=one,
            outputs=("region",),
        )
    assert operations(words, regions) == pytest.approx(counter.get_total_flops(), rel=0.1)


def test_pairs_and_images_of_official_splits() -> None:
    assert pairs(get("vqa"), Measure("vqa", "val", "official")) == 214_354
    assert pairs(get("nlvr2"), Measure("nlvr2", "test1", "official")) == 2 * 6_967
    assert pairs(get("coco"), Measure("coco", "test", "1k")) == 5 * 1000 * 1000
    assert pairs(get("coco"), Measure("coco", "test", "1k-5fold")) == 5 * 5 * 1000 * 1000
    assert pairs(get("flickr30k"), Measure("flickr30k", "test", "all")) == 5 * 1000 * 1000
    assert images(get("vqa"), Measure("vqa", "val", "official")) == 40_504


def test_spent() -> None:
    assert [spent(seconds) for seconds in (0.1, 59, 90, 5400, 200_000)] == [
        "1 seconds",
        "59 seconds",
        "1.5 minutes",
        "1.5 hours",
        "2.3 days",
    ]
