"""Region features of other programs arrive in the store as they were, whatever the format."""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from import_origins import (
    CLASSES,
    FEATURES,
    Made,
    adaptive_h5_of,
    base64_fields,
    gqa_h5_of,
    group_h5_of,
    h5_of,
    lmdb_fields,
    lmdb_of,
    made,
    npy_of,
    python_2_pickle,
    tsv_of,
    write_lmdb,
)

from twelve.errors import ConfigError, RegionError
from twelve.extras import install
from twelve.regions.importers import import_regions, run
from twelve.regions.importers.converting import ClassProbabilities
from twelve.regions.store.inspect import inspect
from twelve.regions.store.region_file import RegionFile
from twelve.regions.store.region_store import RegionStore

pytest.importorskip("lmdb")
pytest.importorskip("h5py")

IMAGES = [made(f"COCO_val2014_{k:012d}", 1 + k % 4) for k in range(11)]


def take(path: Path, out: Path, **options: Any) -> run.ImportReport:
    return import_regions(path, out, source="coco", detector="x152", progress=False, **options)


def check(out: Path, images: Sequence[Made], *, classes: bool = False) -> None:
    store = RegionStore(out)
    assert sorted(store.ids("coco")) == sorted(f"coco/{int(image.key[-12:])}" for image in images)
    for image in images:
        found = store.get(f"coco/{int(image.key[-12:])}")
        assert (found.width, found.height) == (image.width, image.height)
        np.testing.assert_array_equal(found.boxes, image.boxes)
        np.testing.assert_array_equal(found.features, image.features.astype(np.float16))
        if classes:
            np.testing.assert_array_equal(found.scores, image.scores)
            np.testing.assert_array_equal(found.class_ids, image.class_ids)
        else:
            assert found.scores is None and found.class_ids is None
    assert not any(report.problem for report in inspect(out, verify=True))


def python_2_lmdb(path: Path, images: Sequence[Made]) -> Path:
    return write_lmdb(path, {image.key: python_2_pickle(lmdb_fields(image)) for image in images})


WRITERS: dict[str, tuple[Callable[[Path, Sequence[Made]], Path], str, bool]] = {
    "lmdb": (lmdb_of, "x.lmdb", False),
    "lmdb, protocol 2": (lambda path, images: lmdb_of(path, images, protocol=2), "x.lmdb", False),
    "lmdb, protocol 5": (lambda path, images: lmdb_of(path, images, protocol=5), "x.lmdb", False),
    "lmdb, base64": (lambda path, images: lmdb_of(path, images, fields=base64_fields), "x.lmdb", False),
    "lmdb, Python 2": (python_2_lmdb, "x.lmdb", False),
    "tsv": (tsv_of, "x.tsv", False),
    "tsv, with classes": (lambda path, images: tsv_of(path, images, classes=True), "x.tsv", True),
    "npy": (npy_of, "records", True),
    "h5": (h5_of, "x.h5", False),
    "h5, adaptive": (adaptive_h5_of, "train.hdf5", False),
    "h5, in several files": (gqa_h5_of, "gqa", False),
    "h5, in groups": (group_h5_of, "x.h5", True),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_everything_comes_over(tmp_path: Path, kind: str) -> None:
    writer, name, classes = WRITERS[kind]
    path, out = writer(tmp_path / "from" / name, IMAGES), tmp_path / "out"
    report = take(path, out)
    assert (report.format, report.written, report.records, report.bad) == (kind.partition(",")[0], 11, 11, 0)
    check(out, IMAGES, classes=classes)
    assert report.file is not None
    metadata = RegionFile(report.file).metadata
    assert metadata["detector"] == "x152" and path.name in metadata["boxes_origin"] and "failed" not in metadata
    before = report.file.stat()
    again = take(path, out)
    assert again.file is None and again.present == 11 and "nothing to do" in str(again)
    assert report.file.stat() == before and os.listdir(out / "coco") == [report.file.name]


def test_same_file_same_bytes(tmp_path: Path) -> None:
    path = tsv_of(tmp_path / "x.tsv", IMAGES)
    first, second = take(path, tmp_path / "1").file, take(path, tmp_path / "2").file
    assert first is not None and second is not None and first.read_bytes() == second.read_bytes()


def test_what_comes_later_goes_beside(tmp_path: Path) -> None:
    out = tmp_path / "out"
    take(tsv_of(tmp_path / "x.tsv", IMAGES[:6]), out)
    report = take(tsv_of(tmp_path / "x.tsv", IMAGES), out)
    assert (report.written, report.present) == (5, 6)
    assert report.file is not None and report.file.name == "x-2.arrow"
    assert len(RegionStore(out).ids("coco")) == 11


def test_another_detector_does_not_mix(tmp_path: Path) -> None:
    path, out = tsv_of(tmp_path / "x.tsv", IMAGES), tmp_path / "out"
    take(path, out)
    with pytest.raises(RegionError, match=r"x\.arrow holds regions of x152 \(fingerprint .* same --detector"):
        import_regions(path, out, source="coco", detector="resnet101", progress=False)


def test_images_without_regions_are_known(tmp_path: Path) -> None:
    images = [*IMAGES[:3], made("7", 0)]
    report = take(lmdb_of(tmp_path / "x.lmdb", images), tmp_path / "1")
    assert report.counts["without regions"] == 1
    found = RegionStore(tmp_path / "1").get("coco/7")
    assert found.features is not None and found.features.shape == (0, FEATURES)
    take(tsv_of(tmp_path / "x.tsv", images), tmp_path / "2")
    assert RegionStore(tmp_path / "2").gather(["coco/7"]).counts.tolist() == [1]


@pytest.mark.parametrize("whole", ["pixels", "fractions"])
def test_a_global_row_is_not_doubled(tmp_path: Path, whole: str) -> None:
    images = []
    for image in IMAGES[:5]:
        box = [0, 0, image.width, image.height] if whole == "pixels" else [0, 0, 1, 1]
        images.append(
            replace(
                image,
                boxes=np.concatenate([np.array([box], np.float32), image.boxes]),
                features=np.concatenate([image.features.mean(0, keepdims=True), image.features]),
            )
        )
    # A region that is as large as the image is none.
    large = replace(IMAGES[7], boxes=IMAGES[7].boxes.copy())
    large.boxes[0] = (0, 0, large.width, large.height)
    report = take(lmdb_of(tmp_path / "x.lmdb", [*images, large]), tmp_path / "out")
    assert report.counts["global rows"] == 5
    check(tmp_path / "out", [*IMAGES[:5], large])


def test_numbers_beyond_the_range_are_clamped_and_counted(tmp_path: Path) -> None:
    images = [replace(image, features=image.features.copy()) for image in IMAGES]
    images[3].features[0, :2] = (1e6, -7e4)
    images[5].features[0, 3] = 65504
    path = tsv_of(tmp_path / "x.tsv", images)
    report = take(path, tmp_path / "out")
    assert report.counts["clamped"] == 2
    found = RegionStore(tmp_path / "out").get("coco/3").features
    assert found is not None and found[0, :2].tolist() == [65504, -65504]
    assert report.file is not None and json.loads(RegionFile(report.file).metadata["changed"]) == {"clamped": 2}
    wide = take(path, tmp_path / "wide", dtype="bfloat16")
    assert wide.counts.get("clamped", 0) == 0
    assert float(RegionStore(tmp_path / "wide").gather(["coco/3"]).features[0, 1, 0]) == pytest.approx(1e6, rel=0.01)


def test_boxes_in_fractions_become_pixels(tmp_path: Path) -> None:
    size = np.tile([[float(IMAGES[3].width), float(IMAGES[3].height)]], 2)
    image = replace(IMAGES[3], boxes=(IMAGES[3].boxes / size).astype(np.float32))
    report = take(lmdb_of(tmp_path / "x.lmdb", [image]), tmp_path / "out")
    assert report.counts["fractions"] == 1
    np.testing.assert_allclose(RegionStore(tmp_path / "out").get("coco/3").boxes, IMAGES[3].boxes, rtol=1e-5)


@pytest.mark.parametrize("handling", ["keep", "foreground"])
def test_class_probabilities(tmp_path: Path, handling: ClassProbabilities) -> None:
    images = [*IMAGES, made("7777", 0)]
    report = take(npy_of(tmp_path / "records", images), tmp_path / "out", class_probabilities=handling)
    assert report.bad == 0
    for image in IMAGES:
        found = RegionStore(tmp_path / "out").get(f"coco/{int(image.key[-12:])}").class_probabilities
        expected = image.probabilities
        if handling == "foreground":
            expected = expected[:, 1:] / expected[:, 1:].sum(1, keepdims=True)
        assert found is not None and found.shape == (len(image.boxes), CLASSES + (handling == "keep"))
        np.testing.assert_allclose(found.astype(np.float32), expected, atol=1e-3)
    with pytest.raises(ConfigError, match=r"x\.tsv has no class probabilities"):
        take(tsv_of(tmp_path / "x.tsv", IMAGES), tmp_path / "2", class_probabilities=handling)


def test_numpy_numbers_and_text_ids(tmp_path: Path) -> None:
    fields = lmdb_fields(IMAGES[3])
    fields |= {"image_h": np.int64(fields["image_h"]), "image_w": np.float32(fields["image_w"]), "image_id": b"x"}
    fields |= {"features": fields["features"].reshape(-1).astype(">f8"), "boxes": np.asfortranarray(fields["boxes"])}
    for protocol in (2, 4, 5):
        path = write_lmdb(tmp_path / str(protocol), {IMAGES[3].key: pickle.dumps(fields, protocol)})
        take(path, tmp_path / f"out{protocol}")
        check(tmp_path / f"out{protocol}", [IMAGES[3]])


def test_a_tsv_with_a_header(tmp_path: Path) -> None:
    path = tsv_of(tmp_path / "x.tsv", IMAGES)
    path.write_text("image_id\timage_w\timage_h\tnum_boxes\tboxes\tfeatures\n" + path.read_text())
    assert take(path, tmp_path / "out").written == 11
    check(tmp_path / "out", IMAGES)


def test_an_index_elsewhere(tmp_path: Path) -> None:
    import h5py

    path = gqa_h5_of(tmp_path / "gqa", IMAGES, files=1)
    info = (path / "gqa_objects_info.json").rename(tmp_path / "index.json")
    with pytest.raises(RegionError, match=r"does not name its images .* --index FILE"):
        take(path, tmp_path / "out")
    take(path, tmp_path / "out", index=info)
    check(tmp_path / "out", IMAGES)
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["features"], file["boxes"] = IMAGES[3].features[None], IMAGES[3].boxes[None]
    (tmp_path / "plain_ids.json").write_text(json.dumps(["3"]))
    with pytest.raises(RegionError, match="the size of the image is unknown: give --index FILE"):
        take(tmp_path / "plain.h5", tmp_path / "out2")


def test_formats_are_recognised_or_named(tmp_path: Path) -> None:
    tsv = tsv_of(tmp_path / "both" / "x.tsv", IMAGES)
    h5_of(tmp_path / "both" / "x.h5", IMAGES)
    with pytest.raises(RegionError, match=r"files of several formats \(h5, tsv\) .*--format"):
        take(tmp_path / "both", tmp_path / "out")
    assert take(tmp_path / "both", tmp_path / "out", format="tsv").written == 11
    other = tsv.rename(tmp_path / "features.bin")
    assert take(other, tmp_path / "out2").format == "tsv"
    (tmp_path / "noise.bin").write_bytes(b"\0" * 100)
    for path, message in ((tmp_path / "noise.bin", "not a file of a known format"), (tmp_path / "no", "no such file")):
        with pytest.raises(RegionError, match=message):
            take(path, tmp_path / "out3")
    with pytest.raises(ConfigError, match=r"no format 'tvs' \(did you mean \"tsv\"\?\)"):
        take(other, tmp_path / "out3", format="tvs")
    with pytest.raises(ConfigError, match="tsv files need no index"):
        take(other, tmp_path / "out3", index=other)


def test_names_that_are_none(tmp_path: Path) -> None:
    path = tsv_of(tmp_path / "x.tsv", IMAGES)
    with pytest.raises(ConfigError, match=r"--source '\.\./x' is not a name"):
        import_regions(path, tmp_path, source="../x", detector="x")
    with pytest.raises(ConfigError, match="the detector has no name"):
        import_regions(path, tmp_path, source="coco", detector=" ")
    assert not (tmp_path / "coco").exists()


def test_libraries_are_named_when_they_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ImportError(name)

    paths = {"lmdb": lmdb_of(tmp_path / "x.lmdb", IMAGES), "h5py": h5_of(tmp_path / "x.h5", IMAGES)}
    monkeypatch.setattr("importlib.import_module", refuse)
    for name, path in paths.items():
        with pytest.raises(RegionError, match=f"needs the package {name} -> {re.escape(install('import'))}$"):
            take(path, tmp_path / "out")


def test_given_boxes_of_several_datasets_join_the_detected_ones(tmp_path: Path) -> None:
    out = tmp_path / "out"
    take(lmdb_of(tmp_path / "detected.lmdb", IMAGES), out)
    others = [replace(image, boxes=image.boxes + 1, features=image.features + 1) for image in IMAGES]
    for name, images in (("one_gt", others), ("other_gt", IMAGES)):
        origin = lmdb_of(tmp_path / f"{name}.lmdb", images)
        assert (take(origin, out, given=True).written, take(origin, out, given=True).present) == (11, 11)
    found = RegionStore(out).get("coco/3", given=True)
    image = IMAGES[3]
    np.testing.assert_array_equal(found.boxes, np.concatenate([image.boxes, image.boxes + 1, image.boxes]))
    check(out, IMAGES)


def test_only_wanted_images_come_over(tmp_path: Path) -> None:
    origin, out = lmdb_of(tmp_path / "x.lmdb", IMAGES), tmp_path / "out"
    report = take(origin, out, images={"coco/2", "coco/5", "coco/99"})
    assert (report.written, report.unwanted) == (2, 9) and "9 others not asked for" in str(report)
    assert take(origin, out, images={"coco/2"}).file is None
    assert take(origin, out, images={"coco/2", "coco/7"}).written == 1
    assert sorted(RegionStore(out).ids("coco")) == ["coco/2", "coco/5", "coco/7"]
    assert take(origin, out).written == 8
    check(out, IMAGES)
    assert take(lmdb_of(tmp_path / "y.lmdb", IMAGES[:1]), tmp_path / "none", images=set()).file is None
