"""The region detector where it departs from the original program, and its options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from x152_tiny import noise, tiny

from twelve.errors import ConfigError, RegionError
from twelve.parity.extractor import original_objects
from twelve.regions.detectors.feature_extractor import Detections
from twelve.regions.detectors.x152 import X152, Encoded
from twelve.regions.detectors.x152.detector import scored
from twelve.regions.detectors.x152.pooling import pool
from twelve.regions.extraction.fidelity import Fidelity, compare


@pytest.fixture(scope="module")
def detector() -> X152:
    return tiny()


@pytest.fixture(scope="module")
def legacy() -> X152:
    return tiny(legacy=True)


def encoded(detector: X152, *images: Image.Image) -> Encoded:
    return detector.encode([detector.prepare(image) for image in images])


def detect(detector: X152, image: Image.Image, most: int = 100) -> Any:
    (found,) = detector.detect(encoded(detector, image), most)
    return found


def measure(exact: X152, faster: X152, images: Sequence[Image.Image], most: int) -> Fidelity:
    return compare(*([detect(each, image, most) for image in images] for each in (exact, faster)))


def test_what_it_says_of_itself(detector: X152) -> None:
    assert detector.feature_size == 64
    assert len(detector.classes) == 40


def test_without_padding_it_finds_what_the_original_does(detector: X152, goldens: Path) -> None:
    with Image.open(goldens / "extractor" / "img_tiny_gray_0.png") as image:
        record = detect(detector, image, 20)
    with np.load(goldens / "extractor" / "tiny_gray.npz") as recorded:
        assert np.abs(record.boxes.numpy() - recorded["0/bbox"]).max() < 1e-3
        assert np.abs(record.features.numpy() - recorded["0/features"]).max() < 1e-4
        assert record.class_ids.tolist() == recorded["0/objects_fixed"].tolist()
    assert len(scored(record).boxes) == 20
    assert record.class_ids.tolist() == record.class_probabilities[:, 1:].argmax(dim=1).tolist()
    assert torch.equal(record.scores, record.scores.sort(descending=True).values)


def test_boxes_end_with_the_image_and_not_with_its_padding(detector: X152, legacy: X152) -> None:
    image = noise(200, 161, seed=3)  # scaled to 199 x 160, padded to 224 x 160
    own = detect(detector, image)
    original = detect(legacy, image)
    assert float(own.boxes[:, 2].max()) <= 200
    assert float(original.boxes[:, 2].max()) > 200


def test_images_of_a_batch_depend_on_each_other_so_each_is_alone(detector: X152, legacy: X152) -> None:
    first, second = noise(168, 120, seed=1), noise(131, 200, seed=2)
    for each in (detector, legacy):
        together = each.detect(encoded(each, first, second), 30)[0].features
        assert together is not None and not torch.equal(together, detect(each, first, 30).features)
        assert each.alone


def test_given_boxes_are_scaled_as_the_image_is(detector: X152, legacy: X152) -> None:
    image = noise(300, 171)
    box = torch.tensor([[30.0, 20.0, 90.0, 60.0]])
    found = encoded(detector, image)
    scale = found.images[0].scale
    (scaled,) = detector.scaled(found, [box])
    assert torch.allclose(scaled, box * scale)
    (features,) = detector.describe(found, [box])
    expected, _ = detector.network.describe(pool(found.maps, [box * scale]))
    assert torch.equal(features, expected)
    (original,) = legacy.scaled(encoded(legacy, image), [box])
    assert found.padded == (288, 160)  # and the image is 281 x 160 in it
    assert torch.allclose(original, box * torch.tensor([288 / 300, 160 / 171] * 2))
    assert not torch.allclose(original, scaled, atol=0.1)


def test_given_boxes_keep_their_order(detector: X152) -> None:
    both = encoded(detector, *(noise(168, 120, seed) for seed in (1, 2)))
    corners = [torch.tensor([[10.0, 10, 60, 50], [0, 0, 167, 119]]), torch.tensor([[20.0, 30, 90, 100]])]
    records: list[Any] = detector.classify(both, corners)
    for record, boxes, again in zip(records, corners, detector.describe(both, corners), strict=True):
        assert torch.equal(record.boxes, boxes)
        assert torch.equal(record.features, again)
        assert torch.equal(record.scores, record.class_probabilities[:, 1:].amax(dim=1))
    assert [len(features) for features in detector.describe(both, [corners[0][:0], corners[1]])] == [0, 1]
    with pytest.raises(ValueError, match="shorter"):
        detector.describe(both, corners[:1])


def test_what_was_found_is_described_as_given_the_same(detector: X152) -> None:
    found = encoded(detector, noise(168, 120))
    (record,) = detector.detect(found, 20)
    (features,) = detector.describe(found, [record.boxes])
    assert record.features is not None
    assert torch.allclose(features, record.features, atol=1e-4)


@pytest.mark.parametrize(
    ("box", "why"),
    [
        ([60.0, 10, 20, 50], r"box 1 \(60, 10, 20, 50\) ends before it begins.*give x1, y1, x2, y2"),
        ([float("nan"), 10, 20, 50], "finite"),
    ],
)
def test_boxes_that_cannot_be_are_refused(detector: X152, box: list[float], why: str) -> None:
    with pytest.raises(RegionError, match=why):
        detector.describe(encoded(detector, noise(168, 120)), [torch.tensor([[0.0, 0, 9, 9], box])])


def test_misuse_is_named(detector: X152) -> None:
    with pytest.raises(RegionError, match=r"\(R, 4\)"):
        detector.describe(encoded(detector, noise(168, 120)), [torch.zeros(2, 5)])
    with pytest.raises(ConfigError, match="no precision float16"):
        tiny(precision="float16")


def test_legacy_describes_boxes_that_end_before_they_begin(legacy: X152) -> None:
    (features,) = legacy.describe(encoded(legacy, noise(168, 120)), [torch.tensor([[60.0, 10, 20, 50]])])
    assert torch.allclose(features[0], legacy.network.fc6.bias.clamp(min=0))  # it pools nothing


def test_legacy_writes_objects_as_the_original_does(legacy: X152) -> None:
    record = detect(legacy, noise(168, 120), 20)
    objects = original_objects(record.class_probabilities)
    assert objects.tolist() == record.class_probabilities[1:].argmax(dim=1).tolist()
    assert record.class_ids.tolist() == record.class_probabilities[:, 1:].argmax(dim=1).tolist()


def test_rows_below_the_threshold_come_last_without_a_score(detector: X152) -> None:
    found = encoded(detector, noise(168, 120))
    proposals = detector.proposals(found)
    every: Any = detector.ranked(found, proposals, 100)[0]
    limit = float(every.scores[10])
    some: Any = detector.ranked(found, proposals, 100, threshold=limit)[0]
    count = len(scored(some).boxes)
    assert count == int((every.scores > limit).sum()) <= 10
    assert torch.equal(some.boxes[:count], every.boxes[:count])
    assert not some.scores[count:].any()
    assert len(detector.detect(found, 100, limit)[0].boxes) == count


@pytest.mark.parametrize("size", [(1, 400), (400, 1), (1, 1), (3, 2)])
def test_images_of_odd_shapes(detector: X152, size: tuple[int, int]) -> None:
    record = detect(detector, Image.new("RGB", size, (90, 40, 10)), 10)
    assert bool(record.boxes.isfinite().all()) and bool(record.features.isfinite().all())


def test_folding_changes_nothing_but_rounding(detector: X152) -> None:
    plain = tiny(fold=False)
    found = measure(plain, detector, [noise(168, 120, 1), noise(131, 200, 2)], most=50)
    assert found.regions == found.matched == found.same_class == 100
    assert found.feature_largest < 1.7e-5
    names = [name for name, _ in detector.network.named_buffers()]
    assert names == [] and [name for name, _ in plain.network.named_buffers()]


def test_a_region_moved_by_more_than_four_pixels_is_another(detector: X152) -> None:
    record: Detections = detect(detector, noise(168, 120), 30)
    assert record.features is not None and record.class_ids is not None
    step = torch.tensor([3.9, 0.0, 3.9, 0.0])
    far = torch.tensor([500.0, 0.0, 500.0, 0.0])
    moved = torch.cat((record.boxes[:10] + step, record.boxes[10:] + far))
    other = replace(record, boxes=moved, features=record.features * 1.5, class_ids=record.class_ids + 1)
    found = compare([record], [other])
    assert (found.regions, found.same_class) == (30, 0)
    assert 10 <= found.matched < 30  # a region may also have a neighbour
    assert found.feature_median == pytest.approx(0.5, abs=0.3)


def test_bfloat16_reports_what_it_costs(detector: X152) -> None:
    half = tiny(precision="bf16")
    found = measure(detector, half, [noise(168, 120, 1)], most=50)
    assert found.regions == 50
    assert 5 < found.matched <= 50  # not the same network, but one like it
    assert found.same_class is not None and found.same_class <= found.matched
    assert 1e-4 < found.feature_median < 0.2
    assert f"{found.matched} of 50 regions within 4 pixels" in str(found)
    exact = measure(detector, detector, [noise(168, 120, 1)], most=50)
    assert (exact.matched, exact.same_class, exact.feature_largest) == (50, 50, 0.0)
    assert np.isnan(measure(detector, detector, [], most=50).feature_median)
