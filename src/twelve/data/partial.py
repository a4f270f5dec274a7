"""Datasets whose images are not all available any more: the part that has regions is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from twelve.data.examples.columns import images_of, take
from twelve.errors import RegionError
from twelve.regions.store.region_store import RegionStore
from twelve.tasks.base import Task
from twelve.types.examples import Example


def with_regions(
    train: Mapping[str, Sequence[Example]], tasks: Mapping[str, Task], store: RegionStore
) -> tuple[dict[str, Sequence[Example]], dict[str, str]]:
    """Training sets, of partial tasks the examples with regions, and task -> "12 of 3,318,333 captions have regions".

    Raises:
        RegionError: no example of a task has regions.
    """
    kept, found = dict(train), {}
    for name in (name for name in train if tasks[name].partial):
        kept[name] = seen = having_regions(store, tasks[name], train[name])
        found[name] = f"{len(seen):,} of {len(train[name]):,} captions have regions"
    return kept, found


def having_regions(store: RegionStore, task: Task, examples: Sequence[Example]) -> Sequence[Example]:
    """The examples whose images all have regions.

    Raises:
        RegionError: there are none.
    """
    column = images_of(examples)
    seen = take(examples, column.where(all(image in store for image in images) for images in column.values))
    if not seen and examples:
        image = examples[0].images[0]
        raise RegionError(
            f"none of {len(examples):,} images of {task.name} has regions, the first would be {image}",
            file=Path(store.root) / image.partition("/")[0],
            remedy=f"run: {store.command(image.partition('/')[0])} (docs/pretraining.md says how files are named)",
        )
    return seen
