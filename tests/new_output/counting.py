"""A task for ``count.py``: JSON lines with a question, an image and a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from twelve.formats.data_root import DataRoot
from twelve.formats.records import read_lines
from twelve.tasks.base import Defaults, Task, register
from twelve.types.examples import Example
from twelve.types.measurement import Measurement, Protocol


@register
class Counting(Task):
    name: ClassVar[str] = "counting"
    title: ClassVar[str] = "Counting"
    output: ClassVar[str] = "count"
    kind: ClassVar[str] = "count"
    token: ClassVar[int] = 2000
    source: ClassVar[str] = "coco"
    extra: ClassVar[bool] = True
    defaults: ClassVar[Defaults] = Defaults(batch_size=8, learning_rate=3e-3, max_text=12)
    test_split: ClassVar[str] = "val"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": ("val",)}

    def files(self, split: str) -> tuple[str, ...]:
        return (f"{split}.jsonl",)

    def read(self, root: DataRoot, split: str) -> list[Example]:
        lines = read_lines(root.file(self.name, *self.files(split)))
        found = [(line.text("image"), line.text("question"), line.integer("number")) for line in lines]
        return [
            Example(f"{split}-{row}", text, (image,), target, group=image)
            for row, (image, text, target) in enumerate(found)
        ]

    def protocol(self, split: str, name: str | None = None, *, gallery: int | None = None) -> Protocol:
        return Protocol(split=split)

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        right = np.array([p.value == e.target for e, p in zip(examples, predictions, strict=True)], dtype=np.float64)
        return Measurement("accuracy", {"accuracy": 100 * right.mean()}, right, [e.group for e in examples])
