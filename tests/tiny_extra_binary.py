"""Three extra tasks in the data root that tiny_others.make writes, on the same images: FOIL, Flickr30k Entities, and
the answerer of GuessWhat?!, which reads the guesser's games."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import tiny
import tiny_others

REPORTS = {"foil": "test", "flickr30k_entities": "test", "guesswhat_answerer": "valid"}


def settings(task: str) -> dict[str, Any]:
    """The part of a configuration that names one of these tasks."""
    rate = 6e-3 if task == "foil" else 3e-3
    return {"test_split": REPORTS[task], "batch_size": 8, "learning_rate": rate, "max_text": 12}


def make(root: Path, train: int = 24, val: int = 8) -> Path:
    """Add the files of these tasks to a data root of tiny_others.make, whose images they are about."""
    write_captions(root / "foil", {"train": range(train), "test": range(train, train + val)})
    splits = {"train": range(train), "val": range(train, train + 1), "test": range(train, train + val)}
    for split, numbers in splits.items():
        write_entities(root / "flickr30k_entities", split, numbers)
    return root


def write_captions(folder: Path, numbers: dict[str, range]) -> None:
    """FOIL's files: of every image a caption that is true and one that is not."""
    for split, those in numbers.items():
        annotations = []
        for number in those:
            for shift in range(2):
                colour = tiny.COLOURS[(tiny.colour_of(number) + shift) % 3]
                common = {"id": number, "image_id": number, "caption": f"the thing is {colour}", "foil": bool(shift)}
                words = {"foil_word": colour, "target_word": tiny.COLOURS[tiny.colour_of(number)]} if shift else {}
                annotations.append(common | {"foil_word": "ORIG", "target_word": "ORIG"} | words)
        images = [{"id": number, "file_name": f"COCO_{split}2014_{number:012d}.jpg"} for number in those]
        tiny.write_json(folder / f"foilv1.0_{split}_2017.json", {"annotations": annotations, "images": images})


def write_entities(folder: Path, split: str, numbers: range) -> None:
    """Every region is an entity; the first has a type of its own, the third is drawn in two halves."""
    for kind in ("Sentences", "Annotations"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        key = 9000 + number
        names = [tiny.COLOURS[(tiny.colour_of(number) + place) % 3] for place in range(3)]
        types = ("people", "other", "clothing/other")
        phrases = [f"[/EN#{10 * number + 1 + place}/{types[place]} the {name} one]" for place, name in enumerate(names)]
        text = f"{phrases[0]} is very big .\n[/EN#0/notvisual it] is by {phrases[1]} and {phrases[2]} .\n"
        (folder / "Sentences" / f"{key}.txt").write_text(text, encoding="utf-8")
        (x, y, width, height) = tiny_others.BOXES[2]
        halves = [(x, y, width, height // 2), (x, y + height // 2, width, height - height // 2)]
        drawn = [(1, tiny_others.BOXES[0]), (2, tiny_others.BOXES[1]), (3, halves[0]), (3, halves[1])]
        objects = "".join(thing(10 * number + entity, box) for entity, box in drawn)
        (folder / "Annotations" / f"{key}.xml").write_text(annotation(key, objects), encoding="utf-8")
    (folder / f"{split}.txt").write_text("".join(f"{9000 + number}\n" for number in numbers), encoding="utf-8")


def write_games(folder: Path, split: str, numbers: range) -> None:
    """Games about every object of an image, whose colour is asked for; the same questions have other answers."""
    games = []
    for number in numbers:
        things = [{"id": place, "bbox": box} for place, box in enumerate(tiny_others.CANDIDATES)]
        for meant in range(len(things)):
            right = tiny.COLOURS[(tiny.colour_of(number) + meant) % 3]
            turns = [
                {"id": 0, "question": f"is it {colour} ?", "answer": "Yes" if colour == right else "No"}
                for colour in tiny.COLOURS
            ]
            image = {"id": number, "file_name": f"COCO_train2014_{number:012d}.jpg"}
            game = {"id": 3 * number + meant, "status": "success", "object_id": meant, "image": image}
            games.append(game | {"objects": things, "qas": [*turns, {"id": 0, "question": "sings", "answer": "N/A"}]})
    (folder / f"guesswhat.{split}.jsonl.gz").write_bytes(
        gzip.compress("".join(json.dumps(game) + "\n" for game in games).encode())
    )


def annotation(key: int, objects: str) -> str:
    """An annotation file that holds these objects."""
    size = "<size><width>100</width><height>100</height><depth>3</depth></size>"
    return f"<annotation><filename>{key}.jpg</filename>{size}{objects}</annotation>"


def thing(entity: int, box: tuple[int, ...]) -> str:
    """An object of an annotation file: an entity with its box (x, y, width, height from 0)."""
    x, y, width, height = box
    corners = {"xmin": x + 1, "ymin": y + 1, "xmax": x + width + 1, "ymax": y + height + 1}
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in corners.items())
    return f"<object><name>{entity}</name><bndbox>{inside}</bndbox></object>"
