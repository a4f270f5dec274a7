"""bfloat16 features: rounded as torch rounds, stored as bits with a label, and given out as bfloat16 tensors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from making import FEATURES, regions, write

from twelve.errors import ConfigError, RegionError
from twelve.regions.store.arrow_format import record_batch, schema
from twelve.regions.store.inspect import inspect
from twelve.regions.store.region_file import GIVEN, RegionFile
from twelve.regions.store.region_store import RegionStore
from twelve.regions.store.resumable_writer import PartWriter
from twelve.types.half_precision import as_float32, as_halves, as_tensor
from twelve.types.regions import Regions


def images(source: str = "a", count: int = 9) -> list[Regions]:
    """With features in float32, beyond float16's range too."""
    made = [regions(f"{source}/{k}", k % 4) for k in range(count)]
    return [replace(r, features=r.features.astype(np.float32) * 1e5) for r in made]  # type: ignore[arg-type, union-attr]


def write_bfloat16(path: Path, made: list[Regions]) -> Path:
    table = schema(
        feature_size=FEATURES, scores=True, class_ids=True, metadata={"fingerprint": "f"}, feature_dtype="bfloat16"
    )
    with PartWriter(path, table) as writer:
        writer.write(made[:4])
        writer.write(made[4:])
        writer.finish({})
    return path


def test_rounding_is_to_the_nearest_and_to_even() -> None:
    numbers = np.array([1, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -3e38, np.inf, 0], dtype=np.float32)
    expected = [1, 1, 1 + 2**-6, 1 + 2**-7, float(torch.tensor(-3e38).bfloat16()), np.inf, 0]
    halves = as_halves(numbers, "bfloat16")
    assert halves.dtype == np.uint16 and as_float32(halves).tolist() == expected
    assert as_tensor(halves).dtype == torch.bfloat16
    assert as_halves(halves, "bfloat16") is halves
    assert as_halves(halves[:1], "float16").tolist() == [1]
    assert np.isnan(as_float32(as_halves(np.array([np.nan]), "bfloat16"))).all()


def test_tensors_share_the_memory() -> None:
    halves = np.zeros((2, 3), dtype=np.uint16)
    tensor = as_tensor(halves)
    halves[1, 2] = 0x3F80
    assert tensor[1, 2] == 1


def test_gathered_as_bfloat16(tmp_path: Path) -> None:
    made = images()
    write_bfloat16(tmp_path / "a" / "x.arrow", made)
    store = RegionStore(tmp_path)
    ids = ["a/3", "a/0", "a/6"]
    batch = store.gather(ids)
    assert batch.features.dtype == torch.bfloat16 and batch.counts.tolist() == [4, 1, 3]
    for row, image in enumerate(made[int(key[2:])] for key in ids):
        expected = torch.from_numpy(image.features).bfloat16()  # type: ignore[arg-type]
        count = len(expected)
        assert torch.equal(batch.features[row, 1 : count + 1], expected)
        assert not batch.features[row, count + 1 :].any()
        mean = expected.float().mean(0) if count else torch.zeros(FEATURES)
        assert torch.equal(batch.features[row, 0], mean.bfloat16())
    features = store.get("a/3").features
    assert features is not None and features.dtype == np.uint16 and not features.flags.owndata
    assert torch.equal(as_tensor(features), batch.features[0, 1:4])
    assert [report.problem for report in inspect(tmp_path, verify=True)] == [None]
    assert RegionFile(tmp_path / "a" / "x.arrow").feature_dtype == "bfloat16"


def test_two_kinds_of_halves_do_not_mix(tmp_path: Path) -> None:
    half = [regions(f"a/{k}", 2) for k in range(20, 23)]
    write_bfloat16(tmp_path / "1" / "a" / "x.arrow", images())
    write(tmp_path / "1" / "a" / "y.arrow", half)
    with pytest.raises(RegionError, match=r"y\.arrow: made differently \(float16\) from x.arrow \(bfloat16\)"):
        RegionStore(tmp_path / "1").gather(["a/1"])
    write_bfloat16(tmp_path / "2" / "a" / "x.arrow", images())
    write(tmp_path / "2" / "a" / GIVEN / "y.arrow", half)
    with pytest.raises(RegionError, match=r"\(float16\) than the detected regions \(bfloat16\)"):
        RegionStore(tmp_path / "2").gather(["a/1"], given=True)
    write_bfloat16(tmp_path / "3" / "a" / "x.arrow", images())
    write(tmp_path / "3" / "b" / "x.arrow", [regions("b/1")])
    with pytest.raises(RegionError, match="contains float16, other sources bfloat16"):
        RegionStore(tmp_path / "3").gather(["a/1", "b/1"])


def test_integers_without_the_label_are_refused(tmp_path: Path) -> None:
    table = schema(feature_size=FEATURES, scores=True, class_ids=True, metadata={}, feature_dtype="bfloat16")
    batch = record_batch(images(), table)
    bare = pa.schema([pa.field(field.name, field.type) for field in table])
    path = tmp_path / "x.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, bare) as writer:
        writer.write_batch(pa.record_batch(batch.columns, schema=bare))
    with pytest.raises(RegionError, match=r"its features are .*uint16.*, neither float16 nor labelled as bfloat16"):
        RegionFile(path)


def test_other_kinds_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"stored as 'bfloat61' \(did you mean \"bfloat16\"\?\)"):
        schema(feature_size=2, scores=False, class_ids=False, metadata={}, feature_dtype="bfloat61")


def test_a_mean_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    made = [regions(f"a/{k}") for k in range(3)]
    table = schema(feature_size=FEATURES, scores=False, class_ids=False, metadata={})
    batch = record_batch(made, table)
    short = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(3 * 2, np.float16)), 2)
    wrong = batch.set_column(batch.schema.get_field_index("mean"), "mean", short)
    path = tmp_path / "x.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, wrong.schema) as writer:
        writer.write_batch(wrong)
    with pytest.raises(RegionError, match="column mean does not fit the features"):
        RegionFile(path)
