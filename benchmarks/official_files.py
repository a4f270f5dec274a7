"""Writes annotation files of the complete datasets' size, in their official layouts; see official_world.py.

Every file is written record by record, so memory stays flat. Texts are random words, answers and labels have about the
numbers of distinct values, and records the fields and lengths, of the official ones; there is nothing to learn in them.
The layouts are described in the modules of twelve/tasks. GQA's choices are written for all its questions, which is the
largest that they may be. Licences, links and parses are shortened.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from official_boxes import guesswhat, refer, visual7w
from official_world import ANSWERS, World
from official_writing import endless, listing, spread

VQA_ANSWERS, GENOME_ANSWERS = 11_000, 12_000
PARTS = 10
"""Files of GQA's train_all."""


# --- VQA ------------------------------------------------------------------------------------------------------------
CONFIDENCE = ("yes", "yes", "yes", "maybe", "no")
AGREEING = (10, 10, 10, 9, 8, 6, 5, 3)
"""People, of ten, who give a question's first answer."""


def vqa(world: World, folder: Path) -> None:
    for key, (split, count) in enumerate(world.questions("vqa").items()):
        part = "test2015" if split.startswith("test") else split
        images = world.coco[part][: world.sizes("vqa")[split]].tolist()
        head = f'{{"info": {{}}, "data_type": "mscoco", "license": {{}}, "data_subtype": "{split}", '
        texts = endless(world.texts, world.rng(20, key), 3, 9)
        with listing(folder / f"v2_OpenEnded_mscoco_{split}_questions.json", f'{head}"questions": [', "]}") as add:
            for image, number in spread(count, images):
                question = f'"question": "{next(texts)}?", "question_id": {1000 * image + number}'
                add(f'{{"image_id": {image}, {question}}}')
        if part == "test2015":
            continue
        words = endless(world.drawn, world.rng(21, key), VQA_ANSWERS)
        kinds = [f"what is the {word}" for word in world.words[:65]]
        with listing(folder / f"v2_mscoco_{split}_annotations.json", f'{head}"annotations": [', "]}") as add:
            for place, (image, number) in enumerate(spread(count, images)):
                kind = ("yes/no", "number", "other", "other", "yes/no")[place % 5]
                first = "yes" if kind == "yes/no" else next(words)
                others, agreeing = (first, next(words), next(words)), AGREEING[place % 7 + (kind != "yes/no")]
                answers = ", ".join(
                    f'{{"answer": "{first if n < agreeing else others[n % 3]}", '
                    f'"answer_confidence": "{CONFIDENCE[(n + place) % 5]}", "answer_id": {n + 1}}}'
                    for n in range(10)
                )
                add(
                    f'{{"question_type": "{kinds[place % 65]}", "multiple_choice_answer": "{first}", "answers": '
                    f'[{answers}], "image_id": {image}, "answer_type": "{kind}", '
                    f'"question_id": {1000 * image + number}}}'
                )


# --- GQA ------------------------------------------------------------------------------------------------------------
FORMS = 150
"""Detailed types of questions."""
SEMANTIC = ("obj", "attr", "cat", "rel", "global")
_SPACE = 10**9
"""Ids are spread over so many numbers, some of which begin with zeros."""
_STRIDE = 618_033_989


def gqa(world: World, folder: Path) -> None:
    """All questions and, among them, the balanced ones; choices; scene graphs."""
    images, balanced = world.gqa(), world.questions("gqa balanced")
    forms, first = _forms(world), 0
    for key, (split, count) in enumerate(world.questions("gqa all").items()):
        rng, shown, labelled = world.rng(22, key), images[split], split in ("train", "val", "testdev")
        texts = endless(world.texts, rng, 5, 13)
        answers = endless(world.drawn, rng, ANSWERS)
        chosen = np.zeros(count, bool)
        chosen[rng.permutation(count)[: balanced[split]]] = True
        taken = 0
        with (
            listing(folder / f"{split}_balanced_questions.json", "{", "}") as add_balanced,
            _choices(folder / f"{split}_choices.json", split in ("train", "val")) as add_choices,
        ):
            for path, places in _parts(folder, split, count):
                with listing(path, "{", "}") as add:
                    for place in places:
                        # Every image has a balanced question.
                        image = shown[(taken if chosen[place] else place * 7) % len(shown)]
                        taken += int(chosen[place])
                        identity = f"{(first + place) * _STRIDE % _SPACE:08d}"
                        said = "true" if chosen[place] else "false"
                        record = f'"question": "{next(texts)}?", "imageId": "{image}", "isBalanced": {said}'
                        if labelled:
                            answer = next(answers) if place % 3 else "yes" if place % 2 else "no"
                            before, after, possible = forms[place % FORMS]
                            record = before % (identity, identity) + record + after % (answer, image[-3:], answer)
                            add_choices(f'"{identity}": {possible}')
                        record = f'"{identity}": {{{record}}}'
                        add(record)
                        if chosen[place]:
                            add_balanced(record)
        first += count
    texts = endless(world.texts, world.rng(23), 5, 13)
    everything = [*images["testdev"], *images["test"], *images["challenge"]]
    with listing(folder / "submission_all_questions.json", "{", "}") as add:
        for place in range(world.questions("gqa submission")["submission"]):
            image, identity = everything[place % len(everything)], f"{(first + place) * _STRIDE % _SPACE:08d}"
            add(f'"{identity}": {{"question": "{next(texts)}?", "imageId": "{image}", "isBalanced": false}}')
    for split in ("train", "val"):
        with listing(folder / f"{split}_sceneGraphs.json", "{", "}") as add:
            for image in images[split]:
                add(f'"{image}": {_scene(world, int(image))}')


def _parts(folder: Path, split: str, count: int) -> Iterator[tuple[Path, range]]:
    """(file, numbers of its questions) of all questions of a split."""
    if split != "train":
        yield folder / f"{split}_all_questions.json", range(count)
        return
    (folder / "train_all_questions").mkdir(exist_ok=True)
    for part in range(PARTS):
        numbers = range(part * count // PARTS, (part + 1) * count // PARTS)
        yield folder / "train_all_questions" / f"train_all_questions_{part}.json", numbers


@contextmanager
def _choices(path: Path, wanted: bool) -> Iterator[Callable[[str], object]]:
    if not wanted:
        yield lambda element: None
        return
    with listing(path, "{", "}") as add:
        yield add


def _forms(world: World) -> list[tuple[str, str, str]]:
    """What comes before and after the question in a record of each form, and its choices."""
    found = []
    kinds = ("query", "verify", "logical", "choose", "compare")
    for number in range(FORMS):
        a, b, c = world.drawn(world.rng(24, number), 3)
        steps = [("select", [], f"{a} (1058498)"), (f"filter {b}", [0], c), ("relate", [1], f"{b},on,s (1058507)")]
        steps += [("query", [2], "name")][: number % 2]
        semantic = [{"operation": op, "dependencies": needs, "argument": about} for op, needs, about in steps]
        before = f'"semantic": {json.dumps(semantic)}, "entailed": ["%s"], "equivalent": ["%s"], '
        detailed = f"{a}{'Common' * (number % 10 == 0)}{number}"
        after = (
            f', "groups": {{"global": {"null" if number % 3 == 0 else json.dumps(c)}, "local": "10q-{a}_{c}"}}, '
            f'"answer": "%s", "semanticStr": "{"->".join(f"{op}: {about} {needs}" for op, needs, about in steps)}", '
            '"annotations": {"answer": {}, "question": {"4": "1058%s"}, "fullAnswer": {"1": "1058498"}}, '
            f'"types": {{"detailed": "{detailed}", "semantic": "{SEMANTIC[number % 5]}", '
            f'"structural": "{kinds[number % 5]}"}}, "fullAnswer": "The {a} is %s on the {b}."'
        )
        words = sorted(set(world.drawn(world.rng(25, number), 3 + number % 20, ANSWERS)))
        found.append((before, after, json.dumps({"valid": words, "plausible": words[: 2 + len(words) // 2]})))
    return found


def _scene(world: World, image: int) -> str:
    wide, high = world.size(image)
    words = world.words
    things = world.things(image, whole=True)
    objects = {
        str(thing.number): {
            "name": words[thing.category],
            **dict(zip("xywh", thing.box, strict=True)),
            "attributes": [words[thing.category + 90], words[thing.category + 200]],
            "relations": [{"name": "to the left of", "object": str(other.number)} for other in things[:4]],
        }
        for thing in things
    }
    return json.dumps({"width": wide, "height": high, "objects": objects})


# --- Visual Genome, captions ------------------------------------------------------------------------------------------
def vg_qa(world: World, folder: Path) -> None:
    ids, also = world.genome
    rng, number = world.rng(26), 986_769
    texts, answers = endless(world.texts, rng, 3, 9), endless(world.texts, rng, 1, 3, GENOME_ANSWERS)
    count = world.questions("vg_qa")["all"]
    with listing(folder / "question_answers.json") as add:
        for place, image in enumerate(ids.tolist()):
            rows = []
            for _ in range((place + 1) * count // len(ids) - place * count // len(ids)):
                number += 1
                rows.append(
                    f'{{"a_objects": [], "question": "{next(texts)}?", "image_id": {image}, "qa_id": {number}, '
                    f'"answer": "{next(answers).capitalize()}.", "q_objects": []}}'
                )
            add(f'{{"id": {image}, "qas": [{", ".join(rows)}]}}')
    with listing(folder / "image_data.json") as add:
        for image, twin in zip(ids.tolist(), also.tolist(), strict=True):
            wide, high = world.size(image)
            url = f"https://cs.stanford.edu/people/rak248/VG_100K_2/{image}.jpg"
            add(
                f'{{"width": {wide}, "url": "{url}", "height": {high}, "image_id": {image}, '
                f'"coco_id": {twin or "null"}, "flickr_id": null}}'
            )


def coco(world: World, folder: Path) -> None:
    images = {split: those.tolist() for split, those in world.captioned().items()}
    _captions(world, folder / "dataset_coco.json", "coco", images, key=27)


def flickr30k(world: World, folder: Path) -> None:
    images = {split: those.tolist() for split, those in world.of_flickr("flickr30k", 0).items()}
    _captions(world, folder / "dataset_flickr30k.json", "flickr30k", images, key=28)


def _captions(world: World, path: Path, name: str, images: dict[str, list[int]], *, key: int) -> None:
    texts, sentence, number = endless(world.texts, world.rng(key), 8, 14), 0, 0
    with listing(path, '{"images": [', f'], "dataset": "{name}"}}') as add:
        for split, count in world.questions(name).items():
            shown = images[split]
            for place, image in enumerate(shown):
                rows = []
                for _ in range((place + 1) * count // len(shown) - place * count // len(shown)):
                    text = next(texts)
                    tokens = text.replace(" ", '", "')
                    rows.append(
                        f'{{"tokens": ["{tokens}"], "raw": "{text.capitalize()}.", "imgid": {number}, '
                        f'"sentid": {sentence}}}'
                    )
                    sentence += 1
                ids = ", ".join(map(str, range(sentence - len(rows), sentence)))
                file = f"{image}.jpg" if name != "coco" else world.file_name(image)
                more = "" if name != "coco" else f'"filepath": "{file.split("_")[1]}", "cocoid": {image}, '
                add(
                    f'{{{more}"sentids": [{ids}], "filename": "{file}", "imgid": {number}, "split": "{split}", '
                    f'"sentences": [{", ".join(rows)}]}}'
                )
                number += 1


# --- statements -------------------------------------------------------------------------------------------------------
def nlvr2(world: World, folder: Path) -> None:
    for key, (split, count) in enumerate(world.questions("nlvr2").items()):
        texts = endless(world.texts, world.rng(32, key), 9, 20)
        with _lines(folder / f"{split}.json") as add:
            sentences: dict[str, str] = {}
            for place, (pair, number) in enumerate(spread(count, list(world.pairs(split)))):
                group = f"{pair.rsplit('-', 1)[0]}-{number}"
                if group not in sentences:
                    sentences = {
                        key: text for key, text in sentences.items() if key.startswith(f"{group.rsplit('-', 1)[0]}-")
                    }
                    sentences[group] = next(texts)
                record = {
                    "validation": {"61": "True"},
                    "sentence": sentences[group].capitalize() + ".",
                    "left_url": f"https://example.org/{pair}/left.jpg",
                    "writer": str(place % 97),
                    "label": "True" if place % 2 else "False",
                    "right_url": f"https://example.org/{pair}/right.jpg",
                    "synset": str(world.words[place % 200]),
                    "query": f"{world.words[place % 200]}1",
                    "identifier": f"{pair}-{number}",
                }
                add(json.dumps(record) + "\n")


def snli_ve(world: World, folder: Path) -> None:
    texts = endless(world.texts, world.rng(33), 4, 12)
    labels = ("entailment", "neutral", "contradiction")
    images = world.of_flickr("snli_ve", 1)
    for split, count in world.questions("snli_ve").items():
        with _lines(folder / f"snli_ve_{split}.jsonl") as add:
            for place, (image, number) in enumerate(spread(count, images[split].tolist())):
                caption, hypothesis, label = next(texts), next(texts), labels[place % 3]
                name = f"{image}.jpg#{number % 5}"
                add(
                    f'{{"Flikr30kID": "{image}.jpg", "annotator_labels": ["{label}"], "captionID": "{name}", '
                    f'"gold_label": "{label}", "pairID": "{name}r{number}{label[0]}", "sentence1": "{caption}.", '
                    f'"sentence1_binary_parse": "( {caption} )", "sentence1_parse": "(ROOT {caption})", '
                    f'"sentence2": "{hypothesis}.", "sentence2_binary_parse": "( {hypothesis} )", '
                    f'"sentence2_parse": "(ROOT {hypothesis})"}}\n'
                )


@contextmanager
def _lines(path: Path) -> Iterator[Callable[[str], object]]:
    stream: IO[str]
    with path.open("w", encoding="utf-8", buffering=1 << 20) as stream:
        yield stream.write


WRITERS: dict[str, Callable[[World, Path], None]] = {
    "vqa": vqa,
    "vg_qa": vg_qa,
    "gqa": gqa,
    "coco": coco,
    "flickr30k": flickr30k,
    "refcoco": lambda world, folder: refer(world, folder, 0),
    "refcoco+": lambda world, folder: refer(world, folder, 1),
    "refcocog": lambda world, folder: refer(world, folder, 2),
    "visual7w": visual7w,
    "guesswhat": guesswhat,
    "nlvr2": nlvr2,
    "snli_ve": snli_ve,
}


def write_files(world: World, root: Path, names: Iterable[str] = WRITERS) -> None:
    """Write the files of each dataset into its folder of a data root."""
    for name in names:
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        WRITERS[name](world, folder)
