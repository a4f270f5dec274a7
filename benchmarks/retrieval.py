r"""Retrieval: every pair through the model, against shortlists by the contrast head that the model ranks.

    twelve quickstart microworld-full.yaml
    twelve train configs/contrast.yaml --set init=microworld/run --set run=microworld/contrast
    python benchmarks/retrieval.py --run microworld/contrast

and of real photographs, after ``make real-sample``:

    twelve train configs/contrast.yaml --set init=runs/real-sample --set "tasks=[flickr30k]" \
        --set run=runs/real-contrast
    python benchmarks/retrieval.py --run runs/real-contrast --task flickr30k --held-out --parts quality

``--run`` is a run whose model has a contrast head. With one on the microworld, the gallery is drawn from another seed
than any training image, its captions have the wordings of test sets too; nothing of it is on disk, so no reading is
timed. With ``--held-out``, the gallery is the run's own held-out images, as many as there are.

* ``quality``: recall in both directions of all pairs, of the head alone, and of the shortlists, on a smaller gallery,
  with the same share of the gallery on a shortlist as in ``speed``; differences with 95 % intervals (images
  resampled). The recall of longer and shorter lists, too.
* ``speed``: captions x images end to end, from word pieces and regions to the ranks (benchmarks/retrieval_speed.py).
* ``paper``: the same, extrapolated for the paper's model.
* ``search``: a sentence against the stored vectors of many images, and the exact ranking of the best few.

Written as JSON with the machine, its load and the commit named; processor time of this process beside wall time, since
other programs may be running.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from galleries import WORDINGS, Gallery, drawn, held_out
from numpy.typing import NDArray
from retrieval_speed import BATCH, Clock, paper, speed

import twelve
from twelve.evaluation.predict import finished, pair_tiles
from twelve.evaluation.shortlist import Shortlists, recall_of_best, scored_pairs, shortlists
from twelve.metrics.bootstrap import interval
from twelve.metrics.retrieval import image_to_text_ranks, recall, text_to_image_ranks
from twelve.model.vectors import VectorSets, closest, similarities, text_vectors
from twelve.predictor import Predictor
from twelve.progress import Track
from twelve.training.provenance import machine

SEARCHED, RANKED = 100_000, 16
"""Stored images that a sentence is compared with, and those that the model then ranks."""
REGIONS = (37, 101)
"""Of a stored image: 36 and the whole, 100 and the whole."""
SHARES = (0.01, 0.02, 0.03, 0.04, 0.05, 0.1)
"""Of the gallery, on a shortlist: lengths whose recall is given beside the one that is timed."""
DIRECTIONS = {"": text_to_image_ranks, "image to text ": image_to_text_ranks}


def told(label: str, total: int, steps: Any) -> Any:
    with Track(label, total, "pairs") as track:
        return finished(steps, track.advance)


def exhaustive(predictor: Predictor, gallery: Gallery) -> NDArray[np.float32]:
    every = len(gallery.texts) * len(gallery.images)
    tiles = pair_tiles(predictor.model, gallery.collator, gallery.texts, gallery.images, batch_size=BATCH)
    found: NDArray[np.float32] = told("all pairs", every, tiles)
    return found


def by_shortlist(predictor: Predictor, gallery: Gallery, count: int) -> tuple[NDArray[np.float32], Shortlists]:
    parts = predictor.model, gallery.collator, gallery.texts, gallery.images
    found = shortlists(*parts, count)
    rows, columns = np.nonzero(found.chosen)
    pairs = scored_pairs(*parts, rows, columns, batch_size=BATCH)
    return found.merged(told("shortlists", len(rows), pairs)), found


def recalls(scores: NDArray[np.float32], target: NDArray[np.int64]) -> dict[str, float]:
    found = {}
    for name, ranks in DIRECTIONS.items():
        each = recall(ranks(scores, target))
        found |= {f"{name}R@1": each.r1, f"{name}R@5": each.r5, f"{name}R@10": each.r10}
    return {name: round(value, 2) for name, value in found.items()}


def differences(
    scores: NDArray[np.float32], exact: NDArray[np.float32], target: NDArray[np.int64]
) -> dict[str, dict[str, Any]]:
    """Recall with shortlists minus that of all pairs, in points, with its interval."""
    found: dict[str, dict[str, Any]] = {}
    for name, ranks in DIRECTIONS.items():
        groups = [str(column) for column in (np.unique(target) if name else target)]
        ours, theirs = ranks(scores, target), ranks(exact, target)
        for most in (1, 5, 10):
            each = interval((ours < most).astype(float) - (theirs < most), groups, bounds=(-1, 1))
            low, high = (round(100 * value, 2) for value in (each.low, each.high))
            found[f"{name}R@{most}"] = {"points": round(100 * each.mean, 2), "95 %": [low, high]}
    return found


def of_length(found: Shortlists, exact: NDArray[np.float32], target: NDArray[np.int64], count: int) -> dict[str, Any]:
    """Recall with shortlists of ``count`` places, from scores of all pairs."""
    similar = torch.from_numpy(found.similarities)
    chosen = np.zeros_like(found.chosen)
    np.put_along_axis(chosen, similar.topk(count, dim=1).indices.numpy(), True, axis=1)
    np.put_along_axis(chosen, similar.topk(min(count, len(similar)), dim=0).indices.numpy(), True, axis=0)
    scores = replace(found, chosen=chosen).merged(exact[chosen])
    return {
        "places": count,
        "pairs on shortlists, %": round(100 * float(chosen.mean()), 2),
        "own image on the shortlists": round(100 * float(chosen[np.arange(len(target)), target].mean()), 2),
        "exact top 10 on the shortlists": round(recall_of_best(exact, chosen), 2),
    } | recalls(scores, target)


def quality(predictor: Predictor, gallery: Gallery, share: float, kept: Path | None) -> dict[str, Any]:
    """Recall of all pairs, of the head alone, and of shortlists of a share of the gallery."""
    target, clocks = gallery.target, {"all pairs": Clock(), "shortlists": Clock()}
    if kept is not None and kept.is_file():
        exact: NDArray[np.float32] = np.load(kept)
    else:
        with clocks["all pairs"]:
            exact = exhaustive(predictor, gallery)
        if kept is not None:
            np.save(kept, exact)
    images = len(gallery.images)
    places = max(1, round(share * images))
    with clocks["shortlists"]:
        scores, found = by_shortlist(predictor, gallery, places)
    together = found.merged(exact[found.chosen] + found.added(1))
    times = {name: clock.times() if clock.wall else {} for name, clock in clocks.items()}
    return {
        "images": images,
        "captions": len(gallery.texts),
        "places": places,
        "pairs on shortlists": int(found.chosen.sum()),
        "largest change of a score": float(np.abs(scores - exact)[found.chosen].max()),
        "all pairs": recalls(exact, target) | times["all pairs"],
        "head alone": recalls(found.similarities, target),
        "shortlists": recalls(scores, target) | times["shortlists"],
        "difference": differences(scores, exact, target),
        "shortlists, both logits": recalls(together, target),
        "all pairs, both logits": recalls(exact + np.float32(found.scale) * found.similarities, target),
        "exact top 10 on the shortlists": round(recall_of_best(exact, found.chosen), 2),
        "own image on the shortlists": round(100 * float(found.chosen[np.arange(len(target)), target].mean()), 2),
        "other lengths": [of_length(found, exact, target, max(1, round(each * images))) for each in SHARES],
    }


def search(predictor: Predictor, gallery: Gallery, stored: int, rounds: int) -> dict[str, Any]:
    """Seconds of a sentence against stored vectors (drawn, as wide as the model's, float16 as an index keeps them), and
    of ranking the best exactly."""
    collator, model = gallery.collator, predictor.model
    names, sentences = gallery.images[:RANKED], list(dict.fromkeys(gallery.texts))[: rounds + 1]

    def compared(regions: int) -> dict[str, float]:
        generator = torch.Generator().manual_seed(0)
        numbers = torch.randn(stored * regions, model.config.contrast, generator=generator)
        vectors = torch.nn.functional.normalize(numbers, dim=1).half()
        images = VectorSets(vectors, torch.full((stored,), regions))

        def compare(sentence: str) -> None:
            closest(similarities(text_vectors(model, collator, [sentence]), images), RANKED)

        return medians(compare, sentences) | {"GB of vectors": round(2e-9 * vectors.numel(), 2)}

    def rank(sentence: str) -> None:
        finished(pair_tiles(model, collator, [sentence], names, batch_size=BATCH))

    return {
        "images": stored,
        "to search, by regions of an image": {str(regions): compared(regions) for regions in REGIONS},
        "images ranked exactly": len(names),
        "to rank them": medians(rank, sentences),
    }


def medians(run: Callable[[str], None], sentences: Sequence[str]) -> dict[str, float]:
    """Median and longest seconds over the sentences, the first of which is a warm-up."""
    walls, processors = [], []
    for sentence in sentences:
        wall, processor = time.perf_counter(), time.process_time()
        run(sentence)
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    return {
        "seconds": round(statistics.median(walls[1:]), 4),
        "longest": round(max(walls[1:]), 4),
        "processor seconds": round(statistics.median(processors[1:]), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--task", default="coco", choices=WORDINGS)
    parser.add_argument("--held-out", action="store_true", help="the run's own held-out images, not drawn ones")
    parser.add_argument("--images", type=int, default=5000, help="of the large gallery")
    parser.add_argument("--places", type=int, default=160, help="on a shortlist of the large gallery")
    parser.add_argument("--quality-images", type=int, default=1000)
    parser.add_argument("--quality-captions", type=int, default=2000)
    parser.add_argument(
        "--part", type=int, nargs=2, default=[1000, 200], help="captions and images of which all pairs run"
    )
    parser.add_argument(
        "--ranked", type=int, help="images whose pairs on shortlists run in speed; the others' are extrapolated"
    )
    parser.add_argument("--seed", type=int, default=4711)
    parser.add_argument("--rounds", type=int, default=9, help="sentences that are searched")
    parser.add_argument("--keep", type=Path, help="folder that keeps drawn regions and exact scores for the next call")
    parser.add_argument("--parts", nargs="*", default=["quality", "speed", "paper", "search"])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "retrieval.json")
    arguments = parser.parse_args()
    predictor = twelve.load(arguments.run)
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)

    def kept(name: str) -> Path | None:
        return None if arguments.keep is None else arguments.keep / name

    task, images = arguments.task, arguments.images
    if arguments.held_out:
        small = gallery = held_out(predictor, arguments.run, task)
    else:
        gallery = drawn(predictor, images, arguments.seed, task, kept(f"{task}-{images}.npz"))
        small = gallery.part(arguments.quality_images, arguments.quality_captions)
    result: dict[str, Any] = {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "parameters": sum(weights.numel() for weights in predictor.model.parameters()),
        "task": task,
        "gallery": "held-out images of the run" if arguments.held_out else "drawn",
        "load average before": [round(each, 1) for each in os.getloadavg()],
    }
    model = predictor.vectors_mark()[:12] if arguments.keep else ""  # another model has other scores
    where = "held-out" if arguments.held_out else "drawn"
    exact = kept(f"exact-{model}-{where}-{task}-{len(small.images)}-{len(small.texts)}.npy")
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "quality": lambda: quality(predictor, small, arguments.places / images, exact),
        "speed": lambda: speed(predictor, gallery, arguments.places, tuple(arguments.part), arguments.ranked),
        "paper": lambda: paper(arguments.places, images),
        "search": lambda: search(predictor, gallery, SEARCHED, arguments.rounds),
    }
    for name in arguments.parts:
        result[name] = parts[name]()
        print(json.dumps({name: result[name]}, indent=1), flush=True)
    result["load average after"] = [round(each, 1) for each in os.getloadavg()]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
