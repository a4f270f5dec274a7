"""The question datasets of the microworld: read by their tasks, true of their scenes, balanced, tidy."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twelve.formats.data_root import DataRoot
from twelve.microworld.questions import untidy
from twelve.microworld.scene import COLOURS, KINDS, PATTERNS, SIZES, WorldScene
from twelve.microworld.tally import Tally
from twelve.microworld.world import World, WorldSizes, make_world
from twelve.microworld.writers import gqa, gqa_forms, visual_genome, vqa
from twelve.tasks.base import get
from twelve.types.examples import Example
from twelve.types.predictions import Prediction

WRITERS = {"vqa": vqa, "gqa": gqa, "vg_qa": visual_genome}
FORMS = {"vqa": vqa.FORMS, "gqa": gqa_forms.FORMS, "vg_qa": visual_genome.FORMS}
SIZES_HERE = WorldSizes(
    coco_train2014=(120, 24),
    coco_val2014=(10, 24),
    coco_test2015=(0, 8),
    vg_train=(60, 20),
    vg_val=(0, 20),
    vg_testdev=(0, 24),
    flickr30k=(0, 0),
    nlvr2_train=(0, 0),
    nlvr2_dev=(0, 0),
    nlvr2_test1=(0, 0),
)
SPLITS = {
    "vqa": ("train", "val", "test", "test-dev"),
    "gqa": ("train_balanced", "val_balanced", "val_all", "testdev_balanced", "testdev_all", "test_balanced"),
    "vg_qa": ("train", "val"),
}


@dataclass(frozen=True)
class Made:
    world: World
    root: Path
    tallies: Mapping[str, Tally]

    def read(self, task: str, split: str) -> list[Example]:
        return get(task).read(DataRoot(self.root), split)

    def json(self, name: str) -> Any:
        return json.loads((self.root / name).read_text())

    @property
    def scenes(self) -> dict[str, WorldScene]:
        return {image.file.split("/")[0] + f"/{image.key}": image.scene for image in self.world.images()}


def write(root: Path, seed: int) -> Made:
    world = make_world(seed, SIZES_HERE)
    tallies = {
        name: module.write(world, root / name, np.random.default_rng([seed, number]))
        for number, (name, module) in enumerate(WRITERS.items())
    }
    return Made(world, root, tallies)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return write(tmp_path_factory.mktemp("world"), 1)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_the_same_seed_and_no_other_gives_the_same_bytes(made: Made, tmp_path: Path) -> None:
    again, other = write(tmp_path / "again", 1), write(tmp_path / "other", 2)
    assert contents(again.root) == contents(made.root)
    assert contents(other.root).keys() == contents(made.root).keys()
    same = {name for name, content in contents(other.root).items() if contents(made.root)[name] == content}
    assert same == {"vg_qa/image_data.json"}


@pytest.mark.parametrize("name", WRITERS)
def test_the_tasks_read_everything_that_was_written(made: Made, name: str) -> None:
    assert set(made.tallies[name].examples) == set(SPLITS[name])
    for split in SPLITS[name]:
        examples = made.read(name, split)
        assert len(examples) == made.tallies[name].examples[split]
        assert {image for example in examples for image in example.images} <= made.scenes.keys()
        assert all((example.target is None) == split.startswith("test_b") for example in examples) or name == "vqa"
        assert max(len(example.text.split()) for example in examples) <= 14
        assert all(re.fullmatch(r"[A-Z][a-z0-9', ]+\?", example.text) for example in examples)


@pytest.mark.parametrize(("name", "least"), [("vqa", 99.0), ("gqa", 100.0), ("vg_qa", 100.0)])
def test_the_oracle_reaches_the_upper_bound(made: Made, name: str, least: float) -> None:
    task = get(name)
    answers = made.json(f"{name}/oracle.json")
    for split in answers:
        examples = made.read(name, split)
        predictions = [Prediction(answers[split][example.id], 1.0) for example in examples]
        assert task.measure(examples, predictions).headline >= least
    assert task.test_split in answers


def test_what_the_oracle_answers_to_gqa_is_consistent_valid_and_plausible(made: Made) -> None:
    examples = made.read("gqa", "testdev_all")
    answers = made.json("gqa/oracle.json")["testdev_all"]
    metrics = get("gqa").measure(examples, [Prediction(answers[example.id], 1.0) for example in examples]).metrics
    assert metrics["consistency"] == metrics["validity"] == metrics["plausibility"] == 100
    assert metrics["distribution"] == 0
    assert sum(bool(example.facts.get("entailed")) for example in examples) > len(examples) / 8


@pytest.mark.parametrize("name", WRITERS)
def test_training_keeps_what_is_reserved_for_tests(made: Made, name: str) -> None:
    task = get(name)
    train = made.read(name, task.train_split)
    extra = untidy(made.world)
    reserved = {f"coco/{p.key}" for p in made.world.coco if p.reserved and int(p.key) not in extra}
    reserved |= {f"vg/{p.key}" for p in made.world.vg if p.reserved and p.coco_id not in extra}
    assert not {example.images[0] for example in train} & reserved
    shown = {f"coco/{number}" for number in extra}
    shown |= {f"vg/{p.key}" for p in made.world.vg if p.coco_id in extra}
    assert {example.images[0] for example in train} & shown, "cleaning has nothing to do"
    for colour, kind in made.world.unseen:
        assert not any(re.search(rf"\b{colour} (?:\w+ )?{kind}s?\b", example.text) for example in train)
    held = [pattern(wording) for form in FORMS[name] for wording in form.reserved]
    told = [example.text for split in SPLITS[name] if "train" not in split for example in made.read(name, split)]
    assert not any(one.fullmatch(example.text) for one in held for example in train)
    assert sum(any(one.fullmatch(text) for text in told) for one in held) >= 0.7 * len(held)
    assert 0.12 <= len(held) / len(made.tallies[name].templates) <= 0.3


def pattern(wording: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{\w+\}", ".+", wording.replace("?", r"\?")), re.IGNORECASE)


@pytest.mark.parametrize("name", WRITERS)
def test_answers_are_balanced(made: Made, name: str) -> None:
    answers = made.tallies[name].answers
    if name != "vg_qa":
        assert 0.47 < answers["yes"] / (answers["yes"] + answers["no"]) < 0.53
    colours = [answers[colour] for colour in COLOURS]
    assert max(colours) < 1.4 * min(colours)
    counts = [answers[number] for number in "0123456"]
    assert (max(counts) < 0.4 * sum(counts)) == (name != "gqa")
    assert len(answers) <= 60
    assert made.tallies[name].entropy > 3.5


def test_the_majority_of_every_wording_is_rarely_right(made: Made) -> None:
    """Of each wording with few answers the most common one is right about as often as chance."""
    by_wording: defaultdict[str, Counter[str]] = defaultdict(Counter)
    wordings = {wording: pattern(wording) for form in vqa.FORMS for wording in form.wordings}
    for example in made.read("vqa", "train"):
        fits = [wording for wording, one in wordings.items() if one.fullmatch(example.text)]
        by_wording[max(fits, key=len)][example.facts["label"]] += 1
    for wording, counts in by_wording.items():
        total = counts.total()
        if total >= 25:
            share = max(counts.values()) / total
            assert share <= 1 / len(counts) + 0.1 + 1 / total**0.5, (wording, counts)


def test_vqas_people_disagree(made: Made) -> None:
    annotations = made.json("vqa/v2_mscoco_train2014_annotations.json")["annotations"]
    agreed = 0
    for annotation in annotations:
        given = [answer["answer"] for answer in annotation["answers"]]
        (most, times), *others = Counter(given).most_common()
        assert len(given) == 10 and most == annotation["multiple_choice_answer"] and times >= 3
        assert all(count <= 2 for _, count in others)
        agreed += times == 10
    assert 0.02 < agreed / len(annotations) < 0.3
    assert {annotation["answer_type"] for annotation in annotations} == {"yes/no", "number", "other"}
    assert {"how many", "what color is the", "is there a"} <= {note["question_type"] for note in annotations}
    assert vqa.question_type("What colour is the car?") == "what color is the"
    assert vqa.question_type("The car is what colour?") == "none of the above"


def test_vqas_counts_are_right_by_the_words_alone(made: Made) -> None:
    checked = 0
    for split in ("train", "val"):
        for example in made.read("vqa", split):
            match = re.fullmatch(r"How many (.+?) (?:are there|are in the picture|can you see)\?", example.text)
            if match is None or match[1].startswith("piece") or match[1].endswith(("toys", "vehicles", "items")):
                continue
            words = [word if word in (*COLOURS, *SIZES, *PATTERNS) else word[:-1] for word in match[1].split()]
            things = made.scenes[example.images[0]].things
            right = [
                thing
                for thing in things
                if {*words} - {"thing"} <= {thing.kind, thing.colour, thing.size, thing.pattern}
            ]
            assert example.facts["label"] == str(len(right)), example
            checked += 1
    assert checked > 100


def test_gqas_answers_follow_from_scene_graphs_and_programs(made: Made) -> None:
    """By an evaluation that knows nothing but the files."""
    for split, part in (("train", "balanced"), ("val", "all")):
        graphs = made.json(f"gqa/{split}_sceneGraphs.json")
        questions = made.json(f"gqa/{split}_{part}_questions.json")
        assert any(key.startswith("0") for key in questions)
        for key, question in questions.items():
            graph = graphs[question["imageId"]]
            assert run(graph, question["semantic"]) == question["answer"], (key, question)
            for spans in question["annotations"].values():
                assert set(spans.values()) <= graph["objects"].keys()
            for other in (*question["entailed"], *question["equivalent"]):
                assert questions[other]["imageId"] == question["imageId"]
            for other in question["equivalent"]:
                assert questions[other]["semanticStr"] == question["semanticStr"]
            for span, identity in question["annotations"]["question"].items():
                words = question["question"].rstrip("?").replace("'s", "").replace(",", "").split()
                first, _, end = span.partition(":")
                phrase = words[int(first) : int(end or int(first) + 1)]
                assert phrase[-1].lower() in (graph["objects"][identity]["name"], "thing", "toy", "vehicle", *FAMILIES)


FAMILIES = ("kitchenware", "furniture", "item")
CATEGORIES = {family for family, _ in KINDS.values()}
WORDS = {
    "name": set(KINDS),
    "category": CATEGORIES,
    "color": set(COLOURS),
    "size": set(SIZES),
    "pattern": set(PATTERNS),
    "hposition": {"left", "middle", "right"},
    "vposition": {"top", "bottom"},
}


def run(graph: dict[str, Any], steps: list[dict[str, Any]]) -> str:
    """The answer of a program by the scene graph."""
    objects = graph["objects"]
    results: list[Any] = []

    def words(identity: str) -> set[str]:
        return {objects[identity]["name"], *objects[identity]["attributes"]}

    def one(result: list[str]) -> str:
        assert len(result) == 1
        return result[0]

    def value(result: list[str], name: str) -> str:
        found = words(one(result)) & WORDS[name]
        assert len(found) == 1
        return found.pop()

    def holds(subject: str, relation: str, other: str) -> bool:
        return {"name": relation, "object": other} in objects[subject]["relations"]

    for step in steps:
        verb, _, rest = step["operation"].partition(" ")
        argument, _, ids = step["argument"].partition(" (")
        inputs = [results[number] for number in step["dependencies"]]
        result: Any
        if verb == "select":
            result = (
                None if argument == "scene" else [o for o in objects if argument == "thing" or argument in words(o)]
            )
        elif verb == "filter":
            result = [o for o in inputs[0] if argument in words(o)]
        elif verb == "relate":
            name, relation, _ = argument.split(",")
            near = [o for o in objects if holds(o, relation, one(inputs[0]))]
            result = [o for o in near if name == "_" or name in words(o)]
        elif verb == "query":
            result = graph["location"] if inputs[0] is None else value(inputs[0], argument)
        elif (verb, rest) in (("verify", "rel"), ("choose", "rel")):
            fits = [r for r in argument.split(",")[1].split("|") if holds(one(inputs[0]), r, one(inputs[1]))]
            result = ("yes" if fits else "no") if verb == "verify" else one(fits).removesuffix(" of")
        elif verb == "verify":
            found = graph["location"] if inputs[0] is None else value(inputs[0], rest)
            result = "yes" if found == argument else "no"
        elif (verb, rest) == ("choose", "larger"):
            result = objects[one([one(i) for i in inputs if "large" in words(one(i))])]["name"]
        elif verb == "choose":
            result = one([choice for choice in argument.split("|") if choice == value(inputs[0], rest)])
        elif verb in ("same", "different"):
            same = value(inputs[0], rest) == value(inputs[1], rest)
            result = "yes" if same == (verb == "same") else "no"
        else:
            truth = {
                "exist": lambda inputs=inputs: bool(inputs[0]),
                "and": lambda inputs=inputs: inputs == ["yes", "yes"],
                "or": lambda inputs=inputs: "yes" in inputs,
            }
            result = "yes" if truth[verb]() else "no"
        if isinstance(result, list):
            assert ids == f"{','.join(result) or '-'})"
        results.append(result)
    return str(results[-1])


def test_half_of_gqas_images_are_cocos(made: Made) -> None:
    same = get("gqa").same_images(DataRoot(made.root))
    images = {example.images[0] for example in made.read("gqa", "train_balanced")}
    assert 0.4 < len(images & same.keys()) / len(images) < 0.65
    for image, other in same.items():
        assert made.scenes[image] is made.scenes[other]


def test_visual_genomes_last_tenth_is_about_reserved_images(made: Made) -> None:
    val = made.read("vg_qa", "val")
    reserved = {f"vg/{image.key}" for image in made.world.vg if image.reserved}
    assert {example.images[0] for example in val} <= reserved
    assert {e.images[0] for e in val}.isdisjoint(e.images[0] for e in made.read("vg_qa", "train"))
    answers = {qa["answer"] for entry in made.json("vg_qa/question_answers.json") for qa in entry["qas"]}
    assert {"On the left.", "A car.", "An umbrella.", "Two.", "Red.", "At the top."} <= answers


@pytest.mark.parametrize("name", WRITERS)
def test_kinds_say_which_wordings_are_for_tests_only(made: Made, name: str) -> None:
    def in_one_of(text: str, wordings: list[str]) -> bool:
        patterns = (re.sub(r"\\\{\w+\\\}", "[a-z ]+", re.escape(wording)) for wording in wordings)
        return any(re.fullmatch(pattern, text, re.IGNORECASE) for pattern in patterns)

    common = [wording for form in FORMS[name] for wording in form.wordings]
    reserved = [wording for form in FORMS[name] for wording in form.reserved]
    kinds, counts = made.json(f"{name}/kinds.json"), Counter[str]()
    train = {example.text for example in made.read(name, get(name).train_split)}
    assert {*kinds} == {*made.json(f"{name}/oracle.json")} - {"train", "train_balanced"}
    for split, found in kinds.items():
        for example in made.read(name, split):
            value = found[example.id]["wording"]
            counts[value] += 1
            assert in_one_of(example.text, reserved if value == "unseen" else common), example.text
            assert value == "seen" or example.text not in train
    assert 0.02 < counts["unseen"] / counts.total() < 0.3
