"""The region that a phrase or question refers to, among the detected regions or among an example's candidates.

One head scores every region. Candidates are regions too (they follow the detected ones); their logits are gathered. The
overlap is computed as in the original program: pixels at both ends belong to a box.
Axes: E examples, P pairs, R regions (0 is the whole image), C candidates, V visual width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from twelve.errors import RegionError
from twelve.metrics.referring import iou
from twelve.outputs.base import Examples, Labels, Output, Prospects, RegionSets, register
from twelve.outputs.parts.later import Tensor, nn, torch
from twelve.outputs.parts.losses import label_at_best, log_odds, sum_over_labels
from twelve.outputs.parts.result import HIDDEN, SHOWN, Context, Result, best_bars, pairs_of, percent, rounded
from twelve.types.examples import Box, Example
from twelve.types.predictions import Card, CardImage, Frame, Prediction, RecordedPrediction
from twelve.types.regions import Regions

THRESHOLD = 0.5
"""Least overlap with which a region counts as right; targets below it are 0."""
KEPT = 10
"""How many of the best boxes a prediction carries: recall is measured among the first ten."""
DOUBT = ", a low confidence for this model: the image may not show it"
"""Said of an unlikely box, whose confidence in per cent need not look low."""
SAME_BOX = 1.0
"""Pixels by which a candidate may differ from the region extracted for it (rounding, clipping)."""


@dataclass(frozen=True, kw_only=True)
class Located(Result):
    """Where in the image a phrase points.

    Attributes:
        box: xyxy pixels of the image after its EXIF rotation; None if the confidence is below the threshold.
        alternatives: the best boxes with the confidence of each, best first, whatever the threshold.
        unlikely: whether the confidence is below that of 95% of the right boxes in the model's validation data. The
            phrase then probably refers to nothing in the image. False if the model does not record this limit.
    """

    box: Box | None
    alternatives: tuple[tuple[Box, float], ...] = field(default=(), metadata=pairs_of("box"))
    unlikely: bool = False

    @property
    def found(self) -> bool:
        return self.box is not None

    @property
    def value(self) -> str:
        return _corners(self.box)

    @property
    def words(self) -> str:
        if self.box is None:
            return f"not in the image (at most {percent(self.confidence)})"
        x1, y1, x2, y2 = self.box
        doubt = DOUBT if self.unlikely else ""
        return f"box {x1:.0f}, {y1:.0f} to {x2:.0f}, {y2:.0f} ({percent(self.confidence)}{doubt})"

    @property
    def frames(self) -> Sequence[tuple[Box, float]]:
        return () if self.box is None else ((self.box, 1.0), *self.alternatives[1 : 1 + SHOWN])


@dataclass(frozen=True, kw_only=True)
class Chosen(Result):
    """One of several candidate boxes.

    Attributes:
        index, box: the chosen box and its index, from 0 (text and pages count boxes from 1); None if the confidence is
            below the threshold.
        alternatives: (index, confidence) of all candidates, best first, whatever the threshold. Each is the confidence
            in a box by itself; ``confidence`` is the confidence in the best box. Printed results, notebooks and the
            page show these values.
        shares: (index, share) in the same order: the probability that a box is right if exactly one box is. The shares
            add up to 1, and follow from the confidence in each box.
    """

    index: int | None
    box: Box | None
    alternatives: tuple[tuple[int, float], ...] = field(default=(), metadata=pairs_of("index"))
    shares: tuple[tuple[int, float], ...] = field(default=(), metadata=pairs_of("index", "share"))
    boxes: tuple[Box, ...] = field(default=(), repr=False, compare=False, metadata=HIDDEN)

    @property
    def found(self) -> bool:
        return self.index is not None

    def to_dict(self) -> dict[str, Any]:
        """As for every result; each alternative also has its ``box``."""
        tree = super().to_dict()
        tree["alternatives"] = [
            {"index": each["index"], "box": rounded(self.boxes[each["index"]]), "confidence": each["confidence"]}
            for each in tree["alternatives"]
        ]
        return tree

    @property
    def value(self) -> str:
        return _corners(self.box)

    @property
    def words(self) -> str:
        if self.index is None:
            return f"none of the {len(self.boxes)} boxes (at most {percent(self.confidence)})"
        return f"box {self.index + 1} of {len(self.boxes)} ({percent(self.confidence)})"

    @property
    def bars(self) -> Sequence[tuple[str, float, str]]:
        return best_bars([(f"box {index + 1}", share) for index, share in self.alternatives])

    @property
    def frames(self) -> Sequence[tuple[Box, float]]:
        others = [(self.boxes[index], share) for index, share in self.shares if index != self.index]
        return others if self.box is None else ((self.box, 1.0), *others)


def _corners(box: Box | None) -> str:
    """A box as its numbers, x1 y1 x2 y2 in pixels."""
    return "" if box is None else " ".join(f"{side:.1f}" for side in box)


_BOXES = "[(0, 0, 80, 60), (80, 60, 160, 120)]"


@register
class Region(Output):
    """A region of the image.

    ``Example.target`` is the right box (xyxy pixels) or, with ``Example.candidates``, the index of the right one; None
    if it is unknown. The regions of an example with candidates must include the candidates' boxes, at any place.
    """

    kind = "region"
    skill = "pointing"
    reads = "regions"
    image_free = "boxes"
    can_be_absent = True
    values = (int, list)
    index_of = "candidates"
    asks = "Point at the thing in an image that a phrase or a question refers to."
    asks_as: ClassVar = {"guess": "Point at the thing in an image that a dialogue is about."}
    legend = "Solid frame: the correct thing. Dashed frame: the model's choice."
    metrics: ClassVar = {"accuracy": "Share of the examples for which the model points at the correct thing."}
    methods = ("locate", "choose", "guess")
    examples: ClassVar = {
        "locate": 'scene.locate("the small red cup")',
        "choose": f'scene.choose("which one is red?", boxes={_BOXES})',
        "guess": f'scene.guess([("is it red?", "yes")], boxes={_BOXES})',
    }

    def head(self, *, fused_size: int, visual_size: int, size: int) -> nn.Module:
        """(P, R, V) -> (P, R)."""
        from twelve.outputs.parts.heads import PositionScorer

        return PositionScorer(visual_size)

    def start_from(self, head: nn.Module, targets: Mapping[str, Tensor]) -> None:
        bias = getattr(head, "bias", None)
        if bias is not None:  # a head of a program may have none
            with torch.no_grad():
                cast(Any, bias).copy_(log_odds(targets["target"][targets["valid"]].mean()))

    def loss(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Binary cross-entropy of (E, R) logits with soft overlaps, summed over regions (or candidates) without
        padding, averaged over examples."""
        return sum_over_labels(_scored(logits, targets), targets["target"], targets.get("valid"))

    def score(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """(E,) 1 if the best region overlaps the right box by more than 0.5 (is the right candidate), else 0."""
        scored, target = _scored(logits, targets), targets["target"].to(logits.device)
        if "valid" in targets:
            scored = scored.masked_fill(~targets["valid"].to(scored.device), -torch.inf)
        if "candidates" in targets:
            return (scored.argmax(1) == target.argmax(1)).to(torch.float32)
        return (label_at_best(scored, targets.get("overlap", target)) > THRESHOLD).to(torch.float32)

    def targets(self, examples: Examples, regions: RegionSets, vocabulary: Labels) -> dict[str, Tensor]:
        """Tensors that :meth:`loss` and :meth:`score` read.

        Detected regions, R = 1 + the largest number of regions: ``target`` (E, R) float32 overlap with the right box,
        0 below 0.5; ``overlap`` the same without the threshold; ``valid`` (E, R) bool, False for padding.

        Candidates, C = the largest number of them: ``candidates`` (E, C) int64 columns of the logits; ``target`` (E, C)
        overlap with the right candidate, 0 below 0.5; ``valid`` (E, C).

        Raises:
            RegionError: no region was extracted for a candidate.
        """
        chosen = [bool(example.candidates) for example in examples]
        if any(chosen) and not all(chosen):
            raise ValueError("expected examples with candidates or examples without, found both in one batch")
        if all(chosen) and chosen:
            return _candidate_targets(examples, regions)
        size = 1 + max((len(r.boxes) for r in regions), default=0)
        overlap, valid = torch.zeros(len(examples), size), torch.zeros(len(examples), size, dtype=torch.bool)
        for row, (example, seen) in enumerate(zip(examples, regions, strict=True)):
            valid[row, : 1 + len(seen.boxes)] = True
            if example.target is not None:
                found = overlap_with(with_whole(seen), _box(example))
                overlap[row, : len(found)] = torch.from_numpy(found)
        return {"target": _thresholded(overlap), "overlap": overlap, "valid": valid}

    def prospects(self, examples: Examples, regions: RegionSets, vocabulary: Labels) -> Prospects:
        """The share of the regions (the whole image included) that overlap the right box by half or more, with areas as
        in the official metric, and whether any does; with candidates, one over their number."""
        chance, best = np.empty(len(examples)), np.ones(len(examples))
        for row, (example, seen) in enumerate(zip(examples, regions, strict=True)):
            if example.candidates:
                chance[row] = 1 / len(example.candidates)
                continue
            meant = _box(example)
            right = [iou(box, meant) >= THRESHOLD for box in with_whole(seen).tolist()]
            chance[row], best[row] = sum(right) / len(right), any(right)
        return Prospects(chance, best)

    def decode(self, logits: Tensor, examples: Examples, regions: RegionSets, vocabulary: Labels) -> list[Prediction]:
        """The best box (xyxy pixels) of each row of (E, R) logits or, with candidates, the best one's index.

        The confidence is the sigmoid of its logit; ``alternatives`` are the best ten boxes, or all candidates, best
        first.
        """
        rows = logits.detach().double().cpu().numpy()
        found = []
        for row, example, seen in zip(rows, examples, regions, strict=True):
            values: Sequence[Box | int]
            if example.candidates:
                columns = candidate_columns(example, seen)
                row, values, shown = row[columns], range(len(columns)), len(columns)
            else:
                values = [cast(Box, tuple(box)) for box in with_whole(seen).tolist()]
                row, shown = row[: len(values)], KEPT
            order = np.argsort(-row, kind="stable")[:shown]
            shares = torch.sigmoid(torch.from_numpy(row[order])).tolist()
            ranked = tuple((values[column], share) for column, share in zip(order, shares, strict=True))
            found.append(Prediction(*ranked[0], alternatives=ranked))
        return found

    def card(self, record: RecordedPrediction) -> Card:
        meant, predicted = _shown(record, record.target), _shown(record, record.value)
        others = [box for box in record.candidates if box not in (meant, predicted)]
        frames = [Frame(box, "candidate") for box in others]
        frames += [Frame(meant, "wanted")] if meant is not None else []
        frames += [Frame(predicted, "predicted")] if predicted is not None else []
        says = f"the dashed frame, with confidence {percent(record.score)}"
        if record.candidates:
            says += f", out of {len(record.candidates)} candidates"
        wanted = "the solid frame"
        if meant is not None and predicted is not None:
            wanted += f"; the two overlap by {iou(meant, predicted):.0%}"
        return Card(record.text, [CardImage(image, frames) for image in record.images[:1]], says, wanted)

    def result(self, found: Prediction, context: Context) -> Located | Chosen:
        value = found.value if context.threshold is None or found.confidence >= context.threshold else None
        if not context.boxes:
            unlikely = found.confidence < context.likely
            return Located(box=value, alternatives=found.alternatives, unlikely=unlikely, **context.fields)
        box = None if value is None else context.boxes[value]
        shares = shares_of(found.alternatives)
        fields = {**context.fields, "alternatives": found.alternatives, "shares": shares, "boxes": context.boxes}
        return Chosen(index=value, box=box, **fields)


def shares_of(alone: Sequence[tuple[Any, float]]) -> tuple[tuple[Any, float], ...]:
    """The probability of each value if exactly one is right, from the confidence (0..1) in each by itself.

    If value k is right with probability p_k independently of the others, exactly it is with one proportional to
    p_k / (1 - p_k): the shares are the softmax of the logits.
    """
    sure = np.clip([confidence for _, confidence in alone], 1e-300, 1 - 2**-53)
    odds = sure / (1 - sure)
    return tuple((value, float(share)) for (value, _), share in zip(alone, odds / odds.sum(), strict=True))


def overlap_with(boxes: NDArray[np.floating[Any]], box: Box) -> NDArray[np.float32]:
    """(R,) intersection over union of (R, 4) boxes with one box, xyxy. Pixels at both ends are included: the area of
    a box is (x2 - x1 + 1)(y2 - y1 + 1). Computed in float64."""
    ours, one = boxes.astype(np.float64), np.asarray(box, dtype=np.float64)
    sides = np.minimum(ours[:, 2:], one[2:]) - np.maximum(ours[:, :2], one[:2]) + 1
    shared = np.clip(sides, 0, None).prod(1)
    areas = (ours[:, 2:] - ours[:, :2] + 1).prod(1) + (one[2:] - one[:2] + 1).prod()
    return cast(NDArray[np.float32], (shared / (areas - shared)).astype(np.float32))


def candidate_columns(example: Example, seen: Regions) -> NDArray[np.int64]:
    """(C,) column of the logits (region 0 is the whole image) that belongs to each candidate's box.

    It is the region with the nearest corners inside the image, the last of equals: candidates follow detected regions.

    Raises:
        RegionError: no region is within a pixel of a candidate.
    """
    limit = np.array([seen.width, seen.height, seen.width, seen.height], dtype=np.float64)
    theirs = np.clip(np.asarray(example.candidates, dtype=np.float64), 0, limit)
    ours = np.clip(seen.boxes.astype(np.float64), 0, limit)[::-1]
    if not len(ours):
        raise _no_region(example, seen, 0)
    distances = np.abs(theirs[:, None] - ours[None]).max(2)
    nearest = distances.argmin(1)
    far = distances[np.arange(len(theirs)), nearest] > SAME_BOX
    if far.any():
        raise _no_region(example, seen, int(far.argmax()))
    return cast(NDArray[np.int64], (len(ours) - nearest).astype(np.int64))


def _no_region(example: Example, seen: Regions, candidate: int) -> RegionError:
    return RegionError(
        f"{seen.image_id} has no region for candidate {candidate} ({example.candidates[candidate]})",
        record=example.id,
        remedy="extract the boxes that this dataset gives: add --boxes given:TASK to twelve regions extract",
    )


def _candidate_targets(examples: Sequence[Example], regions: Sequence[Regions]) -> dict[str, Tensor]:
    shape = len(examples), max(len(example.candidates) for example in examples)
    columns, valid = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.bool)
    overlap = torch.zeros(shape)
    for row, (example, seen) in enumerate(zip(examples, regions, strict=True)):
        count = len(example.candidates)
        columns[row, :count] = torch.from_numpy(candidate_columns(example, seen))
        valid[row, :count] = True
        if example.target is not None:
            right = example.candidates[_index(example)]
            overlap[row, :count] = torch.from_numpy(overlap_with(np.asarray(example.candidates), right))
    return {"candidates": columns, "target": _thresholded(overlap), "valid": valid}


def _scored(logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """The logits that ``target`` is about: those of the candidates or of its R regions (a batch may be padded
    further)."""
    if "candidates" in targets:
        return logits.gather(1, targets["candidates"].to(logits.device))
    return logits[:, : targets["target"].shape[1]]


def _thresholded(overlap: Tensor) -> Tensor:
    return torch.where(overlap < THRESHOLD, torch.zeros(()), overlap)


def with_whole(seen: Regions) -> NDArray[np.float32]:
    """(1 + R, 4) boxes, the whole image first."""
    whole = np.array([[0, 0, seen.width, seen.height]], dtype=np.float32)
    return np.concatenate([whole, seen.boxes])


def _box(example: Example) -> Box:
    if not isinstance(example.target, Sequence) or len(example.target) != 4 or isinstance(example.target, str):
        raise TypeError(f"{example.id}: expected a box as target, found {example.target!r}")
    return example.target


def _index(example: Example) -> int:
    if isinstance(example.target, bool) or not isinstance(example.target, int):
        raise TypeError(f"{example.id}: expected a candidate's index as target, found {example.target!r}")
    if not 0 <= example.target < len(example.candidates):
        raise ValueError(f"{example.id}: expected one of {len(example.candidates)} candidates, found {example.target}")
    return example.target


def _shown(record: RecordedPrediction, value: Any) -> Box | None:
    """The box to draw for a target or a value: itself, or the candidate with this index."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(record.candidates):
        return record.candidates[value]
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 4:
        return float(value[0]), float(value[1]), float(value[2]), float(value[3])
    return None
