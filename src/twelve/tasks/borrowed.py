"""Pretraining on another task's captions: ``coco_captions: {kind: pretraining, captions: coco}``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from twelve.errors import ConfigError, nearest
from twelve.formats.data_root import DataRoot
from twelve.tasks.base import Defaults, Task
from twelve.tasks.extra.conceptual_captions import PRETRAINING
from twelve.tasks.formats.captions import CaptionTask
from twelve.types.examples import Example
from twelve.types.measurement import Measurement, Protocol, Scored

if TYPE_CHECKING:
    from twelve.settings import TaskSettings


class BorrowedCaptions(CaptionTask):
    """A task that uses the text-image pairs of another task."""

    output: ClassVar[str] = "pretraining"
    kind: ClassVar[str] = "pretraining"
    defaults: ClassVar[Defaults] = PRETRAINING
    scoring_protocols: ClassVar[Mapping[str, str]] = {}
    lender: ClassVar[Task]

    @property
    def folder(self) -> str:
        return self.lender.folder

    def files(self, split: str) -> tuple[str, ...]:
        return self.lender.files(split)

    @property
    def reader(self) -> Task:
        return self.lender

    def read(self, root: DataRoot, split: str) -> list[Example]:
        return self.lender.read(root, split)

    def iterate(self, root: DataRoot, split: str) -> Iterator[Example]:
        return self.lender.iterate(root, split)

    @property
    def protocols(self) -> Mapping[str, str]:
        return self.lender.protocols

    def protocol(self, split: str, name: str | None = None, *, gallery: int | None = None) -> Protocol:
        return self.lender.protocol(split, name, gallery=gallery)

    def measure_by(self, protocol: Protocol, examples: Sequence[Example], predictions: Any) -> Measurement:
        return self.lender.measure_by(protocol, examples, predictions)

    def score(self, truth: object, predictions: object, protocol: str) -> Scored:
        return Task.score(self, (), (), protocol)


def borrowed(name: str, settings: TaskSettings, known: Mapping[str, Task], token: int) -> Task:
    """Create a run's own task on the captions of a known task.

    Raises:
        ConfigError: the lender is unknown or has no captions, or the new task is not for pretraining.
    """
    if settings.kind != BorrowedCaptions.kind or settings.images is not None:
        key = "captions" if settings.kind != BorrowedCaptions.kind else "images"
        problem = (
            "only pretraining tasks can borrow captions"
            if key == "captions"
            else "borrowed captions bring their images"
        )
        raise ConfigError(problem, record=f"tasks.{name}.{key}", remedy="leave it out")
    captions = sorted(key for key, task in known.items() if task.kind == "alignment")
    if settings.captions not in captions:
        found = "has no captions" if settings.captions in known else "is not a task"
        raise ConfigError(
            f"{settings.captions!r} {found}{nearest(settings.captions or '', captions)}",
            record=f"tasks.{name}.captions",
            remedy=f"choose among {', '.join(captions)}",
        )
    lender = known[settings.captions]
    members = {
        "name": name,
        "title": settings.title or f"captions of {lender.title}",
        "token": token,
        "source": lender.source,
        "lender": lender,
        "train_split": settings.train or lender.train_split,
        "test_split": settings.test_split or lender.test_split,
        "held_out_splits": lender.held_out_splits,
        "partial": lender.partial,
        "__module__": __name__,
    }
    return cast(type[Task], type(f"Borrowed_{name}", (BorrowedCaptions,), members))()
