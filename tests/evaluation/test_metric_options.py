"""Rankings of options against the recorded official numbers; VCR's three accuracies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twelve.errors import DataError
from twelve.metrics import vcr, visdial


def recorded(goldens: Path) -> tuple[Any, Any]:
    folder = goldens / "metrics" / "visdial_metrics"
    return json.loads((folder / "inputs.json").read_text()), json.loads((folder / "expected.json").read_text())


def test_equal_to_the_official_program(goldens: Path) -> None:
    inputs, golden = recorded(goldens)
    order = np.argsort(-np.array(inputs["scores"]), axis=2, kind="stable")
    ranks = np.array([[visdial.ranks_of(line.tolist()) for line in dialog] for dialog in order])
    rounds = ranks.shape[1]
    dense = enumerate(zip(inputs["dense_round_index_from_0"], inputs["gt_relevance"], strict=True))
    relevance = {dialog * rounds + place: values for dialog, (place, values) in dense}
    found = visdial.evaluate(ranks.reshape(-1, ranks.shape[2]), np.ravel(inputs["gt_index"]).tolist(), relevance)
    ours = {f"r@{most}": share for most, share in found.recall.items()} | {"mean": found.mean_rank, "mrr": found.mrr}
    assert {name: float(np.float32(value)) for name, value in ours.items()} == golden["expected"]["sparse"]
    assert found.ndcg is not None and float(np.float32(found.ndcg)) == golden["expected"]["dense"]["ndcg"]


def test_gain_counts_as_many_places_as_are_relevant() -> None:
    ranks = np.array([1, 2, 3, 4])
    assert visdial.gain(ranks, [0.5, 1, 0, 0]) == pytest.approx((0.5 + 1 / np.log2(3)) / (1 + 0.5 / np.log2(3)))
    assert visdial.gain(ranks, [0, 1, 0, 0]) == 0  # one is relevant: only the first place counts
    assert visdial.gain(ranks[::-1], [0, 0, 0.2, 1]) == 1


def test_no_ndcg_without_relevance() -> None:
    found = visdial.evaluate(np.array([[2, 1], [1, 2]]), [1, 1], {})
    assert found.ndcg is None and found.places.tolist() == [1, 2] and found.mrr == 0.75


def row(answer: int, **reasons: int) -> dict[str, float]:
    found = {name: float(choice == answer) for choice, name in enumerate(vcr.ANSWERS)}
    for told, reason in reasons.items():
        found |= {name: float(choice == reason) for choice, name in enumerate(vcr.REASONS[int(told[1:])])}
    return found


def test_reasons_are_those_of_the_right_answer() -> None:
    labels = {"a": (1, 2), "b": (0, 3), "c": (2, 1)}
    predicted = {"a": row(1, a1=2, a0=0), "b": row(1, a0=3, a1=0), "c": row(2, a2=0, a1=1)}
    found = vcr.evaluate(labels, predicted, Path("x"))
    assert found.answers == [True, False, True] and found.reasons == [True, True, False]
    assert found.both == [True, False, False]


def test_a_line_that_ends_before_its_name(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("answer_0,answer_1,answer_2,answer_3,annot_id\n1,2,3,4\n1,2,3,4,val-0\n")
    with pytest.raises(DataError, match=r"line 2\]: this line has no annot_id"):
        vcr.read_results([path])


def test_what_was_not_predicted_is_not_measured() -> None:
    found = vcr.evaluate({"a": (1, 2)}, {"a": row(1)}, Path("x"))
    assert found.answers == [True] and found.reasons is None and found.both is None
    with pytest.raises(DataError, match=r"rationale_conditioned_on_a0_0.*no score, although other questions"):
        vcr.evaluate({"a": (1, 2), "b": (0, 0)}, {"a": row(1, a1=2), "b": row(0)}, Path("x"))
    with pytest.raises(DataError, match="found neither"):
        vcr.evaluate({"a": (1, 2)}, {"a": {}}, Path("x"))
