"""Extraction from end to end, with a tiny untrained network."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from making import draw_image, extract, pooled, regions, same, write
from typer.testing import CliRunner

from twelve import cli
from twelve.errors import ConfigError, RegionError
from twelve.regions.detectors.library_backbones import build
from twelve.regions.extraction import jobs
from twelve.regions.extraction.box_sources import cell_boxes
from twelve.regions.extraction.jobs import ExtractReport
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.images import decode, resized
from twelve.regions.sizes import InputSize
from twelve.regions.store.region_file import RegionFile
from twelve.regions.store.region_store import RegionStore

pytest.importorskip("timm")

NETWORK = "timm/test_efficientnet"
SMALL = InputSize(short_side=48, max_scale=2.0)


def run(folder: Path | list[Path], out: Path, boxes: object = "grid:2x2", **options: object) -> ExtractReport:
    options = {"weights": "random", "levels": ("8", "head"), "input_size": SMALL, "workers": 2} | options
    network = options.pop("backbone", NETWORK)
    return extract(folder, boxes, network, out, progress=False, **options)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for k in range(6):
        draw_image(tmp_path / "images" / "s" / f"{k}.png", (64, 48) if k % 2 else (40, 60), seed=k)
    return tmp_path / "images" / "s"


def test_features_are_those_of_each_image_alone(folder: Path, tmp_path: Path) -> None:
    report = run(folder, tmp_path / "out", batch_size=3)
    assert (report.source, report.written, report.resumed, report.present) == ("s", 6, 0, 0)
    assert report.file == tmp_path / "out" / "s" / "s.arrow" and not report.failed
    store = RegionStore(tmp_path / "out")
    assert store.fingerprint("s") == report.fingerprint and store.feature_size == report.feature_size
    backbone = build(ExtractorConfig(NETWORK, "random", levels=("8", "head")))
    for k in range(6):
        found = store.get(f"s/{k}")
        shown = decode(folder / f"{k}.png")
        w, h = shown.size
        assert (found.width, found.height) == (w, h)
        np.testing.assert_array_equal(found.boxes, cell_boxes(2, 2, w, h))
        assert SMALL.of(w, h) == ((64, 48) if k % 2 else (48, 72))
        pixels = torch.from_numpy(resized(shown, SMALL.of(w, h)))[None]
        alone = pooled(backbone, pixels, torch.from_numpy(found.boxes / np.array([w, h, w, h], np.float32))[None])
        assert found.features is not None and found.features.dtype == np.float16
        np.testing.assert_allclose(found.features, alone[0].numpy(), atol=2e-3, rtol=2e-3)


def test_finished_and_run_again_it_does_nothing(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "out")
    path = tmp_path / "out" / "s" / "s.arrow"
    before = path.stat().st_mtime_ns
    again = run(folder, tmp_path / "out")
    assert again.file is None and again.present == 6
    assert str(again) == "s: nothing to do, all 6 images are extracted"
    assert path.stat().st_mtime_ns == before and os.listdir(path.parent) == ["s.arrow"]


def test_it_says_which_images_were_replaced(folder: Path, tmp_path: Path) -> None:
    file = run(folder, tmp_path / "out").file
    os.utime(folder / "3.png", ns=(time.time_ns() + 10**9,) * 2)
    again = run(folder, tmp_path / "out")
    assert again.newer == {"s/3": file} and again.present == 6
    said = "s: 1 image file was written after the regions (the first: s/3); the stored regions are kept: if images "
    assert said + f"have changed, delete {file}, then run the same command again" in str(again)


def test_new_images_go_to_a_file_beside(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "out")
    draw_image(folder / "9.png", seed=9)
    report = run(folder, tmp_path / "out")
    assert report.file == tmp_path / "out" / "s" / "s-2.arrow" and (report.written, report.present) == (1, 6)
    assert len(RegionStore(tmp_path / "out").ids("s")) == 7
    assert run(folder, tmp_path / "out").file is None


def test_several_folders_of_one_source(tmp_path: Path) -> None:
    for k, split in enumerate(("train2014", "val2014")):
        draw_image(tmp_path / "images" / "coco" / split / f"COCO_{split}_{k + 7:012d}.jpg", seed=k)
    folders = [tmp_path / "images" / "coco" / split for split in ("train2014", "val2014")]
    report = run(folders, tmp_path / "out")
    assert report.file is not None and report.file.name == "train2014+val2014.arrow"
    assert RegionStore(tmp_path / "out").ids("coco") == ["coco/7", "coco/8"]
    assert run(folders[0], tmp_path / "out").file is None
    one = run(folders[0], tmp_path / "one"), run(folders[1], tmp_path / "one")
    assert [r.file.name for r in one if r.file] == ["train2014.arrow", "val2014.arrow"]
    assert sorted(RegionStore(tmp_path / "one").ids("coco")) == ["coco/7", "coco/8"]
    with pytest.raises(ConfigError, match=r"several sources: coco, other -> give --source"):
        run([folders[0], draw_image(tmp_path / "other" / "x.png").parent], tmp_path / "out")


def test_bad_images_are_reported_and_the_rest_is_done(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no jpeg")
    (folder / "cut.png").write_bytes((folder / "1.png").read_bytes()[:90])
    report = run(folder, tmp_path / "out")
    assert report.written == 6 and sorted(report.failed) == ["s/broken", "s/cut"]
    assert "broken.jpg: the image is not in a supported format" in report.failed["s/broken"]
    assert "2 skipped:" in str(report)
    remedy = "replace their files by complete copies, then run the same command again"
    assert str(report).splitlines()[-1].startswith(f"s: 2 images have no regions: {remedy}")
    assert "s/cut" in RegionFile(report.file).metadata["failed"]  # type: ignore[arg-type]
    assert run(folder, tmp_path / "out").failed.keys() == report.failed.keys()
    draw_image(folder / "cut.png", seed=77)
    assert run(folder, tmp_path / "out").written == 1
    for path in folder.iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(RegionError, match=r"none of the 8 images could be extracted .* -> check --images"):
        run(folder, tmp_path / "fresh")
    assert not (tmp_path / "fresh").exists()


def test_an_option_that_allows_larger_images_is_named_and_does(tmp_path: Path) -> None:
    folder = draw_image(tmp_path / "s" / "1.png", (64, 48)).parent
    draw_image(tmp_path / "s" / "2.png", (96, 96))
    words = ["regions", "extract", "--images", str(folder), "--out", str(tmp_path / "out")]
    words += ["--boxes", "detect", "--backbone", "microworld", "--max-pixels"]
    told = CliRunner().invoke(cli.app, [*words, "3072"]).output
    assert "2.png: it has more than 3,072 pixels (--max-pixels allows more)" in told
    CliRunner().invoke(cli.app, [*words, "9216"])
    assert sorted(RegionStore(tmp_path / "out").ids("s")) == ["s/1", "s/2"]


def test_boxes_of_a_detector(folder: Path, tmp_path: Path) -> None:
    given = []
    for k in range(5):
        size = (64, 48) if k % 2 else (40, 60)
        image = regions(f"s/{k}", 2 + k % 2)
        given.append(replace(image, width=size[0], height=size[1], boxes=image.boxes / 3, features=None))
    given[4] = replace(given[4], width=41)
    report = run(folder, tmp_path / "out", write(tmp_path / "boxes.arrow", given, detector="D"))
    assert report.written == 4 and report.failed == {
        "s/4": "4.png: the image is 40x60, its boxes are for an image 41x60",
        "s/5": "5.png: no boxes for this image in the box files",
    }
    store = RegionStore(tmp_path / "out")
    for image in given[:4]:
        found = store.get(image.image_id)
        assert found.features is not None and found.features.shape == (len(image.boxes), report.feature_size)
        assert same(replace(found, features=None), image)
    assert store.metadata("s")["boxes_origin"].startswith("D #")


def test_equal_images_are_extracted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "images" / "s"
    for k in range(12):
        draw_image(folder / f"{k:02d}.png", seed=k % 3)
    ran = []
    original = jobs.Pipeline._run

    def count(self: object, images: list[object]) -> object:
        ran.extend(images)
        return original(self, images)  # type: ignore[arg-type]

    monkeypatch.setattr(jobs.Pipeline, "_run", count)
    assert run(folder, tmp_path / "out", batch_size=4).written == 12
    assert len(ran) == 3
    store = RegionStore(tmp_path / "out")
    assert len(store.ids("s")) == 12
    for k in range(12):
        a, b = store.get(f"s/{k:02d}"), store.get(f"s/{k % 3:02d}")
        assert same(replace(a, image_id=""), replace(b, image_id=""))
    first, second = store.get("s/00").features, store.get("s/01").features
    assert first is not None and second is not None and not np.array_equal(first, second)


def test_images_of_many_sizes_do_not_fill_the_memory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    original = jobs.Pipeline._run
    monkeypatch.setattr(jobs.Pipeline, "_run", lambda self, all: (sizes.append(len(all)), original(self, all))[1])
    run(folder, tmp_path / "one", batch_size=3)
    assert sizes == [3, 3]
    sizes.clear()
    pixels = 3 * 48 * 72  # of the larger ones; two sizes of image take turns
    monkeypatch.setattr("twelve.regions.extraction.pipeline._HELD", 3 * pixels)
    assert run(folder, tmp_path / "out", batch_size=3).written == 6
    assert sorted(sizes) == [1, 2, 3]


def test_patches(folder: Path, tmp_path: Path) -> None:
    report = run(folder, tmp_path / "out", "patches", backbone="timm/test_vit", levels=None)
    store = RegionStore(tmp_path / "out")
    found = store.get("s/1")
    patch = build(ExtractorConfig("timm/test_vit", "random")).multiple
    rows, columns = round(48 / patch), round(64 / patch)
    assert found.features is not None and found.features.shape == (rows * columns, report.feature_size)
    np.testing.assert_array_equal(found.boxes, cell_boxes(rows, columns, 64, 48))
    assert run(folder, tmp_path / "out", "patches", backbone="timm/test_vit", levels=None).file is None


def test_patches_are_of_one_map(folder: Path, tmp_path: Path) -> None:
    """Of the network's last one, where levels are asked for that a vision transformer does not have."""
    wide = run(folder, tmp_path / "out", "patches", backbone="timm/test_vit", levels=("4", "8", "16", "32"))
    assert run(folder, tmp_path / "out", "patches", backbone="timm/test_vit", levels=None).file is None
    assert wide.feature_size == build(ExtractorConfig("timm/test_vit", "random")).channels[-1]
    run(folder, tmp_path / "eight", "patches", levels=("8",))
    assert len(RegionStore(tmp_path / "eight").get("s/1").boxes) == (48 // 8) * (64 // 8)
    with pytest.raises(ConfigError, match="microworld describes boxes and has no patches"):
        run(folder, tmp_path / "none", "patches", backbone="microworld", levels=None)
    assert not (tmp_path / "none").exists()


def test_other_settings_do_not_mix(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "out")
    for change in ({"levels": ("head",)}, {"input_size": InputSize(short_side=32)}, {"backbone": "timm/test_resnet"}):
        with pytest.raises(RegionError, match=r"contains other regions \(extractor \w+, now extractor \w+\)"):
            run(folder, tmp_path / "out", **change)
    with pytest.raises(RegionError, match=r"s\.arrow contains other regions \(grid:\S+, now grid:3x3\)"):
        run(folder, tmp_path / "out", "grid:3x3")


def test_settings_that_cannot_work(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="device 'nonsense' cannot be used"):
        run(folder, tmp_path / "out", device="nonsense")
    with pytest.raises(ConfigError, match="no folder of images given"):
        run([], tmp_path / "out")
    for source in ("a/b", "..", ".", "", "a\\b", str(tmp_path)):
        with pytest.raises(ConfigError, match=r"--source '.*' is not a name -> give a plain name"):
            run(folder, tmp_path / "out", source=source)
    assert not (tmp_path / "out").exists()


def test_weights_that_give_no_numbers(folder: Path, tmp_path: Path) -> None:
    import timm

    state = timm.create_model("test_efficientnet").state_dict()
    state["conv_stem.weight"].fill_(float("nan"))
    torch.save(state, tmp_path / "nan.pt")
    with pytest.raises(RegionError, match="features that are not finite"):
        run(folder, tmp_path / "out", weights=str(tmp_path / "nan.pt"))
    assert not (tmp_path / "out").exists()


def test_threads_are_given_back(folder: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    run(folder, tmp_path / "out")
    assert torch.get_num_threads() == before


SCRIPT = """
import sys, time
from pathlib import Path
from twelve.regions.extraction import extract as extractor
from twelve.regions.store import resumable_writer
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.sizes import InputSize
from twelve.regions.store.resumable_writer import PartWriter
resumable_writer.MAX_IMAGES = 3
original = PartWriter.write
def write(self, images, counts):
    original(self, images, counts)
    print("written", flush=True)
    time.sleep(0.05)
PartWriter.write = write
config = ExtractorConfig(sys.argv[3], "random", levels=("8", "head"), boxes="grid:2x2", workers=2,
    input_size=InputSize(short_side=48, max_scale=2.0))
extractor.extract(Path(sys.argv[1]), Path(sys.argv[2]), config, progress=False)
"""


def test_killed_while_extracting(tmp_path: Path) -> None:
    folder, out = tmp_path / "images" / "s", tmp_path / "out"
    for k in range(40):
        draw_image(folder / f"{k}.png", seed=k)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(out), NETWORK],
        stdout=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    for _ in range(3):
        assert process.stdout.readline() == b"written\n"
    time.sleep(0.03)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not list(out.rglob("s.arrow"))
    report = run(folder, out)
    assert 9 <= report.resumed < 40 and report.written == 40
    shutil.copytree(folder, tmp_path / "again" / "images" / "s")
    run(tmp_path / "again" / "images" / "s", tmp_path / "whole")
    resumed, whole = RegionStore(out), RegionStore(tmp_path / "whole")
    assert sorted(resumed.ids("s")) == sorted(whole.ids("s"))
    for key in whole.ids("s"):
        a, b = resumed.get(key), whole.get(key)
        np.testing.assert_array_equal(a.boxes, b.boxes)
        np.testing.assert_allclose(a.features, b.features, atol=2e-3, rtol=2e-3)  # type: ignore[arg-type]
