"""Visual Dialog's ranking metrics, as (in float32) in metrics.py of batra-mlp-lab/visdial-challenge-starter-pytorch.

Recall at 1, 5 and 10, mean rank and mean reciprocal rank of the human answer (Das et al. 2017). With dense relevance
annotations for the options, also the normalized discounted cumulative gain (NDCG), cut off at the number of relevant
options. Axes: N rounds, O options.
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
RESULT = '{"image_id": 185565, "round_id": 1, "ranks": [rank of every option: 1 to 100, each once]}, in one list'


@dataclass(frozen=True, slots=True)
class VisDialScores:
    """Scores of a ranking.

    Attributes:
        places: (N,) rank of the correct option, from 1.
        recall: k -> share in 0..1 of the rounds whose correct option is among the first k (1, 5, 10).
        mean_rank, mrr: over all rounds; mrr in 0..1.
        ndcg: in 0..1, over rounds with relevance annotations; None without any.
        gains: row -> NDCG of this round, in 0..1.
    """

    places: NDArray[np.int64]
    recall: Mapping[int, float]
    mean_rank: float
    mrr: float
    ndcg: float | None
    gains: Mapping[int, float]


def evaluate(ranks: NDArray[np.int64], right: Sequence[int], relevance: Mapping[int, Sequence[float]]) -> VisDialScores:
    """Official metrics.

    Args:
        ranks: (N, O) rank of every option, from 1.
        right: (N,) index of the correct option.
        relevance: row of ``ranks`` -> (O,) relevance of its options, for annotated rounds.
    """
    places = ranks[np.arange(len(ranks)), np.asarray(right, dtype=np.int64)]
    gains = {row: gain(ranks[row], values) for row, values in relevance.items()}
    return VisDialScores(
        places,
        {most: float(np.mean(places <= most)) for most in RECALLS},
        float(places.mean()),
        float(np.mean(1 / places)),
        float(np.mean([*gains.values()])) if gains else None,
        gains,
    )


def gain(ranks: NDArray[np.int64], relevance: Sequence[float]) -> float:
    """NDCG of one round in 0..1, cut off at the number of relevant options.

    Args:
        ranks: (O,) rank of every option, from 1.
        relevance: (O,) relevance of every option, not all 0.
    """
    values = np.asarray(relevance, dtype=np.float64)
    count = int(np.count_nonzero(values))
    discount = np.log2(np.arange(count) + 2)
    found, best = values[np.argsort(ranks)][:count], np.sort(values)[::-1][:count]
    return float((found / discount).sum() / (best / discount).sum())


def ranks_of(ordered: Sequence[int]) -> list[int]:
    """Rank of every option, from 1, given the options in predicted order, best first."""
    places = [0] * len(ordered)
    for place, option in enumerate(ordered, 1):
        places[option] = place
    return places


def round_key(record: Record) -> str:
    """Image and round of a record, e.g. ``185565-1``."""
    return f"{record.integer('image_id')}-{record.integer('round_id')}"


def read_results(path: Path, options: int) -> dict[str, list[int]]:
    """``185565-1`` -> rank of every option, from a file of the official result layout::

        [{"image_id": 185565, "round_id": 1, "ranks": [31, 4, ...]}]

    Raises:
        DataError: a record is malformed, its ranks are not 1 to ``options`` each once, or a round is predicted twice.
    """
    with written_like(path, RESULT):
        records = by_id(read_elements(path), round_key, "round")
        return {key: _ranks(record, options) for key, record in records.items()}


def _ranks(record: Record, options: int) -> list[int]:
    ranks = record.integers("ranks")
    if sorted(ranks) != list(range(1, options + 1)):
        found = f", found {len(ranks)} of {options} ranks" if len(ranks) != options else ""
        raise record.error(f"field 'ranks' must hold each rank from 1 to {options} once{found}")
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
            raise record.error("expected no negative relevance and at least one above 0")
        found[key] = values
    if not found:
        raise DataError("contains no annotations", file=path, remedy=Again("download the file again"))
    return found
