"""The commands that errors about regions print, followed to the letter: the next command must do what was wanted."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_model
from making import draw_image, extract, extractor_of, regions, write
from rich.console import Console
from typer.testing import CliRunner

from twelve import cli
from twelve import config as configuration
from twelve.errors import ConfigError, RegionError, TwelveError
from twelve.microworld.draw import draw
from twelve.microworld.scene import sample_scene
from twelve.model.bert_tokenizer import wordpieces
from twelve.model.processor import TwelveProcessor
from twelve.regions.extract_command import extract_command, usual
from twelve.regions.recipe import KEY, Recipe
from twelve.regions.sizes import FixedSize, InputSize
from twelve.regions.store.merge import merge
from twelve.regions.store.region_store import RegionStore
from twelve.runs.evaluate import evaluate_run
from twelve.runs.new_model import _check_one_extractor as check_one_extractor
from twelve.runs.train import train
from twelve.tasks.base import all_tasks

QUIET = Console(quiet=True)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A model that was trained on what the microworld's detector finds."""
    return tiny_model.make(tmp_path / "base model")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images and questions of one's own, in two folders, without regions."""
    data = tmp_path / "own data"
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "check": []}
    for number in range(12):
        folder = "first" if number < 6 else "second"
        path = data / "images" / "mine" / folder / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(sample_scene(np.random.default_rng(number)), seed=number).save(path)
        split = "check" if number in (5, 11) else "train"
        rows[split].append({"image": path.name, "text": "what colour is it ?", "target": ("red", "blue")[number % 2]})
        rows[split][-1] |= {"candidates": [[0, 0, 20 + number, 30], [8, 8, 40, 40 + number]]}
    for split, lines in rows.items():
        tiny.write_lines(data / f"{split}.jsonl", lines)
        given = [{**line, "target": number % 2} for number, line in enumerate(lines)]
        tiny.write_lines(data / f"given-{split}.jsonl", given)
    return data


def tree(root: Path, base: Path, run: Path, kind: str = "answer") -> dict[str, Any]:
    names = ("train.jsonl", "check.jsonl") if kind == "answer" else ("given-train.jsonl", "given-check.jsonl")
    task = {"kind": kind, "train": names[0], "test_split": names[1], "images": "mine", "batch_size": 4, "max_text": 10}
    return {
        "run": str(run),
        "data": str(root),
        "model": {"init": str(base)},
        "tasks": {"mine": task},
        "vocabulary": {"min_count": 1},
        "val_fraction": 0.4,
        "training": {"iterations": 2, "eval_every": 2, "save_every": 2, "log_every": 1, "threads": 1},
        "evaluation": {"derangements": 1, "resamples": 100, "batch_size": 8},
    }


def follow(error: TwelveError, **names: str) -> None:
    """Do what the remedy says, each command as it stands; ``names`` are what stands for words in capitals."""
    parts = re.split(r" && |; or override|: (?=mv|twelve)", str(error.remedy))
    found = [part for part in parts if re.match("mv|twelve", part)]
    assert found, error.remedy
    for command in found:
        words = shlex.split(re.sub(r" \(.*\)$", "", command))
        words = [names.get(word, word) for word in words]
        if words[0] == "mv":
            shutil.move(*words[1:])
            continue
        assert words[:3] == ["twelve", "regions", "extract"]
        result = CliRunner().invoke(cli.app, words[1:])
        assert result.exit_code == 0, (command, result.output, result.exception)


def test_without_a_store_the_remedy_makes_the_base_models_regions(root: Path, base: Path, tmp_path: Path) -> None:
    plan = configuration.parse(tree(root, base, tmp_path / "run"))
    with pytest.raises(RegionError, match="no such region store") as e:
        train(plan, console=QUIET)
    follow(e.value)
    train(plan, console=QUIET)
    (made,) = RegionStore(root / "regions").made("mine")
    assert made.recipe is not None and str(made.recipe) == "detect, best 20 of at least 0.15"
    # The same for measuring the run, whose own model says it.
    shutil.rmtree(root / "regions")
    with pytest.raises(RegionError, match="no such region store") as e:
        evaluate_run(tmp_path / "run", console=QUIET)
    follow(e.value)
    assert evaluate_run(tmp_path / "run", console=QUIET)
    assert RegionStore(root / "regions").made("mine") == (made,)


def test_boxes_that_a_task_gives_are_part_of_it(root: Path, base: Path, tmp_path: Path) -> None:
    plan = tree(root, base, tmp_path / "run", "candidates")
    (tmp_path / "mine.yaml").write_text(json.dumps(plan), encoding="utf-8")
    with pytest.raises(RegionError, match="no such region store") as e:
        train(configuration.load(tmp_path / "mine.yaml"), console=QUIET)
    follow(e.value, CONFIG=str(tmp_path / "mine.yaml"))
    shutil.rmtree(root / "regions" / "mine" / "given")
    with pytest.raises(RegionError, match="no regions of the boxes that it gives") as e:
        train(configuration.load(tmp_path / "mine.yaml"), console=QUIET)
    follow(e.value, CONFIG=str(tmp_path / "mine.yaml"))
    train(configuration.load(tmp_path / "mine.yaml"), console=QUIET)


@pytest.mark.parametrize(
    ("boxes", "other"), [("grid", {}), ("detect", {"max_boxes": 5}), ("detect", {"threshold": 0.5})]
)
def test_regions_with_other_boxes_are_refused(
    root: Path, base: Path, tmp_path: Path, boxes: str, other: dict[str, Any]
) -> None:
    """Their features have the same fingerprint, and every answer would be wrong."""
    folders = [root / "images" / "mine" / name for name in ("first", "second")]
    extract(folders, boxes, "microworld", root / "regions", progress=False, **other)
    plan = tree(root, base, tmp_path / "run")
    with pytest.raises(
        RegionError, match=r"'mine' are from .*, but the model was trained on regions from detect, best 20"
    ) as e:
        train(configuration.parse(plan), console=QUIET)
    assert "--set model.allow_other_features=true" in str(e.value)
    follow(e.value)
    run = train(configuration.parse(plan), console=QUIET)
    # The run's own model refuses the others as well.
    shutil.rmtree(root / "regions")
    shutil.move(next(root.glob("regions-mine-before")), root / "regions" / "mine")
    with pytest.raises(RegionError, match="the model was trained on regions from detect, best 20"):
        evaluate_run(run, console=QUIET)


def test_images_without_regions(root: Path, base: Path, tmp_path: Path) -> None:
    extract(root / "images" / "mine" / "first", "detect", "microworld", root / "regions", progress=False)
    plan = configuration.parse(tree(root, base, tmp_path / "run"))
    with pytest.raises(RegionError, match=r"\[line \d+\]: \S+ has no regions \(\d+ of \d+ images of mine") as e:
        train(plan, console=QUIET)
    assert Path(str(e.value.file)).suffix == ".jsonl" and "no such image" not in str(e.value)
    follow(e.value)
    train(plan, console=QUIET)


def test_a_folder_of_images_that_does_not_exist_is_put_down_to_its_key(root: Path, base: Path, tmp_path: Path) -> None:
    extract(root / "images" / "mine" / "first", "detect", "microworld", root / "regions", progress=False)
    plan = tree(root, base, tmp_path / "run")
    plan["tasks"]["mine"]["images"] = "mien"
    with pytest.raises(ConfigError) as e:
        train(configuration.parse(plan), console=QUIET)
    assert e.value.record == "tasks.mine.images" and (e.value.remedy or "").startswith(
        "name the folder of the images ("
    )
    assert f'there is no folder {root / "images" / "mien"} (did you mean "mine"?), and none of the ' in str(e.value)


def test_an_image_that_does_not_exist_is_named_with_its_line(root: Path, base: Path, tmp_path: Path) -> None:
    folders = [root / "images" / "mine" / name for name in ("first", "second")]
    extract(folders, "detect", "microworld", root / "regions", progress=False)
    plan = configuration.parse(tree(root, base, tmp_path / "deep" / "run"))
    file = root / str(plan.tasks["mine"].train)
    lines = file.read_text().splitlines()
    wrong = json.loads(lines[1]) | {"image": "99.jpg"}
    file.write_text("\n".join([lines[0], json.dumps(wrong), *lines[2:]]) + "\n")
    with pytest.raises(RegionError) as e:
        train(plan, console=QUIET)
    assert str(e.value).startswith(f"{file} [line 2]: 99.jpg has no regions (1 of ")
    assert "-> correct the name in this line, or put the image into " in str(e.value)
    assert not (tmp_path / "deep").exists()  # nothing was trained
    file.write_text("\n".join(lines) + "\n")
    train(plan, console=QUIET)


def test_an_image_of_the_test_split_that_does_not_exist_is_named_with_its_line(
    root: Path, base: Path, tmp_path: Path
) -> None:
    """Another image without regions comes first, whose remedy would not help this one."""
    folders = [root / "images" / "mine" / name for name in ("first", "second")]
    extract(folders, "detect", "microworld", root / "regions", progress=False)
    plan = configuration.parse(tree(root, base, tmp_path / "run"))
    run = train(plan, console=QUIET)
    draw(sample_scene(np.random.default_rng(98)), seed=98).save(root / "images" / "mine" / "98.png")
    tested = root / str(plan.tasks["mine"].test_split)
    lines = tested.read_text().splitlines()
    for name, file in (("check", tested), ("another", tested.with_name("another.jsonl"))):
        wrong = [json.dumps(json.loads(lines[0]) | {"image": image}) for image in ("98.png", "99.png")]
        file.write_text("\n".join([*wrong, *lines]) + "\n")
        with pytest.raises(RegionError, match=r"99.png has no regions \(2 of 4 .*has no such image -> correct") as e:
            evaluate_run(run, split=None if name == "check" else file.name, console=QUIET)
        assert str(e.value).startswith(f"{file} [line 2]: ")


def test_without_any_model_the_remedy_names_a_network(root: Path, tmp_path: Path) -> None:
    plan = tree(root, tmp_path, tmp_path / "run") | {"model": {}}
    with pytest.raises(RegionError, match="--boxes grid:6x6 --backbone tf_efficientnet_lite0 --weights package:"):
        train(configuration.parse(plan), console=QUIET)
    (root / "microworld.json").write_text("{}")
    with pytest.raises(RegionError, match="no such region store") as e:
        train(configuration.parse(plan), console=QUIET)
    follow(e.value)
    assert str(RegionStore(root / "regions").made("mine")[0].recipe) == "detect, best 20 of at least 0.15"


def test_kinds_of_boxes_do_not_mix_in_a_source(root: Path) -> None:
    one, two = (root / "images" / "mine" / name for name in ("first", "second"))
    extract(one, "detect", "microworld", root / "regions", progress=False)
    with pytest.raises(RegionError, match=r"contains other regions \(detect, best 20 of at least 0.15, now grid:6x6\)"):
        extract(two, "grid", "microworld", root / "regions", progress=False)
    extract(two, "grid", "microworld", root / "other", progress=False)
    files = [root / "regions" / "mine" / "first.arrow", root / "other" / "mine" / "second.arrow"]
    with pytest.raises(RegionError, match=r"grid:6x6 here, detect, best 20 of at least 0\.15 there"):
        merge(files, root / "merged" / "mine" / "all.arrow", progress=False)
    shutil.copy(files[1], files[0].parent)
    with pytest.raises(RegionError, match=r"made differently \(grid:6x6\) from first\.arrow \(detect, best 20"):
        RegionStore(root / "regions").ids("mine")


@pytest.fixture
def processor() -> TwelveProcessor:
    return TwelveProcessor(wordpieces(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))


def test_boxes_of_files_are_told_apart_by_what_found_them(
    root: Path, tmp_path: Path, processor: TwelveProcessor
) -> None:
    folder = root / "images" / "mine" / "first"
    for name, metadata in {"one": {"detector": "Alpha"}, "two": {"detector": "Beta"}, "old": {}}.items():
        found = [regions(f"mine/{number:02}") for number in range(6)]
        files = [_boxes_only(each) for each in found]
        boxes = write(tmp_path / f"{name}.arrow", files, **metadata)
        extract(folder, boxes, "microworld", tmp_path / name, progress=False, max_boxes=2)
    one, two, old = (RegionStore(tmp_path / name) for name in ("one", "two", "old"))
    (made,) = one.made("mine")
    assert made.recipe is not None and str(made.recipe) == "boxes from files (Alpha, best 2)"
    processor.region_fingerprints["mine"] = made.fingerprint
    processor.region_recipes["mine"] = made.recipe.to_json()
    processor.check_regions(one, ["mine"])
    processor.check_regions(old, ["mine"])  # it does not say what found its boxes: no reason to refuse it
    with pytest.raises(RegionError, match=r"boxes from files \(Beta, best 2\).*BOXES: the file of boxes of Alpha"):
        processor.check_regions(two, ["mine"])


def _boxes_only(image: Any) -> Any:
    from dataclasses import replace

    corners = np.array([[0, 0, 20, 20], [5, 5, 30, 40], [1, 2, 60, 70]], dtype=np.float32)
    return replace(image, width=160, height=128, boxes=corners, features=None, class_ids=None)


def test_a_store_and_a_model_of_before_go_together(root: Path, processor: TwelveProcessor) -> None:
    """Recipes of older versions lack what found boxes from files, and say everything else."""
    old = json.loads(extractor_of("microworld").recipe().to_json())
    del old["origin"]
    processor.region_fingerprints["mine"] = old["fingerprint"]
    processor.region_recipes["mine"] = json.dumps(old)
    extract(root / "images" / "mine" / "first", "detect", "microworld", root / "regions", progress=False)
    processor.check_regions(RegionStore(root / "regions"), ["mine"])
    del processor.region_recipes["mine"]  # of an older one still: the fingerprint is all that it says
    processor.check_regions(RegionStore(root / "regions"), ["mine"])


def _recipes() -> Iterator[Recipe]:
    yield extractor_of("microworld", max_boxes=7, threshold=0.05).recipe()
    yield extractor_of("microworld", boxes="grid:3x2").recipe()
    yield extractor_of("microworld", boxes="grid:40/20", input_size=InputSize(short_side=96, max_scale=1.5)).recipe()
    yield extractor_of("timm/test_resnet", weights="random", boxes="grid:64").recipe()
    yield extractor_of("timm/test_vit", weights="random", boxes="patches").recipe()


def test_a_command_says_the_whole_recipe(tmp_path: Path) -> None:
    for number in range(2):
        draw_image(tmp_path / "images" / "s" / f"{number}.png", seed=number)
    for number, recipe in enumerate(_recipes()):
        words = shlex.split(extract_command(recipe, "s", tmp_path / f"{number}", data=tmp_path))
        result = CliRunner().invoke(cli.app, words[1:])
        assert result.exit_code == 0, (words, result.output, result.exception)
        assert RegionStore(tmp_path / f"{number}").made("s")[0].recipe == recipe


def test_what_a_command_cannot_say_is_said_beside_it(tmp_path: Path) -> None:
    weights = tmp_path / "my weights.safetensors"
    weights.write_bytes(b"")
    recipe = Recipe.from_json(
        json.dumps(
            json.loads(extractor_of("microworld").recipe().to_json())
            | {"weights": "my weights.safetensors", "weights_file": True, "size": {"wide": 224, "high": 224}}
        )
    )
    text = extract_command(recipe, "s", tmp_path)
    assert "--weights WEIGHTS " in text and "WEIGHTS: the path of my weights.safetensors" in text
    assert "wide 224, high 224 can be set only in Python" in text
    assert recipe.config.input_size == FixedSize(224, 224)


def test_tasks_that_give_boxes_say_so() -> None:
    assert {name for name, task in all_tasks().items() if task.has_candidates} >= {"guesswhat", "visual7w"}


@pytest.mark.parametrize("known", [0, 1])
def test_regions_of_two_extractors_name_the_command(tmp_path: Path, known: int) -> None:
    """It makes those again that are to be like the others: of these the recipe is known."""
    recipe = replace(usual(None), fingerprint=f"f{known}")
    for number, source in enumerate("ab"):
        told = {KEY: recipe.to_json()} if number == known else {}
        write(tmp_path / source / "x.arrow", [regions(f"{source}/1")], fingerprint=f"f{number}", **told)
    with pytest.raises(RegionError, match="the regions are of extractor f1, those of 'a' of extractor f0") as caught:
        check_one_extractor(RegionStore(tmp_path), ["a", "b"])
    wrong = "ba"[known]
    command = RegionStore(tmp_path).command(wrong, like=recipe)
    assert caught.value.remedy == f"move {tmp_path / wrong} elsewhere and run: {command}"
    assert f"--backbone {recipe.config.backbone}" in command and f"images/{wrong}" in command
