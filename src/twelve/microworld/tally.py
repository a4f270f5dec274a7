"""Statistics of a written dataset, the oracle's answers, and which texts are unlike those of training.

``<task>/oracle.json`` has, for each split, the answers of an oracle that reads the scenes: ``{"val": {"262148000":
"red"}}``, in the form of the task's predictions (an answer, a candidate index, a box, a bool or a class name; for
captions, the ids of all images of the split that the caption is true of). Their official score is the task's upper
bound.

``<task>/kinds.json`` (evaluation/own_kinds.py) says of the same examples whether their wording occurs in training, and
whether a phrase names a colour and a kind that no training image shows together.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from twelve.io import files
from twelve.microworld.language import LIVELY, NOUNS
from twelve.microworld.scene import PATTERNS


@dataclass
class Tally:
    """Statistics of one dataset.

    Attributes:
        task: name of its task.
        examples: split -> number of examples.
        templates: wordings with slots in braces, e.g. "what colour is the {thing}?"; no two datasets share a wording.
        answers: how often each answer (class, truth value, ...) is right in training; empty for tasks without answers.
        oracle: split -> example id -> answer.
        unseen: (colour, kind) combinations that occur only in reserved images.
        kinds: split -> example id -> kind of example -> its value.
    """

    task: str
    examples: dict[str, int] = field(default_factory=dict)
    templates: set[str] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    oracle: dict[str, dict[str, Any]] = field(default_factory=dict)
    unseen: frozenset[tuple[str, str]] = frozenset()
    kinds: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)

    @property
    def entropy(self) -> float:
        """Entropy of the training answers, in bits."""
        total = sum(self.answers.values())
        return -sum(n / total * math.log2(n / total) for n in self.answers.values()) if total else 0.0

    def note(self, split: str, key: str, text: str, *, reserved: bool) -> None:
        """Note the kinds of an example.

        Args:
            text: of the example.
            reserved: whether it is in a wording for test sets only.
        """
        found = {"wording": reserved, "combination": self._names_unseen(text)}
        self.kinds.setdefault(split, {})[key] = {kind: "unseen" if new else "seen" for kind, new in found.items()}

    def _names_unseen(self, text: str) -> bool:
        return self._combinations is not None and self._combinations.search(text.lower()) is not None

    @cached_property
    def _combinations(self) -> re.Pattern[str] | None:
        """Phrases with an unseen combination; a pattern may stand between the colour and the kind."""
        if not self.unseen:
            return None
        patterns = "|".join(sorted({*PATTERNS, *(LIVELY.get(word, word) for word in PATTERNS)}))
        named = (f"{colour} (?:(?:{patterns}) )?(?:{'|'.join(NOUNS[kind])})" for colour, kind in sorted(self.unseen))
        return re.compile(rf"\b(?:{'|'.join(named)})\b")

    def write_answers(self, folder: Path) -> None:
        """Write ``oracle.json`` and ``kinds.json`` into the dataset's folder."""
        for name, tree in (("oracle.json", self.oracle), ("kinds.json", self.kinds)):
            with files.replacing(folder / name) as partial:
                partial.write_text(json.dumps(tree), encoding="utf-8")
