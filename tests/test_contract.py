"""One contract for every registered task: read, encode, batch, forward, loss, score, decode, measure."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_extras
import tiny_others
import tiny_web_captions
import torch

from twelve import config as configuration
from twelve.data.batch import Collator
from twelve.data.partial import having_regions
from twelve.data.prepare import prepare
from twelve.errors import RegionError
from twelve.evaluation.predict import predict, retrieve
from twelve.model.config import TwelveConfig
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.outputs import OUTPUTS
from twelve.regions.store.region_file import GIVEN
from twelve.tasks.base import all_tasks

NAMES = sorted(all_tasks())
EXTRAS = (*tiny_extras.EXTRAS, tiny_web_captions)
"""Who writes the files of tasks beyond the twelve."""
GIVING = [name for name, task in all_tasks().items() if task.protocol(task.test_split).boxes == "given"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tiny_others.make(tmp_path_factory.mktemp("contract"), train=12, val=4)
    for extra in EXTRAS:
        extra.make(made, train=12, val=4)
    return made


def settings(root: Path, name: str) -> dict[str, Any]:
    """The part of a configuration that names a task."""
    return next((extra.settings(name) for extra in EXTRAS if name in extra.REPORTS), None) or tiny_others.settings(
        root, name
    )


def test_every_task_is_here() -> None:
    written = {*tiny_others.ALL_TASKS, *(name for extra in EXTRAS for name in extra.REPORTS)}
    assert written == set(NAMES), "write small files of every task in a tests/tiny_extra_*.py (tests/tiny_extras.py)"
    assert {name for name in NAMES if all_tasks()[name].extra} == set(NAMES) - set(tiny_others.ALL_TASKS)
    tokens = [task.token for task in all_tasks().values() if not task.extra]
    assert len(tiny_others.ALL_TASKS) == 12
    assert sorted(tokens) == [1, 2, 4, 7, 8, 9, 10, 11, 12, 13, 15, 17]  # the released model's


@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str, root: Path, tmp_path: Path) -> None:
    task = all_tasks()[name]
    assert task.name == name and task.title and task.kind in OUTPUTS and task.token >= 0
    assert task.test_split and {"test", "val"} >= set(task.held_out_splits)

    tree = tiny.tree(root, tmp_path / "run")
    tree["tasks"] = {name: settings(root, name)}
    parsed = configuration.parse(tree)
    data = prepare(parsed)
    found = data.tasks[name]
    examples = list(found.train)
    assert all(example.id and example.images and example.group for example in examples)
    assert len({example.id for example in examples}) == len(examples)

    processor = TwelveProcessor.from_tokenizer(root / "tokenizer")
    processor.add_task(name, output=task.output, max_text=12, row=task.token)
    vocabulary = data.vocabularies.get(task.output, ())
    processor.vocabularies[task.output] = list(vocabulary)
    heads = {task.output: {"kind": found.output.head_kind, "size": max(1, len(vocabulary))}}
    fields = parsed.model.architecture | {"v_feature_size": tiny.FEATURES, "task_specific_tokens": True}
    fields |= {"heads": heads} if found.output.own_head else {}
    fields |= found.output.architecture([example.images[0] for example in examples], data.store.get)
    model = Twelve(TwelveConfig(**fields)).eval()
    pool = found.output.prepare(examples, data.store.get)
    collator = Collator(name, found.output, task.output, processor, data.store, pool)

    batch = collator(examples[:6], np.random.default_rng(0))
    texts = set(batch.input_ids.tolist().__repr__().split("], ["))
    assert len(texts) == len(batch.input_ids) or not found.output.shares  # texts are distinct
    logits = model(**batch.inputs(), outputs=(batch.output,)).logits[batch.output]
    loss = found.output.loss(logits, batch.targets)
    loss.backward()
    assert torch.isfinite(loss) and model.text.embedding.words.weight.grad.abs().sum() > 0
    score = found.output.score(logits, batch.targets)
    assert score.shape == (6,) and ((score >= 0) & (score <= 1)).all()

    split = parsed.tasks[name].test_split
    assert split is not None
    reported = task.read(data.root, split)
    if task.partial:
        reported = list(having_regions(data.store, task, reported))
    protocol = task.protocol(split)
    assert protocol.split and protocol.boxes in ("detected", "given") and protocol.ties
    if found.output.ranks_gallery:
        reported, predictions = retrieve(model, collator, reported, gallery=protocol.gallery, batch_size=8, label=name)
    else:
        predictions = predict(model, collator, reported, batch_size=8, label=name)
    measured = task.measure(reported, predictions)
    assert measured.primary in measured.metrics and 0 <= measured.headline <= 100
    assert 0 < len(measured.per_example) == len(measured.groups) <= len(reported)  # some datasets leave examples out
    given = task.candidate_boxes(data.root, split)
    assert bool(given) == (protocol.boxes == "given") == any(example.candidates for example in reported)
    assert all(image in data.store for image in given)
    assert measured.headline == pytest.approx(100 * measured.per_example.mean(), abs=0.01)


@pytest.mark.parametrize("name", GIVING)
def test_boxes_that_are_given_need_regions_of_their_own(name: str, root: Path, tmp_path: Path) -> None:
    regions = shutil.copytree(root / "regions", tmp_path / "regions")
    for folder in regions.glob(f"*/{GIVEN}"):
        shutil.rmtree(folder)
    tree = tiny.tree(root, tmp_path / "run", regions=str(regions))
    tree["tasks"] = {name: settings(root, name)}
    with pytest.raises(RegionError, match=rf"{GIVEN}: 12 of 12 images of {name} have no regions of the boxes") as found:
        prepare(configuration.parse(tree))
    assert f"--boxes given:{name} " in str(found.value) and "--data" in str(found.value)
