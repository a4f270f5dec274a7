"""Visual Dialog's ranking metrics, equal (in float32) to metrics.py of batra-mlp-lab/visdial-challenge-starter-pytorch.

Recall at 1, 5 and 10, mean rank and mean reciprocal rank of the answer that was given (Das et al. 2017); and, with the
relevance that several people gave to every option, the normalised discounted cumulative gain over as many places as
there are relevant options. Axes: N rounds, O options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twelve.errors import Again, DataError
from twelve.formats.json_streams import read_elements
from twelve.formats.records import Record
from twelve.formats.results import by_id, written_like

RECALLS = (1, 5, 10)
RESULT = '{"image_id": 185565, "round_id": 1, "ranks": [the place of every option: 1 to 100, each once]}, in one list'


@dataclass(frozen=True, slots=True)
class Scores:
    """What a ranking scores.

    Attributes:
        places: (N,) rank of the right option, from 1.
        recall: 1, 5 and 10 -> share in 0..1 of the rounds whose right option is that high.
        mean_rank, mrr: over all rounds; mrr in 0..1.
        ndcg: in 0..1, over the rounds whose relevance is known; None without any.
    """

    places: NDArray[np.int64]
    recall: Mapping[int, float]
    mean_rank: float
    mrr: float
    ndcg: float | None


def evaluate(ranks: NDArray[np.int64], right: Sequence[int], relevance: Mapping[int, Sequence[float]]) -> Scores:
    """Official metrics.

    Args:
        ranks: (N, O) place of every option, from 1.
        right: (N,) index of the option that was the answer.
        relevance: row of ``ranks`` -> (O,) relevance of its options, for the rounds where it is known.
    """
    places = ranks[np.arange(len(ranks)), np.asarray(right, dtype=np.int64)]
    gains = [gain(ranks[row], values) for row, values in relevance.items()]
    return Scores(
        places,
        {most: float(np.mean(places <= most)) for most in RECALLS},
        float(places.mean()),
        float(np.mean(1 / places)),
        float(np.mean(gains)) if gains else None,
    )


def gain(ranks: NDArray[np.int64], relevance: Sequence[float]) -> float:
    """Normalised discounted cumulative gain in 0..1 of one round, over as many places as options are relevant.

    Args:
        ranks: (O,) place of every option, from 1.
        relevance: (O,) of every option, at least one of them not 0.
    """
    values = np.asarray(relevance, dtype=np.float64)
    count = int(np.count_nonzero(values))
    discount = np.log2(np.arange(count) + 2)
    found, best = values[np.argsort(ranks)][:count], np.sort(values)[::-1][:count]
    return float((found / discount).sum() / (best / discount).sum())


def ranks_of(ordered: Sequence[int]) -> list[int]:
    """Place of every option, from 1, of options in the order that was predicted, best first."""
    places = [0] * len(ordered)
    for place, option in enumerate(ordered, 1):
        places[option] = place
    return places


def round_key(record: Record) -> str:
    """Image and round of a record: ``185565-1``."""
    return f"{record.integer('image_id')}-{record.integer('round_id')}"


def read_results(path: Path, options: int) -> dict[str, list[int]]:
    """``185565-1`` -> place of every option, from a file of the official result layout::

        [{"image_id": 185565, "round_id": 1, "ranks": [31, 4, ...]}]

    Raises:
        DataError: a record is malformed, its ranks are not 1 to ``options`` each once, or a round was answered twice.
    """
    with written_like(path, RESULT):
        records = by_id(read_elements(path), round_key)
        return {key: _ranks(record, options) for key, record in records.items()}


def _ranks(record: Record, options: int) -> list[int]:
    ranks = record.integers("ranks")
    if sorted(ranks) != list(range(1, options + 1)):
        found = f", found {len(ranks)} of {options} ranks" if len(ranks) != options else ""
        raise record.error(f"field 'ranks' must hold every place from 1 to {options} once{found}")
    return ranks


def read_relevance(path: Path, options: int) -> dict[str, tuple[float, ...]]:
    """``185565-1`` -> relevance of its options, from a file of dense annotations::

        [{"image_id": 185565, "round_id": 1, "gt_relevance": [0, 0.4, ...]}]

    Raises:
        DataError: a record is malformed, no option is relevant, or a round occurs twice.
    """
    found: dict[str, tuple[float, ...]] = {}
    for record in read_elements(path):
        key = round_key(record)
        values = record.numbers(record.one_of("gt_relevance", "relevance"), options, most=1)
        if key in found:
            raise record.error(f"round {key} occurs twice")
        if min(values) < 0 or max(values) == 0:
            raise record.error("some option must be relevant, and none less than not at all")
        found[key] = values
    if not found:
        raise DataError("holds no annotation", file=path, remedy=Again("download the file again"))
    return found
