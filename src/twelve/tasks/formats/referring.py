"""Base class of the RefCOCO family."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from twelve.formats.data_root import DataRoot
from twelve.formats.records import read_object
from twelve.metrics import referring as metric
from twelve.tasks.base import Task
from twelve.tasks.formats import refer_logs
from twelve.tasks.formats.refer import INSTANCES, SPLITS, read_instances, read_refs
from twelve.tasks.formats.shared import accuracy, some, unknown_split, values
from twelve.types.examples import Box, Example
from twelve.types.logged import HarnessLog, Logged
from twelve.types.measurement import Measurement, Protocol, Scored


class ReferTask(Task):
    """Locate the object that a phrase refers to. A dataset adds its names and its split."""

    output: ClassVar[str] = "region"
    kind: ClassVar[str] = "region"
    source: ClassVar[str] = "coco"
    page: ClassVar[str] = "https://github.com/lichengunc/refer"
    note: ClassVar[str] = "one prediction per sentence, compared with the referred box"
    split_by: ClassVar[str]
    """Author of the split: unc, umd or google."""
    splits: ClassVar[tuple[str, ...]] = SPLITS
    test_split: ClassVar[str] = "test"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": ("test",), "val": ("val",)}
    toolbox: ClassVar[bool] = False
    """Whether the Google toolbox's files belong to this dataset."""
    result_file: ClassVar[str] = "{name}_{author}_{split}_results.json"
    scoring_protocols: ClassVar[Mapping[str, str]] = metric.PROTOCOLS

    def result_name(self, split: str) -> str:
        return self.result_file.format(name=self.name, author=self.split_by, split=split)

    def files(self, split: str) -> tuple[str, ...]:
        if split not in self.splits:
            raise unknown_split(self.name, split, self.splits)
        return (f"refs({self.split_by}).p", INSTANCES)

    def read(self, root: DataRoot, split: str) -> list[Example]:
        refs, instances = (root.file(self.folder, name, page=self.page) for name in self.files(split))
        content = read_instances(read_object(instances))
        return some(read_refs(refs, content, split, lambda name: root.image_source(self, name)), refs, split)

    def beside(self, root: DataRoot) -> Iterator[tuple[Path, Callable[[Path], object]]]:
        from twelve.tasks.formats import refer_results

        folder = root.path / self.folder

        def check(refs: Path) -> list[Example]:
            return some(read_refs(refs, read_instances(read_object(folder / INSTANCES)), None, str), refs, "any")

        names = self.files(self.train_split)
        yield from ((path, check) for path in sorted(folder.glob("refs(*).p")) if path.name not in names)
        if self.toolbox:
            pattern = "google_refexp_*.json"
            yield from ((path, refer_results.read_toolbox) for path in sorted(folder.glob(pattern)))

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        return self.measure_by(self.protocol(self.test_split), examples, predictions)

    def measure_by(self, protocol: Protocol, examples: Sequence[Example], predictions: Any) -> Measurement:
        boxes = [_box(example) for example in examples]
        hits = metric.hits(values(examples, predictions), boxes, protocol.name)
        by_split: dict[str, list[bool]] = {}
        for example, hit in zip(examples, hits, strict=True):
            by_split.setdefault(example.facts["split"], []).append(hit)
        parts = {f"accuracy, {name}": 100 * float(np.mean(part)) for name, part in sorted(by_split.items())}
        metrics = {"accuracy": 100 * float(np.mean(hits)), **(parts if len(parts) > 1 else {})}
        return accuracy(hits, examples, metrics)

    def score(self, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> Scored:
        """Measures every split with predictions, each as a whole."""
        from twelve.tasks.formats import refer_results

        return refer_results.score(truth, predictions, protocol, self.source, toolbox=self.toolbox)

    @property
    def harnesses(self) -> Mapping[str, tuple[HarnessLog, ...]]:
        return refer_logs.harnesses(self.name)

    def is_logged(self, logged: Logged) -> bool:
        return refer_logs.is_about(logged, self.title)

    def truth_examples(self, truth: Sequence[Path]) -> list[Example]:
        from twelve.tasks.formats import refer_results

        return refer_results.released_examples(truth, self.source)

    def logged_example(self, logged: Logged) -> Example | None:
        return refer_logs.example_of(logged)

    def contribution(self, example: Example, predicted: Any, protocol: str) -> float:
        return float(predicted is not None and metric.CONVENTIONS[protocol](predicted, _box(example)))

    def submission(self, examples: Sequence[Example], predictions: Any) -> str:
        """The format that :meth:`score` reads, with the reference of each sentence."""
        rows: list[dict[str, Any]] = []
        for example, value in zip(examples, values(examples, predictions), strict=True):
            rows.append({"sent_id": int(example.id), "ref_id": example.facts["ref_id"]})
            if value is None:  # an answer without a box
                rows[-1]["boxes"] = []
            else:
                x1, y1, x2, y2 = map(float, value)
                rows[-1]["box"] = [x1, y1, x2 - x1, y2 - y1]
        return json.dumps(rows)


def _box(example: Example) -> Box:
    if not isinstance(example.target, tuple):
        raise TypeError(f"example {example.id}: expected a box as target, found {example.target!r}")
    return example.target
