"""Which values are predicted instead of which, for outputs that choose among named ones: answers and classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from twelve.evaluation.results import Confusion
from twelve.outputs import Output
from twelve.types.examples import Example
from twelve.types.predictions import Prediction

CLASSES = 6
"""With at most this many values, all pairs are kept, the right ones too; with more, the most frequent wrong ones."""
KEPT = 20
HALF = 0.5
"""Least mark of a prediction that is not a confusion."""


def confusions(
    output: Output, examples: Sequence[Example], predictions: Sequence[Prediction], right: NDArray[np.float64]
) -> tuple[Confusion, ...]:
    """Pairs of right and predicted value, the most frequent ones first; none if the output has no named values.

    Args:
        right: (N,) mark of each prediction, 0..1. An answer that some people gave can be right in part.
    """
    labels = [output.label(example) for example in examples]
    if any(label is None for label in labels):
        return ()
    wanted = [output.name(label) for label in labels]
    said = [output.name(prediction.value) for prediction in predictions]
    of, pairs = Counter(wanted), Counter(zip(wanted, said, strict=True))
    if len({*wanted, *said}) > CLASSES:
        wrong = np.flatnonzero(right < HALF)
        pairs = Counter((wanted[row], said[row]) for row in wrong)
        kept = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:KEPT]
    else:
        kept = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Confusion(*pair, count, of[pair[0]]) for pair, count in kept)
