"""The contract of every feature extractor, whatever its network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from making import extract, extractor_of, same
from PIL import Image
from small_networks import CASES, Case, shown
from x152_tiny import TINY

from twelve.errors import ConfigError
from twelve.regions.detectors.feature_extractor import FeatureExtractor, fingerprint
from twelve.regions.detectors.x152 import X152
from twelve.regions.detectors.x152 import build as build_x152
from twelve.regions.extraction.box_sources import cell_boxes
from twelve.regions.extraction.extractor import Extractor
from twelve.regions.store.region_store import RegionStore
from twelve.types.regions import Regions

pytest.importorskip("timm")

DETECTORS = [name for name, case in CASES.items() if case.boxes == "detect"]
OTHERS = [name for name in CASES if name not in DETECTORS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("towers")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums that several threads share out differ in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made(folder: Path) -> Callable[[str], FeatureExtractor]:
    """The network of a case, made once."""
    return cache(lambda name: CASES[name].make(folder))


@pytest.fixture(scope="module", params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def case(name: str) -> Case:
    return CASES[name]


@pytest.fixture(scope="module")
def network(name: str, made: Callable[[str], FeatureExtractor]) -> FeatureExtractor:
    return made(name)


@pytest.fixture(scope="module")
def extractor(case: Case, network: FeatureExtractor) -> Extractor:
    return extractor_of(network, boxes=case.boxes, max_boxes=12, threshold=0.0)


def check(found: Regions, extractor: Extractor, case: Case) -> None:
    """Regions of an image of 96x64."""
    assert (found.width, found.height) == (96, 64) and found.features is not None
    assert found.boxes.dtype == np.float32 and found.features.dtype == np.float16
    assert found.features.shape == (len(found.boxes), extractor.feature_size) and len(found.boxes) > 1
    assert np.isfinite(found.features).all() and np.isfinite(found.boxes).all()
    assert (found.boxes >= 0).all() and (found.boxes <= (96, 64, 96, 64)).all()
    if case.boxes == "detect":
        assert found.scores is not None and found.class_ids is not None
        assert (np.diff(found.scores) <= 0).all() and ((found.scores >= 0) & (found.scores <= 1)).all()
        assert found.class_ids.dtype == np.int16 and found.class_ids.min() >= 0
        assert found.class_ids.max() < len(extractor.network.classes)
    else:
        assert found.scores is None and found.class_ids is None
        np.testing.assert_array_equal(found.boxes, cell_boxes(*(case.cells or (2, 3)), 96, 64))


def test_regions_of_an_image(case: Case, extractor: Extractor) -> None:
    found = extractor.extract(shown(0))
    check(found, extractor, case)
    assert same(found, extractor.extract(shown(0)))
    other = extractor.extract(shown(1))
    assert found.features is not None and not np.array_equal(found.features[:1], other.features[:1])  # type: ignore


def test_stored_regions_equal_those_of_a_single_image(case: Case, extractor: Extractor, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for k in range(3):
        shown(k).save(tmp_path / "s" / f"{k}.png")
    options = {"max_boxes": 12, "threshold": 0.0, "progress": False, "workers": 2}
    report = extract(tmp_path / "s", case.boxes, extractor.network, tmp_path / "one", batch_size=1, **options)  # type: ignore[arg-type]
    assert report.written == 3 and report.fingerprint == extractor.mark
    store = RegionStore(tmp_path / "one")
    for k in range(3):
        assert same(store.get(f"s/{k}"), extractor.extract(tmp_path / "s" / f"{k}.png", image_id=f"s/{k}"))
    extract(tmp_path / "s", case.boxes, extractor.network, tmp_path / "many", batch_size=3, **options)  # type: ignore[arg-type]
    for k in range(3):  # the same images in one batch
        alone, together = store.get(f"s/{k}"), RegionStore(tmp_path / "many").get(f"s/{k}")
        assert same(alone, together) or not extractor.network.alone
        np.testing.assert_allclose(together.boxes, alone.boxes, atol=0.05)
        assert together.features is not None and alone.features is not None
        scale = np.abs(alone.features).max()
        np.testing.assert_allclose(together.features, alone.features, atol=4e-3 * scale)


def test_boxes_of_the_callers(case: Case, extractor: Extractor) -> None:
    if case.boxes == "patches":
        pytest.skip("patches are the cells themselves")
    boxes = [[4, 6, 70, 50], [0, 0, 96, 64], [-20, 30.5, 33, 80]]
    found = extractor.extract(shown(0), boxes)
    np.testing.assert_array_equal(found.boxes, [[4, 6, 70, 50], [0, 0, 96, 64], [0, 30.5, 33, 64]])
    assert found.features is not None and found.features.shape == (3, extractor.feature_size)
    alone = extractor.extract(shown(0), boxes[1:2])
    np.testing.assert_allclose(found.features[1:2], alone.features, atol=2e-3, rtol=2e-3)  # type: ignore[arg-type]
    empty = extractor.extract(shown(0), [])
    assert empty.features is not None and empty.features.shape == (0, extractor.feature_size)
    own = extractor.extract(shown(0))
    again = extractor.extract(shown(0), own.boxes)
    scale = np.abs(own.features).max()  # type: ignore[arg-type]
    np.testing.assert_allclose(again.features, own.features, atol=4e-3 * scale)  # type: ignore[arg-type]


def test_the_fingerprint_follows_weights_and_settings(case: Case, network: FeatureExtractor, folder: Path) -> None:
    mark = fingerprint(network.settings())
    changes = ("other_weights", "other_size") if case.weights else ("other_size",)
    others = {fingerprint(case.make(folder, **{what: True}).settings()) for what in changes}
    assert len(others) == len(changes) and mark not in others


@pytest.mark.parametrize("name", OTHERS)
def test_what_finds_no_boxes_says_so(name: str, made: Callable[[str], FeatureExtractor]) -> None:
    network = made(name)
    with pytest.raises(ConfigError, match=r"detects no boxes -> give --boxes FILE or grid:SIZE"):
        network.detect(network.encode([network.prepare(shown())]), 5, 0.0)
    with pytest.raises(ConfigError, match="detects no boxes"):
        extractor_of(network, boxes="detect")
    with pytest.raises(ConfigError, match="has no class probabilities -> leave --class-probabilities out"):
        extractor_of(network, boxes=CASES[name].boxes, class_probabilities=True)


@pytest.mark.parametrize("name", DETECTORS)
def test_what_has_no_patches_says_so(name: str, made: Callable[[str], FeatureExtractor]) -> None:
    network = made(name)
    with pytest.raises(ConfigError, match="describes boxes and has no patches"):
        network.patches(network.encode([network.prepare(shown())]))
    with pytest.raises(ConfigError, match="describes boxes and has no patches"):
        extractor_of(network, boxes="patches")


@pytest.mark.parametrize("name", DETECTORS)
def test_class_probabilities(name: str, made: Callable[[str], FeatureExtractor]) -> None:
    network = made(name)
    if name == "one stage of torchvision":
        with pytest.raises(ConfigError, match="has no class probabilities"):
            extractor_of(network, class_probabilities=True)
        return
    extractor = extractor_of(network, max_boxes=5, threshold=0.0, class_probabilities=True)
    for found in (extractor.extract(shown(0)), extractor.extract(shown(0), [[1, 2, 30, 40], [5, 5, 60, 60]])):
        given = found.class_probabilities
        assert given is not None and given.dtype == np.float16
        assert given.shape == (len(found.boxes), 1 + len(network.classes))
        np.testing.assert_allclose(given.astype(np.float32).sum(1), 1, atol=5e-3)
    if name == "x152":  # there, a box's class is told from the box itself
        found = extractor.extract(shown(0))
        assert found.class_probabilities is not None and found.class_ids is not None
        np.testing.assert_array_equal(found.class_probabilities[:, 1:].argmax(1), found.class_ids)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_threshold_and_a_number_of_boxes(name: str, made: Callable[[str], FeatureExtractor]) -> None:
    network = made(name)
    everything = extractor_of(network, threshold=0.0).extract(shown(0)).scores
    assert everything is not None and len(everything) > 3
    few = extractor_of(network, max_boxes=3, threshold=0.0).extract(shown(0)).scores
    np.testing.assert_array_equal(few, everything[:3])  # type: ignore[arg-type]
    middle = float(everything[2] + everything[3]) / 2
    sure = extractor_of(network, threshold=middle).extract(shown(0)).scores
    assert sure is not None and (sure >= middle).all() and len(sure) == (everything >= middle).sum()


def test_x152_is_the_detector_itself(tmp_path: Path, made: Callable[[str], FeatureExtractor]) -> None:
    network = made("x152")
    assert isinstance(network, X152)
    encoded = network.encode([network.prepare(shown(3))])
    (record,) = network.ranked(encoded, network.proposals(encoded), 12)
    assert record.features is not None and record.scores is not None
    found = extractor_of(network, max_boxes=12, class_probabilities=True).extract(shown(3))
    np.testing.assert_array_equal(found.boxes, record.boxes)
    np.testing.assert_array_equal(found.features, record.features.half())  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.class_ids, record.class_ids)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.class_probabilities, record.class_probabilities, atol=1e-3)  # type: ignore[arg-type]
    sure = extractor_of(network, max_boxes=50, threshold=float(record.scores[4])).extract(shown(3))
    assert len(sure.boxes) == 4 and sure.scores is not None  # there, a score must be larger than the threshold


def test_legacy_takes_images_as_they_stand(tmp_path: Path) -> None:
    network = build_x152("random", sizes=TINY, legacy=True, short_side=64, long_side=160)
    extractor = extractor_of(network, max_boxes=5)
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "s").mkdir()
    shown(3).save(tmp_path / "s" / "turned.png", exif=exif)
    shown(3).quantize(8).save(tmp_path / "s" / "indices.png")
    shown(3).convert("RGBA").save(tmp_path / "s" / "layered.png")
    report = extract(tmp_path / "s", "detect", network, tmp_path / "out", max_boxes=5, progress=False)
    assert list(report.failed) == ["s/layered"] and "takes no RGBA images" in report.failed["s/layered"]
    turned = extractor.extract(tmp_path / "s" / "turned.png", image_id="s/turned")
    assert (turned.width, turned.height) == (96, 64) and same(turned, RegionStore(tmp_path / "out").get("s/turned"))
    indices = extractor.extract(Image.fromarray(np.asarray(shown(3).quantize(8))))
    np.testing.assert_array_equal(indices.features, extractor.extract(shown(3).quantize(8)).features)  # type: ignore[arg-type]
    assert "legacy" in str(network.settings()) and network.settings()["legacy"] is True
