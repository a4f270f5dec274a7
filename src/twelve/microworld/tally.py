"""Statistics of a written dataset, and the oracle's answers.

``<task>/oracle.json`` has, for each split, the answers of an oracle that reads the scenes: ``{"val": {"262148000":
"red"}}``, in the form of the task's predictions (an answer, a candidate index, a box, a bool or a class name; for
captions, the ids of all images of the split that the caption is true of). Their official score is the task's upper
bound.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twelve.io import files


@dataclass
class Tally:
    """Statistics of one dataset.

    Attributes:
        task: name of its task.
        examples: split -> number of examples.
        templates: wordings with slots in braces, e.g. "what colour is the {thing}?"; no two datasets share a wording.
        answers: how often each answer (class, truth value, ...) is right in training; empty for tasks without answers.
        oracle: split -> example id -> answer.
    """

    task: str
    examples: dict[str, int] = field(default_factory=dict)
    templates: set[str] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    oracle: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def entropy(self) -> float:
        """Entropy of the training answers, in bits."""
        total = sum(self.answers.values())
        return -sum(n / total * math.log2(n / total) for n in self.answers.values()) if total else 0.0

    def write_oracle(self, folder: Path) -> None:
        """Write ``oracle.json`` into the dataset's folder."""
        with files.replacing(folder / "oracle.json") as partial:
            partial.write_text(json.dumps(self.oracle), encoding="utf-8")
