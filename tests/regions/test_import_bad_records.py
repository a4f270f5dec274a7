"""Bad records are listed with their reason and cost nothing else; hostile files do nothing."""

from __future__ import annotations

import base64
import json
import os
import pickle
import random
import re
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from import_origins import (
    FEATURES,
    Made,
    base64_fields,
    h5_of,
    line,
    lmdb_fields,
    lmdb_of,
    made,
    npy_of,
    python_2_pickle,
    tsv_of,
    write_lmdb,
)

from twelve.errors import RegionError
from twelve.regions.importers import ImportReport, import_regions
from twelve.regions.importers.base import BadRecord, unpickled
from twelve.regions.store.region_file import RegionFile

pytest.importorskip("lmdb")
pytest.importorskip("h5py")

GOOD = [made(str(k), 1 + k % 4) for k in range(8)]


def take(path: Path, **options: Any) -> ImportReport:
    return import_regions(path, path.parent / "out", source="a", detector="d", progress=False, **options)


class Hostile:
    """Unpickling it would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.path),))


def changed(**fields: Any) -> bytes:
    return pickle.dumps(lmdb_fields(GOOD[3]) | fields)


def cut(name: str, by: int) -> bytes:
    fields = base64_fields(GOOD[3])
    text = fields[name]
    return pickle.dumps(fields | {name: text[: len(text) - by]})


def with_nan(name: str, value: float) -> bytes:
    array = getattr(GOOD[3], name).copy()
    array[1, 2] = value
    return changed(**{name: array})


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "NaN in features": (lambda: with_nan("features", np.nan), "features that are not finite numbers"),
    "infinity in features": (lambda: with_nan("features", np.inf), "features that are not finite numbers"),
    "NaN in boxes": (lambda: with_nan("boxes", np.nan), "boxes that are not finite numbers"),
    "truncated base64": (lambda: cut("features", 5), "not base64"),
    "base64 of too few numbers": (lambda: cut("boxes", 8), "numbers"),
    "no base64": (lambda: changed(features="!!!!"), "not base64"),
    "too few rows": (lambda: changed(features=GOOD[3].features[:2]), "4 boxes and 2 rows of features"),
    "features of another size": (lambda: changed(features=GOOD[3].features[:, :5]), r"features of shape \(4, 5\)"),
    "boxes of five": (lambda: changed(boxes=np.zeros((4, 5))), r"boxes of shape \(4, 5\), not \(regions, 4\)"),
    "text for features": (lambda: changed(features=np.array([1, 2, 3])), "3 numbers are not 4 rows"),
    "a number for boxes": (lambda: changed(boxes=3), r"boxes of shape \(\)"),
    "ragged lists": (lambda: changed(boxes=[[1, 2, 3, 4], [5]]), "no array"),
    "words for boxes": (lambda: changed(boxes=[["a", "b", "c", "d"]]), "boxes that are not numbers"),
    "no width": (lambda: pickle.dumps({k: v for k, v in lmdb_fields(GOOD[3]).items() if k != "image_w"}), "no image_w"),
    "width of nothing": (lambda: changed(image_w=0), "width: 0 pixels"),
    "height in words": (lambda: changed(image_h="tall"), "height: not a number"),
    "not a dict": (lambda: pickle.dumps([1]), "a list instead of a dict"),
    "a cut pickle": (lambda: changed()[:-20], "a pickle that is not plain"),
    "nothing": (lambda: b"", "a pickle that is not plain"),
    "something behind it": (lambda: changed() + b"x", "there is more data after its end"),
    "objects inside arrays": (lambda: changed(boxes=np.array([None, 1], object)), "an array of Python objects"),
    "a record array": (lambda: changed(boxes=np.zeros(2, [("x", "f4")])), "arrays of type 'V4'"),
    "dates": (lambda: changed(boxes=np.zeros(2, "M8[s]")), "arrays of type 'M8'"),
    "an OrderedDict": (lambda: pickle.dumps(OrderedDict(lmdb_fields(GOOD[3]))), "asks for collections.OrderedDict"),
    "a masked array": (lambda: changed(boxes=np.ma.zeros(3)), "asks for numpy.ma"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_record_is_listed(tmp_path: Path, kind: str) -> None:
    make, reason = BAD[kind]
    values = {image.key: pickle.dumps(lmdb_fields(image)) for image in GOOD} | {"3": make()}
    report = take(write_lmdb(tmp_path / "x", values))
    assert (report.written, report.bad, report.records) == (7, 1, 8)
    assert re.search(reason, report.failed["3"]), report.failed["3"]
    assert f"3: {report.failed['3']}" in str(report)
    assert report.file is not None and json.loads(RegionFile(report.file).metadata["failed"]) == report.failed


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_run(tmp_path: Path, protocol: int) -> None:
    victim = tmp_path / "made"
    content = pickle.dumps(lmdb_fields(GOOD[3]) | {"boxes": Hostile(victim)}, protocol)
    report = take(write_lmdb(tmp_path / "x", {"1": pickle.dumps(lmdb_fields(GOOD[1])), "3": content}))
    assert "mkdir" in report.failed["3"] and not victim.exists()
    pickle.loads(content)
    assert victim.exists()  # the attack is real
    victim.rmdir()
    npy_of(tmp_path / "npy", GOOD)
    np.save(tmp_path / "npy" / "3.npy", np.array(Hostile(victim), dtype=object), allow_pickle=True)
    assert take(tmp_path / "npy", name="npy").bad == 1
    assert not victim.exists()
    index = tmp_path / "x_imgid2idx.pkl"
    index.write_bytes(content)
    path = h5_of(tmp_path / "x.h5", GOOD)
    with pytest.raises(RegionError, match=r"not an index of images .*mkdir"):
        take(path, index=index)
    assert not victim.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\ndtype\n.",
        b"cnumpy\nndarray\n(tR.",
        b"c_codecs\nencode\n(Vx\nVrot13\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(tVb\ntR.",
        b"cnumpy.core.multiarray\nscalar\n(I1\ntR.",
        b"\x80\x02})" + b"q\x01h\x01\x86" * 60 + b"K\x01s.",  # the hash of this key takes 2**60 steps
        b"\x80\x02}" + b")\x85" * 3 + b"K\x01s.",
        b"(dI1\nb.",
        b"Pid\n.",
        b"\x82\x01.",
        b"\x80\x05\x97.",
    ],
)
def test_odd_pickles_are_bad_records(content: bytes) -> None:
    with pytest.raises(BadRecord, match="not plain"):
        unpickled(content)


def test_large_place_numbers_take_no_memory() -> None:
    assert unpickled(b"(lp4000000000\n.") == []


def test_arrays_must_have_their_bytes() -> None:
    good = python_2_pickle({"boxes": np.zeros((2, 4), np.float32)})
    assert unpickled(good)["boxes"].shape == (2, 4)
    for shape in ((2, 5), (-2, -4), (2**40, 2**40), (0, 4)):
        bad = good.replace(b"(J\2\0\0\0J\4\0\0\0t", b"(" + b"".join(_long(n) for n in shape) + b"t")
        with pytest.raises(BadRecord, match="an array of shape"):
            unpickled(bad)


def _long(value: int) -> bytes:
    raw = value.to_bytes(8, "little", signed=True)
    return b"\x8a\x08" + raw


@pytest.mark.parametrize("trial", range(60))
def test_damaged_pickles_never_crash(trial: int) -> None:
    rng = random.Random(trial)
    data = bytearray(rng.choice([pickle.dumps(lmdb_fields(GOOD[3]), trial % 6), python_2_pickle(lmdb_fields(GOOD[3]))]))
    for _ in range(rng.choice([1, 4])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    try:
        unpickled(bytes(data))
    except BadRecord as error:
        assert "pickle" in str(error)


def _tsv(tmp_path: Path, text: str) -> ImportReport:
    path = tmp_path / "x.tsv"
    path.write_text("\n".join([line(GOOD[0]), text, line(GOOD[1])]) + "\n")
    return take(path)


def _with_cell(image: Made, column: int, value: str) -> str:
    cells = line(image).split("\t")
    cells[column] = value
    return "\t".join(cells)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (_with_cell(GOOD[3], 3, "3"), "boxes: 16 numbers for 3 boxes"),
        (_with_cell(GOOD[3], 3, "-1"), "num_boxes is negative"),
        (_with_cell(GOOD[3], 3, "four"), "num_boxes is 'four'"),
        (_with_cell(GOOD[3], 5, line(GOOD[3]).split("\t")[5][:-4]), "bytes are not numbers of 4 bytes"),
        (_with_cell(GOOD[3], 5, line(GOOD[3]).split("\t")[5][:-3]), "not base64"),
        (_with_cell(GOOD[3], 5, base64.b64encode(b"\0" * 4 * 15).decode()), "features: 15 numbers for 4 boxes"),
        (_with_cell(GOOD[3], 0, ""), "it has no name"),
        ("3\t4", "2 columns, not 6 or 10"),
        ("", "1 columns, not 6 or 10"),
        (line(GOOD[0]), "a/0 has come before"),
    ],
)
def test_bad_lines(tmp_path: Path, text: str, reason: str) -> None:
    report = _tsv(tmp_path, text)
    assert (report.written, report.bad) == (2, 1)
    ((record, why),) = report.failed.items()
    assert reason in why and record.startswith("x.tsv line 2")
    assert _tsv(tmp_path, text).failed == report.failed  # again, when there is nothing to do


def test_zero_boxes_in_every_format(tmp_path: Path) -> None:
    nothing = made("99", 0)
    for path in (
        tsv_of(tmp_path / "1.tsv", [*GOOD, nothing]),
        lmdb_of(tmp_path / "2.lmdb", [*GOOD, nothing]),
        npy_of(tmp_path / "3", [*GOOD, nothing]),
        h5_of(tmp_path / "4.h5", [*GOOD, nothing]),
    ):
        report = import_regions(path, tmp_path / f"out-{path.name}", source="a", detector="d", progress=False)
        assert (report.written, report.bad, report.counts["without regions"]) == (9, 0, 1)


def test_damaged_and_foreign_npy_files(tmp_path: Path) -> None:
    folder = npy_of(tmp_path / "npy", GOOD)
    np.save(folder / "20.npy", GOOD[3].features)
    (folder / "21.npy").write_bytes(b"no numpy")
    whole = (folder / "3.npy").read_bytes()
    (folder / "22.npy").write_bytes(whole[: len(whole) // 2])
    (folder / "23.npy").write_bytes(whole.replace(b"{'descr'", b"{'descr)"))
    report = take(folder)
    assert report.written == 8
    assert {k: v.split(" (")[0] for k, v in report.failed.items() if k != "22.npy"} == {
        "20.npy": "an array of float32 instead of a dict",
        "21.npy": "not a .npy file",
        "23.npy": "not a .npy file",
    }


def test_keys_without_a_record(tmp_path: Path) -> None:
    values = {image.key: pickle.dumps(lmdb_fields(image)) for image in GOOD}
    report = take(write_lmdb(tmp_path / "x", values, keys=[*values, "77"]))
    assert report.written == 8 and report.failed == {"77": "it is among the file's keys, but not in the file"}


def test_files_that_are_not_what_they_seem(tmp_path: Path) -> None:
    lmdb_path = lmdb_of(tmp_path / "x.lmdb", GOOD) / "data.mdb"
    lmdb_path.write_bytes(b"\0" * 8192)
    with pytest.raises(RegionError, match="not an LMDB of region features"):
        take(tmp_path / "x.lmdb")
    h5_path = h5_of(tmp_path / "x.h5", GOOD)
    h5_path.write_bytes(h5_path.read_bytes()[:300])
    with pytest.raises(RegionError, match="not an HDF5 file"):
        take(h5_path)
    keys = write_lmdb(tmp_path / "y.lmdb", {"keys-of-others": b""})
    with pytest.raises(RegionError, match=r"none of its records has regions \(keys-of-others: a pickle"):
        take(keys)


def test_h5_that_refers_elsewhere(tmp_path: Path) -> None:
    import h5py

    other = h5_of(tmp_path / "other.h5", GOOD)
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["features"] = h5py.ExternalLink(str(other), "features")
    with h5py.File(tmp_path / "group.h5", "w") as file:
        group = file.create_group("1")
        group["features"], group["boxes"], group["img_w"], group["img_h"] = GOOD[3].features, GOOD[3].boxes, 9, 9
        file["2"] = h5py.ExternalLink(str(other), "/")
    with pytest.raises(RegionError, match=r"link.h5 \[features\]: it refers to other files"):
        take(tmp_path / "link.h5")
    assert take(tmp_path / "group.h5").failed == {"2": "it refers to another place"}


def test_h5_that_refers_elsewhere_behind_a_group(tmp_path: Path) -> None:
    """Nor does it matter what stands before: the bytes of any file could be read as features."""
    import h5py

    (tmp_path / "secret").write_bytes(np.ones(24, dtype=np.float32).tobytes())
    for number, link in enumerate((None, h5py.SoftLink("/nowhere"))):
        path = h5_of(tmp_path / f"{number}.h5", GOOD)
        with h5py.File(path, "r+") as file:
            del file["features"]
            if link is None:
                outside = [(str(tmp_path / "secret"), 0, 96)]
                file.create_dataset("features", (8, 1, 3), dtype="<f4", external=outside)
                file.create_group("a")
            else:
                file["features"] = link
        with pytest.raises(RegionError, match=r"\[features\]: it refers to other files"):
            take(path)


@pytest.mark.parametrize(
    ("name", "value"), [("features", 1.0), ("image_id", 3), ("pos_boxes", [1, 2, 3]), ("img_ids", None)]
)
def test_h5_of_other_shapes(tmp_path: Path, name: str, value: Any) -> None:
    import h5py

    path = h5_of(tmp_path / "x.h5", GOOD)
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        if value is None:
            file.create_group(name)
        else:
            file[name] = value
    with pytest.raises(RegionError, match=rf"x\.h5 \[{name}\]: "):
        take(path)


@pytest.mark.parametrize("pages", [2, 3])
def test_an_lmdb_that_was_cut_short(tmp_path: Path, pages: int) -> None:
    """Reading beyond its end would end the program (a bus error), so that is done in one of its own."""
    path = lmdb_of(tmp_path / "x.lmdb", GOOD)
    os.truncate(path / "data.mdb", 4096 * pages - 5)
    command = [sys.executable, "-m", "twelve", "regions", "import", str(path), "--source", "a", "--detector", "d"]
    done = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and re.search(r"\(\d[\d,]+ of its [\d,]+ bytes are there\)", done.stderr)


def test_more_boxes_than_rows_in_h5(tmp_path: Path) -> None:
    import h5py

    path = h5_of(tmp_path / "x.h5", GOOD)
    with h5py.File(path, "a") as file:
        file["num_boxes"][2] = 9
    assert take(path).failed == {"x.h5 row 2, 2": "9 boxes in 4 rows of boxes"}


def test_a_majority_decides_on_the_size(tmp_path: Path) -> None:
    first = replace(made("00", 3), features=np.zeros((3, FEATURES + 1), np.float32))
    report = take(tsv_of(tmp_path / "x.tsv", [first, *GOOD]))
    assert report.feature_size == FEATURES and list(report.failed) == ["x.tsv line 1, 00"]


def test_nothing_good(tmp_path: Path) -> None:
    images = [replace(image, features=image.features * np.nan) for image in GOOD]
    with pytest.raises(
        RegionError, match=r"none of the 8 records could be imported \(.*: features that are not finite"
    ):
        take(tsv_of(tmp_path / "x.tsv", images))
    assert not (tmp_path / "out").exists()
