"""Writes the annotation files of official size that are about boxes; see official_files.py."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from official_world import Thing, World
from official_writing import endless, listing, spread


def refer(world: World, folder: Path, key: int = 0) -> None:
    """One of the three sets of referring expressions: a Python 2 pickle of references, and COCO's instances."""
    name = folder.name
    images, length = world.of_coco(name, key), (5, 11) if name == "refcocog" else (2, 5)
    texts = endless(world.texts, world.rng(29, key), *length)
    split_by = "umd" if name == "refcocog" else "unc"
    sentence = reference = memo = 0
    with (folder / f"refs({split_by}).p").open("w", encoding="ascii", buffering=1 << 20) as stream:
        stream.write("(lp0\n")
        for split, count in world.questions(name).items():
            shown = images[split].tolist()
            for place, image in enumerate(shown):
                things = world.things(image)
                own = (place + 1) * count // len(shown) - place * count // len(shown)
                for start in range(0, own, 3):
                    thing = things[start // 3 % len(things)]
                    said = [next(texts) for _ in range(min(3, own - start))]
                    text, memo = _reference(world, image, thing, split, said, sentence, reference, memo)
                    stream.write(text)
                    sentence, reference = sentence + len(said), reference + 1
        stream.write(".")
    categories = [{"id": n, "name": str(world.words[n]), "supercategory": "thing"} for n in range(1, 92)]
    tree = {"info": {}, "licenses": [], "categories": categories}
    everything = [image for those in images.values() for image in those.tolist()]
    with listing(folder / "instances.json", f'{json.dumps(tree)[:-1]}, "images": [', "]") as add:
        for image in everything:
            wide, high = world.size(image)
            file = world.file_name(image)
            add(
                f'{{"license": 1, "file_name": "{file}", "coco_url": "http://mscoco.org/images/{image}", '
                f'"height": {high}, "width": {wide}, "date_captured": "2013-11-14 16:28:13", '
                f'"flickr_url": "", "id": {image}}}'
            )
    with (folder / "instances.json").open("a", encoding="utf-8", buffering=1 << 20) as stream:
        for place, thing in enumerate((image, thing) for image in everything for thing in world.things(image)):
            stream.write((', "annotations": [' if place == 0 else ", ") + _annotation(*thing))
        stream.write("]}")


def _annotation(image: int, thing: Thing) -> str:
    box = thing.box
    return (
        f'{{"segmentation": [{thing.outline}], "area": {box[2] * box[3]:.4f}, "iscrowd": 0, "image_id": {image}, '
        f'"bbox": {list(box)}, "category_id": {thing.category}, "id": {thing.number}}}'
    )


def _reference(
    world: World, image: int, thing: Thing, split: str, said: list[str], sentence: int, number: int, memo: int
) -> tuple[str, int]:
    """A reference as Python 2 pickles it, and the next free place of its memory."""
    from twelve.microworld.writers.python2 import _write

    tree = {
        "sent_ids": list(range(sentence, sentence + len(said))),
        "file_name": f"{world.file_name(image).removesuffix('.jpg')}_{thing.number}.jpg",
        "ann_id": thing.number,
        "ref_id": number,
        "image_id": image,
        "split": split,
        "sentences": [
            {"tokens": text.split(), "raw": text.capitalize() + ".", "sent_id": sentence + k, "sent": text}
            for k, text in enumerate(said)
        ],
        "category_id": thing.category,
    }
    parts, place = list[str](), [memo + 1]
    _write(tree, parts, place)
    return "".join(parts) + "a", place[0]


def visual7w(world: World, folder: Path) -> None:
    """Twelve boxes an image, four of which each question asks about."""
    texts, questions = endless(world.texts, world.rng(30), 4, 8), world.questions("visual7w")
    number = 0
    with listing(folder / "dataset_v7w_pointing.json", '{"dataset": "visual7w-pointing", "images": [', "]") as add:
        for split, those in world.of_genome("visual7w", 1).items():
            for place, image in enumerate(those.tolist()):
                things = boxes_of(world, image)
                rows = []
                for k in range((place + 1) * questions[split] // len(those) - place * questions[split] // len(those)):
                    right, four = number % 4, [things[(4 * k + n + k // 3) % len(things)].number for n in range(4)]
                    rows.append(
                        f'{{"qa_id": {number}, "question": "Which {next(texts)}?", "type": "which", "answer": '
                        f'{four[right]}, "multiple_choices": {four[:right] + four[right + 1 :]}}}'
                    )
                    number += 1
                add(
                    f'{{"image_id": {image}, "filename": "v7w_{image}.jpg", "split": "{split}", '
                    f'"qa_pairs": [{", ".join(rows)}]}}'
                )
    with (folder / "dataset_v7w_pointing.json").open("a", encoding="utf-8", buffering=1 << 20) as stream:
        mark = ', "boxes": ['
        for those in world.of_genome("visual7w", 1).values():
            for image in those.tolist():
                for thing in boxes_of(world, image):
                    x, y, width, height = thing.box
                    stream.write(
                        f'{mark}{{"name": "{world.words[thing.category]}", "height": {height}, "width": {width}, '
                        f'"y": {y}, "x": {x}, "box_id": {thing.number}}}'
                    )
                    mark = ", "
        stream.write("]}")


def boxes_of(world: World, image: int) -> list[Thing]:
    """Visual7W's boxes of an image."""
    return world.things(image, 12, whole=True)


def guesswhat(world: World, folder: Path) -> None:
    texts, number, turn = endless(world.texts, world.rng(31), 3, 7), 0, 0
    images = world.of_coco("guesswhat", 3)
    things, objects = list[Thing](), ""  # of an image, whose games follow each other
    for split, count in world.questions("guesswhat").items():
        with gzip.open(folder / f"guesswhat.{split}.jsonl.gz", "wt", compresslevel=3, encoding="utf-8") as stream:
            for image, place in spread(count, images[split].tolist()):
                things, (wide, high) = (things if place else world.things(image)), world.size(image)
                objects = (
                    objects
                    if place
                    else ", ".join(
                        f'{{"id": {thing.number}, "category": "{world.words[thing.category]}", "category_id": '
                        f'{thing.category}, "bbox": {list(thing.box)}, "area": {thing.box[2] * thing.box[3]:.2f}, '
                        f'"segment": [{thing.outline}]}}'
                        for thing in things
                    )
                )
                rounds = 3 + number % 6
                asked = ", ".join(
                    f'{{"id": {turn + n}, "question": "Is it {next(texts)}?", "answer": '
                    f'"{("Yes", "No", "No", "N/A" if n % 40 == 0 else "No")[(number + n) % 4]}"}}'
                    for n in range(rounds)
                )
                status = "success" if number % 20 < 17 else "failure" if number % 20 < 19 else "incomplete"
                file = world.file_name(image)
                stream.write(
                    f'{{"status": "{status}", "objects": [{objects}], "timestamp": "2016-07-08 02:04:00", '
                    f'"questioner_id": {number % 900}, "image": {{"file_name": "{file}", "flickr_url": "", "coco_url": '
                    f'"http://mscoco.org/images/{image}", "height": {high}, "width": {wide}, "id": {image}}}, '
                    f'"object_id": {things[(number + place) % len(things)].number}, "qas": [{asked}], '
                    f'"id": {number}}}\n'
                )
                number, turn = number + 1, turn + rounds
