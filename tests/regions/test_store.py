"""The store: round trip, no copies, batches, and what it says about files that are not as they should be."""

from __future__ import annotations

import os
import pickle
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from making import FEATURES, regions, same, write
from typer.testing import CliRunner

from twelve import cli
from twelve.errors import RegionError
from twelve.regions.store.arrow_format import checksum, record_batch, schema, view
from twelve.regions.store.inspect import FileReport, inspect
from twelve.regions.store.merge import merge
from twelve.regions.store.region_file import BOXES_ONLY, RegionFile
from twelve.regions.store.region_store import RegionStore, normalise_boxes
from twelve.types.regions import Regions


def images(source: str = "a", count: int = 10) -> list[Regions]:
    return [regions(f"{source}/{k}", count=k % 5) for k in range(count)]


def make(root: Path, source: str = "a", count: int = 10) -> list[Regions]:
    made = images(source, count)
    write(root / source / "x.arrow", made)
    return made


def test_everything_comes_back(tmp_path: Path) -> None:
    made = [regions(f"a/{k}", count=k, classes=7) for k in range(9)]
    write(tmp_path / "a" / "x.arrow", made)
    store = RegionStore(tmp_path)
    assert store.sources() == ["a"]
    assert store.ids("a") == [image.image_id for image in made]
    assert store.feature_size == FEATURES
    assert store.fingerprint("a") == "f"
    for image in made:
        assert image.image_id in store
        assert same(store.get(image.image_id), image)


def test_an_image_is_a_view_of_the_map(tmp_path: Path) -> None:
    make(tmp_path)
    store = RegionStore(tmp_path)
    before = pa.total_allocated_bytes()
    one, again = store.get("a/4").features, store.get("a/4").features
    assert one is not None and again is not None
    assert np.shares_memory(one, again)
    assert not one.flags.writeable and not one.flags.owndata
    assert pa.total_allocated_bytes() == before
    address = one.__array_interface__["data"][0]
    with open("/proc/self/maps") as maps:
        spans = [line.split() for line in maps if line.rstrip().endswith("a/x.arrow")]
    assert any(int(s[0].split("-")[0], 16) <= address < int(s[0].split("-")[1], 16) for s in spans)


@pytest.mark.parametrize("most", [None, 2, 0, 50])
def test_gather_equals_the_obvious_way(tmp_path: Path, most: int | None) -> None:
    made = {image.image_id: image for image in make(tmp_path)}
    ids = ["a/4", "a/0", "a/3", "a/4", "a/6"]
    batch = RegionStore(tmp_path).gather(ids, most)
    kept = [len(made[k].boxes) if most is None else min(most, len(made[k].boxes)) for k in ids]
    assert batch.counts.tolist() == [n + 1 for n in kept]
    assert batch.features.shape == (5, max(kept) + 1, FEATURES) and batch.features.dtype == torch.float16
    assert batch.boxes.shape == (5, max(kept) + 1, 5) and batch.boxes.dtype == torch.float32
    for i, (key, n) in enumerate(zip(ids, kept, strict=True)):
        image = made[key]
        assert image.features is not None
        everything = image.features.astype(np.float32)
        mean = everything.mean(axis=0) if len(everything) else np.zeros(FEATURES)
        np.testing.assert_allclose(batch.features[i, 0].numpy(), mean, atol=1e-3)
        np.testing.assert_array_equal(batch.features[i, 1 : n + 1].numpy(), image.features[:n])
        assert not batch.features[i, n + 1 :].any() and not batch.boxes[i, n + 1 :].any()
        assert batch.boxes[i, 0].tolist() == [0, 0, 1, 1, 1]
        for row, (x1, y1, x2, y2) in zip(batch.boxes[i, 1 : n + 1].tolist(), image.boxes[:n].tolist(), strict=True):
            w, h = image.width, image.height
            expected = [x1 / w, y1 / h, x2 / w, y2 / h, (x2 - x1) * (y2 - y1) / (w * h)]
            assert row == pytest.approx(expected, abs=1e-6)
        assert torch.equal(normalise_boxes(image.boxes, image.width, image.height)[:n], batch.boxes[i, 1 : n + 1])


def test_gather_makes_the_mean_where_the_file_has_none(tmp_path: Path) -> None:
    made = make(tmp_path)
    with_mean = RegionStore(tmp_path).gather(["a/3", "a/0"])
    table = schema(feature_size=FEATURES, scores=False, class_ids=False, metadata={"fingerprint": "f"})
    batch = record_batch(made, table).drop_columns(["mean"])
    with pa.OSFile(str(tmp_path / "a" / "x.arrow"), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    without = RegionStore(tmp_path).gather(["a/3", "a/0"])
    assert torch.equal(with_mean.features, without.features)


def test_the_batch_is_the_callers(tmp_path: Path) -> None:
    make(tmp_path)
    store = RegionStore(tmp_path)
    store.gather(["a/3"]).features.fill_(9)
    assert not (store.gather(["a/3"]).features == 9).any()


def test_sources_open_when_needed_and_pickles_carry_the_root_alone(tmp_path: Path) -> None:
    make(tmp_path, "a", 300)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "x.arrow").write_bytes(b"nothing")
    store = RegionStore(tmp_path)
    assert "a/3" in store and "b/3" not in store
    pickled = pickle.dumps(store)
    assert len(pickled) < 1000
    assert same(pickle.loads(pickled).get("a/3"), store.get("a/3"))


def test_two_files_of_one_source(tmp_path: Path) -> None:
    write(tmp_path / "a" / "x.arrow", images()[:6])
    write(tmp_path / "a" / "y.arrow", images()[6:])
    store = RegionStore(tmp_path)
    assert len(store.ids("a")) == 10
    batch = store.gather(["a/9", "a/1"])
    assert batch.counts.tolist() == [5, 2]


def test_an_image_twice_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a" / "x.arrow", images()[:6])
    write(tmp_path / "a" / "y.arrow", images()[5:])
    with pytest.raises(RegionError, match=r"y\.arrow \[a/5\]: the image is also in x\.arrow"):
        RegionStore(tmp_path).get("a/1")


def test_files_of_two_extractors_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a" / "x.arrow", images()[:6])
    write(tmp_path / "a" / "y.arrow", images()[6:], fingerprint="other")
    with pytest.raises(RegionError, match=r"made differently \(extractor other\) from x\.arrow \(extractor f\)"):
        RegionStore(tmp_path).get("a/1")


def test_sources_with_features_of_two_sizes_are_refused(tmp_path: Path) -> None:
    make(tmp_path)
    wide = [replace(image, features=np.zeros((len(image.boxes), 9), np.float16)) for image in images("b")]
    write(tmp_path / "b" / "x.arrow", wide)
    with pytest.raises(RegionError, match="features of size 9, other sources have 6"):
        RegionStore(tmp_path).gather(["a/1", "b/1"])


def test_boxes_without_features_can_be_read_but_not_gathered(tmp_path: Path) -> None:
    write(tmp_path / "a" / "x.arrow", [replace(image, features=None) for image in images()])
    store = RegionStore(tmp_path)
    assert store.fingerprint("a") == "f" and store.get("a/3").features is None
    with pytest.raises(RegionError, match="no region features here"):
        store.gather(["a/3"])
    write(tmp_path / "b" / "x.arrow", images("b"))
    with pytest.raises(RegionError, match=r"\[a/3\]: this file has boxes without features .*--boxes"):
        store.gather(["b/3", "a/3"])


def test_a_missing_image_names_the_command(tmp_path: Path) -> None:
    make(tmp_path)
    store = RegionStore(tmp_path)
    with pytest.raises(RegionError, match=r"no regions of image a/77 .*twelve regions extract --images images/a"):
        store.get("a/77")
    with pytest.raises(RegionError, match=r'no region files of source .aa. \(did you mean "a"\?\)'):
        store.gather(["aa/1"])
    with pytest.raises(RegionError, match="no region features here"):
        _ = RegionStore(tmp_path / "nowhere").feature_size


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a" / "x.arrow", images())
    whole = path.read_bytes()
    rng = random.Random(0)
    for size in [0, 5, len(whole) - 1, *(rng.randrange(len(whole)) for _ in range(20))]:
        path.write_bytes(whole[:size])
        with pytest.raises(RegionError, match=r"x\.arrow: truncated, damaged or not a region file .* extract a again"):
            RegionStore(tmp_path).get("a/1")


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    """Opening a pipe would wait for its writer for ever."""
    os.mkfifo(tmp_path / "a.arrow")
    (tmp_path / "b.arrow").mkdir()
    for name, problem in (("a", "is a pipe or a device"), ("b", "is a folder")):
        with pytest.raises(RegionError, match=problem):
            RegionFile(tmp_path / f"{name}.arrow")


@pytest.mark.parametrize(
    ("metadata", "name", "line"),
    [
        (
            {"recipe": {"backbone": "timm/x", "weights": "pretrained", "boxes": "3x3"}, "source": "vg"},
            "timm/x",
            "name: timm/x (twelve regions extract --backbone timm/x --weights pretrained --boxes 3x3)\n"
            "  source of images: vg",
        ),
        ({"detector": "their detector"}, "their detector", "name: their detector"),
        ({}, None, "name: not recorded"),
    ],
)
def test_a_report_names_the_network_and_how_to_extract_with_it(
    metadata: dict[str, Any], name: str | None, line: str
) -> None:
    report = FileReport(Path("vg/a.arrow"), metadata=metadata)
    assert report.name == report.to_dict()["name"] == name
    assert f"\n  {line}" in str(report)


def test_verify_finds_every_changed_byte_that_matters(tmp_path: Path) -> None:
    path = write(tmp_path / "a" / "x.arrow", images(count=20))
    (clean,) = inspect(tmp_path, verify=True)
    assert clean.problem is None and clean.unchecked == 0 and clean.images == 20 and clean.regions == 40
    whole = bytearray(path.read_bytes())
    features = RegionFile(path).views[0].features
    assert features is not None
    # The schema stands at both ends of the file; readers use the one behind.
    places = [bytes(whole).index(features.tobytes()), bytes(whole).index(b"a/7"), whole.rindex(b"fingerprint")]
    places += [bytes(whole).index(view_.boxes.tobytes()) for view_ in RegionFile(path).views]
    for place in places:
        damaged = whole.copy()
        damaged[place] ^= 1
        other = tmp_path / "b" / "x.arrow"
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(damaged)
        (report,) = inspect(other, verify=True)
        assert report.problem is not None, place
        os.unlink(other)


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (lambda found: [*found, found[0]], "the image a/0 is in it twice"),
        (
            lambda found: [replace(found[1], features=found[1].features * np.float16("nan"))],
            "features that are not fin",
        ),
        (lambda found: [replace(found[1], boxes=found[1].boxes * np.float32("inf"))], "boxes that are not finite"),
        (lambda found: [replace(found[1], scores=found[1].scores * np.float32("nan"))], "scores that are not finite"),
    ],
)
def test_verify_finds_what_no_checksum_tells(tmp_path: Path, harm: Callable[..., list[Regions]], problem: str) -> None:
    """Files of other programs have no checksums."""
    kind = schema(feature_size=FEATURES, scores=True, class_ids=True, metadata={})
    for name, found in (("sound", images()), ("harmed", harm(images()))):
        path = tmp_path / name / "x.arrow"
        path.parent.mkdir()
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, kind) as writer:
            writer.write_batch(record_batch(found, kind))
        (report,) = inspect(path, verify=True)
        assert report.unchecked == 1
        assert (report.problem is None) if name == "sound" else (problem in str(report.problem))
    with pytest.raises(RegionError, match=problem):
        merge([path], tmp_path / "out" / "x.arrow", progress=False)


@pytest.mark.parametrize("side", [0, -1])
def test_an_image_without_width_is_refused(tmp_path: Path, side: int) -> None:
    """Fractions of it would be no numbers."""
    good = record_batch(images(), schema(feature_size=FEATURES, scores=True, class_ids=True, metadata={}))
    (tmp_path / "a").mkdir()
    arrow_file(tmp_path / "a" / "x.arrow", good.set_column(1, "width", pa.array([side] * len(good), pa.int32())))
    with pytest.raises(RegionError, match=r"x\.arrow \[record batch 0\]: an image has no width or height"):
        RegionStore(tmp_path).ids("a")


def test_verify_says_what_is_wrong_with_every_file(tmp_path: Path) -> None:
    """A checksum that is no text is one more way in which a file can be damaged."""
    path = write(tmp_path / "a" / "x.arrow", images(count=20))
    whole = path.read_bytes()
    recorded = RegionFile(path).checksums()[1]
    assert recorded is not None
    (tmp_path / "a" / "y.arrow").write_bytes(whole.replace(recorded.encode(), b"\xff" * len(recorded)))
    (tmp_path / "a" / "z.arrow").write_bytes(whole[:-500])
    os.mkfifo(tmp_path / "a" / "zz.arrow")
    found = CliRunner().invoke(cli.app, ["regions", "verify", str(tmp_path)])
    assert found.exit_code == 1 and isinstance(found.exception, SystemExit)
    lines = found.output.splitlines()
    assert [Path(line.split(": ")[0]).stem for line in lines] == ["x", "y", "z", "zz"]
    assert lines[0].endswith(": ok") and "record batch 1 is not what was written" in lines[1]
    assert "truncated" in lines[2] and "is a pipe" in lines[3]


def test_a_file_that_is_cut_while_it_is_open_is_an_error(tmp_path: Path) -> None:
    """Reading a mapping beyond the end of its file would end the process (SIGBUS)."""
    path = write(tmp_path / "a" / "x.arrow", images())
    write(tmp_path / "a" / "given" / "x.arrow", images())
    store = RegionStore(tmp_path)
    store.gather(["a/1"], given=True)
    given = tmp_path / "a" / "given" / "x.arrow"
    for cut, asked in ((given, True), (path, False)):
        os.truncate(cut, 100)
        for read in (store.gather, lambda ids, given: store.get(ids[0], given=given)):
            with pytest.raises(RegionError, match=r"x\.arrow was overwritten while in use .* 100 now"):
                read(["a/1"], given=asked)


def test_files_that_are_overwritten_while_they_are_gone_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `regions verify`, by a merge, and where files are read image by image."""
    path, told = tmp_path / "a" / "x.arrow", "was overwritten while in use"

    def fresh() -> None:
        write(path, images())

    def overwrite(*_: object) -> str:
        path.write_bytes(bytes(10_000))
        return ""

    fresh()
    rest = iter(RegionFile(path))
    next(rest)
    overwrite()
    with pytest.raises(RegionError, match=told):
        next(rest)
    fresh()
    file = RegionFile(path)
    overwrite()
    with pytest.raises(RegionError, match=told):
        file.checksums()
    fresh()
    with monkeypatch.context() as patch:
        patch.setattr("twelve.regions.store.inspect.checksum", overwrite)
        (report,) = inspect(path, verify=True)
    assert report.problem is not None and told in report.problem
    fresh()
    monkeypatch.setattr("twelve.regions.store.merge._Merge._verify", overwrite)
    with pytest.raises(RegionError, match=told):
        merge([path], tmp_path / "b" / "x.arrow", progress=False)


def test_a_file_that_another_one_replaced_goes_on_being_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a" / "x.arrow", images())
    store = RegionStore(tmp_path)
    before = store.gather(["a/1", "a/2"])
    os.replace(write(tmp_path / "other.arrow", images(count=3)), path)
    assert torch.equal(store.gather(["a/1", "a/2"]).features, before.features)
    path.unlink()
    assert torch.equal(store.gather(["a/1", "a/2"]).features, before.features)


@pytest.mark.parametrize("trial", range(40))
def test_random_damage_is_an_error_or_harmless_never_a_crash(tmp_path: Path, trial: int) -> None:
    path = write(tmp_path / "a" / "x.arrow", images())
    data = bytearray(path.read_bytes())
    rng = random.Random(trial)
    for _ in range(rng.choice([1, 8])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(data)
    list(inspect(tmp_path, verify=True))
    try:
        RegionStore(tmp_path).gather([f"a/{k}" for k in range(10)])
    except RegionError as error:
        assert str(tmp_path) in str(error)


def test_a_file_that_another_program_wrote(tmp_path: Path) -> None:
    """Boxes-only files carry neither fingerprint nor checksums, and none of the optional columns is needed."""
    table = schema(feature_size=None, scores=False, class_ids=False, metadata={})
    path = tmp_path / "x.arrow"
    batch = record_batch([replace(i, features=None, scores=None, class_ids=None) for i in images()], table)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    file = RegionFile(path)
    assert file.fingerprint == BOXES_ONLY and file.checksums() == [None] and len(file) == 10
    np.testing.assert_array_equal(next(r for r in file if r.image_id == "a/4").boxes, regions("a/4", 4).boxes)


def arrow_file(path: Path, batch: pa.RecordBatch, **options: str) -> Path:
    how = pa.ipc.IpcWriteOptions(**options)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema, options=how) as writer:
        writer.write_batch(batch)
    return path


def test_columns_of_other_types_are_named(tmp_path: Path) -> None:
    table = schema(feature_size=FEATURES, scores=True, class_ids=True, metadata={})
    good = record_batch(images(), table)
    wrong = good.set_column(good.schema.get_field_index("width"), "width", good.column("width").cast(pa.int64()))
    with pytest.raises(RegionError, match="column width is of type int64, not int32"):
        RegionFile(arrow_file(tmp_path / "x.arrow", wrong))
    with pytest.raises(RegionError, match="no column boxes"):
        RegionFile(arrow_file(tmp_path / "x.arrow", good.drop_columns(["boxes"])))
    fewer = record_batch(images()[::-1], table)
    mixed = good.set_column(good.schema.get_field_index("scores"), "scores", fewer.column("scores"))
    with pytest.raises(RegionError, match="column scores has other counts than the boxes"):
        RegionFile(arrow_file(tmp_path / "x.arrow", mixed))
    with pytest.raises(RegionError, match="features are compressed"):
        RegionFile(arrow_file(tmp_path / "x.arrow", good, compression="zstd"))


def test_boxes_alone_may_be_compressed_within_bounds(tmp_path: Path) -> None:
    table = schema(feature_size=None, scores=True, class_ids=True, metadata={})
    boxes = record_batch(images(), table)
    path = arrow_file(tmp_path / "x.arrow", boxes, compression="zstd")
    read = RegionFile(path)
    assert read.feature_size is None
    plain = RegionFile(arrow_file(tmp_path / "y.arrow", boxes))
    for one, other in zip(read.views, plain.views, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
    content = bytearray(path.read_bytes())
    length = len(boxes.column("boxes").flatten().flatten()) * 4
    place = content.index(struct.pack("<q", length))
    content[place : place + 8] = struct.pack("<q", 1 << 40)
    path.write_bytes(content)
    with pytest.raises(RegionError, match="claim"):
        RegionFile(path)


def test_a_sliced_batch_reads_as_its_rows(tmp_path: Path) -> None:
    table = schema(feature_size=FEATURES, scores=True, class_ids=True, metadata={})
    whole = record_batch(images(), table)
    part = view(whole.slice(3, 4), tmp_path, 0)
    assert [part.regions(k).image_id for k in range(4)] == ["a/3", "a/4", "a/5", "a/6"]
    assert all(same(part.regions(k), images()[3 + k]) for k in range(4))
    assert checksum(part) == checksum(view(record_batch(images()[3:7], table), tmp_path, 0))
