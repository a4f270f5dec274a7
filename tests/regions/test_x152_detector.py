"""The region detector where it departs from the original program, and its options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from x152_tiny import noise, tiny

from twelve.errors import ConfigError, RegionError
from twelve.regions.detectors.x152 import X152, Record
from twelve.regions.detectors.x152.fidelity import measure
from twelve.regions.detectors.x152.pooling import pool


@pytest.fixture(scope="module")
def detector() -> X152:
    return tiny()


@pytest.fixture(scope="module")
def legacy() -> X152:
    return tiny(legacy=True)


def test_what_it_says_of_itself(detector: X152) -> None:
    assert detector.feature_size == 64
    assert len(detector.classes) == 40


def test_without_padding_it_finds_what_the_original_does(detector: X152, goldens: Path) -> None:
    with Image.open(goldens / "extractor" / "img_tiny_gray_0.png") as image:
        (record,) = detector.detect([detector.preprocess(image)], 20)
    with np.load(goldens / "extractor" / "tiny_gray.npz") as recorded:
        assert np.abs(record.boxes.numpy() - recorded["0/bbox"]).max() < 1e-3
        assert np.abs(record.features.numpy() - recorded["0/features"]).max() < 1e-4
        assert record.class_ids.tolist() == recorded["0/objects_fixed"].tolist()
    assert record.original_objects is None
    assert record.count == 20
    assert record.class_ids.tolist() == record.class_probabilities[:, 1:].argmax(dim=1).tolist()
    assert (record.width, record.height) == (224, 160)
    assert torch.equal(record.scores, record.scores.sort(descending=True).values)


def test_boxes_end_with_the_image_and_not_with_its_padding(detector: X152, legacy: X152) -> None:
    image = noise(200, 161, seed=3)  # scaled to 199 x 160, padded to 224 x 160
    (own,) = detector.detect([detector.preprocess(image)], 100)
    (original,) = legacy.detect([legacy.preprocess(image)], 100)
    assert float(own.boxes[:, 2].max()) <= 200
    assert float(original.boxes[:, 2].max()) > 200


def test_an_image_does_not_depend_on_those_beside_it(detector: X152, legacy: X152) -> None:
    first, second = noise(168, 120, seed=1), noise(131, 200, seed=2)
    for each, alike in ((detector, True), (legacy, False)):
        both = each.detect([each.preprocess(image) for image in (first, second)], 30)
        (alone,) = each.detect([each.preprocess(first)], 30)
        assert torch.equal(both[0].features, alone.features) is alike
    assert detector.detect([]) == legacy.detect([]) == []


def test_given_boxes_are_scaled_as_the_image_is(detector: X152, legacy: X152) -> None:
    image = noise(300, 171)
    box = torch.tensor([[30.0, 20.0, 90.0, 60.0]])
    prepared = detector.preprocess(image)
    look = detector.look([prepared])
    (scaled,) = detector.scaled(look, [box])
    assert torch.allclose(scaled, box * prepared.scale)
    (features,) = detector.describe([prepared], [box])
    expected, _ = detector.network.describe(pool(look.maps, [box * prepared.scale]))
    assert torch.equal(features, expected)
    (original,) = legacy.scaled(legacy.look([legacy.preprocess(image)]), [box])
    assert look.padded == (288, 160)  # and the image is 281 x 160 in it
    assert torch.allclose(original, box * torch.tensor([288 / 300, 160 / 171] * 2))
    assert not torch.allclose(original, scaled, atol=0.1)


def test_given_boxes_in_either_layout_keep_their_order(detector: X152) -> None:
    prepared = [detector.preprocess(noise(168, 120, seed)) for seed in (1, 2)]
    corners = [torch.tensor([[10.0, 10, 60, 50], [0, 0, 167, 119]]), torch.tensor([[20.0, 30, 90, 100]])]
    sizes = [torch.cat((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), dim=1) for boxes in corners]
    records = detector.describe_fully(prepared, corners)
    for record, boxes, again in zip(records, corners, detector.describe(prepared, sizes, layout="xywh"), strict=True):
        assert torch.equal(record.boxes, boxes)
        assert torch.equal(record.features, again)
        assert torch.equal(record.scores, record.class_probabilities[:, 1:].amax(dim=1))
    assert [len(features) for features in detector.describe(prepared, [corners[0][:0], corners[1]])] == [0, 1]


def test_what_was_found_is_described_as_given_the_same(detector: X152) -> None:
    prepared = detector.preprocess(noise(168, 120))
    (record,) = detector.detect([prepared], 20)
    (features,) = detector.describe([prepared], [record.boxes])
    assert torch.allclose(features, record.features, atol=1e-4)


@pytest.mark.parametrize(
    ("box", "why"),
    [
        ([60.0, 10, 20, 50], r"box 1 \(60, 10, 20, 50\) ends before it begins.*xywh"),
        ([float("nan"), 10, 20, 50], "finite"),
    ],
)
def test_boxes_that_cannot_be_are_refused(detector: X152, box: list[float], why: str) -> None:
    prepared = detector.preprocess(noise(168, 120))
    with pytest.raises(RegionError, match=why):
        detector.describe([prepared], [torch.tensor([[0.0, 0, 9, 9], box])])


def test_misuse_is_named(detector: X152) -> None:
    prepared = detector.preprocess(noise(168, 120))
    with pytest.raises(RegionError, match=r"\(R, 4\)"):
        detector.describe([prepared], [torch.zeros(2, 5)])
    with pytest.raises(ConfigError, match="xyxy or xywh"):
        detector.describe([prepared], [torch.zeros(2, 4)], layout="cxcywh")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="1 images with boxes for 2"):
        detector.describe([prepared], [torch.zeros(2, 4)] * 2)
    with pytest.raises(ConfigError, match="float16"):
        tiny(precision="float16")


def test_legacy_describes_boxes_that_end_before_they_begin(legacy: X152) -> None:
    prepared = legacy.preprocess(noise(168, 120))
    (features,) = legacy.describe([prepared], [torch.tensor([[60.0, 10, 20, 50]])])
    assert torch.allclose(features[0], legacy.network.fc6.bias.clamp(min=0))  # it pools nothing


def test_legacy_writes_objects_as_the_original_does(legacy: X152) -> None:
    (record,) = legacy.detect([legacy.preprocess(noise(168, 120))], 20)
    assert record.original_objects is not None
    assert record.original_objects.tolist() == record.class_probabilities[1:].argmax(dim=1).tolist()
    assert record.class_ids.tolist() == record.class_probabilities[:, 1:].argmax(dim=1).tolist()


def test_rows_below_the_threshold_come_last_without_a_score(detector: X152) -> None:
    prepared = [detector.preprocess(noise(168, 120))]
    (every,) = detector.detect(prepared, 100)
    limit = float(every.scores[10])
    (some,) = detector.detect(prepared, 100, threshold=limit)
    assert some.count == int((every.scores > limit).sum()) <= 10
    assert torch.equal(some.boxes[: some.count], every.boxes[: some.count])
    assert not some.scores[some.count :].any()


@pytest.mark.parametrize("size", [(1, 400), (400, 1), (1, 1), (3, 2)])
def test_images_of_odd_shapes(detector: X152, size: tuple[int, int]) -> None:
    (record,) = detector.detect([detector.preprocess(Image.new("RGB", size, (90, 40, 10)))], 10)
    assert bool(record.boxes.isfinite().all()) and bool(record.features.isfinite().all())


def test_folding_changes_nothing_but_rounding(detector: X152) -> None:
    plain = tiny(fold=False)
    found = measure(plain, detector, [noise(168, 120, 1), noise(131, 200, 2)], most=50)
    assert found.regions == found.matched == found.same_class == 100
    assert found.feature_largest < 1.7e-5
    names = [name for name, _ in detector.network.named_buffers()]
    assert names == [] and [name for name, _ in plain.network.named_buffers()]


def test_a_region_moved_by_more_than_four_pixels_is_another(detector: X152) -> None:
    (record,) = detector.detect([detector.preprocess(noise(168, 120))], 30)
    step = torch.tensor([3.9, 0.0, 3.9, 0.0])
    far = torch.tensor([500.0, 0.0, 500.0, 0.0])
    moved = torch.cat((record.boxes[:10] + step, record.boxes[10:] + far))
    other = replace(record, boxes=moved, features=record.features * 1.5, class_ids=record.class_ids + 1)
    found = measure(Says(record), Says(other), [noise(168, 120)])  # type: ignore[arg-type]
    assert (found.regions, found.same_class) == (30, 0)
    assert 10 <= found.matched < 30  # a region may also have a neighbour
    assert found.feature_median == pytest.approx(0.5, abs=0.3)


class Says:
    """A detector that always finds the same."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def preprocess(self, image: Image.Image) -> Image.Image:
        return image

    def detect(self, prepared: list[Image.Image], most: int) -> list[Record]:
        return [self.record]


def test_bfloat16_reports_what_it_costs(detector: X152) -> None:
    half = tiny(precision="bfloat16")
    found = measure(detector, half, [noise(168, 120, 1)], most=50)
    assert found.regions == 50
    assert 5 < found.matched <= 50  # not the same network, but one like it
    assert found.same_class <= found.matched
    assert 1e-4 < found.feature_median < 0.2
    assert f"{found.matched} of 50 regions within 4 pixels" in str(found)
    exact = measure(detector, detector, [noise(168, 120, 1)], most=50)
    assert (exact.matched, exact.same_class, exact.feature_largest) == (50, 50, 0.0)
    assert np.isnan(measure(detector, detector, []).feature_median)
