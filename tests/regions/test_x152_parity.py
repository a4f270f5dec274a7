"""The detector against recordings of the original program, and the command that compares them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twelve.errors import DataError
from twelve.parity.extractor import compare, run


@pytest.fixture(scope="session")
def recording(goldens: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a copy of the recording with some of its cases."""

    def copy(*names: str) -> Path:
        folder = tmp_path_factory.mktemp("extractor")
        tree = json.loads((goldens / "extractor" / "goldens.json").read_text())
        tree["cases"] = {name: tree["cases"][name] for name in names}
        (folder / "goldens.json").write_text(json.dumps(tree))
        for name, case in tree["cases"].items():
            for file in (f"{name}.npz", *case["images"]):
                shutil.copy(goldens / "extractor" / file, folder / file)
        return folder

    return copy


CASES = ("tiny_landscape", "tiny_gray", "tiny_batch2", "tiny_gt", "tiny_landscape__background")


@pytest.mark.parametrize("fold", [True, False], ids=["folded", "unfolded"])
def test_every_stage_and_record_of_the_small_model(recording: Callable[..., Path], fold: bool) -> None:
    found = dict(compare(recording(*CASES), fold=fold))
    assert set(found) == {"configuration", *(f"{name} (tiny)" for name in CASES)}
    assert sum(len(differences) for differences in found.values()) == 203
    beyond = [(title, d.quantity, d.largest) for title, own in found.items() for d in own if not d.ok]
    assert beyond == []
    # Rounding is far from what is allowed for other processors.
    relative = [d.largest for own in found.values() for d in own if d.note.startswith("of ")]
    assert max(relative) < 1e-5


@pytest.mark.slow
def test_the_full_network(recording: Callable[..., Path]) -> None:
    found = dict(compare(recording("x152_320")))
    own = found["x152_320 (x152)"]
    assert [(d.quantity, d.largest) for d in own if not d.ok] == []
    assert {"C5", "P6", "pooled", "logits", "0/proposals", "0/features", "0/cls_prob", "0/objects"} <= {
        d.quantity for d in own
    }


def test_command_prints_a_table_and_fails_beyond_tolerance(
    recording: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recording("tiny_gray")
    assert run(folder) == 0
    text = capsys.readouterr().out
    assert "all within their tolerances" in text
    assert "0/features" in text
    change(folder, lambda tree: tree["cases"]["tiny_gray"]["stats"]["C4"]["samples"].__setitem__(3, 1.0))
    assert run(folder / "goldens.json") == 1
    assert "1 beyond their tolerance" in capsys.readouterr().out


def test_rows_without_a_score_have_no_order_to_compare(recording: Callable[..., Path]) -> None:
    """A threshold leaves the ranking of those above it as it was."""
    folder = recording("tiny_gray")
    with np.load(folder / "tiny_gray.npz") as opened:
        scores = opened["0/max_conf"]
    limit = float(scores[11] + scores[12]) / 2

    def edit(tree: Any) -> None:
        tree["cases"]["tiny_gray"].update(args={"confidence_threshold": limit}, num_boxes=[12])

    change(folder, edit)
    rewrite(folder, **{"0_max_conf": np.where(np.arange(20) < 12, scores, 0)})
    assert run(folder) == 0
    change(folder, lambda tree: tree["cases"]["tiny_gray"].update(num_boxes=[11]))
    assert run(folder) == 1


def change(folder: Path, edit: Callable[[Any], object]) -> None:
    tree = json.loads((folder / "goldens.json").read_text())
    edit(tree)
    (folder / "goldens.json").write_text(json.dumps(tree))


def rewrite(folder: Path, **arrays: Any) -> None:
    with np.load(folder / "tiny_gray.npz") as opened:
        kept = {name: opened[name] for name in opened.files}
    kept |= {name.replace("_", "/", 1): value for name, value in arrays.items()}
    np.savez(folder / "tiny_gray.npz", **{name: value for name, value in kept.items() if value is not None})


@pytest.mark.parametrize(
    ("array", "value"),
    [
        ("0_features", np.zeros((20, 64), np.float32)),
        ("0_bbox", np.zeros((20, 4), np.float32)),
        ("0_bbox", np.zeros((19, 4), np.float32)),
        ("0_objects_fixed", np.zeros(20, np.int64)),
        ("0_objects_original_script", np.zeros(19, np.int64)),
        ("0_max_conf", np.full(20, np.nan, np.float32)),
        ("0_objectness", np.zeros(100, np.float32)),
    ],
)
def test_a_record_that_differs_is_seen(recording: Callable[..., Path], array: str, value: Any) -> None:
    folder = recording("tiny_gray")
    rewrite(folder, **{array: value})
    differences = dict(compare(folder))["tiny_gray (tiny)"]
    assert [d.quantity for d in differences if not d.ok] == [
        array.replace("_", "/", 1).replace("objects_fixed", "objects")
    ]


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda folder: (folder / "goldens.json").unlink(), "goldens.json"),
        (lambda folder: (folder / "goldens.json").write_text('{"cases": {'), "goldens.json"),
        (lambda folder: (folder / "tiny_gray.npz").unlink(), "tiny_gray.npz"),
        (lambda folder: (folder / "tiny_gray.npz").write_bytes(b"PK\x03\x04 and no more"), "tiny_gray.npz"),
        (lambda folder: rewrite(folder, **{"0_bbox": None}), "0/bbox"),
        (lambda folder: rewrite(folder, **{"0_proposals": np.zeros((3, 7), np.float32)}), "tiny_gray.npz"),
        (lambda folder: (folder / "img_tiny_gray_0.png").unlink(), "img_tiny_gray_0.png"),
        (lambda folder: (folder / "img_tiny_gray_0.png").write_bytes(b"\x89PNG\r\n"), "img_tiny_gray_0.png"),
        (lambda folder: change(folder, lambda tree: tree["common"].update(pool=14)), "common.pool"),
        (lambda folder: change(folder, lambda tree: tree["cases"]["tiny_gray"].update(model="small")), "small"),
        (lambda folder: change(folder, lambda tree: tree["cases"]["tiny_gray"].pop("min_size")), "min_size"),
        (lambda folder: change(folder, lambda tree: tree["cases"]["tiny_gray"].update(num_boxes=[])), "tiny_gray"),
        (lambda folder: change(folder, lambda tree: tree["cases"]["tiny_gray"]["args"].update(flip=True)), "flip"),
        (lambda folder: change(folder, lambda tree: tree["models"]["tiny"].update(mlp_dim=10**15)), "goldens.json"),
    ],
)
def test_damage_is_named(recording: Callable[..., Path], damage: Callable[[Path], object], named: str) -> None:
    folder = recording("tiny_gray")
    damage(folder)
    with pytest.raises(DataError, match=named):
        list(compare(folder))
