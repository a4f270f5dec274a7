"""Similarity of two models' states, layer by layer: linear centred kernel alignment.

CKA(X, Y) = HSIC(X X', Y Y') / sqrt(HSIC(X X', X X') HSIC(Y Y', Y Y')) for states X (n, d) and Y (n, e) of the same n
positions ("Similarity of Neural Network Representations Revisited", Kornblith et al. 2019). It is 1 for states that
differ by a rotation and a scale.

HSIC is estimated without bias in every batch and averaged over batches ("Do Wide and Deep Networks Learn the Same
Things?", Nguyen et al. 2021, equation 3; the estimator of Song et al. 2012): the plain estimate rises with d / n, so
wide layers would look more similar than narrow ones, and its value would depend on the size of a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from twelve.metrics.bootstrap import Interval
from twelve.model.network import Network
from twelve.study.bootstrap import Array, interval
from twelve.types.batch import Batch

FEWEST = 4
"""Positions that the unbiased estimate needs."""
TEXT, IMAGE = "text", "image"


def hsic(first: Tensor, second: Tensor) -> float:
    """Unbiased estimate of HSIC from two Gram matrices (n, n) of the same n positions.

    Raises:
        ValueError: fewer than four positions.
    """
    n = len(first)
    if n < FEWEST:
        raise ValueError(f"expected at least {FEWEST} positions, found {n}")
    first, second = (gram.double() - torch.diag(gram.double().diagonal()) for gram in (first, second))
    ends = first.sum() * second.sum() / ((n - 1) * (n - 2)) - 2 * first.sum(0) @ second.sum(0) / (n - 2)
    return float(((first * second).sum() + ends) / (n * (n - 3)))


@dataclass(slots=True)
class Similarity:
    """CKA of one layer, over batches.

    Attributes:
        sums: for each batch HSIC of both models' states, of the first's and of the second's with themselves.
    """

    sums: list[tuple[float, float, float]] = field(default_factory=list)

    def add(self, first: Tensor, second: Tensor) -> None:
        """Take the states (n, d) and (n, e) of another batch."""
        grams = [states @ states.T for states in (first.double(), second.double())]
        self.sums.append((hsic(grams[0], grams[1]), hsic(grams[0], grams[0]), hsic(grams[1], grams[1])))

    def value(self, *, resamples: int = 2000, seed: int = 0) -> Interval:
        """The alignment with a bootstrap interval over batches; 0..1 but for noise."""
        sums = np.array(self.sums)
        drawn = np.random.default_rng(seed).integers(0, len(sums), (resamples, len(sums)))
        return interval(_ratio(sums[drawn].mean(1)), float(_ratio(sums.mean(0)[None])[0]))


def _ratio(sums: Array) -> Array:
    """(R,) alignment of mean sums (R, 3)."""
    found: Array = sums[:, 0] / np.sqrt(np.maximum(sums[:, 1] * sums[:, 2], 1e-300))
    return found


def compare(first: Network, second: Network, batches: Iterable[Batch]) -> dict[str, Similarity]:
    """Layer -> alignment of two models of one architecture; layers are named as in :class:`twelve.model.streams.Trace`.

    Args:
        batches: the same for both models; only positions that are not padding count.
    """
    found: dict[str, Similarity] = {}
    for batch in batches:
        ours, theirs = states_of(first, batch), states_of(second, batch)
        for name in [name for name in ours if name in theirs and len(ours[name]) >= FEWEST]:
            found.setdefault(name, Similarity()).add(ours[name], theirs[name])
    return found


def states_of(model: Network, batch: Batch) -> Mapping[str, Tensor]:
    """Layer -> (n, d) states at the positions of a batch's pairs that are not padding."""
    model.train(False)
    with torch.inference_mode():
        found = model(**batch.inputs(model.device), outputs=(), return_states=True)
    words, regions = (
        torch.ones(states.shape[:2], dtype=torch.bool, device=model.device) if mask is None else mask
        for states, mask in ((found.words, found.text_mask), (found.regions, found.region_mask))
    )
    masks = {TEXT: words, IMAGE: regions}
    beside = torch.cat([words, regions], dim=1)  # of a layer that words and regions share
    chosen = {}
    for name, states in found.states.items():
        stream = next((part for part in name.split(".") if part in masks), None)
        chosen[name] = states[beside if stream is None else masks[stream]]
    return chosen
