"""Makes a microworld: a data root with all twelve datasets in their official layouts, and their images.

microworld.json     seed, sizes, version; per task: examples by split, templates, answers and their entropy
<task>/...          the dataset's official files, and oracle.json: the answers of an oracle that reads the scenes
images/<source>/... the images
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from twelve import forked
from twelve.errors import DataError
from twelve.forked import HelperLost
from twelve.formats.data_root import APART, DRAW_WORDINGS, DRAWN
from twelve.io import json_file
from twelve.io.files import check_folder, replacing
from twelve.microworld.apart import own_words, own_world, rename, together
from twelve.microworld.tally import Tally
from twelve.microworld.world import PARALLEL, World, WorldSizes, make_world
from twelve.microworld.writers import captions, gqa, guesswhat, nlvr2, refer, snli_ve, visual7w, visual_genome, vqa
from twelve.progress import tell

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

VERSION = 1
"""Increased whenever the same seed and sizes give other files than before."""
GALLERY = 100
"""Images that the oracle ranks for a caption, as shipped configurations of the microworld do."""
INDEX = DRAWN
ALL = frozenset({"coco", "vg", "flickr30k", "nlvr2"})
"""Collections of images."""
DRAWN_ALONE = "collections"
"""Key of the index, if not the images of all collections were drawn."""

_OPTIONS: Mapping[str, tuple[str, str]] = {
    APART: ("whose tasks share images and words", "whose tasks share nothing"),
    DRAW_WORDINGS: (
        "whose test sets have the usual wordings of their own",
        "whose seed has drawn the wordings of its test sets",
    ),
}
"""Option of a world -> what it is without it, and with it."""

Writer: TypeAlias = Callable[[World, Path, np.random.Generator], Tally]

WRITERS: Mapping[str, Writer] = {
    "vqa": vqa.write,
    "gqa": gqa.write,
    "vg_qa": visual_genome.write,
    "coco": lambda world, folder, rng: captions.write(world, folder, rng, "coco"),
    "flickr30k": lambda world, folder, rng: captions.write(world, folder, rng, "flickr30k"),
    "refcoco": lambda world, folder, rng: refer.write(world, folder, rng, "refcoco"),
    "refcoco+": lambda world, folder, rng: refer.write(world, folder, rng, "refcoco+"),
    "refcocog": lambda world, folder, rng: refer.write(world, folder, rng, "refcocog"),
    "visual7w": visual7w.write,
    "guesswhat": guesswhat.write,
    "nlvr2": nlvr2.write,
    "snli_ve": snli_ve.write,
}
"""Task -> writer of its dataset."""


def make_microworld(
    out: str | Path,
    seed: int,
    sizes: WorldSizes | None = None,
    console: Console | None = None,
    *,
    apart: bool = False,
    draw_wordings: bool = False,
    collections: Collection[str] | None = None,
) -> list[Tally]:
    """Generate the microworld of a seed in the folder ``out``. If that fails, nothing is left behind.

    The same seed and sizes give the same bytes. A folder that already contains this world is left unchanged.

    Args:
        out: the data root to write.
        sizes: images of each part; None for the default world.
        console: where to report what was made.
        apart: tasks share nothing (apart.py).
        draw_wordings: the seed draws the wordings that are reserved for test sets (reserved.py).
        collections: draw the images of these alone, such as ``coco``; None for all. All datasets are written in any
            case, since their test images are removed from the training sets of all tasks.

    Raises:
        DataError: the folder contains something else.
        TwelveError: the disk is full, or the folder is not writable.
    """
    out, sizes = Path(out), sizes or WorldSizes()
    identity = {"seed": seed, "sizes": _plain(asdict(sizes)), "version": VERSION}
    identity |= {APART: True} if apart else {}
    identity |= {DRAW_WORDINGS: True} if draw_wordings else {}
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        tallies = _existing(out, identity, ALL if collections is None else collections)
        if console is not None:
            tell(f"{out} already contains this microworld", console)
        return tallies
    check_folder(out)
    from twelve.microworld.draw import write_images

    with replacing(out) as partial:
        if apart:
            world, tallies = write_apart(seed, sizes, partial, draw_wordings=draw_wordings)
        else:
            world = make_world(seed, sizes, draw_wordings=draw_wordings)
            tallies = write_datasets(world, partial)
        images = write_images(world, partial, collections=collections)
        index = {
            **identity,
            "scale": _scale(sizes),
            "images": images,
            **({} if collections is None else {DRAWN_ALONE: sorted(collections)}),
            "tasks": {tally.task: _entry(tally) for tally in tallies},
        }
        (partial / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")
    if console is not None:
        tell(f"wrote {len(tallies)} datasets about {images:,} images to {out}", console)
    return tallies


def _scale(sizes: WorldSizes) -> float | None:
    """The --scale that gives these sizes; None if none does."""
    exact = sizes.coco_train2014[0] / WorldSizes().coco_train2014[0]
    scales = (float(f"{exact:.{digits}g}") for digits in range(1, 7))
    return next((scale for scale in scales if scale > 0 and WorldSizes().scaled(scale) == sizes), None)


def write_datasets(world: World, root: Path, writers: Mapping[str, Writer] = WRITERS) -> list[Tally]:
    """Write every dataset into its folder below ``root``, each with its own random generator; those of a large world at
    the same time, on all cores."""

    def written(task: str) -> Tally:
        folder = root / task
        folder.mkdir(parents=True, exist_ok=True)
        return writers[task](world, folder, np.random.default_rng([world.seed, zlib.crc32(task.encode())]))

    large = sys.platform == "linux" and len([*world.images()]) >= PARALLEL
    count = min(os.cpu_count() or 1, len(writers)) if large else 1
    lost = HelperLost("a process that wrote a dataset has ended", remedy="free memory, then run the same command again")
    return [*forked.each(written, list(writers), count, lost, "writing datasets").values()]


def write_apart(seed: int, sizes: WorldSizes, root: Path, *, draw_wordings: bool = False) -> tuple[World, list[Tally]]:
    """Write every dataset about a world of its own in words of its own; return all images as one world."""
    worlds, tallies = [], []
    for number, (task, write) in enumerate(WRITERS.items()):
        worlds.append(own_world(seed, sizes, task, number, draw_wordings=draw_wordings))
        tallies += write_datasets(worlds[-1], root, {task: write})
        rename(root / task, task, own_words(number))
        tallies[-1].oracle = _oracle(root, task)
    return together(worlds), tallies


def _plain(value: Any) -> Any:
    """The value as read back from JSON."""
    return json.loads(json.dumps(value))


def _entry(tally: Tally) -> dict[str, Any]:
    return {
        "examples": tally.examples,
        "templates": len(tally.templates),
        "entropy": round(tally.entropy, 4),
        "wordings": sorted(tally.templates),
        "answers": dict(sorted(tally.answers.items())),
    }


def _existing(out: Path, identity: Mapping[str, Any], collections: Collection[str]) -> list[Tally]:
    """Tallies of the existing microworld in ``out``; raises DataError if it is another, or lacks the images of one of
    the collections."""
    remedy = "choose another folder, or remove this one first"
    again = "remove the whole folder and generate the world again"
    if out.is_file():
        raise DataError("expected a folder, found a file", file=out, remedy="choose another folder")
    if not (out / INDEX).is_file():
        raise DataError("this folder contains something other than a microworld", file=out, remedy=remedy)
    try:
        index = json_file.decode(json_file.read_text(out / INDEX, DataError, remedy=again))
        there = {name: index[name] for name in ("seed", "sizes", "version")}
        options = {name: index.get(name, False) for name in _OPTIONS}
        lacking = sorted({*collections} - {*index.get(DRAWN_ALONE, ALL)})
        entries = dict(index["tasks"])
        tallies = [
            Tally(task, dict(entry["examples"]), set(entry["wordings"]), Counter(entry["answers"]))
            for task, entry in entries.items()
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else str(error)
        problem = f"not a valid microworld index; something is missing or changed ({why})"
        raise DataError(problem, file=out / INDEX, remedy=again) from None
    for name, found in options.items():
        if found != identity.get(name, False):
            problem = f"this folder contains a microworld {_OPTIONS[name][bool(found)]}"
            raise DataError(problem, file=out, remedy=remedy)
    for name, wanted in identity.items():
        if name in there and there[name] != wanted:
            problem = f"this folder contains a microworld of {_difference(name, there[name], wanted)}"
            raise DataError(problem, file=out, remedy=remedy)
    if lacking:
        problem = f"this folder contains a microworld without the images of {', '.join(lacking)}"
        raise DataError(problem, file=out, remedy=remedy)
    for tally in tallies:
        tally.oracle = _oracle(out, tally.task)
    return tallies


def _difference(name: str, there: Any, wanted: Any) -> str:
    """The difference between a world and the requested one, for an error."""
    if not isinstance(there, dict) or not isinstance(wanted, dict):
        return f"{name} {there}, not {wanted}"
    part = next((part for part in wanted if there.get(part) != wanted[part]), name)
    return f"other sizes ({part}: {there.get(part)}, not {wanted.get(part)}; another --scale or microworld.scale)"


def _oracle(root: Path, task: str) -> dict[str, dict[str, Any]]:
    path = root / task / "oracle.json"
    return json_file.read_object(path, DataError, remedy="remove the microworld and make it again")


def summary(tallies: list[Tally], scores: Mapping[str, float] | None = None) -> Table:
    """A table with one row per task.

    Args:
        scores: result of :func:`oracle_scores`, if any.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("task", "examples"):
        table.add_column(name)
    for name in ("templates", "entropy (bits)", *(("oracle",) if scores is not None else ())):
        table.add_column(name, justify="right")
    for tally in tallies:
        examples = ", ".join(f"{split} {count:,}" for split, count in tally.examples.items())
        row = [tally.task, examples, str(len(tally.templates)), f"{tally.entropy:.2f}" if tally.answers else "-"]
        if scores is not None:
            row.append(f"{scores[tally.task]:.1f}" if tally.task in scores else "-")
        table.add_row(*row)
    return table


def oracle_scores(root: Path) -> dict[str, float]:
    """Task -> official score of the oracle's answers on the task's test split, in per cent.

    For caption retrieval, images that the same caption is true of have no right order. The score is the expected R@1
    of the first :data:`GALLERY` images, choosing one of them at random: the mean of one over their number.

    Raises:
        DataError: a dataset or an oracle is missing or malformed.
    """
    from twelve.formats.data_root import DataRoot
    from twelve.outputs import get_output
    from twelve.tasks.base import get
    from twelve.types.predictions import Prediction

    data, scores = DataRoot(root), {}
    for name in WRITERS:
        task = get(name)
        answers = _oracle(root, name)[task.test_split]
        examples = task.read(data, task.test_split)
        if get_output(task.kind).ranks_gallery:
            images = [example.images[0] for example in examples]
            scores[name] = _expected_recall(images, [answers[example.id] for example in examples], GALLERY)
        else:
            predictions = [Prediction(_value(answers[example.id]), 1.0) for example in examples]
            scores[name] = task.measure(examples, predictions).headline
    return scores


def _value(answer: Any) -> Any:
    """A prediction's value; boxes become tuples."""
    return tuple(answer) if isinstance(answer, list) else answer


def _expected_recall(images: list[str], true: list[list[str]], gallery: int | None) -> float:
    from twelve.metrics.retrieval import gallery_rows

    rows = gallery_rows(images, gallery)
    shown = {images[row] for row in rows}
    return 100 * float(np.mean([1 / max(1, len(shown.intersection(true[row]))) for row in rows]))
