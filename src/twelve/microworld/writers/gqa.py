"""Writes GQA: compositional questions with programs (layout: tasks/gqa.py)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from twelve.microworld.facts import VALUES
from twelve.microworld.language import Description
from twelve.microworld.meaning import fitting
from twelve.microworld.programs import Result, trace
from twelve.microworld.questions import Asker, WorldQuestion, fill, open_to_training, seed_of, templates, untidy
from twelve.microworld.relations import RELATIONS, level, place, related
from twelve.microworld.reserved import forms_of
from twelve.microworld.scene import GROUNDS, Thing, WorldScene
from twelve.microworld.tally import Tally
from twelve.microworld.world import World, WorldImage
from twelve.microworld.writers.gqa_forms import FORMS, implied
from twelve.microworld.writers.layout import write_json, xywh

PER_IMAGE = {"train": 10, "val": 10, "testdev": 12, "test": 10}
FOLLOWING = 2
"""Maximum number of balanced questions per image that others entail; the rest are unbalanced."""
REPHRASED = 0.15
"""How often the file of all questions also has a rephrased question."""

_GROUPS = {"object": "name"}
_OTHERS = {"place": GROUNDS, "side": ("left", "right", "above", "below")}


@dataclass
class _Entry:
    """A question with its id."""

    key: str
    image: WorldImage
    question: WorldQuestion
    balanced: bool
    entailed: list[str] = field(default_factory=list)
    equivalent: list[str] = field(default_factory=list)

    @property
    def local(self) -> str:
        """GQA's local group: questions of one form about one kind of thing."""
        said = self.question.fact.slots.get("thing")
        noun = said.noun if isinstance(said, Description) else "scene"
        return f"{self.question.form.name}-{noun}"


def write(world: World, folder: Path, rng: np.random.Generator) -> Tally:
    """Write the balanced questions of train, val, testdev and test (without answers), all questions of val and testdev,
    the scene graphs of train and val, and the choices."""
    forms = forms_of(world, "gqa", FORMS)
    tally = Tally("gqa", templates=templates(forms), unseen=world.unseen)
    folder.mkdir(parents=True, exist_ok=True)
    keys = _keys()
    parts = _parts(world)
    seen: dict[str, set[str]] = defaultdict(set)
    for split, images in parts.items():
        train = split == "train"
        asker = Asker(forms, seed_of(rng), test=not train, unsaid=world.unseen if train else frozenset())
        entries = [
            entry for p in images for entry in _about(p, asker, PER_IMAGE[split], keys, split in ("val", "testdev"))
        ]
        balanced = [entry for entry in entries if entry.balanced]
        if train:
            tally.answers.update(entry.question.answer for entry in balanced)
            for entry in balanced:
                seen[entry.local].add(entry.question.answer)
        _write_questions(tally, folder, f"{split}_balanced", balanced)
        if split in ("val", "testdev"):
            _write_questions(tally, folder, f"{split}_all", entries)
        if split != "test":
            choices = {entry.key: _choices(entry, seen) for entry in entries}
            write_json(folder / f"{split}_choices.json", choices)
        if split in ("train", "val"):
            write_json(folder / f"{split}_sceneGraphs.json", {p.key: scene_graph(p) for p in images})
    tally.write_answers(folder)
    return tally


def _parts(world: World) -> dict[str, list[WorldImage]]:
    extra = untidy(world)
    testdev = [p for p in world.vg if p.part == "testdev"]
    cut = len(testdev) * 5 // 6
    return {
        "train": [p for p in world.vg if p.part == "train" and open_to_training(p, extra)],
        "val": [p for p in world.vg if p.part == "val"],
        "testdev": testdev[:cut],
        "test": testdev[cut:],
    }


def _keys() -> Iterator[str]:
    """Question ids; every fifth starts with a zero."""
    number = 0
    while True:
        number += 1
        yield f"{number:08d}" if number % 5 == 0 else str(201_000_000 + number)


def _about(image: WorldImage, asker: Asker, count: int, keys: Iterator[str], everything: bool) -> list[_Entry]:
    """Questions about an image: ``count`` balanced ones and, if ``everything``, those that they entail."""
    asked = asker.ask(image.scene, count - FOLLOWING)
    entries = {q.fact.program: _entry(next(keys), image, q, True) for q in asked}
    room = FOLLOWING
    for entry in list(entries.values()):
        for name, fact in implied(entry.question.fact):
            form = asker.named[name]
            other = entries.get(fact.program)
            if other is None:
                question = asker.offer(form, fact, strictly=True) if room else None
                room -= question is not None
                if question is None and not everything:
                    continue
                other = _entry(next(keys), image, question or asker.say(form, fact), question is not None)
                entries[fact.program] = other
            entry.entailed.append(other.key)
    found = list(entries.values())
    for question in asker.ask(image.scene, room) if room else ():
        if question.fact.program not in entries:
            found.append(_entry(next(keys), image, question, True))
    return found + ([again for entry in found for again in _rephrased(entry, asker, keys)] if everything else [])


def _entry(key: str, image: WorldImage, question: WorldQuestion, balanced: bool) -> _Entry:
    return _Entry(key, image, question, balanced, equivalent=[key])


def _rephrased(entry: _Entry, asker: Asker, keys: Iterator[str]) -> Iterator[_Entry]:
    """Occasionally, the same question in another wording."""
    if asker.random.random() < REPHRASED:
        again = asker.say(entry.question.form, entry.question.fact)
        if again.text != entry.question.text:
            other = _Entry(next(keys), entry.image, again, False, [*entry.entailed], [entry.key])
            other.equivalent.append(other.key)
            entry.equivalent.append(other.key)
            yield other


def _write_questions(tally: Tally, folder: Path, split: str, entries: Sequence[_Entry]) -> None:
    answers = not split.startswith("test_")
    records = {entry.key: record(entry) if answers else _public(entry) for entry in entries}
    write_json(folder / f"{split}_questions.json", records)
    tally.examples[split] = len(entries)
    if answers:
        tally.oracle[split] = {entry.key: entry.question.answer for entry in entries}
        if not split.startswith("train"):
            for entry in entries:
                tally.note(split, entry.key, entry.question.text, reserved=entry.question.reserved)


def _public(entry: _Entry) -> dict[str, Any]:
    return {"question": entry.question.text, "imageId": entry.image.key, "isBalanced": entry.balanced}


def record(entry: _Entry) -> dict[str, Any]:
    """A record of a question file."""
    question, scene = entry.question, entry.image.scene
    form, fact = question.form, question.fact
    results = trace(fact.program, scene)
    steps = [
        {
            "operation": step.operation,
            "dependencies": list(step.needs),
            "argument": step.argument + _found(entry, result),
        }
        for step, result in zip(fact.program, results, strict=True)
    ]
    slots = {**fact.slots, "answer": fact.answer}
    full, spans = fill(form.full, slots) if form.full else (f"{fact.answer.capitalize()}.", {})
    last = results[fact.program[-1].needs[0]]
    about = [entry_id(entry.image, thing) for thing in last] if not isinstance(last, str) else []
    named = form.group == "object" and form.structural == "query"
    return {
        "semantic": steps,
        "entailed": entry.entailed,
        "equivalent": entry.equivalent,
        **_public(entry),
        "groups": {"global": form.group, "local": entry.local},
        "answer": fact.answer,
        "semanticStr": "->".join(map(_step_text, steps)),
        "annotations": {
            "answer": {"0": about[0]} if named else {},
            "question": _spans(entry, question.spans),
            "fullAnswer": _spans(entry, spans),
        },
        "types": {"detailed": form.name, "semantic": form.semantic, "structural": form.structural},
        "fullAnswer": full,
    }


def _step_text(step: dict[str, Any]) -> str:
    text = f"{step['operation']}: {step['argument']}"
    return f"{text} [{', '.join(map(str, step['dependencies']))}]" if step["dependencies"] else text


def _found(entry: _Entry, result: Result) -> str:
    """Ids of a step's result, as GQA appends them to its argument."""
    if isinstance(result, str):
        return ""
    return f" ({','.join(entry_id(entry.image, thing) for thing in result) or '-'})"


def _spans(entry: _Entry, spans: dict[str, tuple[int, int]] | Any) -> dict[str, str]:
    """Words of a sentence -> the thing they refer to, if it is one."""
    found = {}
    for slot, (first, end) in spans.items():
        said = entry.question.fact.slots.get(slot)
        things = fitting(entry.image.scene, said) if isinstance(said, Description) else []
        if len(things) == 1:
            found[str(first) if end == first + 1 else f"{first}:{end}"] = entry_id(entry.image, things[0])
    return found


def _choices(entry: _Entry, seen: dict[str, set[str]]) -> dict[str, list[str]]:
    """``valid``: all answers of the question's sort; ``plausible``: those in training for such a thing."""
    form, fact = entry.question.form, entry.question.fact
    if form.group is None:
        return {"valid": ["yes", "no"], "plausible": ["yes", "no"]}
    if form.structural == "choose" and form.group != "side":
        two = [str(fact.slots["one"]), str(fact.slots["two"])]
        return {"valid": two, "plausible": two}
    name = _GROUPS.get(form.group, form.group)
    valid = list(_OTHERS.get(name) or VALUES[name])
    return {"valid": valid, "plausible": sorted(seen.get(entry.local, set()) | {fact.answer})}


def entry_id(image: WorldImage, thing: Thing) -> str:
    """Id of a thing in the scene graphs."""
    number = next(number for number, other in enumerate(image.scene.things) if other is thing)
    return f"{int(image.key.removeprefix('n'))}{number:02d}"


def scene_graph(image: WorldImage) -> dict[str, Any]:
    """An image's record in a scene graph file. Unlike in official files, attributes include an object's category and,
    if unambiguous, its place."""
    scene = image.scene
    return {
        "width": scene.width,
        "height": scene.height,
        "location": scene.ground,
        "objects": {entry_id(image, thing): _object(image, scene, thing) for thing in scene.things},
    }


def _object(image: WorldImage, scene: WorldScene, thing: Thing) -> dict[str, Any]:
    x, y, width, height = (round(number) for number in xywh(thing.box))
    where = [word for word in (place(scene, thing), level(scene, thing)) if word is not None]
    relations = [
        {"name": name, "object": entry_id(image, other)}
        for name in RELATIONS
        for other in scene.things
        if other is not thing and related(scene, name, other, [thing])
    ]
    attributes = [thing.colour, thing.size, thing.pattern, thing.family, *where]
    return {
        "name": thing.kind,
        "x": x,
        "y": y,
        "w": width,
        "h": height,
        "attributes": attributes,
        "relations": relations,
    }
