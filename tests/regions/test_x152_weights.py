"""Reading the region detector's weights: strictly, under the original names."""

from __future__ import annotations

import csv
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from x152_tiny import checkpoint, noise, tiny

from twelve.errors import RegionError
from twelve.regions.detectors.x152 import PAPER, X152
from twelve.regions.detectors.x152.anchors import cell_anchors
from twelve.regions.detectors.x152.detector import scored
from twelve.regions.detectors.x152.invented_weights import invented
from twelve.regions.detectors.x152.network import X152Network
from twelve.regions.detectors.x152.weights import ANCHORS, original_name, shapes_of

EXTRAS = {
    "cls_embed.weight": (41, 8),
    "attr_linear1.weight": (16, 72),
    "attr_linear1.bias": (16,),
    "attr_linear2.weight": (10, 16),
    "attr_linear2.bias": (10,),
}


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    return tiny(fold=False).network.state_dict()


def same(detector: X152, expected: dict[str, Tensor]) -> bool:
    state = detector.network.state_dict()
    return state.keys() == expected.keys() and all(torch.equal(value, expected[name]) for name, value in state.items())


def test_names_and_shapes_are_those_of_the_released_network(goldens: Path) -> None:
    with open(goldens / "extractor" / "state_dict_keys_X152.tsv", newline="") as file:
        wanted = {row["key"]: row["shape"] for row in csv.DictReader(file, delimiter="\t")}
    with torch.device("meta"):
        shapes = shapes_of(X152Network(PAPER))
    ours = {original_name(name): "x".join(map(str, shape)) for name, shape in shapes.items()}
    unused = {name for name in wanted if name.startswith((ANCHORS, "roi_heads.box.predictor.bbox_pred."))}
    assert len(wanted) == 810 and len(unused) == 7
    assert ours == {name: shape for name, shape in wanted.items() if name not in unused}


def test_a_training_checkpoint(tmp_path: Path, expected: dict[str, Tensor]) -> None:
    """As released: of an old torch, wrapped for several devices, with the head for attributes and an optimizer."""
    model = checkpoint() | {f"roi_heads.box.predictor.{name}": torch.ones(size) for name, size in EXTRAS.items()}
    tree = {
        "model": OrderedDict((f"module.{name}", value) for name, value in model.items()),
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "scheduler": {"milestones": (1, 2), "last_epoch": 3},
        "iteration": 90_000,
    }
    torch.save(tree, tmp_path / "detectron_model.pth", _use_new_zipfile_serialization=False)
    assert same(tiny(tmp_path / "detectron_model.pth", fold=False), expected)


def test_a_safetensors_file_and_lower_precision(tmp_path: Path, expected: dict[str, Tensor]) -> None:
    save_file(checkpoint(), tmp_path / "weights.safetensors")
    assert same(tiny(tmp_path / "weights.safetensors", fold=False), expected)
    torch.save({name: value.half() for name, value in checkpoint().items() if "stem.bn1.running" not in name}
               | {name: value for name, value in checkpoint().items() if "stem.bn1.running" in name},
               tmp_path / "half.pth")  # fmt: skip
    state = tiny(tmp_path / "half.pth", fold=False).network.state_dict()
    assert all(value.dtype == torch.float32 for value in state.values())


def converted(head: bool) -> dict[str, Tensor]:
    """Names as the converter of Caffe2 files leaves them: their ends, and batch norms as a scale and an offset."""
    cut = ("backbone.body.stem.", "backbone.body.", "backbone.fpn.", "rpn.head.", "roi_heads.box.feature_extractor.",
           "roi_heads.box.predictor.")  # fmt: skip
    state = {}
    for name, value in checkpoint().items():
        if name.startswith(ANCHORS) or ".running_" in name:
            continue
        start = next(start for start in cut if name.startswith(start))
        short = name.removeprefix(start)
        state[f"head.{short}" if start == "rpn.head." and short.startswith("bbox_pred") else short] = value
    if not head:
        state = {name: value for name, value in state.items() if name.split(".")[0] != "bbox_pred"}
    return state


@pytest.mark.parametrize("head", [True, False])
def test_a_converted_file(tmp_path: Path, expected: dict[str, Tensor], head: bool) -> None:
    torch.save(converted(head), tmp_path / "converted.pth")
    plain = {
        name: torch.zeros_like(value) if "running_mean" in name else torch.ones_like(value)
        for name, value in expected.items()
        if ".running_" in name
    }
    assert same(tiny(tmp_path / "converted.pth", fold=False), expected | plain)


def drop(name: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda state: state.pop(name)


def put(name: str, value: Tensor) -> Callable[[dict[str, Tensor]], object]:
    return lambda state: state.update({name: value})


STEM = "backbone.body.stem.conv1.weight"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (drop("backbone.body.layer3.5.bn2.running_var"), r"1 tensor is missing: backbone\.body\.layer3\.5\.bn2"),
        (drop("backbone.fpn.fpn_layer4.bias"), "missing: backbone.fpn.fpn_layer4.bias"),
        (drop(f"{ANCHORS}3"), f"missing: {ANCHORS}3"),
        (put("backbone.body.layer5.0.conv1.weight", torch.ones(1)), "unknown to the network: backbone.body.layer5"),
        (put("conv1.weight", torch.ones(16, 3, 7, 7)), "unknown to the network: conv1.weight"),
        (put(f"{ANCHORS}5", torch.ones(3, 4)), "unknown to the network"),
        (
            put(STEM, torch.ones(16, 3, 5, 5)),
            r"another shape: backbone.body.stem.conv1.weight \(16x3x5x5, not 16x3x7x7",
        ),
        (put(STEM, torch.full((16, 3, 7, 7), torch.nan)), "not finite numbers: backbone.body.stem.conv1.weight"),
        (put(STEM, torch.ones(16, 3, 7, 7, dtype=torch.int32)), "not finite numbers"),
        (put(f"{ANCHORS}2", cell_anchors(2) + 0.5), f"other anchors than this network's: {ANCHORS}2"),
        (put(f"{ANCHORS}2", cell_anchors(2)[:1]), "other anchors"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, change: Callable[[Any], object], why: str) -> None:
    state = checkpoint()
    change(state)
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(RegionError, match=why):
        tiny(tmp_path / "odd.pth")


def test_a_converted_file_that_lacks_a_layer(tmp_path: Path) -> None:
    state = converted(True)
    del state["layer1.0.conv1.weight"]  # its name ends as the stem's does
    torch.save(state, tmp_path / "converted.pth")
    with pytest.raises(RegionError, match=r"missing: backbone\.body\.layer1\.0\.conv1\.weight"):
        tiny(tmp_path / "converted.pth")


class Intruder:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("was-run"),))


def test_nothing_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.pth").write_bytes(pickle.dumps({"model": Intruder()}, protocol=2))
    torch.save({"model": {"a": torch.ones(1)}, "more": Intruder()}, tmp_path / "zip.pth")
    for name in ("odd.pth", "zip.pth", "absent.pth"):
        with pytest.raises(RegionError, match=name):
            tiny(tmp_path / name)
    assert not (tmp_path / "was-run").exists()


def test_invented_weights_are_the_same_everywhere_and_give_regions() -> None:
    values = invented("backbone.body.stem.conv1.weight", (16, 3, 7, 7))
    assert values.flatten()[:2].tolist() == [0.0315888375043869, 0.15501998364925385]
    detector = tiny()
    assert same(tiny(), detector.network.state_dict())
    (found,) = detector.detect(detector.encode([detector.prepare(noise(168, 120))]), 10)
    assert len(scored(found).boxes) == 10
