"""Merging region files: every image once, as it was; what does not belong together is refused by name."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making import FEATURES, regions, same, write

from twelve.errors import ConfigError, RegionError
from twelve.regions.store import resumable_writer
from twelve.regions.store.inspect import inspect
from twelve.regions.store.merge import combined, merge
from twelve.regions.store.region_file import GIVEN, RegionFile
from twelve.regions.store.region_store import RegionStore
from twelve.regions.store.resumable_writer import PartWriter
from twelve.types.regions import Regions

IMAGES = [regions(f"a/{k}", k % 4, classes=3) for k in range(20)]


def shards(folder: Path, images: Sequence[Regions] = IMAGES, per_file: int = 4) -> list[Path]:
    starts = range(0, len(images), per_file)
    return [write(folder / f"{k:03d}.arrow", images[k : k + per_file], per_batch=3, source="a") for k in starts]


def check(file: Path, images: Sequence[Regions] = IMAGES) -> None:
    found = list(RegionFile(file))
    assert [image.image_id for image in found] == [image.image_id for image in images]
    assert all(same(one, other) for one, other in zip(found, images, strict=True))
    (report,) = inspect(file, verify=True)
    assert report.problem is None and report.unchecked == 0


def test_shards_become_one(tmp_path: Path) -> None:
    files, out = shards(tmp_path / "in"), tmp_path / "out" / "a" / "all.arrow"
    (report,) = merge(files, out, progress=False)
    assert (report.written, report.files, report.images, report.regions, report.equal) == (True, 5, 20, 30, 0)
    check(out)
    assert len(RegionFile(out).views) == 1
    assert RegionFile(out).fingerprint == "f" and all(file.exists() for file in files)
    before = out.stat()
    (again,) = merge(files, out, progress=False)
    assert not again.written and "nothing to do" in str(again) and out.stat() == before
    more = write(tmp_path / "in" / "more.arrow", [regions("a/77", 2, classes=3)], source="a")
    merge([more], out, progress=False)
    check(out, [*IMAGES, regions("a/77", 2, classes=3)])


def test_a_folder_is_compacted(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    files = shards(folder, per_file=1)
    store = RegionStore(tmp_path)
    before = store.gather(["a/7", "a/2"])
    with pytest.raises(ConfigError, match=r"all\.arrow would be beside 000\.arrow.*--remove"):
        merge([folder], folder / "all.arrow", progress=False)
    (report,) = merge([folder], folder / "all.arrow", remove=True, progress=False)
    assert report.removed == len(files) and os.listdir(folder) == ["all.arrow"]
    check(folder / "all.arrow")
    assert (RegionStore(tmp_path).gather(["a/7", "a/2"]).features == before.features).all()
    assert (store.gather(["a/7", "a/2"]).features == before.features).all()  # the old maps are still there


def test_killed_before_the_others_were_removed(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    shards(folder)
    merge([folder], tmp_path / "b" / "all.arrow", progress=False)
    (tmp_path / "b" / "all.arrow").rename(folder / "all.arrow")
    before = (folder / "all.arrow").stat()
    (report,) = merge([folder], folder / "all.arrow", remove=True, progress=False)
    assert not report.written and report.equal == 20 and report.removed == 5
    after = (folder / "all.arrow").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert os.listdir(folder) == ["all.arrow"]


def test_equal_images_are_dropped_and_others_refused(tmp_path: Path) -> None:
    first = write(tmp_path / "x.arrow", IMAGES[:8])
    second = write(tmp_path / "y.arrow", IMAGES[5:])
    (report,) = merge([first, second, first], tmp_path / "out" / "all.arrow", progress=False)
    assert report.equal == 3 and report.images == 20
    check(tmp_path / "out" / "all.arrow")
    changed = replace(IMAGES[6], scores=IMAGES[6].scores + 1)  # type: ignore[operator]
    third = write(tmp_path / "z.arrow", [IMAGES[5], changed])
    with pytest.raises(RegionError, match=r"z\.arrow \[a/6\]: the image differs from that in .*x\.arrow"):
        merge([first, third], tmp_path / "out2" / "all.arrow", progress=False)
    assert not (tmp_path / "out2").exists()


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    first = write(tmp_path / "x.arrow", IMAGES[:4])
    wide = [replace(image, features=np.zeros((len(image.boxes), FEATURES + 1), np.float16)) for image in IMAGES[4:]]
    bare = [replace(image, class_probabilities=None) for image in IMAGES[4:]]
    others = {
        "extractor g here, extractor f there": write(tmp_path / "1.arrow", IMAGES[4:], fingerprint="g"),
        "7 features here, 6 features there": write(tmp_path / "2.arrow", wide),
        "source b here, a there": write(tmp_path / "3.arrow", [regions("b/1", classes=3)]),
        "columns fewer here, class_probabilities": write(tmp_path / "4.arrow", bare),
    }
    for message, other in others.items():
        with pytest.raises(RegionError, match=rf"{other.name} cannot be merged with .*x\.arrow: {message}"):
            merge([first, other], tmp_path / "out" / "all.arrow", progress=False)
    given = write(tmp_path / "s" / GIVEN / "x.arrow", IMAGES[4:], fingerprint="g")
    with pytest.raises(RegionError, match=rf"{GIVEN}/x\.arrow cannot be merged with .*: extractor g here"):
        merge([first, given], tmp_path / "out" / "all.arrow", progress=False)
    assert not (tmp_path / "out").exists()


def test_damage_is_not_given_a_new_checksum(tmp_path: Path) -> None:
    first, second = write(tmp_path / "x.arrow", IMAGES[:8]), write(tmp_path / "y.arrow", IMAGES[8:])
    data = bytearray(second.read_bytes())
    features = IMAGES[9].features
    assert features is not None
    data[data.index(features.tobytes())] ^= 1
    second.write_bytes(data)
    with pytest.raises(RegionError, match=r"y\.arrow: damaged: record batch"):
        merge([first, second], tmp_path / "out" / "all.arrow", progress=False)


def test_given_boxes_are_joined(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    shards(folder)
    one = [replace(IMAGES[k], class_probabilities=None) for k in (3, 7)]
    other = regions("a/3", 2, seed=5)
    both = replace(
        other,
        width=one[0].width,
        height=one[0].height,
        **{  # type: ignore[arg-type]
            name: np.concatenate([getattr(one[0], name)[1:2], getattr(other, name)])
            for name in ("boxes", "features", "scores", "class_ids")
        },
    )
    write(folder / GIVEN / "vqa.arrow", one, boxes_origin="given by vqa")
    write(folder / GIVEN / "x.arrow", [both, regions("a/9", 1)], boxes_origin="given by x")
    out = tmp_path / "out" / "a"
    detected, given = merge([folder], out / "all.arrow", progress=False)
    assert detected.images == 20 and (given.images, given.equal, given.regions) == (3, 1, 3 + 3 + 2 + 1)
    file = RegionFile(out / GIVEN / "all.arrow")
    assert file.metadata["boxes_origin"] == "given by vqa + given by x"
    image = next(iter(file))
    np.testing.assert_array_equal(image.boxes, np.concatenate([one[0].boxes, other.boxes]))
    np.testing.assert_array_equal(image.features, np.concatenate([one[0].features, other.features]))  # type: ignore[arg-type]
    assert RegionStore(tmp_path / "out").gather(["a/3"], given=True).counts.tolist() == [1 + 3 + 5]
    assert not any(report.written for report in merge([folder], out / "all.arrow", progress=False))
    (only,) = merge([folder / GIVEN / "x.arrow"], tmp_path / "b" / GIVEN / "y.arrow", progress=False)
    assert only.target == tmp_path / "b" / GIVEN / "y.arrow" and only.images == 2


class Killed(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("trial", range(8))
def test_killed_at_any_moment(tmp_path: Path, trial: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable_writer, "MAX_IMAGES", 3)
    folder, rng = tmp_path / "a", random.Random(trial)
    shards(folder)
    write_batch, unlink, left = PartWriter.write, Path.unlink, [rng.randrange(12)]

    def die_or(call: Any) -> Any:
        def called(*arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return call(*arguments, **options)

        return called

    with monkeypatch.context() as patch:
        patch.setattr(PartWriter, "write", die_or(write_batch))
        patch.setattr(Path, "unlink", die_or(unlink))
        with pytest.raises(Killed):
            merge([folder], folder / "all.arrow", remove=True, progress=False)
    merge([folder], folder / "all.arrow", remove=True, progress=False)
    assert os.listdir(folder) == ["all.arrow"]
    check(folder / "all.arrow")


def test_batches_are_bounded_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable_writer, "BATCH_BYTES", 1)
    merge(shards(tmp_path / "in"), tmp_path / "out" / "all.arrow", progress=False)
    sizes = [len(view.ids) for view in RegionFile(tmp_path / "out" / "all.arrow").views]
    assert max(sizes) == 2  # an image without regions has no size
    check(tmp_path / "out" / "all.arrow")


def test_metadata_of_several_files() -> None:
    first: Mapping[str, str] = {"source": "a", "checksum": "1", "failed": '{"a/1": "bad"}', "changed": '{"clamped": 2}'}
    second = {"source": "a", "checksum": "2", "failed": '{"a/2": "worse"}', "changed": '{"clamped": 2}', "x": "y"}
    found = combined([first, second])
    assert json.loads(found.pop("failed")) == {"a/1": "bad", "a/2": "worse"}
    assert found == {"source": "a", "changed": '{"clamped": 4}', "x": "y"}


def test_detected_regions_do_not_go_among_given_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds detected regions, which given/ does not"):
        merge(shards(tmp_path / "in"), tmp_path / GIVEN / "all.arrow", progress=False)


def test_nothing_to_merge(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no region files to merge"):
        merge([tmp_path], tmp_path / "out.arrow", progress=False)
    with pytest.raises(RegionError, match="no such file"):
        merge([tmp_path / "x.arrow"], tmp_path / "out.arrow", progress=False)
