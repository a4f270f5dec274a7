"""NLVR2 and SNLI-VE: reading and measuring."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from twelve.errors import DataError, MissingData
from twelve.formats.data_root import DataRoot
from twelve.metrics.nlvr2 import read_predictions
from twelve.tasks.base import get
from twelve.tasks.nlvr2 import read_statements
from twelve.tasks.snli_ve import read_pairs
from twelve.types.examples import Example


def write(folder: Path, name: str, *rows: dict[str, Any]) -> DataRoot:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DataRoot(folder)


def statement(identifier: str = "dev-850-0-1", **changes: Any) -> dict[str, Any]:
    return {"identifier": identifier, "sentence": "Both images show otters.", "label": "False"} | changes


def pair(**changes: Any) -> dict[str, Any]:
    fields = {"Flickr30K_ID": "2248275918", "gold_label": "neutral", "pairID": "2248275918.jpg#2r1n"}
    return fields | {"sentence1": "A cook smiles.", "sentence2": "The cook is hungry."} | changes


def test_statements(tmp_path: Path) -> None:
    root = write(tmp_path, "nlvr2/dev.json", statement(), statement("dev-850-1-1", label="True"))
    first, second = get("nlvr2").read(root, "dev")
    assert first == Example(
        id="dev-850-0-1",
        text="Both images show otters.",
        images=("nlvr2/dev-850-0-img0", "nlvr2/dev-850-0-img1"),
        target=False,
        group="dev-850--1",
    )
    assert (second.target, second.group) == (True, first.group)
    with pytest.raises(MissingData, match=r"test1\.json: no such file -> download test1\.json from https://github"):
        get("nlvr2").read(root, "test1")


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([statement(), statement()], r"dev\.json \[line 2\]: identifier dev-850-0-1 occurs twice"),
        ([statement("1572-0")], "'identifier' must be split-set-pair-sentence, found '1572-0'"),
        ([statement(label="true")], "'label' must be \"True\" or \"False\", found 'true'"),
        ([statement(label=True)], "'label' must be a string, found bool True"),
        ([{"identifier": "dev-1-0-0", "label": "True"}], "field 'sentence' is missing"),
    ],
)
def test_malformed_statements(tmp_path: Path, rows: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        get("nlvr2").read(write(tmp_path, "nlvr2/dev.json", *rows), "dev")


def test_measuring_statements(goldens: Path) -> None:
    folder = goldens / "metrics" / "nlvr2"
    examples = list(read_statements(folder / "dev.json"))
    words = read_predictions(folder / "predictions.csv")
    predictions = [SimpleNamespace(value=words[e.id].lower() == "true") for e in examples]
    found = get("nlvr2").measure(examples, predictions)
    golden = json.loads((folder / "expected.json").read_text())["expected"]["metrics"]
    assert found.headline == pytest.approx(100 * golden["accuracy"])
    assert found.metrics["consistency"] == pytest.approx(100 * golden["consistency"])
    assert 100 * found.per_example.mean() == pytest.approx(found.headline)
    assert found.groups == [e.group for e in examples]


@pytest.mark.parametrize(
    "spelling",
    [
        {"Flickr30K_ID": "2248275918"},
        {"Flikr30kID": "2248275918.jpg"},
        {"Flikr30kID": "2248275918"},
        {"Flickr30K_ID": "2248275918.jpg", "Flikr30kID": "2248275918.jpg"},
    ],
)
def test_three_spellings_of_the_image(tmp_path: Path, spelling: dict[str, str]) -> None:
    row = pair()
    del row["Flickr30K_ID"]
    root = write(tmp_path, "snli_ve/snli_ve_dev.jsonl", row | spelling)
    (example,) = get("snli_ve").read(root, "dev")
    assert example == Example(
        id="2248275918.jpg#2r1n",
        text="The cook is hungry.",
        images=("flickr30k/2248275918",),
        target="neutral",
        group="flickr30k/2248275918",
    )


def test_pairs_without_agreement_are_left_out_and_the_caption_is_not_read(tmp_path: Path) -> None:
    rows = [pair(gold_label="-"), {key: value for key, value in pair().items() if key != "sentence1"}]
    (example,) = get("snli_ve").read(write(tmp_path, "snli_ve/snli_ve_train.jsonl", *rows), "train")
    assert "smiles" not in example.text


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (pair(gold_label="entails"), "'gold_label' must be one of entailment, neutral, contradiction, found 'entails'"),
        ({"gold_label": "neutral", "sentence2": "x", "pairID": "1"}, "'Flickr30K_ID' or 'Flikr30kID' is missing"),
        (pair(sentence2=None), "'sentence2' must be a string"),
        (pair(Flickr30K_ID=2248275918), "'Flickr30K_ID' must be a string, found int"),
    ],
)
def test_malformed_pairs(tmp_path: Path, row: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        get("snli_ve").read(write(tmp_path, "snli_ve/snli_ve_dev.jsonl", row), "dev")


@pytest.mark.parametrize("split", ["dev", "test"])
def test_both_releases_hold_the_same(goldens: Path, split: str) -> None:
    folder = goldens / "metrics" / "snli_ve"
    later = list(read_pairs(folder / f"snli_ve_{split}.jsonl"))
    assert later == list(read_pairs(folder / f"snli_ve_{split}_first_release_layout.jsonl"))
    assert len(later) == json.loads((folder / "expected.json").read_text())["expected"]["generator_counts"][split]


def test_measuring_pairs(goldens: Path) -> None:
    folder = goldens / "metrics" / "snli_ve"
    examples = list(read_pairs(folder / "snli_ve_dev.jsonl"))
    lines = (folder / "predictions_dev.jsonl").read_text().splitlines()
    found = get("snli_ve").measure(examples, [SimpleNamespace(value=json.loads(line)["prediction"]) for line in lines])
    assert f"{found.headline:.2f}" == "85.17"
    assert f"{found.metrics['accuracy, contradiction']:.2f}" == "83.58"
    assert 100 * found.per_example.mean() == pytest.approx(found.headline)
