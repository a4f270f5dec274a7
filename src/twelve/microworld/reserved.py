"""Which wordings a world reserves for its test sets: always the same, or as many, drawn by the seed.

With drawn ones, the seeds of a study differ in what is new to the models, and its intervals cover that choice.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from twelve.microworld.language import Wording
from twelve.microworld.questions import Form
from twelve.microworld.world import World

Meaning = TypeVar("Meaning")

TRIES = 1_000


def wordings_of(world: World, task: str, marked: Sequence[Wording[Meaning]]) -> tuple[Wording[Meaning], ...]:
    """The wordings of a task, ``only_test`` in those that the world reserves.

    Every reserved one means the same function of its slots as one that is open to training, and each kind of its slots
    is in one. Where there is no such choice (NLVR2, whose reserved statements are new combinations), the marked ones
    stay reserved.
    """
    count = sum(wording.only_test for wording in marked)
    rng = _generator(world, task)
    for _ in range(TRIES if world.draw_wordings else 0):
        held = {*rng.choice(len(marked), count, replace=False).tolist()}
        kept = [wording for number, wording in enumerate(marked) if number not in held]
        if all(_is_learned(marked[number], kept) for number in held):
            return tuple(replace(wording, only_test=number in held) for number, wording in enumerate(marked))
    return tuple(marked)


def forms_of(world: World, task: str, marked: Sequence[Form]) -> tuple[Form, ...]:
    """The forms of a task's questions, with the wordings that the world reserves. All wordings of a form ask the same,
    so any of them may be reserved."""
    rng = _generator(world, task)
    return tuple(_drawn(form, rng) for form in marked) if world.draw_wordings else tuple(marked)


def _drawn(form: Form, rng: np.random.Generator) -> Form:
    texts = (*form.wordings, *form.reserved)
    held = {*rng.choice(len(texts), len(form.reserved), replace=False).tolist()}
    return replace(
        form,
        wordings=tuple(text for number, text in enumerate(texts) if number not in held),
        reserved=tuple(text for number, text in enumerate(texts) if number in held),
    )


def _is_learned(wording: Wording[Meaning], kept: Sequence[Wording[Meaning]]) -> bool:
    """Whether models can learn from ``kept`` what a wording means and all its slots."""
    return any(other.meaning == wording.meaning for other in kept) and wording.slots <= frozenset[str]().union(
        *(other.slots for other in kept)
    )


def _generator(world: World, task: str) -> np.random.Generator:
    return np.random.default_rng([world.seed, 2, zlib.crc32(task.encode())])
