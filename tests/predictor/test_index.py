"""Searching with a shortlist, and the file that keeps the vectors of a folder's images."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_model
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

import twelve
from twelve.cli import app
from twelve.errors import CheckpointError, ConfigError, DataError, InputError, TwelveError
from twelve.microworld.draw import draw
from twelve.microworld.scene import sample_scene
from twelve.model.vilbert import Twelve
from twelve.outputs.parts.warned import Warned
from twelve.predictor import Predictor, index, index_folders, remove_from_index, search
from twelve.predictor.index import ImageIndex, best_images
from twelve.predictor.open_index import OpenIndex
from twelve.regions.extraction.extract import extract
from twelve.types.regions import Regions

CAPTIONS = ["the red ball", "a big green thing"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.make(tmp_path_factory.mktemp("model"), contrast=16)


@pytest.fixture(scope="module")
def model(folder: Path) -> Predictor:
    return twelve.load(folder)


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    place = tmp_path / "images"
    place.mkdir()
    for number in range(6):
        draw(sample_scene(np.random.default_rng(number)), seed=number).save(place / f"{number}.png")
    return sorted(place.iterdir())


@pytest.fixture
def extracted(monkeypatch: pytest.MonkeyPatch, model: Predictor) -> list[str]:
    """Names of the images that were extracted."""
    names: list[str] = []
    opens = Predictor.scene

    def counting(self: Predictor, image: object, **options: object) -> object:
        names.append(Path(str(options.get("name"))).name)
        return opens(self, image, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "scene", counting)
    return names


def test_a_head_of_an_earlier_version_is_told_with_what_helps(folder: Path, tmp_path: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    pooled = {f"contrast.{side}.shares.{part}": np.zeros(4, np.float32) for side in ("text", "image")
              for part in ("weight", "bias")}  # fmt: skip
    place = Path(shutil.copytree(folder, tmp_path / "model"))

    def refused(found: dict[str, np.ndarray]) -> str:
        save_file(found, place / "model.safetensors", {"format": "pt"})
        with pytest.raises(CheckpointError) as opened:
            Twelve.from_pretrained(place)
        with pytest.raises(CheckpointError) as loaded:
            twelve.load(place)
        assert str(opened.value) == str(loaded.value)
        return str(opened.value)

    said = refused(weights | pooled)
    assert "its contrast head is of an earlier version -> add the head again to the run without it: " in said
    command_told = said.partition("without it: ")[2].partition(";")[0]
    assert command_told == "twelve train configs/contrast.yaml --set init=RUN"
    assert "1 unknown weights: contrast.x -> use the conf" in refused(weights | {"contrast.x": pooled.popitem()[1]})
    assert "use the configuration saved with it" in refused(weights | pooled | {"x": np.zeros(4, np.float32)})


# --- shortlists ---------------------------------------------------------------------------------------------------
def test_a_shortlist_of_all_images_is_the_whole_ranking(model: Predictor, images: list[Path]) -> None:
    whole = model.match(images, CAPTIONS)
    assert whole.shortlist is None and np.array_equal(model.match(images, CAPTIONS, shortlist=6).logits, whole.logits)
    short = model.match(images, CAPTIONS, shortlist=2)
    ranked = ~np.isnan(short.logits)
    assert short.shortlist == 2 and (ranked.sum(1) == 2).all()
    assert "ranked 2 of 6 images per caption" in str(short) and "ranked" not in str(whole)
    assert np.allclose(short.logits[ranked], whole.logits[ranked], atol=1e-5)
    scenes = [model.scene(image) for image in images]
    texts, regions = model.caption_vectors(CAPTIONS), model.image_vectors(scenes)
    similar = np.array([[(words @ each.T).max(1).mean() for each in regions] for words in texts])
    assert np.array_equal(np.sort(np.argsort(-similar)[:, :2]), np.nonzero(ranked)[1].reshape(2, 2))
    found = short.ranked_images(0)
    assert len(found) == 2 and sum(share for _, share in found) == pytest.approx(1)
    left_out = int(np.flatnonzero(~ranked.any(0))[0])
    assert short.ranked_captions(left_out) == []
    tree = json.loads(short.to_json())
    assert tree["shortlist"] == 2 and [row.count(None) for row in tree["logits"]] == [4, 4]
    assert len(tree["captions"][0]["images"]) == 2


def test_without_the_head_it_is_refused(tmp_path: Path, images: list[Path]) -> None:
    plain = tiny_model.make(tmp_path / "model")
    with pytest.raises(ConfigError, match="no contrast head -> add one"):
        twelve.load(plain).match(images, CAPTIONS, shortlist=2)
    for option in (["--shortlist", "2"], ["--index", str(tmp_path / "index")], ["--contrast-weight", "1"]):
        result = CliRunner().invoke(app, ["match", str(plain), "red", "--images", str(images[0].parent), *option])
        assert isinstance(result.exception, ConfigError) and "no contrast head" in str(result.exception)


def test_the_head_and_the_model_rank_together(model: Predictor, images: list[Path], folder: Path) -> None:
    whole, both = model.match(images, CAPTIONS), model.match(images, CAPTIONS, contrast_weight=2)
    texts, regions = model.caption_vectors(CAPTIONS), model.image_vectors([model.scene(image) for image in images])
    similar = np.array([[(words @ each.T).max(1).mean() for each in regions] for words in texts])
    assert np.allclose(both.logits, whole.logits + 2 * model.model.similarity_scale * similar, atol=1e-4)
    short = model.match(images, CAPTIONS, contrast_weight=2, shortlist=2).logits
    ranked = ~np.isnan(short)
    assert (ranked.sum(1) == 2).all() and np.allclose(short[ranked], both.logits[ranked], atol=1e-4)
    words = ["match", str(folder), *CAPTIONS, "--images", str(images[0].parent), "--json"]
    for weight in (-1, 1001, float("nan")):
        with pytest.raises(InputError, match="expected a contrast_weight between 0 and 1000, found"):
            model.match(images, CAPTIONS, contrast_weight=weight)
        refused = CliRunner().invoke(app, [*words, "--contrast-weight", str(weight)]).exception
        assert isinstance(refused, InputError) and "between 0 and 1000" in str(refused)
    printed = json.loads(CliRunner().invoke(app, [*words, "--contrast-weight", "2"]).stdout)["logits"]
    assert np.allclose(np.sort(printed), np.sort(both.logits), atol=1e-4)


# --- the index ----------------------------------------------------------------------------------------------------
def test_only_what_is_new_or_changed_is_computed_again(
    model: Predictor, images: list[Path], tmp_path: Path, extracted: list[str]
) -> None:
    file = tmp_path / "index"

    def search() -> list[str]:
        """Images that were extracted to be indexed; those on the shortlist are extracted after them."""
        extracted.clear()
        found = model.search(images, CAPTIONS[:1], shortlist=2, index=file)
        indexed = extracted[:-2]
        assert not found.skipped and extracted[-2:] == [Path(name).name for name in found.images]
        wanted = dict(model.match(images, CAPTIONS[:1], shortlist=2, contrast_weight=1).ranked_images(0))
        assert {Path(name).name: share for name, share in found.ranked_images(0)} == pytest.approx(wanted, abs=1e-5)
        return indexed

    assert search() == [f"{number}.png" for number in range(6)]
    assert search() == []
    draw(sample_scene(np.random.default_rng(77)), seed=77).save(images[3])
    assert search() == ["3.png"]
    os.utime(images[1], ns=(1, 1))
    assert search() == ["1.png"]
    images.pop(2).unlink()
    assert search() == [] and len(ImageIndex(file, model.vectors_mark())) == 5


def test_vectors_of_another_model_are_replaced(model: Predictor, images: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "index"
    other = twelve.load(tiny_model.make(tmp_path / "other", seed=1, contrast=16))
    assert other.vectors_mark() != model.vectors_mark() == twelve.load(model.model.config.name_or_path).vectors_mark()
    other.search(images, CAPTIONS, index=file)
    kept = ImageIndex(file, model.vectors_mark())
    assert kept.dropped == 6 and len(kept) == 0
    found = model.search(images, CAPTIONS, index=file)
    assert np.allclose(found.logits, model.match(images, CAPTIONS, contrast_weight=1).logits, atol=1e-5)
    assert ImageIndex(file, model.vectors_mark()).dropped == 0


def test_both_can_be_moved_together(model: Predictor, images: list[Path], tmp_path: Path, extracted: list[str]) -> None:
    model.search(images, CAPTIONS, shortlist=2, index=tmp_path / "images" / "index")
    moved = (tmp_path / "images").rename(tmp_path / "elsewhere")
    extracted.clear()
    model.search(sorted(moved.glob("*.png")), CAPTIONS[:1], shortlist=2, index=moved / "index")
    assert len(extracted) == 2


def test_what_was_computed_is_kept_when_a_search_is_interrupted(
    model: Predictor, images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "INDEXED", 2)
    opens, calls = Predictor.scene, []

    def interrupted(self: Predictor, image: object, **options: object) -> object:
        calls.append(image)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return opens(self, image, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "scene", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.search(images, CAPTIONS, index=tmp_path / "index")
    assert len(ImageIndex(tmp_path / "index", model.vectors_mark())) == 4


def test_a_shortlist_of_an_index_is_told_also_for_one_caption(
    folder: Path, model: Predictor, images: list[Path], tmp_path: Path
) -> None:
    words = ["match", str(folder), CAPTIONS[0], "--images", str(images[0].parent), "--index", str(tmp_path / "index")]
    line = "ranked 2 of 6 images per caption, selected by the contrast head"
    for captions in (CAPTIONS[:1], CAPTIONS):
        found = model.search(images, captions, index=tmp_path / "index", shortlist=2)
        assert found.shortlist == found.to_dict()["shortlist"] == 2 and line in str(found).splitlines()
        assert (~np.isnan(found.logits)).sum(1).tolist() == [2] * len(captions)
        assert line in CliRunner().invoke(app, [*words, *captions[1:], "--shortlist", "2"]).stdout.splitlines()
    for count in (0, 6, 9):
        found = model.search(images, CAPTIONS[:1], index=tmp_path / "index", shortlist=count)
        assert found.shortlist is None and "ranked" not in str(found)


def test_only_images_that_were_indexed_are_counted_as_new(
    model: Predictor, images: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    images[0].write_bytes(b"no image")
    for new in (5, 0):
        model.search(images, CAPTIONS, index=tmp_path / "index", progress=True)
        assert f"index: 5 images, {new} of them new or changed\n" in capfd.readouterr().err
    model.search(images[:2], CAPTIONS, index=tmp_path / "index", progress=True)
    told = "5 images, 0 of them new or changed; 4 of earlier searches, which a service with this index searches too\n"
    assert told in capfd.readouterr().err


def test_an_image_that_cannot_be_read_is_told(model: Predictor, images: list[Path], tmp_path: Path) -> None:
    images[0].write_bytes(b"no image")
    found = model.search(images, CAPTIONS, index=tmp_path / "index")
    assert list(found.skipped) == [str(images[0])] and len(found.images) == 5
    assert f"skipped: {images[0]} " in str(found)
    without = model.search(images, CAPTIONS)
    assert without.skipped == found.skipped and without.images == found.images
    for image in images[1:]:
        image.unlink()
    for file in (tmp_path / "index", None):
        with pytest.raises(InputError, match="none of the images can be read"):
            model.search(images[0].parent, CAPTIONS, index=file)


def test_a_name_that_is_not_utf_8_is_skipped_with_an_index(
    folder: Path, model: Predictor, images: list[Path], tmp_path: Path
) -> None:
    odd = images[2].rename(images[2].with_name(os.fsdecode(b"\xff.png")))
    words = ["match", str(folder), *CAPTIONS, "--images", str(images[0].parent), "--index", str(tmp_path / "index")]
    for _ in range(2):
        run = CliRunner().invoke(app, words)
        assert run.exit_code == 1 and "\\udcff.png: its name is not UTF-8, which an index needs" in run.stderr
    assert len(ImageIndex(tmp_path / "index", model.vectors_mark())) == 5
    assert str(odd) in model.search(images[0].parent, CAPTIONS).images


ODD = Warned("unusual_image", "it is odd")


@pytest.mark.parametrize("indexed", [True, False])
def test_warnings_are_of_the_images_in_the_reply_alone(
    indexed: bool,
    folder: Path,
    model: Predictor,
    images: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options: dict[str, Any] = {"shortlist": 4, "index": tmp_path / "index" if indexed else None}
    ranked = [name for name, _ in model.search(images, CAPTIONS[:1], **options).ranked_images()]
    best = model.scene(ranked[0]).regions.boxes

    def of_regions(processor: object, regions: Regions) -> tuple[Warned, ...]:
        return () if np.array_equal(regions.boxes, best) else (ODD,)

    monkeypatch.setattr("twelve.predictor.warnings.of_regions", of_regions)
    found = model.search(images, CAPTIONS[:1], **options)
    assert found.warnings == (f"{', '.join(ranked[1:])}: it is odd",) and not found.reliable
    for top in (1, 2, 4):
        told = found.to_dict(top)
        own = [{"code": "unusual_image", "text": f"{', '.join(ranked[1:top])}: it is odd"}] if top > 1 else []
        assert told["warnings"] == own and told["reliable"] == (top == 1)
    assert str(found).endswith(f"warning: {', '.join(ranked[1:3])}: it is odd")  # of the three that it has
    words = ["match", str(folder), CAPTIONS[0], "--images", str(images[0].parent), "--shortlist", "4"]
    words += ["--index", str(tmp_path / "index")] * indexed
    for top in (1, 2):
        said = CliRunner().invoke(app, [*words, "--top", str(top)])
        assert said.exit_code == 0 and said.stderr.count("it is odd") == top - 1
        printed = CliRunner().invoke(app, [*words, "--top", str(top), "--json"])
        assert printed.stderr.count("it is odd") == top - 1
        told = json.loads(printed.stdout)
        assert (told["reliable"], len(told["warnings"])) == (top == 1, top - 1)


def test_what_percentages_compare_is_said_where_there_are_several(folder: Path, images: list[Path]) -> None:
    for several in (True, False):
        words = ["match", str(folder), *CAPTIONS, "--images", str(images[0].parent if several else images[0])]
        result = CliRunner().invoke(app, words)
        said = [line for line in result.stderr.splitlines() if line.startswith("percentages: each image's share among")]
        assert len(said) == several and "percentages" not in result.stdout


def test_the_closest_images_of_any_caption() -> None:
    gallery = [np.eye(4, dtype=np.float16)[row : row + 1] for row in range(4)]
    captions = [np.array([[0, 0, 1, 0]], np.float32), np.array([[1, 0.5, 0, 0], [1, 0, 0, 0]], np.float32)]
    assert best_images(captions, gallery, 1) == [0, 2] and best_images(captions, gallery, 9) == [0, 1, 2, 3]


Change = Callable[[dict[str, np.ndarray], dict[str, str]], object]


def damaged(change: Change, sealed: bool = True) -> Callable[[Path], None]:
    """Writes the index again with a change, with or without its own checksum."""

    def apply(file: Path) -> None:
        from safetensors import safe_open

        tensors = load_file(file)
        with safe_open(file, framework="numpy") as opened:
            about = dict(opened.metadata())
        change(tensors, about)
        if sealed:
            about["sha256"] = index._digest(tensors)
        save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, file, about)

    return apply


def entries(text: str) -> Change:
    return lambda tensors, about: tensors.update(entries=np.frombuffer(text.encode(), np.uint8).copy())


ONE = '["0.png", 1, 1, 4]'


def twice(tensors: dict[str, np.ndarray]) -> str:
    """Entries that give all vectors to one image that occurs twice."""
    rows = len(tensors["vectors"])
    return json.dumps([["0.png", 1, 1, rows - 1], ["0.png", 1, 1, 1]])


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut short": (lambda file: file.write_bytes(file.read_bytes()[:-9]), "cannot be read"),
    "empty": (lambda file: file.write_bytes(b""), "cannot be read"),
    "another file": (lambda file: file.write_text("my diary, which nothing may replace"), "cannot be read"),
    "another safetensors file": (lambda file: save_file({"a": np.zeros(3)}, file), "other data"),
    "a bit": (damaged(lambda tensors, about: tensors["vectors"].view(np.uint16).__ixor__(1), False), "checksum"),
    "not finite": (damaged(lambda tensors, about: tensors["vectors"].fill(np.nan)), "not finite"),
    "fewer entries": (damaged(entries(f"[{ONE}]")), "its images have 4 regions, its vectors are"),
    "no entries": (damaged(entries('{"a": 1}')), "a path, a size, a time and a number of regions"),
    "a number as path": (damaged(entries("[[1, 1, 1, 1]]")), "a path, a size, a time and a number of regions"),
    "no regions": (damaged(entries('[["0.png", 1, 1, 0]]')), "a path, a size, a time and a number of regions"),
    "twice": (damaged(lambda tensors, about: entries(twice(tensors))(tensors, about)), "twice"),
    "no JSON": (damaged(entries("[[")), "entries are damaged"),
    "deep JSON": (damaged(entries("[" * 5000)), "entries are damaged"),
    "other numbers": (
        damaged(lambda tensors, about: tensors.update(vectors=tensors["vectors"].astype(np.float64))),
        "float64 vectors",
    ),
    "another kind": (damaged(lambda tensors, about: about.update(format="x")), "other data"),
}
FOREIGN = ("cannot be read", "other data")
"""Problems of a file that may never have been an index."""


def test_the_mark_depends_on_every_weight_also_of_packed_layers(folder: Path, tmp_path: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    layer = next(name for name in sorted(weights) if name.startswith("image.") and name.endswith("dense.weight"))
    place = Path(shutil.copytree(folder, tmp_path / "model"))
    save_file(weights | {layer: 2 * weights[layer]}, place / "model.safetensors", {"format": "pt"})
    for precision in ("fp32", "bf16"):
        one, other = (twelve.load(each, precision=precision).vectors_mark() for each in (folder, place))
        assert one != other, precision


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_index_is_refused(name: str, model: Predictor, images: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "index"
    model.search(images, CAPTIONS, index=file)
    damage, problem = DAMAGE[name]
    damage(file)
    before = file.read_bytes()
    remedy = "name another file" if problem in FOREIGN else r"remove it \(rm .*index\)"
    with pytest.raises(DataError, match=rf"not an index of image vectors: .*{problem}.* -> {remedy}"):
        model.search(images, CAPTIONS, index=file)
    assert file.read_bytes() == before
    file.unlink()
    model.search(images, CAPTIONS, index=file)


def test_a_pipe_or_a_folder_is_no_index(model: Predictor, images: list[Path], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(DataError, match="expected a regular file"):
            model.search(images, CAPTIONS, index=tmp_path / name)


def test_the_command(folder: Path, images: list[Path], tmp_path: Path) -> None:
    words = ["match", str(folder), *CAPTIONS, "--images", str(images[0].parent), "--index", str(tmp_path / "index")]
    result = CliRunner().invoke(app, [*words, "--shortlist", "2", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["shortlist"] == 2 and (tmp_path / "index").is_file()
    assert [len(each["images"]) for each in found["captions"]] == [2, 2]


def test_a_search_in_python_is_that_of_the_command(
    folder: Path, model: Predictor, images: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place, store = str(images[0].parent), tmp_path / "store"
    extract(images[0].parent, store, model.extractor.config, network=model.extractor.network, progress=False)
    (tmp_path / "unread.png").write_bytes(b"no image")
    variants: list[dict[str, object]] = [
        {},
        {"shortlist": 3},
        {"shortlist": 0, "contrast_weight": 0.5},
        {"index": tmp_path / "index", "shortlist": 2},
        {"index": tmp_path / "index", "shortlist": 2, "contrast_weight": 0.0},
        {"index": str(tmp_path / "of-store"), "regions": store},
    ]
    for options in variants:
        given = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        words = ["match", str(folder), *CAPTIONS, "--images", place, "--images", str(tmp_path / "unread.png"), "--json"]
        result = CliRunner().invoke(app, [*words, *given])
        assert result.exit_code == 1 and f"skipped: {tmp_path / 'unread.png'} " in result.stderr
        capfd.readouterr()
        found = model.search([place, tmp_path / "unread.png"], CAPTIONS, **options)  # type: ignore[arg-type]
        assert found.to_json() == result.stdout.strip() and list(found.skipped) == [str(tmp_path / "unread.png")]
        assert set(found.images) <= {str(image) for image in images}
        assert capfd.readouterr() == ("", "")
    model.search(place, CAPTIONS, index=tmp_path / "index", progress=True)
    assert "6 images, 0 of them new or changed" in capfd.readouterr().err


def test_a_search_in_python_refuses_what_is_wrong_before_it_opens_an_image(
    model: Predictor, images: list[Path], tmp_path: Path, extracted: list[str]
) -> None:
    plain = twelve.load(tiny_model.make(tmp_path / "plain"))
    wrong: list[tuple[Predictor, dict[str, object], str]] = [
        (plain, {"index": tmp_path / "index"}, "no contrast head"),
        (plain, {"shortlist": 2}, "no contrast head"),
        (plain, {"contrast_weight": 1}, "no contrast head"),
        (model, {"shortlist": -1}, "expected a number of images as shortlist, found int -1"),
        (model, {"contrast_weight": -1}, "expected a contrast_weight between 0 and 1000"),
        (model, {"captions": []}, "nothing to search for"),
        (model, {"captions": ["red", " "]}, "the caption is empty"),
        (model, {"task": "vqa"}, "no task 'vqa' for match"),
        (model, {"images": tmp_path / "nowhere"}, "no such folder or image"),
        (model, {"regions": tmp_path / "nowhere"}, "nowhere"),
    ]
    for asked, options, why in wrong:
        with pytest.raises(TwelveError, match=why):
            asked.search(**{"images": images, "captions": CAPTIONS, **options})  # type: ignore[arg-type]
        assert not extracted and not (tmp_path / "index").exists()


def test_json_has_as_many_images_as_asked_for(folder: Path, images: list[Path], tmp_path: Path) -> None:
    words = ["match", str(folder), *CAPTIONS, "--images", str(images[0].parent)]
    for kept in ([], ["--index", str(tmp_path / "index")]):
        whole, three = (
            json.loads(CliRunner().invoke(app, [*words, *kept, "--json", *top]).stdout) for top in ([], ["--top", "3"])
        )
        assert [len(each["images"]) for each in whole["captions"]] == [6, 6]
        assert [each["images"] for each in three["captions"]] == [each["images"][:3] for each in whole["captions"]]
        assert whole.keys() - three.keys() == {"logits"}
        for top, shown in (([], 5), (["--top", "2"], 2)):
            printed = CliRunner().invoke(app, [*words, *kept, *top]).stdout
            assert printed.count("%") == 2 * shown


def test_a_search_with_an_index_ranks_by_both_logits(folder: Path, images: list[Path], tmp_path: Path) -> None:
    words = ["match", str(folder), *CAPTIONS, "--images", str(images[0].parent), "--json"]
    index = ["--index", str(tmp_path / "index")]

    def found(*options: str) -> str:
        result = CliRunner().invoke(app, [*words, *options])
        assert result.exit_code == 0, result.output
        return str(json.loads(result.stdout)["captions"])

    assert found(*index) == found(*index, "--contrast-weight", "1")
    assert found(*index, "--contrast-weight", "0") == found() != found("--contrast-weight", "1")


# --- folders of an index ------------------------------------------------------------------------------------------
@pytest.fixture
def kept(model: Predictor, images: list[Path], tmp_path: Path) -> Path:
    """The index of six images: two in ``images``, one in ``images/2025``, two below it, and one in ``images-2025``."""
    for number, place in ((2, "images/2025"), (3, "images/2025/may"), (4, "images/2025/june"), (5, "images-2025")):
        (tmp_path / place).mkdir()
        images[number].rename(tmp_path / place / images[number].name)
    (tmp_path / "kept").mkdir()
    model.search([tmp_path / "images", tmp_path / "images-2025"], CAPTIONS, index=tmp_path / "kept" / "index")
    return tmp_path / "kept" / "index"


def test_an_index_without_the_images_of_subfolders_takes_them_in(
    model: Predictor, kept: Path, tmp_path: Path, extracted: list[str]
) -> None:
    """As an earlier version wrote it, which did not search subfolders."""
    file = tmp_path / "images" / "index"
    model.search(sorted((tmp_path / "images").glob("*.png")), CAPTIONS, index=file)
    assert index_folders(file) == {str(tmp_path / "images"): 2}
    extracted.clear()
    model.search(tmp_path / "images", CAPTIONS[:1], index=file, shortlist=1)
    assert sorted(extracted[:-1]) == ["2.png", "3.png", "4.png"]
    assert sum(index_folders(file).values()) == 5


def test_a_folder_is_taken_out_of_an_index_with_its_subfolders(
    folder: Path, model: Predictor, kept: Path, tmp_path: Path, extracted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke(app, ["index", "kept/index"])
    every = [
        "images: 2 images",
        "images-2025: 1 image",
        *(f"images/2025{below}: 1 image" for below in ("", "/june", "/may")),
    ]
    assert (run.exit_code, run.stdout.splitlines()) == (0, every)
    run = CliRunner().invoke(app, ["index", "kept/index", "--remove", "images/2025"])
    assert (run.exit_code, run.stdout.splitlines()) == (0, every[:2])
    assert "kept/index: took out 3 images; " in run.stderr
    assert sorted(OpenIndex(model, kept).names) == ["images-2025/5.png", "images/0.png", "images/1.png"]
    assert sorted(os.listdir("kept")) == ["index"] and (tmp_path / "images" / "2025" / "2.png").exists()
    extracted.clear()
    model.search("images", CAPTIONS[:1], index="kept/index", shortlist=1)  # which takes them in again
    assert len(extracted) == 4 and sum(index_folders("kept/index").values()) == 6
    shutil.rmtree("images/2025")
    assert remove_from_index("kept/index", "images-2025", tmp_path / "images" / "2025") == 4
    assert index_folders(Path("kept/index")) == {"images": 2}
    assert remove_from_index(kept, os.curdir) == 2 and index_folders(kept) == {}
    model.search("images", CAPTIONS, index=kept)
    assert index_folders(kept) == {str(tmp_path / "images"): 2}


def test_a_folder_that_is_not_in_an_index_is_told_and_the_index_is_unchanged(kept: Path, tmp_path: Path) -> None:
    before = kept.read_bytes(), kept.stat().st_ino
    for name in ("images/202", "kept"):
        words = ["index", str(kept), "--remove", str(tmp_path / "images"), "--remove", str(tmp_path / name)]
        error = CliRunner().invoke(app, words).exception
        problem = f"expected a folder with images in this index, found {tmp_path / name}"
        remedy = f"name one of its folders; list them: twelve index {kept}"
        assert isinstance(error, DataError) and str(error) == f"{kept}: {problem} -> {remedy}"
    assert before == (kept.read_bytes(), kept.stat().st_ino) and sorted(os.listdir(kept.parent)) == ["index"]


def test_an_index_is_not_replaced_by_half_of_one(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kept.read_bytes()

    def cut_off(tensors: object, file: Path, about: object) -> None:
        file.write_bytes(before[:99])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", cut_off)
    with pytest.raises(TwelveError, match="cannot be written: No space left"):
        remove_from_index(kept, tmp_path / "images")
    assert kept.read_bytes() == before and sorted(os.listdir(kept.parent)) == ["index"]


def test_an_empty_name_is_not_the_current_folder(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kept.read_bytes()
    monkeypatch.chdir(kept.parent.parent)
    with pytest.raises(DataError, match="found an empty name"):
        app(["index", str(kept), "--remove", ""], standalone_mode=False)
    assert kept.read_bytes() == before


def test_a_folder_name_with_a_line_break_is_one_line(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known, mark = index.read_index(kept)
    index._write(kept, {f"new\nline/{name}": value for name, value in known.items()}, mark)
    folders = len(index_folders(kept))
    app(["index", str(kept)], standalone_mode=False)
    assert len(capsys.readouterr().out.splitlines()) == folders


def test_what_is_no_index_has_no_folders(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "diary").write_text("my diary, which nothing may replace")
    for name, problem in (
        ("none", "expected the file of an index, found none -> make it: twelve match MODEL"),
        ("kept", "expected the file of an index, found a folder"),
        ("diary", "not an index of image vectors"),
    ):
        for options in ([], ["--remove", str(tmp_path)]):
            error = CliRunner().invoke(app, ["index", str(tmp_path / name), *options]).exception
            assert isinstance(error, DataError) and problem in str(error)
    assert (tmp_path / "diary").read_text().startswith("my diary") and not (tmp_path / "none").exists()
