"""What a writer says of the dataset it wrote, and the oracle's answers beside it.

``<task>/oracle.json`` holds, split by split, what someone who reads the scene would answer: ``{"val": {"262148000":
"red"}}``, in the form of the task's predictions (an answer; an index among the candidates; a box; True or False; a
class name; for captions the ids of all images of the split that the caption is true of). Measured by the official
metric it is the task's upper bound.
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
    """Counts of one dataset.

    Attributes:
        task: name of the task that reads it.
        examples: split -> number of examples.
        templates: wordings with their slots in braces, e.g. "what colour is the {thing}?"; a wording belongs to one
            dataset only.
        answers: how often each answer (class, truth value ...) was right in training; empty where there are no answers.
        oracle: split -> example id -> answer.
    """

    task: str
    examples: dict[str, int] = field(default_factory=dict)
    templates: set[str] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    oracle: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def entropy(self) -> float:
        """Bits of the training answers' distribution."""
        total = sum(self.answers.values())
        return -sum(n / total * math.log2(n / total) for n in self.answers.values()) if total else 0.0

    def write_oracle(self, folder: Path) -> None:
        """Write ``oracle.json`` into the dataset's folder."""
        with files.replacing(folder / "oracle.json") as partial:
            partial.write_text(json.dumps(self.oracle), encoding="utf-8")
