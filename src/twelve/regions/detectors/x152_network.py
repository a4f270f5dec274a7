"""The ResNeXt-152 detector of the paper behind the common interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from twelve.errors import ConfigError
from twelve.regions.detectors import weights as weight_files
from twelve.regions.detectors.backbones import CODE_VERSION
from twelve.regions.detectors.network import Found, Looker, Prepared
from twelve.regions.detectors.x152 import PAPER, X152, Look, Sizes
from twelve.regions.detectors.x152 import build as build_x152
from twelve.regions.detectors.x152.preprocessing import LONG_SIDE, SHORT_SIDE

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class X152Looker(Looker):
    """The detector with its own preprocessing; images go through one by one, as what shares a batch changes them.

    Args:
        detector: batch norms already folded or not.
        weights_hash: of its weights, before anything was folded or rounded.
        precision: that its network has: fp32 or bf16.
        exact: of bf16, makes the same in fp32.
    """

    name = "x152"
    threshold = 0.0
    knows_probabilities = True
    alone = True

    def __init__(
        self,
        detector: X152,
        weights_hash: str,
        *,
        precision: str = "fp32",
        exact: Callable[[], X152Looker] | None = None,
    ) -> None:
        self.detector, self._hash, self.precision, self._exact = detector, weights_hash, precision, exact
        self.classes, self.feature_size, self.raw = detector.classes, detector.feature_size, detector.legacy

    def prepare(self, image: Image.Image) -> Prepared:
        return self.detector.preprocess(image)

    def look(self, images: Sequence[Any]) -> Look:
        return self.detector.look(images)

    def detect(self, seen: Look, most: int, threshold: float) -> list[Found]:
        found = []
        for record in self.detector.found(seen, most, threshold):
            # Without a threshold the rows that it does not stand by fill up the number, as in the original records.
            rows = slice(record.count if threshold > 0 else None)
            found.append(Found(record.boxes[rows], record.scores[rows], record.class_ids[rows], record.features[rows]))
        return found

    def describe(self, seen: Look, boxes: Sequence[Tensor]) -> list[Tensor]:
        return [record.features for record in self.detector.given(seen, boxes)]

    @torch.inference_mode()
    def probabilities(self, features: Tensor) -> Tensor:
        network = self.detector.network
        hidden = functional.relu(network.fc7(features.to(network.fc7.weight)))
        return network.cls_score(hidden).float().softmax(-1)  # type: ignore[no-any-return]

    def exact(self) -> X152Looker | None:
        return None if self._exact is None else self._exact()

    def settings(self) -> dict[str, Any]:
        own = self.detector
        return {
            "backbone": self.name,
            "weights": self._hash,
            "input": {"short_side": own.short_side, "long_side": own.long_side},
            "legacy": own.legacy,
            "precision": self.precision,
            "mode": "boxes",
            "code": CODE_VERSION,
        }

    def to(self, device: torch.device) -> X152Looker:
        self.detector.to(device)
        return self


def build(
    weights: str | None,
    *,
    legacy: bool = False,
    precision: str = "fp32",
    short_side: int | None = None,
    sizes: Sizes = PAPER,
) -> X152Looker:
    """The detector, batch norms folded and channels last in memory, which is faster.

    Args:
        weights: the released ``detectron_model.pth`` or another file of the same names, or ``random``.
        legacy: see :class:`twelve.regions.detectors.x152.X152`.
        precision: fp32; or bf16, about twice as fast on machines made for it, and another network's regions.
        short_side: pixels of an image's short side in the network; None takes the original's 800.

    Raises:
        ConfigError: no weights given, or no such precision.
        RegionError: they are missing, damaged or another network's.
    """
    if not weights or weights == "pretrained":
        raise ConfigError(
            "x152 has no download of its own" if weights else "no weights given",
            remedy="give --weights detectron_model.pth (docs/regions.md says whose it is), or random to try things out",
        )
    if precision not in _DTYPES:
        raise ConfigError(f"x152 has no precision {precision}", remedy="choose --precision fp32 or bf16")
    short = SHORT_SIDE if short_side is None else short_side
    long = LONG_SIDE if short_side is None else round(LONG_SIDE * short / SHORT_SIDE)
    detector = build_x152(weights, legacy=legacy, sizes=sizes, fold=False, short_side=short, long_side=long)
    content = weight_files.content_hash(detector.network)
    detector.network.fold()
    detector.network.to(dtype=_DTYPES[precision], memory_format=torch.channels_last)  # type: ignore[call-overload]
    exact = None if precision == "fp32" else partial(build, weights, legacy=legacy, short_side=short_side, sizes=sizes)
    return X152Looker(detector, content, precision=precision, exact=exact)
