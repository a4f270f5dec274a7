"""The writers' files: read by the tasks' own readers, true by a reading of the sentences that shares nothing with the
writers', balanced, and the same bytes again."""

from __future__ import annotations

import gzip
import json
import pickle
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twelve.formats.data_root import DataRoot
from twelve.metrics import nlvr2 as nlvr2_metric
from twelve.microworld.language import HIDDEN, NOUNS, NUMBERS
from twelve.microworld.scene import COLOURS, GROUNDS, KINDS, PATTERNS, SIZES, Thing, WorldScene
from twelve.microworld.tally import Tally
from twelve.microworld.world import World, WorldSizes, make_world
from twelve.microworld.writers import captions, guesswhat, nlvr2, refer, snli_ve, visual7w
from twelve.microworld.writers.python2 import dumps
from twelve.tasks.base import all_tasks, get
from twelve.types.examples import Example

SIZES_OF_TEST = WorldSizes((60, 16), (10, 20), (0, 2), (20, 8), (0, 8), (0, 2), (60, 24), (24, 0), (0, 12), (0, 12))
WRITERS: dict[str, Callable[[World, Path, np.random.Generator], Tally]] = {
    "coco": lambda world, folder, rng: captions.write(world, folder, rng, "coco"),
    "flickr30k": lambda world, folder, rng: captions.write(world, folder, rng, "flickr30k"),
    "refcoco": lambda world, folder, rng: refer.write(world, folder, rng, "refcoco"),
    "refcoco+": lambda world, folder, rng: refer.write(world, folder, rng, "refcoco+"),
    "refcocog": lambda world, folder, rng: refer.write(world, folder, rng, "refcocog"),
    "visual7w": visual7w.write,
    "guesswhat": guesswhat.write,
    "nlvr2": nlvr2.write,
    "snli_ve": snli_ve.write,
}
RELATIONS = ("left of", "right of", "above", "below")


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(7, SIZES_OF_TEST)


@pytest.fixture(scope="module")
def root(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("microworld")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snli_ve, "PAIRS", {"train": 600, "dev": 60, "test": 120})
        for name, write in WRITERS.items():
            write(world, folder / name, np.random.default_rng([1, len(name), *name.encode()]))
    return folder


@pytest.fixture(scope="module")
def scenes(world: World) -> dict[str, WorldScene]:
    names = {"coco": world.coco, "vg": world.vg, "flickr30k": world.flickr30k, "nlvr2": world.nlvr2}
    found = {f"{name}/{image.key}": image.scene for name, images in names.items() for image in images}
    return found | {f"v7w/v7w_{image.key}": image.scene for image in world.vg}


def examples(root: Path, task: str, split: str) -> list[Example]:
    return get(task).read(DataRoot(root), split)


def scene_of(scenes: dict[str, WorldScene], image: str) -> WorldScene:
    """The scene of an image id, whether or not its reader keeps Visual7W's own names."""
    return scenes[image if image in scenes else "vg/" + image.split("v7w_")[-1]]


# --- an independent reading -----------------------------------------------------------------------------------------


def fits(thing: Thing, phrase: str) -> bool:
    """Whether a plain noun phrase (article, adjectives, kind or "thing") can be said of a thing."""
    words = [word for word in phrase.split() if word not in ("a", "an", "the")]
    noun = words.pop()
    said = {thing.colour, thing.size, thing.pattern}
    return (noun in ("thing", thing.kind) or noun == thing.family) and all(word in said for word in words)


def plain(phrase: str) -> bool:
    """Whether :func:`fits` can read the phrase."""
    words = [word for word in phrase.split() if word not in ("a", "an", "the")]
    known = {*COLOURS, *SIZES, *PATTERNS}
    return bool(words) and words[-1] in {*KINDS, "thing", "toy", "vehicle"} and {*words[:-1]} <= known


def stands(one: Thing, relation: str, other: Thing) -> bool:
    (x, y), (a, b) = one.centre, other.centre
    return {"left of": x < a - 8, "right of": x > a + 8, "above": y < b - 8, "below": y > b + 8}[relation]


def meant(scene: WorldScene, phrase: str) -> list[Thing] | None:
    """The things that "<phrase>" or "<phrase> <relation> <phrase>" means; None if it is put otherwise."""
    for relation in RELATIONS:
        if phrase.count(f" {relation} ") == 1:
            first, second = phrase.split(f" {relation} ")
            if not (plain(first) and plain(second)):
                return None
            others = [thing for thing in scene.things if fits(thing, second)]
            return [
                one
                for one in scene.things
                if fits(one, first) and any(other is not one and stands(one, relation, other) for other in others)
            ]
    return [thing for thing in scene.things if fits(thing, phrase)] if plain(phrase) else None


# --- the files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRITERS)
def test_same_seed_same_bytes(name: str, world: World, root: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(snli_ve, "PAIRS", {"train": 600, "dev": 60, "test": 120})
    WRITERS[name](world, tmp_path / name, np.random.default_rng([1, len(name), *name.encode()]))
    files = sorted(path.name for path in (root / name).iterdir())
    assert files == sorted(path.name for path in (tmp_path / name).iterdir()) and "oracle.json" in files
    for file in files:
        assert (tmp_path / name / file).read_bytes() == (root / name / file).read_bytes(), file


@pytest.mark.parametrize("name", WRITERS)
def test_readers_and_oracle_agree(name: str, root: Path) -> None:
    """Every example of the evaluation splits has an answer, and the answers are right by the reader's targets."""
    if name not in all_tasks():
        pytest.skip(f"no task is called {name} yet")
    oracle = json.loads((root / name / "oracle.json").read_text())
    assert oracle
    for split, answers in oracle.items():
        found = examples(root, name, split)
        assert {example.id for example in found} == {*answers}
        assert all(example.text and len(example.text.split()) <= 70 for example in found)
        right = [_right(example, answers[example.id]) for example in found]
        # GuessWhat's dialogues do not always leave one thing only; all others have one answer.
        assert np.mean(right) >= (0.8 if name == "guesswhat" else 1.0), split


def _right(example: Example, answer: Any) -> bool:
    if example.target is None:
        return example.images[0] in answer
    return (tuple(answer) if isinstance(answer, list) else answer) == example.target


def skeleton(text: str) -> str:
    """The text without what fills its slots."""
    filled = {*COLOURS, *SIZES, *PATTERNS, "tiny", "big", "spotted", *NUMBERS[1:], *HIDDEN, *GROUNDS, "left", "right",
              "middle", "top", "bottom"}  # fmt: skip
    things = {name for both in NOUNS.values() for name in both}
    names = "|".join(sorted((*filled, *things), key=len, reverse=True))
    return re.sub(r"\b(an?|x)( x)+\b", "x", re.sub(rf"\b(?:{names})\b", "x", text.lower()))


@pytest.mark.parametrize("name", WRITERS)
def test_kinds_say_what_training_lacks(name: str, world: World, root: Path) -> None:
    """Wordings and combinations that are called unseen occur in no training text and no training image."""
    there = {
        (thing.colour, thing.kind) for image in world.images() if not image.reserved for thing in image.scene.things
    }
    kinds = json.loads((root / name / "kinds.json").read_text())
    trained = {skeleton(example.text) for example in examples(root, name, "train")}
    seen = []
    for split, found in kinds.items():
        for example in examples(root, name, split):
            own = found[example.id]
            named = re.findall(rf"\b({'|'.join(COLOURS)}) (?:\w+ )?({'|'.join(KINDS)})s?\b", example.text.lower())
            assert (own["combination"] == "unseen") == any(pair not in there for pair in named), example.text
            known = skeleton(example.text) in trained
            assert not (known and own["wording"] == "unseen") or name == "guesswhat", example.text
            seen += [known] if own["wording"] == "seen" else []
    assert {*kinds} == {*json.loads((root / name / "oracle.json").read_text())}
    if name != "guesswhat":  # whose texts are whole dialogues
        assert np.mean(seen) > 0.8
    values = Counter(own["wording"] for found in kinds.values() for own in found.values())
    assert 0.03 < values["unseen"] / values.total() < 0.5


def sentences(root: Path, scenes: dict[str, WorldScene], task: str) -> Iterator[tuple[str, WorldScene, Example]]:
    for split in json.loads((root / task / "oracle.json").read_text()):
        for example in examples(root, task, split):
            yield example.text.lower().strip(".?!"), scene_of(scenes, example.images[0]), example


@pytest.mark.parametrize("task", ["refcoco", "refcoco+", "refcocog"])
def test_a_reference_means_one_thing(task: str, root: Path, scenes: dict[str, WorldScene]) -> None:
    if task not in all_tasks():
        pytest.skip(f"no task is called {task} yet")
    read = 0
    for text, scene, example in sentences(root, scenes, task):
        found = meant(scene, text.replace("that is ", "").removeprefix("the "))
        if found is not None:
            read += 1
            assert [thing.box for thing in found] == [example.target], text
    assert read >= 10


def test_places_are_not_named_where_looks_must_do(root: Path) -> None:
    words = {"left", "right", "middle", "top", "bottom", "above", "below", "front", "behind", "leftmost", "rightmost"}
    if "refcoco+" in all_tasks():
        assert not any(words & {*example.text.split()} for example in examples(root, "refcoco+", "train"))
    assert any(words & {*example.text.split()} for example in examples(root, "refcoco", "train"))


def test_the_biggest_thing_is_meant_no_oftener_than_others(root: Path, scenes: dict[str, WorldScene]) -> None:
    hits, chances = [], []
    for example in examples(root, "refcoco", "train"):
        areas = {
            thing.box: (thing.box[2] - thing.box[0]) * (thing.box[3] - thing.box[1])
            for thing in scenes[example.images[0]].things
        }
        hits.append(areas[example.target] == max(areas.values()))  # type: ignore[index]
        chances.append(1 / len(areas))
    assert abs(np.mean(hits) - np.mean(chances)) < 0.08


@pytest.mark.parametrize("task", ["refcoco", "refcocog"])
def test_pickles_are_python_2s(task: str, root: Path) -> None:
    for path in (root / task).glob("refs*.p"):
        content = path.read_bytes()
        refs = pickle.loads(content, encoding="latin1")
        assert content.startswith(b"(lp0\n(dp1\nS'sent_ids'\n") and b"\nV" not in content
        assert pickle.loads(content, encoding="bytes")[0][b"file_name"].startswith(b"COCO_train2014_")
        assert all(ref["sent_ids"] == [row["sent_id"] for row in ref["sentences"]] for ref in refs)
        assert {len(ref["sentences"]) for ref in refs} == {2, 3}


def test_python_2_pickles_hold_what_they_were_given() -> None:
    value = [{"a": 1, "b": ["it's", 'a "b"\n', 2.5, None]}, {}, []]
    assert pickle.loads(dumps(value), encoding="latin1") == value
    for foreign in (True, (1,), {"a": {1}}):
        with pytest.raises(TypeError):
            dumps(foreign)
    with pytest.raises(UnicodeEncodeError):
        dumps("é")


def test_captions_are_true_of_few_images(root: Path, scenes: dict[str, WorldScene]) -> None:
    read = 0
    for text, scene, _ in sentences(root, scenes, "flickr30k"):
        text = text.replace("tiny", "small").replace("big", "large").replace("spotted", "dotted")
        if text.startswith("someone left "):
            first, rest = text.removeprefix("someone left ").split(" and ")
            second, ground = rest.split(" out on the ")
            read += 1
            assert scene.ground == ground and meant(scene, first) and meant(scene, second), text
    assert read >= 3
    for task in ("coco", "flickr30k"):
        oracle = json.loads((root / task / "oracle.json").read_text())["test"]
        assert np.mean([1 / len(answer) for answer in oracle.values()]) > 0.85


def test_one_of_four_boxes_is_meant(root: Path, scenes: dict[str, WorldScene]) -> None:
    if "visual7w" not in all_tasks():
        pytest.skip("no task is called visual7w yet")
    content = json.loads((root / "visual7w" / "dataset_v7w_pointing.json").read_text())
    assert any(-1 in (box["x"], box["y"]) for box in content["boxes"])
    read, targets = 0, Counter[int]()
    for text, scene, example in sentences(root, scenes, "visual7w"):
        assert len(example.candidates) == 4
        targets[example.target] += 1  # type: ignore[index]
        found = meant(scene, text.removeprefix("which ").removeprefix("is ").replace(" is ", " "))
        if found is None or " not " in text:
            continue
        boxes = {tuple(0.0 if edge == 1 else edge for edge in thing.box[:2]) + thing.box[2:] for thing in found}
        inside = [
            k
            for k, box in enumerate(example.candidates)
            if tuple(0.0 if edge == 1 else edge for edge in box[:2]) + box[2:] in boxes
        ]
        read += 1
        assert inside == [example.target], text
    assert read >= 10 and max(targets.values()) < 0.5 * targets.total()


def games(root: Path, split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.open(root / "guesswhat" / f"guesswhat.{split}.jsonl.gz")]


def test_dialogues_mostly_leave_one_thing(root: Path, scenes: dict[str, WorldScene]) -> None:
    answers, statuses, read = Counter[str](), Counter[str](), 0
    for game in games(root, "train"):
        statuses[game["status"]] += 1
        assert 2 <= len(game["qas"]) <= 6
        boxes = {thing.box: thing for thing in scenes[f"coco/{game['image']['id']}"].things}
        x, y, width, height = next(item["bbox"] for item in game["objects"] if item["id"] == game["object_id"])
        target = boxes[x, y, x + width, y + height]
        for turn in game["qas"]:
            answers[turn["answer"]] += 1
            phrase = turn["question"].lower().removeprefix("is it ").strip("?")
            if plain(phrase):
                read += 1
                assert turn["answer"] == ("Yes" if fits(target, phrase) else "No"), turn
    assert read >= 30
    assert 0.8 < statuses["success"] / statuses.total() < 0.97 and len(statuses) == 3
    assert answers.keys() == {"Yes", "No", "N/A"} and 0.35 < answers["Yes"] / answers.total() < 0.6


def test_statements_about_two_images(root: Path, scenes: dict[str, WorldScene]) -> None:
    labels: dict[str, list[bool]] = defaultdict(list)
    groups: dict[str, set[str]] = defaultdict(set)
    read = 0
    for example in examples(root, "nlvr2", "train"):
        labels[f"{example.id.split('-')[1]} {example.text}"].append(example.target)  # type: ignore[arg-type]
        groups[example.group].add(example.id)
        text = example.text.lower().strip(".")
        counts = [0, 0]
        for start, holds in (
            ("both images contain ", all),
            ("at least one image contains ", any),
            ("exactly one image contains ", lambda found: sum(found) == 1),
            ("no image contains ", lambda found: not any(found)),
        ):
            phrase = text.removeprefix(start)
            if phrase == text or (counts := [meant(scenes[image], phrase) for image in example.images])[0] is None:  # type: ignore[misc]
                continue
            read += 1
            assert holds([bool(found) for found in counts]) == example.target, text
    assert read >= 20
    assert all(Counter(found) == {True: 2, False: 2} for found in labels.values())


def test_consistency_groups(root: Path) -> None:
    groups = Counter(nlvr2_metric.sentence_key(example.id) for example in examples(root, "nlvr2", "dev"))
    assert {*groups.values()} == {nlvr2.PAIRS}


def test_entailment_is_balanced_and_not_told_by_the_words(root: Path, scenes: dict[str, WorldScene]) -> None:
    said: dict[str, Counter[str]] = defaultdict(Counter)
    read = 0
    for example in examples(root, "snli_ve", "train"):
        said[example.text][str(example.target)] += 1
        text, scene = example.text.lower().strip("."), scenes[example.images[0]]
        if text.startswith("there is a") and (found := meant(scene, text.removeprefix("there is "))) is not None:
            read += 1
            assert example.target == ("entailment" if found else "contradiction"), text
        if " or " in text and " that is " in text and text.startswith("there is a"):
            phrase, rest = text.removeprefix("there is ").split(" that is ")
            adjective = rest.split(" or ")[0]
            if plain(phrase) and adjective in {*COLOURS, *SIZES, *PATTERNS}:
                things = [thing for thing in scene.things if fits(thing, phrase)]
                so = any(adjective in (one.colour, one.size, one.pattern) for one in things)
                assert example.target == ("entailment" if so else "neutral" if things else "contradiction"), text
    assert read >= 10
    total = sum((counts for counts in said.values()), Counter[str]())
    assert all(abs(count / total.total() - 1 / 3) < 0.06 for count in total.values())
    assert sum(max(counts.values()) for counts in said.values()) / total.total() < 0.5


def test_splits_cut_the_same_images_differently(root: Path) -> None:
    def images(task: str, split: str) -> set[str]:
        return {example.images[0] for example in examples(root, task, split)}

    assert images("flickr30k", "test") & images("snli_ve", "train")
    assert images("snli_ve", "test") & images("flickr30k", "train")
    assert not images("snli_ve", "test") & images("snli_ve", "train")
    if "refcocog" in all_tasks():
        assert images("refcocog", "test") & images("refcoco", "train")


def test_unseen_combinations_stay_out_of_open_images(world: World) -> None:
    for image in world.coco:
        if not image.reserved:
            assert not {(thing.colour, thing.kind) for thing in image.scene.things} & world.unseen
