"""The paper's detector in bfloat16: asked for, another network, and compared with the one in float32."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from making import extract, extractor_of, same
from typer.testing import CliRunner
from x152_tiny import TINY, noise

from twelve.cli.regions import regions_app
from twelve.errors import ConfigError, RegionError
from twelve.regions.detectors import x152
from twelve.regions.detectors.build import build
from twelve.regions.detectors.feature_extractor import fingerprint
from twelve.regions.detectors.x152 import X152
from twelve.regions.detectors.x152 import detector as x152_detector
from twelve.regions.extraction.extractor import Extractor
from twelve.regions.extraction.fidelity import COMPARED, fidelities
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.recipe import Recipe
from twelve.regions.store.inspect import inspect
from twelve.regions.store.merge import merge
from twelve.regions.store.region_store import RegionStore


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(precision: str = "bf16") -> X152:
    return x152.build("random", sizes=TINY, short_side=96, precision=precision)


@pytest.fixture(scope="module")
def faster() -> X152:
    return small()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file that is no image, and more good ones than are compared."""
    path = tmp_path_factory.mktemp("images") / "s"
    path.mkdir()
    (path / "0.png").write_bytes(b"no image")
    for k in range(1, COMPARED + 2):
        noise(120, 96, k).save(path / f"{k}.png")
    return path


def test_it_is_another_network_with_a_fingerprint_of_its_own(faster: X152) -> None:
    exact = faster.exact()
    assert exact is not None and exact.exact() is None and (exact.precision, faster.precision) == ("fp32", "bf16")
    assert {value.dtype for value in faster.network.parameters()} == {torch.bfloat16}
    assert {value.dtype for value in exact.network.parameters()} == {torch.float32}
    assert faster.settings() == exact.settings() | {"precision": "bf16"}  # the weights' hash is the same
    assert fingerprint(faster.settings()) != fingerprint(exact.settings())


def test_the_fidelity_is_printed_and_kept(
    faster: X152, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = extract(folder, "detect", faster, tmp_path / "out", max_boxes=20)
    found = report.fidelity
    assert found is not None and (found.images, found.regions) == (COMPARED, 20 * COMPARED)
    assert 5 < found.matched <= found.regions and 1e-4 < found.feature_median < 0.2
    assert found.feature_median <= found.feature_largest
    assert f"{found.matched} of 60 regions within 4 pixels ({found.matched / 60:.0%})" in str(found)
    assert f"bf16 compared with fp32: {found}\n" in capsys.readouterr().err and f"; compared with fp32: {found}" in str(
        report
    )
    assert RegionStore(tmp_path / "out").metadata("s")["fidelity"] == str(found)
    assert f"compared with fp32: {found}" in str(next(iter(inspect(tmp_path / "out"))))
    assert list(report.failed) == ["s/0"] and report.written == COMPARED + 1
    stored = RegionStore(tmp_path / "out").get("s/2")  # comparing has changed nothing
    assert same(stored, extractor_of(faster, max_boxes=20).extract(folder / "2.png", image_id="s/2"))
    again = extract(folder, "detect", faster, tmp_path / "out", max_boxes=20, progress=False)
    assert again.written == 0 and again.fidelity is None
    assert Recipe.of(RegionStore(tmp_path / "out").metadata("s")).config.precision == "bf16"


def test_of_given_boxes_every_one_is_the_same_region(faster: X152, folder: Path, tmp_path: Path) -> None:
    report = extract(folder, "grid:2x3", faster, tmp_path / "out", progress=False)
    found = report.fidelity
    assert found is not None and found.regions == found.matched == 6 * COMPARED and found.same_class is None
    assert 1e-4 < found.feature_median < 0.2 and "class" not in str(found)


def test_with_itself_nothing_differs(folder: Path) -> None:
    plain = small("fp32")
    extractor = extractor_of(
        X152(plain.network, TINY, short_side=96, long_side=160, precision="bf16", exact=lambda: plain)
    )
    paths = {f"s/{k}": folder / f"{k}.png" for k in range(COMPARED + 2)}
    (found,) = fidelities(extractor, [(extractor.boxes, paths)], progress=False)
    assert found is not None and found.regions == found.matched == found.same_class
    assert found.feature_largest == 0.0
    assert fidelities(extractor, [(extractor.boxes, {"s/0": folder / "0.png"})], progress=False) == [None]


def test_in_fp32_nothing_is_compared(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = extract(folder, "detect", small("fp32"), tmp_path / "out", max_boxes=5)
    assert report.fidelity is None and "compared with fp32" not in str(report) + capsys.readouterr().err
    metadata = RegionStore(tmp_path / "out").metadata("s")
    assert "fidelity" not in metadata and Recipe.of(metadata).config.precision == "fp32"


def test_shards_are_merged_with_what_each_found(faster: X152, folder: Path, tmp_path: Path) -> None:
    reports = [
        extract(folder, "detect", faster, tmp_path / "out", max_boxes=5, shard=f"{k}/2", progress=False)
        for k in range(2)
    ]
    files = [report.file for report in reports if report.file is not None]
    assert len(files) == 2
    list(merge(files, tmp_path / "out" / "s" / "all.arrow", remove=True))
    metadata = RegionStore(tmp_path / "out").metadata("s")
    assert metadata["fidelity"] == " + ".join(str(report.fidelity) for report in reports)
    assert Recipe.of(metadata).config.precision == "bf16"


def test_made_again_from_its_recipe_it_has_its_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = x152_detector.build
    monkeypatch.setattr(x152_detector, "build", lambda *args, **options: whole(*args, **options, sizes=TINY))
    made = extractor_of("x152", weights="random", precision="bf16")
    assert made.recipe().config.precision == "bf16" and made.settings["precision"] == "bf16"
    assert Extractor.from_recipe(made.recipe(), weights="random").mark == made.mark
    with pytest.raises(RegionError, match="expected features with fingerprint"):
        other = replace(made.recipe().config, precision="fp32")
        Extractor.from_recipe(replace(made.recipe(), config=other), weights="random")


@pytest.mark.parametrize("name", ["microworld", "resnet18", "retinanet_resnet50_fpn", "transformers"])
def test_others_have_no_bf16(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} has no precision bf16 -> leave --precision out"):
        build(ExtractorConfig(name, "random", precision="bf16"))


def test_a_precision_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match="x152 has no precision fp16 -> choose --precision fp32 or bf16"):
        build(ExtractorConfig("x152", "random", precision="fp16"))


def test_the_command(folder: Path, tmp_path: Path) -> None:
    words = ["extract", "--images", str(folder), "--boxes", "detect", "--out", str(tmp_path / "out")]
    ran = CliRunner().invoke(regions_app, [*words, "--backbone", "microworld", "--precision", "bf16"])
    assert isinstance(ran.exception, ConfigError) and "microworld has no precision bf16" in str(ran.exception)
    ran = CliRunner().invoke(regions_app, [*words, "--backbone", "x152", "--precision", "fp16"])
    assert ran.exit_code == 2 and re.search("fp32.*bf16", ran.output, re.DOTALL)
