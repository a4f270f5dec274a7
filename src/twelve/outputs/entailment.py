"""Does an image entail a statement, contradict it, or leave it open (SNLI-VE: Xie et al. 2019)."""

from __future__ import annotations

from typing import ClassVar

from twelve.outputs.classes import Classes


class Entailment(Classes):
    """A class name, or None where it is not known."""

    kind: ClassVar[str] = "entailment"
    skill: ClassVar[str] = "verification"
    classes: ClassVar[tuple[str | bool, ...]] = ("contradiction", "neutral", "entailment")
