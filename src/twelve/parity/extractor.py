"""Comparison of x152 with recordings of the original program: ``twelve regions parity DIR``.

With ``legacy``, every stage is compared with its recording: from the resized image through the maps of body and pyramid
to the proposals; then the box head on the recorded proposals; then all stages from image to record. Values are compared
relative to the largest recorded one, boxes in pixels, probabilities absolutely.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor
from torch.nn import functional

from twelve.errors import DataError
from twelve.parity.extractor_recording import Arrays, Case, Goldens, Statistics, open_image, read_goldens
from twelve.parity.recording import REMEDY, comparing, largest
from twelve.parity.report import Difference, report
from twelve.progress import Track
from twelve.regions.detectors.feature_extractor import Detections
from twelve.regions.detectors.x152.anchors import cell_anchors
from twelve.regions.detectors.x152.detector import X152, Encoded, checked_boxes, scored
from twelve.regions.detectors.x152.invented_weights import invented
from twelve.regions.detectors.x152.network import X152Network
from twelve.regions.detectors.x152.pooling import LEVELS, levels_of, pool
from twelve.regions.detectors.x152.preprocessing import batch, prepare
from twelve.regions.detectors.x152.proposals import propose
from twelve.regions.detectors.x152.sizes import X152Sizes
from twelve.regions.detectors.x152.weights import invent, original_name, shapes_of

RELATIVE = 1e-4
"""Tolerance of maps, features and logits, relative to the largest recorded value; stated in the recording's JSON."""
PIXELS = 0.05
"""Tolerance of boxes; stated in the JSON."""
PROBABILITY = 1e-4
"""Absolute tolerance of objectness and class probabilities."""
EXACT = 0.0

MANY = 1000
"""From this many proposals on, rounding swaps near ties, so rows are matched by their boxes."""


def run(path: Path, *, fold: bool = True, console: Console | None = None) -> int:
    """Compare with the recording at ``path`` and print the largest difference of each stage.

    Args:
        path: a folder with ``goldens.json``, or that file.
        fold: fold batch norms, as :func:`twelve.regions.detectors.x152.build` does by default.

    Returns:
        0 if every quantity is within its tolerance, else 1.

    Raises:
        TwelveError: the recording is missing, incomplete, damaged or unsupported.
    """
    return report(compare(path, fold=fold), console or Console())


def compare(path: Path, *, fold: bool = True) -> Iterator[tuple[str, list[Difference]]]:
    """Yield (title, differences), first for constants of the configuration, then for every case.

    Raises:
        TwelveError: see :func:`run`.
    """
    file, goldens = read_goldens(path)
    with comparing(file):
        constants = _constants(goldens)
    yield "configuration", constants
    with Track("comparing", len(goldens.cases), "cases") as track:
        for model, recorded in goldens.models.items():
            names = [name for name, case in goldens.cases.items() if case.model == model]
            if not names:
                continue
            with comparing(file):
                network = _network(recorded.sizes, goldens.weights.salt, fold)
            for name in names:
                arrays = Arrays(file.parent / f"{name}.npz")
                with comparing(arrays.file), torch.inference_mode():
                    case = Comparison.of(file.parent, goldens.cases[name], arrays, network, recorded.sizes)
                    differences = list(case.differences())
                yield f"{name} ({model})", differences
                track.advance()


def _network(sizes: X152Sizes, salt: str, fold: bool) -> X152Network:
    with torch.device("meta"):
        network = X152Network(sizes)
    invent(network, salt)
    if fold:
        network.fold()
    return network.eval().requires_grad_(False)


def _constants(goldens: Goldens) -> list[Difference]:
    """Compare anchors, levels of boxes by size, and the first values of invented weights."""
    found = [
        _exact(f"anchors of level {level}", cell_anchors(level), torch.tensor(boxes))
        for level, boxes in sorted(goldens.cell_anchors.items())
    ]
    if goldens.level_mapper is not None:
        side = torch.tensor(goldens.level_mapper.square_box_x2_minus_x1)
        boxes = torch.stack((torch.zeros_like(side), torch.zeros_like(side), side, side), dim=1)
        found.append(_exact("level by size", levels_of(boxes), torch.tensor(goldens.level_mapper.level_index)))
    for model in sorted({case.model for case in goldens.cases.values()}):
        with torch.device("meta"):
            shapes = shapes_of(X152Network(goldens.models[model].sizes))
        by_name = {original_name(name): shape for name, shape in shapes.items()}
        for name, values in goldens.weights.first(model).items():
            if name not in by_name:
                raise DataError(f"model {model} has no weight {name}", record="weights", remedy=REMEDY)
            ours = invented(name, by_name[name], goldens.weights.salt).flatten()[: len(values)]
            found.append(_relative(f"{model}: {name}", ours, torch.tensor(values), 1e-7))
    return found


@dataclass(frozen=True)
class Comparison:
    """One case: its recording, and the detector's results on its images."""

    case: Case
    arrays: Arrays
    detector: X152
    encoded: Encoded
    stages: Mapping[str, Tensor]
    proposals: Sequence[tuple[Tensor, Tensor]]
    records: Sequence[Detections]

    @classmethod
    def of(cls, folder: Path, case: Case, arrays: Arrays, network: X152Network, sizes: X152Sizes) -> Comparison:
        """Run the detector on the images of a case."""
        detector = X152(network, sizes, legacy=True)
        images = [
            prepare(open_image(folder / name), short_side=case.min_size, long_side=case.max_size, legacy=True)
            for name in case.images
        ]
        pixels = batch(images)
        body = network.body(pixels)
        maps = network.pyramid(body)
        encoded = Encoded(images, maps, (pixels.shape[3], pixels.shape[2]))
        stages = {"x": pixels}
        stages |= {f"C{number + 2}": stage for number, stage in enumerate(body)}
        stages |= {f"P{number + 2}": level for number, level in enumerate(maps)}
        if case.gt_path:
            given = [checked_boxes(arrays[f"{i}/gt_input"], legacy=True) for i in range(len(images))]
            proposals = [(boxes, torch.empty(0)) for boxes in detector.scaled(encoded, given)]
            records = detector.classify(encoded, given)
        else:
            logits, moves = network.rpn_head(maps)
            stages |= {f"rpn_logits_{number}": value for number, value in enumerate(logits)}
            stages |= {f"rpn_deltas_{number}": value for number, value in enumerate(moves)}
            proposals = propose(logits, moves, detector.extents(encoded), sizes)
            records = detector.ranked(
                encoded,
                [boxes for boxes, _ in proposals],
                case.num_features,
                case.args.threshold,
                background=case.args.background,
            )
        return cls(case, arrays, detector, encoded, stages | _head(network, encoded, arrays), proposals, records)

    def differences(self) -> Iterator[Difference]:
        """Compare every stage, the proposals and the records."""
        for name, recorded in self.case.stats.items():
            if name not in self.stages:
                raise DataError("no such stage", record=f"stats.{name}", remedy=REMEDY)
            yield _statistics(name, self.stages[name], recorded)
        for name, stage in self.stages.items():
            if name in self.arrays:
                yield _relative(f"{name}, all of it", stage, self.arrays[name])
        if "pooled_first8" in self.arrays:
            yield _relative("pooled, the first 8", self.stages["pooled"][:8], self.arrays["pooled_first8"])
        if self.case.level_counts is not None:
            levels = torch.cat([levels_of(boxes) for boxes, _ in self.proposals])
            counts = torch.bincount(levels[levels >= 0], minlength=LEVELS)
            yield _exact("boxes of each level", counts, torch.tensor(self.case.level_counts))
        for i in range(len(self.case.images)):
            yield from self._proposed(i)
            yield from self._recorded(i)

    def _proposed(self, i: int) -> Iterator[Difference]:
        """Compare the proposals of image i."""
        recorded, (boxes, objectness) = self.arrays[f"{i}/proposals"], self.proposals[i]
        order = self._order(boxes, recorded)
        yield Difference(f"{i}/proposals", largest(boxes[order], recorded), PIXELS, self._how)
        if f"{i}/objectness" in self.arrays:
            theirs = self.arrays[f"{i}/objectness"]
            yield Difference(f"{i}/objectness", largest(objectness[order], theirs), PROBABILITY, self._how)

    def _recorded(self, i: int) -> Iterator[Difference]:
        """Compare the regions of image i, without rows that lack a score and so a defined order."""
        ours, image, count = self.records[i], self.encoded.images[i], self.case.num_boxes[i]
        assert ours.scores is not None and ours.class_ids is not None
        assert ours.features is not None and ours.class_probabilities is not None
        yield _exact(f"{i}/num_boxes", torch.tensor(len(scored(ours).boxes)), torch.tensor(count))
        size = torch.tensor([image.width, image.height])
        yield _exact(f"{i}/image size", size, torch.tensor(self.case.image_wh[i]))
        theirs = self.arrays[f"{i}/bbox"]
        if len(theirs) != len(ours.boxes):
            yield Difference(f"{i}/bbox", torch.inf, PIXELS, f"{len(ours.boxes)} rows, recorded {len(theirs)}")
            return
        theirs = theirs[:count]
        order = self._order(ours.boxes[:count], theirs)
        yield Difference(f"{i}/bbox", largest(ours.boxes[order], theirs), PIXELS, self._how)
        yield _relative(f"{i}/features", ours.features[order], self.arrays[f"{i}/features"][:count])
        probabilities = self.arrays[f"{i}/cls_prob"][:count]
        difference = largest(ours.class_probabilities[order], probabilities)
        yield Difference(f"{i}/cls_prob", difference, PROBABILITY)
        yield _exact(f"{i}/objects", ours.class_ids[order], self.arrays[f"{i}/objects_fixed"][:count])
        if f"{i}/max_conf" in self.arrays:
            scores = self.arrays[f"{i}/max_conf"][:count]
            yield Difference(f"{i}/max_conf", largest(ours.scores[order], scores), PROBABILITY)
        written = f"{i}/objects_original_script"
        if written in self.arrays:
            probabilities, background = ours.class_probabilities[order], self.case.args.background
            again = ours.class_ids[order] if self.case.gt_path else original_objects(probabilities, background)
            yield _exact(written, again, self.arrays[written][: len(again)])

    @property
    def _unordered(self) -> bool:
        return self.detector.sizes.proposals >= MANY and not self.case.gt_path

    @property
    def _how(self) -> str:
        return "matched to the nearest" if self._unordered else ""

    def _order(self, ours: Tensor, theirs: Tensor) -> Tensor:
        """(R,) indices of our rows that match theirs: in order, unless near ties may have swapped rows. If the nearest
        rows are not a permutation, keeps the order, so that the comparison fails."""
        plain = torch.arange(len(ours))
        if not self._unordered or ours.shape != theirs.shape:
            return plain
        nearest = torch.cdist(theirs.double(), ours.double(), p=torch.inf).argmin(dim=1)
        return nearest if torch.equal(nearest.sort().values, plain) else plain


def _head(network: X152Network, encoded: Encoded, arrays: Arrays) -> dict[str, Tensor]:
    """Stages of the box head on the recorded proposals."""
    boxes = [arrays[f"{i}/proposals"] for i in range(len(encoded.images))]
    pooled = pool(encoded.maps, boxes)
    features, logits = network.describe(pooled)
    return {"pooled": pooled, "fc6": features, "fc7": functional.relu(network.fc7(features)), "logits": logits}


def _statistics(name: str, ours: Tensor, recorded: Statistics) -> Difference:
    """Largest difference among the statistics and samples of a tensor."""
    if tuple(ours.shape) != recorded.shape:
        return Difference(name, torch.inf, RELATIVE, f"shape {list(ours.shape)}, recorded {list(recorded.shape)}")
    flat, count = ours.flatten(), len(recorded.samples)
    at = torch.arange(count) * len(flat) // max(1, count)
    summary = torch.stack((flat.double().mean(), flat.double().std(correction=0), flat.min(), flat.max()))
    theirs = torch.tensor([recorded.mean, recorded.std, recorded.min, recorded.max, *recorded.samples])
    return _relative(name, torch.cat((summary.double(), flat[at].double())), theirs.double())


def _relative(name: str, ours: Tensor, theirs: Tensor, tolerance: float = RELATIVE) -> Difference:
    """Largest difference relative to the largest recorded value."""
    scale = float(theirs.abs().max()) if theirs.numel() else 1.0
    return Difference(name, largest(ours, theirs) / (scale or 1.0), tolerance, f"of {scale:.3g}")


def _exact(name: str, ours: Tensor, theirs: Tensor) -> Difference:
    return Difference(name, largest(ours, theirs), EXACT)


def original_objects(probabilities: Tensor, background: bool = False) -> Tensor:
    """``objects`` as the original extraction script computes it, including its mistake: it drops the first row instead
    of the first column, so there is one class too few, each is one row late, and class 0 is background.

    Args:
        probabilities: (R, 1 + C), background first.
    """
    return probabilities[0 if background else 1 :].argmax(dim=1)
