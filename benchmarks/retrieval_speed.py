"""What ranking a large gallery costs: by shortlists, and by all pairs, of which a part takes turns with the shortlists.

Part of benchmarks/retrieval.py. Axes: C captions, I images.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np
import torch
from galleries import Gallery
from numpy.typing import NDArray
from paper_size import FEATURES, HEADS, REGIONS, drawn_boxes

from twelve.config import load
from twelve.evaluation.predict import pair_tiles
from twelve.evaluation.shortlist import scored_pairs, shortlists
from twelve.metrics.retrieval import image_to_text_ranks, recall, text_to_image_ranks
from twelve.model.config import TwelveConfig
from twelve.model.precision import for_predicting
from twelve.model.vectors import VectorSets, closest, similarities
from twelve.model.vilbert import Twelve
from twelve.predictor import Predictor
from twelve.progress import Track

BATCH = 128
"""Pairs in a forward pass."""
TURN = 0.02
"""Share of the work that one side does before it is the other's turn."""
CAPTIONS, WORDS, WIDTH = 5, 14, 64
"""Of an image at the paper's size, the word pieces of a caption, and the width of the head's vectors."""
COMPARED = 500
"""Images of that gallery that are compared with their captions; the others are arithmetic."""


@dataclass
class Clock:
    """Seconds of the blocks that it was entered for."""

    wall: float = 0.0
    processor: float = 0.0
    _began: tuple[float, float] = (0.0, 0.0)

    def __enter__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        wall, processor = self._began
        self.wall += time.perf_counter() - wall
        self.processor += time.process_time() - processor

    def times(self, factor: float = 1.0) -> dict[str, float]:
        return {"seconds": round(factor * self.wall, 2), "processor seconds": round(factor * self.processor, 2)}


@dataclass
class Work:
    """Pairs that one side scores, step by step; encoding texts, which is done once, has a clock of its own."""

    steps: Generator[int, None, NDArray[np.float32]]
    pairs: int
    done: int = 0
    texts: Clock = field(default_factory=Clock)
    scoring: Clock = field(default_factory=Clock)
    scores: NDArray[np.float32] | None = None

    @property
    def share(self) -> float:
        return self.done / self.pairs

    def turn(self) -> int:
        """Do a turn's share, or the rest; returns the number of pairs."""
        before = self.done
        while self.scores is None and self.done - before < max(1, TURN * self.pairs):
            clock = Clock()
            try:
                with clock:
                    scored = next(self.steps)
            except StopIteration as end:
                self.scores, scored = end.value, 0
            into = self.scoring if scored or self.scores is not None else self.texts
            into.wall, into.processor = into.wall + clock.wall, into.processor + clock.processor
            self.done += scored
        return self.done - before


def in_turns(*works: Work) -> None:
    """Finish all, with the same share of each done at any time: what else the machine does slows all of them down."""
    with Track("pairs", sum(work.pairs for work in works), "pairs") as track:
        while waiting := [work for work in works if work.scores is None]:
            track.advance(min(waiting, key=lambda work: work.share).turn())


def speed(
    predictor: Predictor, gallery: Gallery, places: int, part: tuple[int, int], ranked: int | None
) -> dict[str, Any]:
    """Seconds of the whole gallery by shortlists, and of all pairs, extrapolated from a part of so many captions and
    images.

    Args:
        ranked: images whose pairs on shortlists are scored, the other pairs being extrapolated; None for all.
    """
    few = gallery.part(part[1], part[0])
    own = predictor.model, gallery.collator, gallery.texts, gallery.images
    choosing, ranking = Clock(), Clock()
    with choosing:
        found = shortlists(*own, places)
        rows, columns = np.nonzero(found.chosen)
    now = np.flatnonzero(columns < (ranked or len(gallery.images)))
    short = Work(scored_pairs(*own, rows[now], columns[now], batch_size=BATCH), len(now))
    exact = Work(
        pair_tiles(predictor.model, few.collator, few.texts, few.images, batch_size=BATCH),
        len(few.texts) * len(few.images),
    )
    in_turns(short, exact)
    assert short.scores is not None
    scores = np.zeros(len(rows), np.float32)
    scores[now] = short.scores
    recalls = {}
    with ranking:
        merged = found.merged(scores)
        for name, ranks in (("", text_to_image_ranks), ("image to text ", image_to_text_ranks)):
            each = recall(ranks(merged, gallery.target))
            recalls |= {f"{name}R@1": each.r1, f"{name}R@5": each.r5, f"{name}R@10": each.r10}
    every = len(gallery.texts) * len(gallery.images)
    result: dict[str, Any] = {
        "images": len(gallery.images),
        "captions": len(gallery.texts),
        "places": places,
        "pairs on shortlists": len(rows),
        "scored": {"pairs": len(now), "of images": ranked or len(gallery.images)},
        "choosing": choosing.times(),
        "encoding texts again": short.texts.times(),
        "scoring the chosen pairs": short.scoring.times(),
        "ranks": ranking.times(),
        "part of all pairs": {
            "captions": len(few.texts),
            "images": len(few.images),
            "encoding texts": exact.texts.times(),
            "scoring pairs": exact.scoring.times(),
        },
    }
    for clock, name in (("wall", "seconds"), ("processor", "processor seconds")):
        texts, pairs = getattr(exact.texts, clock), getattr(exact.scoring, clock)
        ends = getattr(ranking, clock)
        extrapolated = texts * len(gallery.texts) / len(few.texts) + pairs * every / exact.pairs + ends
        spent = getattr(choosing, clock) + getattr(short.texts, clock) + ends
        spent += getattr(short.scoring, clock) * len(rows) / len(now)
        result |= {
            f"shortlists, {name}": round(spent, 1),
            f"all pairs, extrapolated, {name}": round(extrapolated, 1),
            f"ratio, {name}": round(extrapolated / spent, 1),
            f"exact pairs in one of the {name}": round(exact.pairs / pairs, 1),
        }
    if len(now) == len(rows):
        result["shortlists"] = {name: round(value, 2) for name, value in recalls.items()}
    return result


@torch.inference_mode()
def paper(places: int, images: int, rounds: int = 3) -> dict[str, Any]:
    """The same at the paper's size, with random weights and drawn regions: the cost of a text, of an image and of a
    pair is measured, in turns, and the rest is arithmetic. Of an image's captions, all shortlist it."""
    config = {**load("configs/paper.yaml").model.architecture, "heads": dict(HEADS), "contrast": WIDTH}
    torch.manual_seed(0)
    whole = Twelve(TwelveConfig(**config)).eval()
    model = for_predicting(whole, "auto")
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(1000, 30000, (16, WORDS), generator=generator)
    shown = torch.rand(8, REGIONS, FEATURES, generator=generator), drawn_boxes(8, REGIONS, generator)
    task_rows = torch.ones(len(words), dtype=torch.int64)
    texts, images_seen = model.encode_texts(words, task_rows=task_rows), model.encode_images(*shown)
    every = torch.cartesian_prod(torch.arange(len(words)), torch.arange(8))
    captions = CAPTIONS * images
    pieces, seen = (torch.randn(count, WIDTH, generator=generator) for count in (COMPARED * WORDS, COMPARED * REGIONS))
    sets = VectorSets(pieces, torch.full((COMPARED,), WORDS)), VectorSets(seen, torch.full((COMPARED,), REGIONS))
    similar = torch.randn(COMPARED, images, generator=generator)
    steps: dict[str, tuple[int, Callable[[], Any]]] = {
        "a text encoded": (len(words), lambda: model.encode_texts(words, task_rows=task_rows)),
        "a text's vector": (len(words), lambda: model.text_vectors(texts)),
        "an image encoded": (8, lambda: model.encode_images(*shown)),
        "an image's vector": (8, lambda: model.image_vectors(images_seen)),
        "a pair": (len(every), lambda: model.fuse(texts, images_seen, *every.T, outputs=("alignment",))),
        "a pair compared": (COMPARED**2, lambda: similarities(*sets)),
        "a shortlist": (COMPARED, lambda: closest(similar, places)),
    }
    clocks: dict[str, list[Clock]] = {name: [] for name in steps}
    for number in range(rounds + 1):  # the first warms up
        for name, (_, run) in steps.items():
            clock = Clock()
            with clock:
                run()
            if number:
                clocks[name].append(clock)
    chosen = captions * places
    result: dict[str, Any] = {
        "parameters": sum(weights.numel() for weights in whole.parameters()),
        "precision": model.precision,
        "images": images,
        "captions": captions,
        "places": places,
        "word pieces": WORDS,
        "regions": REGIONS,
    }
    for clock_name, name in (("wall", "seconds"), ("processor", "processor seconds")):
        cost = {
            step: float(np.median([getattr(each, clock_name) for each in clocks[step]])) / count
            for step, (count, _) in steps.items()
        }
        encoded = captions * cost["a text encoded"] + images * cost["an image encoded"]
        heads = captions * cost["a text's vector"] + images * cost["an image's vector"]
        heads += captions * images * cost["a pair compared"] + (captions + images) * cost["a shortlist"]
        exact, short = encoded + captions * images * cost["a pair"], 2 * encoded + heads + chosen * cost["a pair"]
        result |= {
            f"{name} of": {step: round(value, 6) for step, value in cost.items()},
            f"all pairs, extrapolated, {name}": round(exact),
            f"shortlists, extrapolated, {name}": round(short),
            f"ratio, {name}": round(exact / short, 1),
        }
    return result
