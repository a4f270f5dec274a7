"""Retrieval: every pair through the model, against shortlists by the contrast head that the model ranks.

    python benchmarks/retrieval.py --run runs/contrast

``--run`` is a run on the microworld whose model has a contrast head. The gallery is drawn from another seed than any
training image, its captions have the wordings of test sets too; nothing of it is on disk, so no reading is timed.

* ``quality``: recall in both directions of all pairs and of the shortlists, on a smaller gallery, with the same share
  of the gallery on a shortlist as in ``speed``; the difference at R@1 with a 95 % interval (images resampled).
* ``speed``: captions x images end to end, from word pieces and regions to the ranks. All pairs are extrapolated from a
  part of the same gallery, measured before and after.
* ``search``: a sentence against many stored vectors, and the exact ranking of the best few.

Written as JSON with the machine and the commit named; processor time of this process beside wall time, since other
programs may be running.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import twelve
from twelve.data.batch import Collator
from twelve.evaluation.predict import finished, pair_tiles
from twelve.evaluation.shortlist import recall_of_best, scored_pairs, shortlists
from twelve.metrics.bootstrap import interval
from twelve.metrics.retrieval import image_to_text_ranks, recall, text_to_image_ranks
from twelve.microworld.draw import draw
from twelve.microworld.scene import sample_scene
from twelve.microworld.writers.captions import COCO, FLICKR30K, caption
from twelve.model.vectors import closest, text_vectors
from twelve.outputs import get_output
from twelve.predictor import Predictor
from twelve.predictor.store import MemoryStore
from twelve.progress import Track
from twelve.training.provenance import machine
from twelve.types.regions import Regions

WORDINGS = {"coco": COCO, "flickr30k": FLICKR30K}
BATCH = 128
SEARCHED, RANKED = 100_000, 16
"""Stored vectors that a sentence is compared with, and images that the model then ranks."""


@dataclass(frozen=True)
class Gallery:
    """Drawn images: five captions of each, regions by image id."""

    captions: list[list[str]]
    regions: dict[str, Regions]

    def part(self, images: int, captions: int) -> tuple[list[str], list[str], NDArray[np.int64]]:
        """Texts, image ids and the column of each text's image, of the first images and captions."""
        texts = [text for own in self.captions[:images] for text in own[:captions]]
        return texts, list(self.regions)[:images], np.repeat(np.arange(images), captions)


def drawn(predictor: Predictor, images: int, seed: int, task: str, kept: Path | None) -> Gallery:
    """Draw the gallery and extract its regions, or read those that an earlier call kept in a file."""
    rng = np.random.default_rng(seed)
    scenes = [sample_scene(rng) for _ in range(images)]
    captions = [caption(rng, WORDINGS[task], scene, test=True) for scene in scenes]
    names = [f"drawn/{number}" for number in range(images)]
    if kept is not None and kept.is_file():
        found = np.load(kept)
        ends = np.cumsum(found["counts"])[:-1]
        parts = zip(names, np.split(found["boxes"], ends), np.split(found["features"], ends), strict=True)
        return Gallery(captions, {name: Regions(name, 160, 128, boxes, features) for name, boxes, features in parts})
    regions = {}
    with Track("drawing", images, "images") as track:
        for number, (name, scene) in enumerate(zip(names, scenes, strict=True)):
            regions[name] = predictor.scene(draw(scene, seed=seed * 1_000_003 + number), name=name).regions
            track.advance()
    if kept is not None:
        every = list(regions.values())
        assert {(each.width, each.height) for each in every} == {(160, 128)}
        np.savez(
            kept,
            boxes=np.concatenate([each.boxes for each in every]),
            features=np.concatenate([np.asarray(each.features) for each in every]),
            counts=[len(each.boxes) for each in every],
        )
    return Gallery(captions, regions)


def collator_of(predictor: Predictor, gallery: Gallery, task: str) -> Collator:
    key = predictor.processor.task_outputs[task]
    output = get_output(predictor.model.config.heads[key]["kind"])
    return Collator(task, output, key, predictor.processor, MemoryStore(gallery.regions), given=False)


@contextmanager
def timed(into: dict[str, float]) -> Iterator[None]:
    wall, processor = time.perf_counter(), time.process_time()
    yield
    into["seconds"] = round(time.perf_counter() - wall, 2)
    into["processor seconds"] = round(time.process_time() - processor, 2)


def told(label: str, total: int, steps: Any) -> Any:
    with Track(label, total, "pairs") as track:
        return finished(steps, track.advance)


def exhaustive(predictor: Predictor, collator: Collator, texts: list[str], images: list[str]) -> NDArray[np.float32]:
    tiles = pair_tiles(predictor.model, collator, texts, images, batch_size=BATCH)
    found: NDArray[np.float32] = told("all pairs", len(texts) * len(images), tiles)
    return found


def by_shortlist(
    predictor: Predictor, collator: Collator, texts: list[str], images: list[str], count: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    # Of few captions, those of the images' shortlists would make the captions' longer than they are meant to be.
    found = shortlists(predictor.model, collator, texts, images, count, both=len(texts) > len(images))
    rows, columns = np.nonzero(found.chosen)
    pairs = scored_pairs(predictor.model, collator, texts, images, rows, columns, batch_size=BATCH)
    return found.merged(told("shortlists", len(rows), pairs)), found.chosen


def recalls(scores: NDArray[np.float32], target: NDArray[np.int64]) -> dict[str, float]:
    found = {}
    for name, ranks in (
        ("", text_to_image_ranks(scores, target)),
        ("image to text ", image_to_text_ranks(scores, target)),
    ):
        each = recall(ranks)
        found |= {f"{name}R@1": each.r1, f"{name}R@5": each.r5, f"{name}R@10": each.r10}
    return {name: round(value, 2) for name, value in found.items()}


def quality(
    predictor: Predictor, gallery: Gallery, task: str, images: int, captions: int, share: float, kept: Path | None
) -> dict[str, Any]:
    """Recall of all pairs and of shortlists of a share of the gallery, for captions that are spread over its images."""
    collator = collator_of(predictor, gallery, task)
    texts, names, target = gallery.part(images, -(-captions // images))
    rows = np.linspace(0, len(texts) - 1, captions).round().astype(int)
    texts, target = [texts[row] for row in rows], target[rows]
    times: dict[str, dict[str, float]] = {"all pairs": {}, "shortlists": {}}
    if kept is not None and kept.is_file():
        exact = np.load(kept)
    else:
        with timed(times["all pairs"]):
            exact = exhaustive(predictor, collator, texts, names)
        if kept is not None:
            np.save(kept, exact)
    with timed(times["shortlists"]):
        scores, chosen = by_shortlist(predictor, collator, texts, names, max(1, round(share * images)))
    hits = [(text_to_image_ranks(each, target) == 0).astype(float) for each in (scores, exact)]
    back = [(image_to_text_ranks(each, target) == 0).astype(float) for each in (scores, exact)]
    differences = {"R@1": interval(hits[0] - hits[1], [names[column] for column in target])}
    differences["image to text R@1"] = interval(back[0] - back[1], [names[column] for column in np.unique(target)])
    return {
        "images": images,
        "captions": len(texts),
        "places": max(1, round(share * images)),
        "pairs on shortlists": int(chosen.sum()),
        "all pairs": recalls(exact, target) | times["all pairs"],
        "shortlists": recalls(scores, target) | times["shortlists"],
        "exact top 10 on the shortlists": round(recall_of_best(exact, chosen), 2),
        "own image on the shortlists": round(100 * float(chosen[np.arange(len(texts)), target].mean()), 2),
        "difference": {
            name: {
                "points": round(100 * found.mean, 2),
                "95 %": [round(100 * found.low, 2), round(100 * found.high, 2)],
            }
            for name, found in differences.items()
        },
    }


def speed(predictor: Predictor, gallery: Gallery, task: str, places: int, part: tuple[int, int]) -> dict[str, Any]:
    """Seconds of the whole gallery by shortlists, and of all pairs, extrapolated from a part of so many captions and
    images, before and after it."""
    collator = collator_of(predictor, gallery, task)
    texts, names, _ = gallery.part(len(gallery.regions), 5)
    some, few = (
        every[:: max(1, len(every) // count)][:count] for every, count in zip((texts, names), part, strict=True)
    )
    parts: list[dict[str, float]] = [{}, {}]
    with timed(parts[0]):
        exhaustive(predictor, collator, some, few)
    times: dict[str, float] = {}
    with timed(times):
        _, chosen = by_shortlist(predictor, collator, texts, names, places)
    with timed(parts[1]):
        exhaustive(predictor, collator, some, few)
    every, measured = len(texts) * len(names), len(some) * len(few)
    found: dict[str, Any] = {
        "images": len(names),
        "captions": len(texts),
        "places": places,
        "pairs on shortlists": int(chosen.sum()),
        "shortlists": times,
        "part of all pairs": {"captions": len(some), "images": len(few), "before and after": parts},
    }
    for clock in ("seconds", "processor seconds"):
        spent = statistics.mean(each[clock] for each in parts)
        found[f"all pairs, extrapolated, {clock}"] = round(spent * every / measured, 1)
        found[f"ratio, {clock}"] = round(spent * every / measured / times[clock], 1)
        found[f"exact pairs in one of the {clock}"] = round(measured / spent, 1)
    return found


def search(predictor: Predictor, gallery: Gallery, task: str, stored: int, rounds: int) -> dict[str, Any]:
    """Seconds of a sentence against stored vectors (drawn, as wide as the model's), and of ranking the best exactly."""
    collator = collator_of(predictor, gallery, task)
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(stored, predictor.model.config.contrast, generator=generator)
    vectors = torch.nn.functional.normalize(vectors, dim=1)
    names, sentences = list(gallery.regions)[:RANKED], [own[0] for own in gallery.captions[: rounds + 1]]

    def compare(sentence: str) -> None:
        closest(text_vectors(predictor.model, collator, [sentence]), vectors, RANKED)

    def rank(sentence: str) -> None:
        finished(pair_tiles(predictor.model, collator, [sentence], names, batch_size=BATCH))

    return {
        "vectors": stored,
        "seconds to search": median(compare, sentences),
        "images ranked exactly": RANKED,
        "seconds to rank them": median(rank, sentences),
    }


def median(run: Callable[[str], None], sentences: Sequence[str]) -> float:
    """Median seconds over the sentences, the first of which is a warm-up."""
    times = []
    for sentence in sentences:
        start = time.perf_counter()
        run(sentence)
        times.append(time.perf_counter() - start)
    return round(statistics.median(times[1:]), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True)
    parser.add_argument("--task", default="coco", choices=WORDINGS)
    parser.add_argument("--images", type=int, default=5000, help="of the large gallery")
    parser.add_argument("--places", type=int, default=128, help="on a shortlist of the large gallery")
    parser.add_argument("--quality-images", type=int, default=1000)
    parser.add_argument("--quality-captions", type=int, default=2000)
    parser.add_argument(
        "--part", type=int, nargs=2, default=[1250, 64], help="captions and images of which all pairs run"
    )
    parser.add_argument("--seed", type=int, default=4711)
    parser.add_argument("--rounds", type=int, default=9, help="sentences that are searched")
    parser.add_argument("--keep", type=Path, help="folder that keeps drawn regions and exact scores for the next call")
    parser.add_argument("--parts", nargs="*", default=["quality", "speed", "search"])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "retrieval.json")
    arguments = parser.parse_args()
    predictor = twelve.load(arguments.run)
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)

    def kept(name: str) -> Path | None:
        return None if arguments.keep is None else arguments.keep / name

    gallery = drawn(
        predictor, arguments.images, arguments.seed, arguments.task, kept(f"{arguments.task}-{arguments.images}.npz")
    )
    result: dict[str, Any] = {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "parameters": sum(weights.numel() for weights in predictor.model.parameters()),
        "task": arguments.task,
    }
    share = arguments.places / arguments.images
    options = arguments.quality_images, arguments.quality_captions, share
    exact = f"exact-{arguments.task}-{arguments.quality_images}-{arguments.quality_captions}.npy"
    if "quality" in arguments.parts:
        result["quality"] = quality(predictor, gallery, arguments.task, *options, kept(exact))
        print(json.dumps(result["quality"], indent=1), flush=True)
    if "speed" in arguments.parts:
        result["speed"] = speed(predictor, gallery, arguments.task, arguments.places, tuple(arguments.part))
        print(json.dumps(result["speed"], indent=1), flush=True)
    if "search" in arguments.parts:
        result["search"] = search(predictor, gallery, arguments.task, SEARCHED, arguments.rounds)
        print(json.dumps(result["search"], indent=1), flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
