"""The detector as a network: files, boxes and features; what the shipped one knows is tested with the microworld."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from making import pooled

from twelve.errors import ConfigError, RegionError
from twelve.regions.detectors.backbone import FeatureMaps
from twelve.regions.detectors.feature_extractor import PreparedImage
from twelve.regions.detectors.shipped_detector import RECORD, Detector, ShippedDetector, build, load, save
from twelve.regions.extractor_config import ExtractorConfig


@pytest.fixture(scope="module")
def tiny() -> Detector:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        detector = Detector(("a", "b", "c"), {"colour": 4}, feature_size=16)
    for norm in detector.modules():  # as after some training, so that folding them is seen
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.uniform_(-0.2, 0.2)  # type: ignore[union-attr]
            norm.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    return detector.half().float().eval().requires_grad_(False)


def pixels(count: int = 2, size: tuple[int, int] = (64, 96)) -> torch.Tensor:
    return torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def encoded(network: ShippedDetector, pixels: torch.Tensor) -> FeatureMaps:
    return network.encode([PreparedImage(image, image.shape[1], image.shape[0]) for image in pixels])


def test_saved_and_loaded_it_is_the_same(tiny: Detector, tmp_path: Path) -> None:
    save(tiny, tmp_path / "d.safetensors", {"command": "make it"})
    again, recorded = load(tmp_path / "d.safetensors")
    assert recorded["command"] == "make it"
    assert (again.classes, again.attributes, again.feature_size) == (("a", "b", "c"), {"colour": 4}, 16)
    one, other = ShippedDetector(tiny, "x"), ShippedDetector(again, "x")
    for a, b in zip(encoded(one, pixels()).maps, encoded(other, pixels()).maps, strict=True):
        assert torch.equal(a, b)


def test_built_from_a_file_norms_are_folded_and_nothing_changes(tiny: Detector, tmp_path: Path) -> None:
    save(tiny, tmp_path / "d.safetensors", {})
    built = build(ExtractorConfig("microworld", str(tmp_path / "d.safetensors")))
    assert built.classes == ("a", "b", "c") and built.feature_size == 16 and built.multiple == 8
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in built.modules())
    plain, boxes = ShippedDetector(tiny, "x"), torch.tensor([[[0.1, 0.1, 0.5, 0.6]], [[0.0, 0.0, 1.0, 1.0]]])
    torch.testing.assert_close(pooled(built, pixels(), boxes), pooled(plain, pixels(), boxes), atol=1e-4, rtol=1e-3)


def test_a_box_is_described_as_if_it_were_alone(tiny: Detector) -> None:
    network = ShippedDetector(tiny, "x")
    boxes = torch.rand(2, 3, 2, 2).sort(2).values.flatten(2)
    together = pooled(network, pixels(), boxes)
    assert together.shape == (2, 3, 16)
    for image in range(2):
        for row in range(3):
            alone = pooled(network, pixels()[image : image + 1], boxes[image : image + 1, row : row + 1])
            torch.testing.assert_close(together[image, row], alone[0, 0], atol=1e-5, rtol=1e-4)


def test_a_batch_may_have_no_box(tiny: Detector) -> None:
    network = ShippedDetector(tiny, "x")
    maps = encoded(network, pixels(3)).maps
    assert network.pool(maps, torch.empty(3, 0, 4)).shape == (3, 0, 16)
    assert network.pool([level[:1] for level in maps], torch.empty(1, 0, 4)).shape == (1, 0, 16)


def test_the_size_of_a_box_is_part_of_its_feature(tiny: Detector) -> None:
    """Pooled maps do not tell a small thing from a large one; on an even image nothing else differs."""
    even = torch.full((1, 64, 96, 3), 128, dtype=torch.uint8)
    small, large = (torch.tensor([[[0.5 - half, 0.5 - half, 0.5 + half, 0.5 + half]]]) for half in (0.05, 0.1))
    network = ShippedDetector(tiny, "x")
    assert (pooled(network, even, small) - pooled(network, even, large)).abs().max() > 1e-3


def test_detections_are_what_was_asked_for(tiny: Detector) -> None:
    network = ShippedDetector(tiny, "x")
    maps = encoded(network, pixels(3))
    everything = network.detect(maps, 1000, 0.0)
    assert len(everything) == 3 and all(len(found.boxes) > 4 for found in everything)
    for found, few in zip(everything, network.detect(maps, 4, 0.0), strict=True):
        assert torch.equal(few.boxes, found.boxes[:4])
        assert (
            (found.scores.diff() <= 0).all()
            and (found.boxes >= 0).all()
            and (found.boxes <= torch.tensor([96, 64, 96, 64])).all()
        )
        assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
        assert set(found.class_ids.tolist()) <= {0, 1, 2}
        (own,) = [
            f for f in network.detect(maps, 1000, float(found.scores[2])) if torch.equal(f.boxes, found.boxes[:3])
        ]
        assert torch.equal(own.scores, found.scores[:3])
    strict = network.detect(maps, 10, 1.1)
    assert [len(found.boxes) for found in strict] == [0, 0, 0]


def test_training_losses_know_every_attribute(tiny: Detector) -> None:
    detector = Detector(("a", "b", "c"), {"colour": 4}, feature_size=16)
    target = {
        "boxes": torch.tensor([[10.0, 10.0, 40.0, 40.0]]),
        "labels": torch.tensor([2]),
        "colour": torch.tensor([3]),
    }
    losses = detector(ShippedDetector(detector, "x").normalise(pixels(1)), [target])
    assert set(losses) == {"loss_objectness", "loss_rpn_box_reg", "class", "box", "colour"}
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in detector.parameters())


def test_untrained_from_a_seed() -> None:
    boxes = torch.tensor([[[0.1, 0.1, 0.5, 0.6]]])
    one, same, other = (
        pooled(build(ExtractorConfig("microworld", "random"), seed=seed), pixels(1), boxes) for seed in (1, 1, 2)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_mistakes(tiny: Detector, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="microworld has no level '8'"):
        build(ExtractorConfig("microworld", "random", levels=("8",)))
    with pytest.raises(RegionError, match="no such weight file"):
        build(ExtractorConfig("microworld", str(tmp_path / "none.safetensors")))
    (tmp_path / "bad.safetensors").write_bytes(b"\0" * 64)
    with pytest.raises(RegionError, match="cannot be read as weights of a detector"):
        load(tmp_path / "bad.safetensors")
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(RegionError, match="cannot be read as weights of a detector"):
        load(tmp_path / "other.safetensors")
    save(tiny, tmp_path / "d.safetensors", {})
    state = {k: v for k, v in _tensors(tmp_path / "d.safetensors").items() if k != "second.box_head.first.bias"}
    whole = {RECORD: json.dumps({"classes": "a,b,c", "attributes": "colour:4", "feature_size": "16"})}
    save_file(state, tmp_path / "lacking.safetensors", metadata=whole)
    with pytest.raises(RegionError, match=r"second\.box_head\.first\.bias"):
        load(tmp_path / "lacking.safetensors")


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)
