"""What each head of the network reads, from which follows what the trunk must compute for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from twelve.model.streams import Need

STATES: Mapping[str, tuple[Need, Need]] = {
    "words": (Need.ALL, Need.NONE),
    "regions": (Need.NONE, Need.ALL),
    "fused": (Need.FIRST, Need.FIRST),
}
"""Representation that a head may read -> the positions of text and regions that it is made of."""
MASK = "region_mask"
"""What a head may read besides regions: (P, R) bool, False at padding. A head that reads it treats padding itself; of
other heads on regions, the logits of padding are masked."""


class Head(NamedTuple):
    """A head, as it is declared.

    Attributes:
        module: its name in the network; "" for states alone.
        reads: arguments of its module: names in :data:`STATES`, :data:`MASK`, "embedding" (the words' matrix),
            "hidden_words" and "hidden_regions".
        dropout: whether final states of words and regions are dropped out for it; ``fused`` always is.
        everywhere: whether it is among all heads; else it is only computed when it is named.
    """

    module: str
    reads: tuple[str, ...]
    dropout: bool = True
    everywhere: bool = True


FINAL: Mapping[str, Head] = {name: Head("", (name,), everywhere=False) for name in ("words", "regions")}
"""Final states alone."""
PRETRAINING: Mapping[str, Head] = {
    "pretraining.words": Head("pretraining.words", ("words", "embedding"), dropout=False),
    "pretraining.regions": Head("pretraining.regions", ("regions",), dropout=False),
    "pretraining.alignment": Head("pretraining.alignment", ("fused",)),
    "pretraining": Head(
        "pretraining",
        ("words", "regions", "fused", "embedding", "hidden_words", "hidden_regions"),
        dropout=False,
        everywhere=False,
    ),
}
"""The last one is the three others at hidden positions alone."""


def needs(heads: Iterable[Head]) -> tuple[Need, Need]:
    """The positions of text and of regions that any of the heads reads."""
    read = [STATES[name] for head in heads for name in head.reads if name in STATES]
    return max((text for text, _ in read), default=Need.NONE), max((image for _, image in read), default=Need.NONE)
