"""Worlds whose tasks share nothing: the negative control of joint training (docs/microworld.md).

What a model learns of one task's words and things serves no other task. The writers of a shared world write every
task's dataset, each about a world of its own: :func:`own_world` has scenes and image ids of its own, and a camera whose
mark in the images makes the extractor describe their regions with features of their own
(regions/detectors/apart_detector.py). :func:`rename` then replaces the words in the files by words of the task's own.
"""

from __future__ import annotations

import gzip
import json
import pickle
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain, product
from pathlib import Path
from random import Random
from typing import Any

from twelve.metrics.vqa import normalise
from twelve.microworld.world import World, WorldImage, WorldSizes, make_world
from twelve.microworld.writers.layout import write_bytes, write_json, write_lines
from twelve.microworld.writers.python2 import dumps
from twelve.microworld.writers.visual_genome import NUMBERS
from twelve.regions.camera_marks import CAMERAS

COLLECTIONS = {"vqa": "coco", "vg_qa": "vg", "gqa": "vg", "visual7w": "vg", "snli_ve": "flickr30k"}
"""Task -> collection of its images, where neither its name nor COCO."""
TEXTS = frozenset({"question", "raw", "sent", "tokens", "sentence", "sentence1", "sentence2", "fullAnswer"})
ANSWERS = frozenset({"answer", "multiple_choice_answer", "valid", "plausible"})
"""Keys of texts that models read, and of answers, in the files of all tasks."""
QUESTIONS = ("vqa", "vg_qa", "gqa")
KEPT = frozenset({"yes", "no", "n", "a", "an", "the"})
"""Words of answers that readers or metrics know: yes and no, N/A, and the articles that are dropped."""

_WORD = re.compile(r"[A-Za-z]+")
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"


def collection(task: str) -> str:
    """The collection of a task's images."""
    return COLLECTIONS.get(task, task if task in ("flickr30k", "nlvr2") else "coco")


def own_world(seed: int, sizes: WorldSizes, task: str, number: int, *, draw_wordings: bool = False) -> World:
    """The world of one task: the collection that it is about alone.

    Args:
        number: of the task, from 0; also its camera.
        draw_wordings: see :class:`World`.
    """
    world = make_world(seed, sizes, copy=1 + number, draw_wordings=draw_wordings)
    name = collection(task)
    images: tuple[WorldImage, ...] = getattr(world, name)
    own: dict[str, Any] = {name: tuple(replace(image, coco_id=None, camera=number) for image in images)}
    return replace(replace(world, coco=(), vg=(), flickr30k=(), nlvr2=()), **own)


def together(worlds: Sequence[World]) -> World:
    """All images of some worlds."""
    coco, vg, flickr30k, nlvr2 = (
        tuple(chain.from_iterable(parts))
        for parts in zip(*((world.coco, world.vg, world.flickr30k, world.nlvr2) for world in worlds), strict=True)
    )
    return World(worlds[0].seed, coco, vg, flickr30k, nlvr2, frozenset())


def own_words(number: int) -> list[str]:
    """Words of four letters that no other task has and no metric treats specially, in random order."""
    syllables = [consonant + vowel for consonant, vowel in product(_CONSONANTS, _VOWELS)]
    words = [first + second for first, second in product(syllables, syllables)]
    words = [word for word in words if normalise(word) == word]
    return Random(0).sample(words, len(words))[number::CAMERAS]


def rename(folder: Path, task: str, words: Sequence[str]) -> None:
    """Replace the words in the texts and answers of a task's files by ``words``, one by one; numbers, punctuation and
    case stay. What no model reads (programs, scene graphs, names of categories) stays in English."""
    files = {path: _read(path) for path in sorted(folder.iterdir())}
    if task == "vg_qa":  # whose numbers are words
        oracle = files[folder / "oracle.json"][1]
        for answers in oracle.values():
            answers.update({key: NUMBERS[int(text)] for key, text in answers.items() if text.isdigit()})
    found: set[str] = set()

    def note(word: str) -> str:
        found.add(word.lower())
        return word

    for path, (_, content) in files.items():
        _replaced(content, note, task, _oracle(path, task))
    names = dict(zip(sorted(found), words, strict=False))
    if len(names) < len(found):
        raise ValueError(f"{len(found)} words of {task}, {len(words)} to replace them")

    def own(word: str) -> str:
        name = names[word.lower()]
        return name.capitalize() if word[0].isupper() else name

    for path, (kind, content) in files.items():
        _write(path, kind, _replaced(content, own, task, _oracle(path, task)))


def _replaced(value: Any, name: Callable[[str], str], task: str, key: str = "") -> Any:
    """A copy of the content of a file with every word of its texts and answers replaced."""
    if isinstance(value, dict):
        return {own: _replaced(inner, name, task, own if key != "answer" else key) for own, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, name, task, key) for inner in value]
    if isinstance(value, str) and key in TEXTS:
        return _WORD.sub(lambda match: name(match.group()), value)
    if isinstance(value, str) and key in ANSWERS:
        return _WORD.sub(
            lambda match: match.group() if _kept(match.group().lower(), task) else name(match.group()), value
        )
    return value


@cache
def _kept(word: str, task: str) -> bool:
    """Whether an answer's word means something to the task's reader or metric."""
    return word in KEPT or (task == "vqa" and normalise(word) != word)


def _read(path: Path) -> tuple[str, Any]:
    """("pickle" | "lines" | "json", content) of a file of the writers'."""
    content = path.read_bytes()
    if path.suffix == ".p":
        return "pickle", pickle.loads(content)
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    if not text or text.endswith("\n"):
        return "lines", [json.loads(line) for line in text.splitlines()]
    return "json", json.loads(text)


def _write(path: Path, kind: str, content: Any) -> None:
    if kind == "pickle":
        write_bytes(path, dumps(content))
    elif kind == "lines":
        write_lines(path, content, zipped=path.suffix == ".gz")
    else:
        write_json(path, content)


def _oracle(path: Path, task: str) -> str:
    """The key under which to treat a file's content: the oracle of a question task holds answers."""
    return "answer" if path.name == "oracle.json" and task in QUESTIONS else ""
