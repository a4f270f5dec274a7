"""A run in seconds of FOIL, Flickr30k Entities and GuessWhat?!'s answerer: trained, looked at, measured, reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_extra_binary
import tiny_model
import tiny_others
import torch
from rich.console import Console

from twelve import config as configuration
from twelve.data.exclusions import find_exclusions
from twelve.evaluation import recorded
from twelve.model.config import TwelveConfig
from twelve.model.vilbert import Twelve
from twelve.report.write import write_report
from twelve.run_folder import RunFolder
from twelve.runs.evaluate import evaluate_run
from twelve.runs.train import train

QUIET = Console(quiet=True)
TASKS = tuple(tiny_extra_binary.REPORTS)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tiny_extra_binary.make(tiny_others.make(tmp_path_factory.mktemp("root")))
    for split, numbers in {"train": range(24), "valid": range(24, 32)}.items():
        tiny_extra_binary.write_games(made / "guesswhat", split, numbers)
        # One caption for all images, so that only the image tells.
        captions = [
            {"image_id": number, "caption": "the thing is red", "foil": tiny.COLOURS[tiny.colour_of(number)] != "red"}
            for number in numbers
        ]
        name = "train" if split == "train" else "test"
        tiny.write_json(made / "foil" / f"foilv1.0_{name}_2017.json", {"annotations": captions})
    return made


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    training = {"iterations": 80, "eval_every": 40, "save_every": 80, "log_every": 1, "threads": 1}
    tree: dict[str, Any] = tiny.tree(root, tmp_path_factory.mktemp("runs") / "run", training=training, sources={})
    tree["tasks"] = {name: tiny_extra_binary.settings(name) for name in TASKS}
    return train(configuration.parse(tree), console=QUIET)


def test_they_learn_to_look(trained: Path) -> None:
    results = {result.task: result for result in evaluate_run(trained)}
    assert set(results) == set(TASKS)
    for task, result in results.items():
        assert result.score.mean > result.baselines["shuffled images"].score + 10, task
    text_only = {"chance", "majority", "bag of words", "shuffled images"}
    assert set(results["foil"].baselines) == set(results["guesswhat_answerer"].baselines) == text_only
    assert {"box prior", "trained box prior"} < set(results["flickr30k_entities"].baselines)
    # The questions and the image are the same for every object: only who sees the object can know more than these.
    answerer = results["guesswhat_answerer"]
    assert answerer.baselines["bag of words"].score == 75 and answerer.score.mean > 85
    assert answerer.protocol.boxes == "given" and "box around all" in results["flickr30k_entities"].protocol.note

    kept = recorded.read(RunFolder(trained).predictions)
    assert {task: lines[0].kind for task, lines in kept.items()} == {
        "foil": "truth",
        "flickr30k_entities": "region",
        "guesswhat_answerer": "reply",
    }
    assert all(len(line.candidates) == 1 for line in kept["guesswhat_answerer"])
    page = write_report(trained).read_text(encoding="utf-8")
    for text in ("FOIL", "Flickr30k Entities", "GuessWhat?! answerer", "Frame: the thing asked about", "N/A"):
        assert text in page


def test_their_images_are_held_out_and_cleaned(tmp_path: Path) -> None:
    root = tiny.make(tmp_path, train=6, val=2)
    tiny_extra_binary.write_captions(root / "foil", {"test": range(2), "train": range(2, 8)})
    tiny_extra_binary.write_entities(root / "flickr30k_entities", "test", range(1, 3))
    tiny_extra_binary.write_entities(root / "flickr30k_entities", "train", range(3, 8))
    found = {task.task: task for task in find_exclusions(root, "test+val", pixels=False, progress=False).tasks}
    assert {image: set(why) for image, why in found["vqa"].images.items()} == {
        "coco/0": {"foil test"},
        "coco/1": {"foil test"},
    }
    entities = {"flickr30k/9001", "flickr30k/9002"}
    assert set(found["snli_ve"].images) == set(found["flickr30k"].images) == entities
    assert set(found["foil"].images) == {"coco/6", "coco/7"}  # vqa's
    assert set(found["flickr30k_entities"].images) == {"flickr30k/9006", "flickr30k/9007"}


def test_regions_that_are_padding_reply_nothing() -> None:
    torch.manual_seed(0)
    sizes = tiny.tree(Path(), Path())["model"]["architecture"]
    sizes |= {"v_feature_size": tiny.FEATURES, "task_specific_tokens": False}
    config = TwelveConfig(**sizes, heads={"reply": {"kind": "reply", "size": 1}})
    model = Twelve(config).eval()
    features, boxes = torch.randn(2, 5, tiny.FEATURES), tiny_model.boxes(2, 5, 5)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    ids = torch.tensor([[2, 7, 8, 3], [2, 7, 8, 3]])
    padded = model(input_ids=ids, features=features, boxes=boxes, region_mask=mask).logits["reply"]
    assert padded.shape == (2, 5, 3)
    assert (padded[1, 3:] < -1000).all() and (padded[1, :3].abs() < 1000).all()
    alone = model(input_ids=ids[1:], features=features[1:, :3], boxes=boxes[1:, :3]).logits["reply"]
    torch.testing.assert_close(padded[1:, :3], alone, atol=1e-5, rtol=1e-5)
