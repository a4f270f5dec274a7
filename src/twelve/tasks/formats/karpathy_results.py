"""Scoring of caption retrieval result files (karpathy.py).

There is no official format. One input is a matrix of scores (higher is better) of every caption with every image, as a
NumPy archive or JSON; the ids can be omitted if the order is that of the official file::

    numpy.savez("scores.npz", scores=..., caption_ids=[770337, ...], image_ids=[391895, ...])
    {"scores": [[1.76, 0.86, ...], ...], "caption_ids": [770337, ...], "image_ids": [391895, ...]}

The other is a ranking, best first, in one or both directions, as JSON::

    {"text_to_image": {"770337": [391895, 184613, ...], ...}, "image_to_text": {"391895": [770337, ...], ...}}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from twelve.errors import DataError, MissingData
from twelve.formats.records import read_object
from twelve.formats.results import only
from twelve.metrics import retrieval as metric
from twelve.tasks.formats.karpathy import SPLITS, check_dataset, read_captions
from twelve.tasks.formats.retrieval_files import Both, Matrix, Ranking, read_results, short_id
from twelve.types.examples import Example
from twelve.types.measurement import ExampleValues, Measurement, Scored

_DIRECTIONS = ("", "image to text ")
_RECALLS = {"R@1": 1, "R@5": 5, "R@10": 10}
_Number = TypeVar("_Number")


@dataclass(frozen=True, slots=True)
class Gallery:
    """A set of captions (the first five of each image) and their images, in file order."""

    captions: tuple[Example, ...]

    @property
    def images(self) -> list[str]:
        return list(dict.fromkeys(short_id(example.images[0]) for example in self.captions))


def score(truth: Sequence[Path], predictions: Sequence[Path], protocol: str, source: str) -> Scored:
    """See :meth:`twelve.tasks.formats.captions.CaptionTask.score`."""
    path = only(truth, "dataset_*.json of the captions' split")
    results = only(predictions, "the file of scores or rankings")
    content = read_object(path)
    check_dataset(content, source)
    splits = {split: read_captions(content, split, lambda name: source) for split in SPLITS}
    found = read_results(results)
    split = _split(found, splits)
    if not splits[split]:
        problem = f"contains no caption of split {split!r}"
        raise MissingData(problem, file=path, remedy="pass the file of the whole dataset")
    examples = splits[split] if protocol != metric.GIVEN else _given(found, splits[split], results)
    galleries = _galleries(examples, protocol, path)
    if isinstance(found, Matrix):
        found = found.named(_orders(examples, galleries), results)
    measured = _measure(galleries, [found.ranks(gallery.captions, results) for gallery in galleries])
    if protocol == metric.GIVEN:
        measured = _of_size(measured, len(galleries[0].images))
    images = f"{len(galleries[0].images):,} images"
    return Scored(
        measured.measurement,
        f"split {split}, {f'{len(galleries)} galleries of ' if len(galleries) > 1 else ''}{images}, "
        f"the first {metric.CAPTIONS} captions of each; ties are {metric.TIES}; there is no official program",
        measured.counts,
        notes=[] if measured.exact else ["median and mean ranks are left out: some lists end before the correct entry"],
        means=measured.means,
    )


@dataclass(frozen=True, slots=True)
class _Measured:
    """The metrics of some galleries.

    Attributes:
        counts: metric -> number of captions or images that it covers.
        means: metric -> these captions or images, if it is a mean over them.
        exact: whether all ranks are known.
    """

    measurement: Measurement
    counts: dict[str, int]
    means: dict[str, ExampleValues]
    exact: bool


def _measure(galleries: Sequence[Gallery], parts: Sequence[Both]) -> _Measured:
    """The metrics of each gallery's ranks."""
    metrics: dict[str, float] = {}
    counts: dict[str, int] = {}
    of_examples: dict[str, ExampleValues] = {}
    exact = True
    for number, direction in enumerate(_DIRECTIONS):
        found = [ranks for part in parts if (ranks := part[number]) is not None]
        if not found:
            continue
        known = all(ranks.exact for ranks in found)
        exact = exact and known
        summary = {direction + name: value for name, value in _summary([e.ranks for e in found], known).items()}
        metrics |= summary
        places = np.concatenate([each.ranks for each in found])
        counts |= dict.fromkeys(summary, len(places))
        ids, groups = ([name for gallery in galleries for name in of(gallery, number)] for of in (_ids, _groups))
        hits = {name: (places < most).astype(np.float64) for name, most in _RECALLS.items()}
        hits["mean recall"] = np.mean([*hits.values()], axis=0)
        of_examples |= {direction + name: ExampleValues(ids, values, groups) for name, values in hits.items()}
    means = [metrics[name] for direction in _DIRECTIONS if (name := f"{direction}mean recall") in metrics]
    if len(means) == len(_DIRECTIONS):
        metrics["mean recall of both directions"] = sum(means) / len(means)
    primary = next(iter(of_examples))
    headline = Measurement(primary, metrics, of_examples[primary].values, of_examples[primary].groups)
    return _Measured(headline, counts, of_examples, exact)


def _of_size(found: _Measured, images: int) -> _Measured:
    """The same with names that say how many images were ranked."""

    def named(numbers: Mapping[str, _Number]) -> dict[str, _Number]:
        return {metric.of_size(name, images): number for name, number in numbers.items()}

    headline = found.measurement
    primary, metrics = metric.of_size(headline.primary, images), named(headline.metrics)
    headline = replace(headline, primary=primary, metrics=metrics)
    return _Measured(headline, named(found.counts), named(found.means), found.exact)


def _summary(folds: Sequence[NDArray[np.int64]], exact: bool) -> dict[str, float]:
    """Metrics of one direction, averaged over galleries."""
    mean = metric.averaged(folds)
    metrics = {"R@1": mean.r1, "R@5": mean.r5, "R@10": mean.r10, "mean recall": (mean.r1 + mean.r5 + mean.r10) / 3}
    if exact:
        metrics |= {"median rank": mean.median_rank, "mean rank": mean.mean_rank}
    return metrics


def _ids(gallery: Gallery, direction: int) -> list[str]:
    """What is ranked for each rank: the caption, or the image."""
    return [example.id for example in gallery.captions] if direction == 0 else gallery.images


def _groups(gallery: Gallery, direction: int) -> list[str]:
    """Resampling unit of each rank: the image."""
    return [short_id(example.images[0]) for example in gallery.captions] if direction == 0 else gallery.images


def _split(found: Matrix | Ranking, splits: dict[str, list[Example]]) -> str:
    """The split of the first caption or image in the results; test if they have no ids."""
    key = found.first
    for split, examples in splits.items():
        if any(key in (example.id, short_id(example.images[0])) for example in examples):
            return split
    return "test"


def _given(found: Matrix | Ranking, examples: Sequence[Example], path: Path) -> list[Example]:
    """The captions that the results name, in file order."""
    chosen = found.captions
    captions = [example for example in examples if example.id in chosen]
    if not captions:
        raise DataError(
            f"protocol {metric.GIVEN} needs the ids of captions, and found none of this split",
            file=path,
            remedy='add "caption_ids" and "image_ids", or choose another --protocol',
        )
    return captions


def _galleries(examples: list[Example], protocol: str, path: Path) -> list[Gallery]:
    images = [example.images[0] for example in examples]
    there = len(set(images))
    folds, size = metric.SIZES.get(protocol, (1, None))
    if there < folds * (size or 0):
        raise DataError(
            f"protocol {protocol} needs {folds * (size or 0):,} images, but the split has {there:,}",
            file=path,
            remedy=f"pass the file of the whole dataset, or rank the whole split: --protocol {metric.ALL}, or only the "
            f"images of the result file: --protocol {metric.GIVEN}",
        )
    parts = metric.galleries(images, folds, size)
    return [Gallery(tuple(examples[row] for row in rows)) for rows in parts]


def _orders(examples: list[Example], galleries: list[Gallery]) -> list[tuple[list[str], list[str]]]:
    """(caption ids, image ids) that a matrix without ids can refer to: the galleries, the split with five captions per
    image, or the split with all captions."""
    rows = metric.gallery_rows([example.images[0] for example in examples], None)
    orders: list[list[Any]] = [
        [example for gallery in galleries for example in gallery.captions],
        [examples[row] for row in rows],
        examples,
    ]
    return [([e.id for e in those], list(dict.fromkeys(short_id(e.images[0]) for e in those))) for those in orders]
