"""Questions about scenes whose language alone reveals little: forms of questions, and balanced sampling of answers.

For every form, and every sort of thing it asks about, all answers are right about equally often: the sampler considers
several facts of an image and asks about the one whose answer has been right least often so far.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from statistics import median
from typing import TypeAlias

import numpy as np

from twelve.microworld.language import Description, article, sentence
from twelve.microworld.programs import Program
from twelve.microworld.scene import WorldScene
from twelve.microworld.world import World, WorldImage

CONSIDERED = 7
"""Number of facts of an image that the sampler considers."""
SLACK = 1.1
"""Limit on how often an answer is right, relative to the form's median answer."""
RESERVED_SHARE = 0.2
"""How often the sampler chooses a wording reserved for test sets, where allowed."""


Slots: TypeAlias = Mapping[str, Description | str]
"""Slot -> its value: a description or a word."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact about a scene.

    Attributes:
        slots: values for a wording.
        program: the question as a program, whose result in the scene is ``answer``.
        sort: aspect from which language alone could predict answers; answers are balanced within it.
    """

    slots: Slots
    program: Program
    answer: str
    sort: str = ""


Facts: TypeAlias = Callable[[WorldScene, Random], Iterator[Fact]]
"""Generator of facts about a scene, in random order."""


@dataclass(frozen=True)
class Form:
    """A kind of question, in several wordings.

    Attributes:
        wordings: texts with slots that facts fill.
        reserved: wordings for test sets only.
        weight: relative frequency among the dataset's forms.
        shares: relative frequency of right answers (default 1).
        most: maximum number of questions per image.
        group, full, semantic, structural: GQA's annotations; ``full`` is the answer as a sentence.
    """

    name: str
    facts: Facts
    wordings: tuple[str, ...]
    reserved: tuple[str, ...] = ()
    weight: float = 1.0
    shares: Mapping[str, float] = field(default_factory=dict)
    most: int = 2
    group: str | None = None
    full: str = ""
    semantic: str = ""
    structural: str = ""


@dataclass(frozen=True, slots=True)
class WorldQuestion:
    """A question about one scene.

    Attributes:
        spans: slot -> (first word, end) in the question; words include punctuation.
    """

    text: str
    form: Form
    fact: Fact
    wording: str
    spans: Mapping[str, tuple[int, int]]

    @property
    def answer(self) -> str:
        return self.fact.answer

    @property
    def reserved(self) -> bool:
        """Whether the wording is for test sets only."""
        return self.wording in self.form.reserved


class Asker:
    """Asks about one image after another and keeps answers balanced.

    Args:
        test: whether the questions are for a test or validation set, which may use reserved wordings.
        unsaid: (colour, kind) combinations that no question may name, because training images never show them:
            otherwise, the answer to "is there a purple cup" could be memorized.
    """

    def __init__(
        self, forms: Iterable[Form], seed: int, *, test: bool, unsaid: frozenset[tuple[str, str]] = frozenset()
    ) -> None:
        self.forms = tuple(forms)
        self.named = {form.name: form for form in self.forms}
        self.random = Random(seed)
        self.test, self.unsaid = test, unsaid
        self._weights = [form.weight for form in self.forms]
        self._asked: dict[tuple[str, str], Counter[str]] = {}

    def ask(self, scene: WorldScene, count: int) -> list[WorldQuestion]:
        """Up to ``count`` different questions about a scene; fewer if it has too few facts."""
        found: dict[Program, WorldQuestion] = {}
        forms: Counter[str] = Counter()
        for _ in range(6 * count):
            form = self.random.choices(self.forms, self._weights)[0]
            if len(found) == count:
                break
            if forms[form.name] < form.most:
                question = self._one(form, scene, found)
                if question is not None:
                    found[question.fact.program] = question
                    forms[form.name] += 1
        return list(found.values())

    def _one(self, form: Form, scene: WorldScene, found: Mapping[Program, WorldQuestion]) -> WorldQuestion | None:
        facts = [fact for fact in islice(form.facts(scene, self.random), CONSIDERED) if fact.program not in found]
        return self.offer(form, min(facts, key=lambda fact: self._used(form, fact))) if facts else None

    def offer(self, form: Form, fact: Fact, *, strictly: bool = False) -> WorldQuestion | None:
        """The question about a fact; None if its answer has been right too often or its words are not allowed.

        Args:
            strictly: return None if its answer has been right more often than the form's median answer.
        """
        usual = self._usual(form, fact)
        if not self._sayable(fact) or self._used(form, fact) > (usual if strictly else SLACK * usual + 2):
            return None
        self._asked.setdefault((form.name, fact.sort), Counter())[fact.answer] += 1
        return self.say(form, fact)

    def say(self, form: Form, fact: Fact) -> WorldQuestion:
        """The question about a fact in one of the form's wordings, regardless of balance."""
        reserved = self.test and form.reserved and self.random.random() < RESERVED_SHARE
        wording = self.random.choice(form.reserved if reserved else form.wordings)
        text, spans = fill(wording, fact.slots)
        return WorldQuestion(text, form, fact, wording, spans)

    def _used(self, form: Form, fact: Fact) -> float:
        counts = self._asked.get((form.name, fact.sort))
        return 0.0 if counts is None else counts[fact.answer] / form.shares.get(fact.answer, 1.0)

    def _usual(self, form: Form, fact: Fact) -> float:
        counts = self._asked.get((form.name, fact.sort))
        return median(n / form.shares.get(answer, 1.0) for answer, n in counts.items()) if counts else 0.0

    def _sayable(self, fact: Fact) -> bool:
        return not any(
            isinstance(value, Description) and (value.colour, value.noun) in self.unsaid
            for value in fact.slots.values()
        )


_SLOT = re.compile(r"\{(a_)?([a-z]+?)(s?)(\d?)\}")


def fill(wording: str, slots: Slots) -> tuple[str, dict[str, tuple[int, int]]]:
    """Fill a wording and return (sentence, slot -> its words).

    ``{thing}`` is the slot's text, ``{a_thing}`` adds an article, ``{things}`` is the plural; a digit after the name
    distinguishes slots.
    """
    spans: dict[str, tuple[int, int]] = {}
    said, end = "", 0
    for match in _SLOT.finditer(wording):
        with_article, name, plural, number = match.groups()
        value = slots[name + number]
        text = value if isinstance(value, str) else value.said(plural=bool(plural))
        said += wording[end : match.start()]
        first = len(said.split()) + bool(with_article)
        said += article(text) if with_article else text
        spans[name + number] = first, len(said.split())
        end = match.end()
    return sentence(said + wording[end:]), spans


def templates(forms: Iterable[Form]) -> set[str]:
    """All wordings of some forms."""
    return {wording for form in forms for wording in (*form.wordings, *form.reserved)}


def seed_of(rng: np.random.Generator) -> int:
    """Draw a seed for a sampler."""
    return int(rng.integers(2**62))


def untidy(world: World) -> frozenset[int]:
    """COCO ids of reserved train2014 images that training sets contain nevertheless: every second one.

    The original datasets overlap like this; removing test images from training has to find them.
    """
    reserved = (int(p.key) for p in world.coco if p.part == "train2014" and p.reserved)
    return frozenset(number for number in reserved if number // 2 % 2 == 0)


def open_to_training(image: WorldImage, untidy_ids: frozenset[int]) -> bool:
    """Whether a COCO or Visual Genome image may be in a training set."""
    number = image.coco_id if image.file.startswith("vg/") else int(image.key)
    return not image.reserved or (number is not None and number in untidy_ids)
