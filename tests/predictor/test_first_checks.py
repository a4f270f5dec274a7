"""What is wrong with a command is said before anything heavy is imported: torch alone takes a second or more."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_model
from typer.testing import CliRunner

from twelve import cli
from twelve.io.image_suffixes import flaw
from twelve.microworld.draw import draw
from twelve.microworld.scene import sample_scene
from twelve.predictor import loading
from twelve.tasks import base

HEAVY = ("torch", "transformers", "torchvision", "pyarrow", "accelerate", "timm", "scipy", "onnx", "rich", "filelock")
EASY = (
    *(
        "image",
        "image's name",
        "folder of images",
        "image as model",
        "image as match's model",
        "no image",
        "run",
        "empty run",
        "hub",
    ),
    *("match", "match's run", "match's regions", "serve", "export"),
)
"""Mistakes of :data:`MISTAKES` that show without the tasks and the outputs."""
NOT_FOR_EASY = ("numpy", "yaml", "tokenizers", "twelve.settings", "twelve.outputs.base", "twelve.tasks.base")
RUN = """
import json, sys
from twelve.cli import main
sys.argv = ["twelve", *json.loads(sys.argv[1])]
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.make(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("images") / "one.png"
    draw(sample_scene(np.random.default_rng(1)), seed=1).save(file)
    (file.parent / "gone.png").symlink_to("nowhere.png")
    return file


def run(words: list[str], folder: Path) -> tuple[int, str, set[str]]:
    """Exit code, standard error, and the names of all modules that were imported."""
    command = [sys.executable, "-c", RUN, json.dumps(words)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder)
    return said.returncode, said.stderr, set(json.loads(said.stdout.splitlines()[-1]))


MISTAKES = {
    "image": ("predict {model} --image {folder}/no.png --ask what", "no such"),
    "image's name": (
        "predict {model} --image {images}/on.png --ask what",
        'no such image (did you mean "{images}/one.png"?) -> check its path',
    ),
    "image's suffix": ("predict {model} --image {images}/one.jpg --ask what", 'did you mean "{images}/one.png"?'),
    "image's misspelt suffix": (
        "predict {model} --image {images}/one.pn --ask what",
        'no such folder or image (did you mean "{images}/one.png"?) -> check its path',
    ),
    "link to a missing image": (
        "predict {model} --image {images}/gone.png --ask what",
        'no such image (did you mean "{images}/one.png"?) -> check its path',
    ),
    "image's folder": (
        "predict {model} --image {folder}/emty/one.png --ask what",
        'no such image (did you mean "{folder}/empty"?) -> check its path',
    ),
    "URL": (
        "predict {model} --image https://example.org/a.jpg --ask what",
        "https://example.org/a.jpg: URLs are not read -> download it, and name the file or its folder",
    ),
    "URL to match": (
        "match {model} ball --images http://example.org/a",
        "http://example.org/a: URLs are not read -> download it",
    ),
    "URL of a line": (
        "predict {model} --jsonl {folder}/with_url.jsonl",
        "with_url.jsonl [line 1]: URLs are not read: https://example.org/a.jpg -> download it",
    ),
    "URL to extract": (
        "regions extract --images https://example.org/a --boxes detect --backbone microworld --out {folder}/regions",
        "https://example.org/a: URLs are not read -> download it",
    ),
    "folder of images": (
        "match {model} ball --images {folder}/emty",
        'no such folder or image (did you mean "{folder}/empty"?) -> check its path',
    ),
    "unlike any": ("predict {model} --image {images}/quite-different.png --ask what", "no such image -> check"),
    "image as model": (
        "predict {image} --image {model} --ask what",
        "this is an image, not a model -> name the model first, and images by their option: twelve predict {model} "
        "--image {image} --ask TEXT",
    ),
    "image as match's model": ("match {image} what --images {images}", "twelve match MODEL CAPTION --images {image}"),
    "image to serve": ("serve {image}", "this is an image, not a model -> name a run's folder"),
    "no image": ("predict {model} --image {folder}/notes.txt --ask what", "not an image (checked by content)"),
    "run": ("predict {folder}/none --image {image} --ask what", "no such folder"),
    "empty run": ("predict {folder}/empty --image {image} --ask what", "no model here"),
    "hub": ("predict owner/model --image {image} --ask what", "no such folder"),
    "task": ("predict {model} --image {image} --ask what --task vqaa", "did you mean"),
    "method": ("predict {folder}/answers --image {image} --locate ball", "no task for locate"),
    "words": ("predict {model} --image {image} --ask \N{ZERO WIDTH SPACE}", "no words"),
    "marks": ("predict {model} --image {image} --ask ??", "no letter and no digit"),
    "threshold": ("predict {model} --image {image} --locate ball --threshold 3", "found 3"),
    "device": ("predict {model} --image {image} --ask what --device cud", "cannot be used"),
    "weights": ("predict {model} --image {image} --ask what --weights no.pth", "no such weight file"),
    "jsonl": ("predict {model} --jsonl {folder}/no.jsonl", "no such file"),
    "line": ("predict {model} --jsonl {folder}/bad.jsonl", "did you mean"),
    "image of a line": ("predict {model} --jsonl {folder}/away.jsonl", "no such"),
    "out": ("predict {model} --image {image} --ask what --out {folder}/empty", "found a folder"),
    "out's folder": (
        "predict {model} --image {image} --ask what --out {folder}/none/deep/a.csv",
        "folder {folder}/none/deep does not exist -> create it: mkdir -p {folder}/none/deep",
    ),
    "match": ("match {model} ball --images {folder}/no.png", "no such"),
    "match's run": ("match {folder}/none ball --images {image}", "no such folder"),
    "match's task": ("match {model} ball --images {image} --task vqa", "no task 'vqa'"),
    "match's regions": ("match {model} ball --images {image} --regions none", "no such region store"),
    "serve": ("serve {folder}/none", "no such folder"),
    "serve's device": ("serve {model} --device cud", "cannot be used"),
    "score": ("score vqaa --truth x --predictions x", "unknown task"),
    "score's file": ("score vqa --truth x --predictions x", "no such file"),
    "report": ("report {folder}/none", "no run here"),
    "train": ("train none.yaml", "no shipped configuration"),
    "train's key": ("train quickstart.yaml --set training.epocs=3", "did you mean"),
    "evaluate": ("evaluate {folder}/none", "no run here"),
    "extract": ("regions extract --images {folder}/none --boxes grid --backbone resnet18 --out out", "no such folder"),
    "extract's images": ("regions extract --images {folder}/empty --boxes grid --backbone x152 --out out", "no image"),
    "extract's boxes": ("regions extract --images {images} --boxes gird:3 --backbone x152 --out out", "did you mean"),
    "extract's grid": (
        "regions extract --images {images} --boxes grid:3y4 --backbone x152 --out out",
        "write grid:SIZE",
    ),
    "extract's box file": (
        "regions extract --images {images} --boxes no.arrow --backbone x152 --out out",
        "no such file",
    ),
    "extract's task": (
        "regions extract --images {images} --boxes given:vqaa --backbone x152 --out out",
        "did you mean",
    ),
    "extract's weights": (
        "regions extract --images {images} --boxes grid --backbone x152 --out out --weights no.pth",
        "no such weight file",
    ),
    "extract's dtype": (
        "regions extract --images {images} --boxes grid --backbone x152 --out out --dtype flaot16",
        "did you mean",
    ),
    "extract's shard": (
        "regions extract --images {images} --boxes grid --backbone x152 --out out --shard 4/4",
        "does not name a part",
    ),
    "extract's device": (
        "regions extract --images {images} --boxes grid --backbone x152 --out out --device cud",
        "cannot be used",
    ),
    "extract's data": (
        "regions extract --images {images} --boxes given:vqa --backbone x152 --out out --data none",
        "data root not found",
    ),
    "extract's place": (
        "regions extract --images {images} --boxes grid --backbone x152 --out {folder}/notes.txt",
        "found a file",
    ),
    "info": ("regions info {folder}/none", "no such file or folder"),
    "info's store": ("regions info {folder}/empty", "no region files here"),
    "verify": ("regions verify {folder}/none", "no such file or folder"),
    "merge": ("regions merge {folder}/none --out all.arrow", "no such file"),
    "import": ("regions import {folder}/none --source vg --detector x152 --out out", "no such file"),
    "export": ("export {folder}/none {folder}/out --output answer", "no such folder"),
    "export's output": ("export {model} {folder}/out --output anwser", "did you mean"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_before_anything_heavy(name: str, model: Path, image: Path, tmp_path: Path) -> None:
    words, message = MISTAKES[name]
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "bad.jsonl").write_text(json.dumps({"image": str(image), "anser": "what"}))
    (tmp_path / "away.jsonl").write_text(json.dumps({"image": "away.png", "answer": "what"}))
    with_url = {"image": "https://example.org/a.jpg", "answer": "what"}
    (tmp_path / "with_url.jsonl").write_text(json.dumps(with_url))
    tiny_model.make(tmp_path / "answers", {"vqa": ("answer", "answer")})
    places = {"model": model, "image": image, "images": image.parent, "folder": tmp_path}
    filled = [word.format(**places) for word in words.split(" ")]
    code, said, imported = run(filled, tmp_path)
    assert code == 2 and message.format(**places) in said and len(said.splitlines()) == 1, said
    assert not imported & {*HEAVY, *(NOT_FOR_EASY if name in EASY else ())}


def test_asking_needs_neither_the_library_of_models_nor_of_training(model: Path, image: Path, tmp_path: Path) -> None:
    code, said, imported = run(["predict", str(model), "--image", str(image), "--ask", "what"], tmp_path)
    assert code == 0, said
    assert not imported & {"transformers", "torch._dynamo", "accelerate", "timm", "scipy", "onnx", "sympy"}
    assert not imported & {"rich.progress", "PIL.PdfImagePlugin", "PIL.WebPImagePlugin"}  # of 40 decoders


def test_the_own_tasks_of_a_run_are_read_once(model: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr(loading, "_own_tasks", lambda folder: read.append(folder) or {})
    asked = ["predict", str(model), "--image", str(image), "--ask", "what"]
    assert CliRunner().invoke(cli.app, asked, catch_exceptions=False).exit_code == 0
    assert read == [model]


def test_the_tasks_of_other_packages_are_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: asked.append(group) or ())
    base._entry_points.cache_clear()
    for _ in range(3):
        assert "vqa" in base.all_tasks()
    base._entry_points.cache_clear()
    assert asked == ["twelve.tasks"]


def test_every_decoder_is_there_when_a_file_needs_it(tmp_path: Path) -> None:
    image = draw(sample_scene(np.random.default_rng(1)), seed=1)
    kinds = ("JPEG", "PNG", "TIFF", "MPO", "JPEG2000", "WEBP")
    for kind in kinds:
        image.save(tmp_path / kind, kind)
    check = """
import sys
from pathlib import Path
from twelve.regions.images import decode, _opened
folder, *kinds = sys.argv[1:]
for kind in kinds:
    assert decode(Path(folder, kind)).size == decode(Path(folder, "JPEG")).size
    with open(Path(folder, kind), "rb") as file:
        assert _opened(file, 10**8).format in (kind, "JPEG" if kind == "MPO" else kind)
    assert ("PIL.PdfImagePlugin" in sys.modules) == (kind not in ("JPEG", "PNG")), kind
"""
    command = [sys.executable, "-c", check, str(tmp_path), *kinds]
    said = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert said.returncode == 0, said.stderr


def test_nothing_is_searched_for_cycles_at_the_end() -> None:
    code = (
        "import atexit, gc, runpy, sys; sys.argv = ['twelve', '--version'];"
        "atexit.register(lambda: print(gc.get_freeze_count() > 1000));"  # registered first, it is called last
        "runpy.run_module('twelve', run_name='__main__')"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert said.stdout.splitlines()[-1] == "True"


def test_the_compiler_is_there_for_whoever_wants_it() -> None:
    """What stands in its place while torchvision is imported is gone then, and asks it when it is asked."""
    check = """
import sys
import twelve.regions.detectors.build
assert "torch._dynamo" not in sys.modules and "torchvision" in sys.modules
import torch, torchvision
inputs = torch.rand(1, 3, 8, 8), torch.tensor([[0.0, 0.0, 0.0, 7.0, 7.0]])
torchvision.ops.roi_align(*inputs, 2)
assert sys.modules["torchvision.ops.roi_align"].is_compile_supported("cpu") is True
assert torch._dynamo.__file__ and torch._dynamo.utils.is_compile_supported("cpu") is True
"""
    said = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=300)
    assert said.returncode == 0, said.stderr


def test_settings_are_read_alike_with_and_without_the_library(model: Path, tmp_path: Path) -> None:
    from twelve.errors import ConfigError
    from twelve.model.config import TwelveConfig
    from twelve.model.network import settings_of
    from twelve.model.settings import Settings, defaults

    (settings, kind), whole = settings_of(model), TwelveConfig.from_pretrained(model)
    assert type(settings) is Settings and kind == "float32"
    assert all(getattr(settings, key) == getattr(whole, key) for key in defaults())
    assert settings.steps == whole.steps
    tree = json.loads((model / "config.json").read_text())
    for damage, message in (
        ({"hidden_sice": 3}, "unknown setting 'hidden_sice'"),
        ({"hidden_size": 33}, "must be a multiple"),
        ({"dtype": "os.system"}, "dtype cannot be"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(tree | damage))
        for read in (settings_of, TwelveConfig.from_pretrained):
            with pytest.raises(ConfigError, match=message):
                read(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(tree | {"output_attentions": False}))
    settings_of(tmp_path)  # keys of the library at their defaults


def test_the_network_alone_computes_what_the_model_of_the_library_does(model: Path) -> None:
    import torch

    from twelve import Twelve
    from twelve.model.network import Network, load_network

    network, whole = load_network(model), Twelve.from_pretrained(model)
    assert type(network) is Network and not network.training
    ours, theirs = network.state_dict(), whole.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not any(value.is_meta for value in (*network.parameters(), *network.buffers()))
    tensors = torch.tensor([[2, 5, 3]] * 2), torch.rand(2, 4, whole.config.v_feature_size), tiny_model.boxes(2, 4, 5)
    with torch.inference_mode():
        one = network(*tensors, task_rows=torch.tensor([0, 0])).logits
        other = whole(*tensors, task_rows=torch.tensor([0, 0])).logits
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_files_are_known_by_their_first_bytes(tmp_path: Path) -> None:
    image = draw(sample_scene(np.random.default_rng(1)), seed=1)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "MPO"):
        image.save(tmp_path / kind, kind)
        assert flaw(tmp_path / kind) == "", kind
    (tmp_path / "text").write_text("Be careful")
    (tmp_path / "empty").write_bytes(b"")
    assert flaw(tmp_path / "text") == "is not an image (checked by content)"
    assert flaw(tmp_path / "empty") == "is empty" and flaw(tmp_path) == "is a folder"
    assert flaw(tmp_path / "none") == "no such image" and flaw(Path("/dev/null")) == "is not a regular file"
