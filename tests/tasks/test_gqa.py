"""GQA's readers, and the task against eval.py's recording (tests/goldens/metrics/gqa)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from twelve.errors import DataError, MissingData
from twelve.formats.data_root import DataRoot
from twelve.score import score
from twelve.tasks.base import get


@pytest.fixture(scope="module")
def recorded(goldens: Path, tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """All questions, their balanced part, and the choices, under their official names."""
    folder = tmp_path_factory.mktemp("root") / "gqa"
    folder.mkdir()
    golden = goldens / "metrics" / "gqa"
    for name in ("val_all_questions.json", "val_choices.json"):
        shutil.copy(golden / name, folder)
    rows = json.loads((golden / "val_all_questions.json").read_text())
    balanced = {key: row for key, row in rows.items() if row["isBalanced"]}
    (folder / "val_balanced_questions.json").write_text(json.dumps(balanced))
    return DataRoot(folder.parent)


def predicted(goldens: Path, examples: list[Any]) -> list[SimpleNamespace]:
    rows = json.loads((goldens / "metrics" / "gqa" / "val_predictions.json").read_text())
    answers = {row["questionId"]: row["prediction"] for row in rows}
    return [SimpleNamespace(value=answers[example.id]) for example in examples]


def test_measure_is_the_official_program(goldens: Path, recorded: DataRoot) -> None:
    expected = json.loads((goldens / "metrics" / "gqa" / "expected.json").read_text())["expected"]["scores"]
    task = get("gqa")
    examples = task.read(recorded, "val_all")
    found = task.measure(examples, predicted(goldens, examples))
    names = ("accuracy", "binary", "open", "consistency", "validity", "plausibility", "distribution")
    for name in names:
        assert found.metrics[name] == pytest.approx(expected[name], abs=1e-9)
    for name, (share, _) in expected["accuracyPerStructuralType"].items():
        assert found.metrics[f"accuracy, structural {name}"] == pytest.approx(share)
    for name, (share, _) in expected["accuracyPerLength"].items():
        assert found.metrics[f"accuracy, words {name}"] == pytest.approx(share)
    balanced = task.read(recorded, "val_balanced")
    assert len(found.per_example) == len(found.groups) == len(balanced) < len(examples)
    assert 100 * found.per_example.mean() == pytest.approx(found.headline)
    part = task.measure(balanced, predicted(goldens, balanced))
    assert part.headline == found.headline and "consistency" not in part.metrics  # entailed questions are not there


def test_choices_need_not_be_there(goldens: Path, recorded: DataRoot, tmp_path: Path) -> None:
    shutil.copytree(recorded.path / "gqa", tmp_path / "gqa")
    (tmp_path / "gqa" / "val_choices.json").unlink()
    examples = get("gqa").read(DataRoot(tmp_path), "val_balanced")
    found = get("gqa").measure(examples, predicted(goldens, examples))
    assert "validity" not in found.metrics and found.metrics["accuracy"] > 0
    (tmp_path / "gqa" / "val_choices.json").write_text('{"1": {"valid": ["x"], "plausible": [1]}}')
    with pytest.raises(DataError, match=r"val_choices\.json \[1\]: field 'plausible' must be strings, found int 1"):
        get("gqa").read(DataRoot(tmp_path), "val_balanced")


def test_files_about_the_questions_of_another_split(goldens: Path, recorded: DataRoot, tmp_path: Path) -> None:
    """Training scene graphs, and choices, under the names of val's."""
    shutil.copytree(recorded.path / "gqa", tmp_path / "gqa")
    golden, root = goldens / "metrics" / "gqa", DataRoot(tmp_path)
    scenes = tmp_path / "gqa" / "val_sceneGraphs.json"
    shutil.copy(golden / "val_sceneGraphs.json", scenes)

    def read_beside() -> None:
        for path, reader in get("gqa").beside(root):
            reader(path)

    read_beside()
    graphs = json.loads(scenes.read_text())
    scenes.write_text(json.dumps({f"9{image}": graph for image, graph in graphs.items()}))
    with pytest.raises(DataError, match=r"val_sceneGraphs\.json holds none of the images .* of another split -> put"):
        read_beside()
    scenes.rename(tmp_path / "gqa" / "train_sceneGraphs.json")  # whose questions are not here
    read_beside()
    choices = tmp_path / "gqa" / "val_choices.json"
    rows = json.loads(choices.read_text())
    choices.write_text(json.dumps({f"9{key}": row for key, row in rows.items()}))
    with pytest.raises(DataError, match=r"val_choices\.json holds none of the questions .* -> put the official"):
        read_beside()
    truth = [tmp_path / "gqa" / "val_all_questions.json", choices]
    with pytest.raises(DataError, match=r"val_choices\.json contains the choices of none of the [0-9]+ questions"):
        score("gqa", truth, golden / "val_predictions.json")


def question(**changes: Any) -> dict[str, Any]:
    fields = {"question": "Is it red?", "imageId": "n1", "isBalanced": True, "answer": "yes", "entailed": ["02", "03"]}
    fields |= {"types": {"structural": "verify", "semantic": "attr", "detailed": "verifyAttr"}}
    step = {"operation": "verify color", "dependencies": [0], "argument": "red"}
    return fields | {"groups": {"global": None, "local": "x"}, "semantic": [step]} | changes


def write(root: Path, name: str, rows: object) -> DataRoot:
    path = root / "gqa" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))
    return DataRoot(root)


def test_ids_keep_their_zeros_and_what_is_equal_is_one_object(tmp_path: Path) -> None:
    rows = {"02": question(), "2": question(imageId="7"), "03": question(imageId="7", answer="no")}
    root = write(tmp_path, "testdev_balanced_questions.json", rows)
    one, two, three = get("gqa").read(root, "testdev_balanced")
    assert (one.id, one.images, one.target, one.group) == ("02", ("vg/n1",), {"yes": 1.0}, "vg/n1")
    assert (two.id, two.images) == ("2", ("vg/7",)) and two.images is three.images
    assert one.target is two.target and one.facts["question"] is two.facts["question"]
    assert one.facts["entailed"] == ("03",) and two.facts["entailed"] == ("02", "03")  # itself does not follow from it
    write(tmp_path, "train_balanced_questions.json", rows)
    train = get("gqa").read(root, "train_balanced")
    assert train[0].facts is train[1].facts and "entailed" not in train[0].facts


def test_answers_of_the_test_files_are_not_public(tmp_path: Path) -> None:
    rows = {"1": {"question": "Is it red?", "imageId": "n1", "isBalanced": True}}
    root = write(tmp_path, "test_balanced_questions.json", rows)
    examples = get("gqa").read(root, "test_balanced")
    assert examples[0].target is None
    with pytest.raises(
        DataError, match=r"\[1\]: the answer to this question is not public -> measure on another split"
    ):
        get("gqa").measure(examples, [SimpleNamespace(value="yes")])


def test_of_all_training_questions_only_what_trains_is_read(tmp_path: Path) -> None:
    """Nothing is measured on these 14 million, so that what only metrics need takes neither time nor memory."""
    bare = {name: value for name, value in question().items() if name not in ("types", "groups", "semantic")}
    for number in range(10):
        root = write(tmp_path, f"train_all_questions/train_all_questions_{number}.json", {f"{number}": bare})
    task = get("gqa")
    examples = task.read(root, "train_all")
    assert [(each.target, each.facts) for each in examples] == [({"yes": 1.0}, {"label": "yes"})] * 10
    assert len({id(each.facts) for each in examples}) == len({id(each.target) for each in examples}) == 1
    with pytest.raises(DataError, match=r"\[0\]: .* for training alone -> measure on train_balanced: its balanced"):
        task.measure(examples, [SimpleNamespace(value="yes")] * 10)


def test_all_training_questions_are_ten_files(tmp_path: Path) -> None:
    for number in range(9):
        root = write(tmp_path, f"train_all_questions/train_all_questions_{number}.json", {f"0{number}": question()})
    with pytest.raises(MissingData, match=r"train_all_questions_9\.json: no such file"):
        get("gqa").read(root, "train_all")
    write(tmp_path, "train_all_questions/train_all_questions_9.json", {"09": question(isBalanced=False)})
    assert [example.id for example in get("gqa").read(root, "train_all")] == [f"0{number}" for number in range(10)]
    write(tmp_path, "train_all_questions/train_all_questions_9.json", {"00": question()})
    with pytest.raises(DataError, match=r"questions_9\.json \[00\]: this question id occurs twice"):
        get("gqa").read(root, "train_all")


def test_trainval_and_minval_are_cut_from_both_files_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = get("gqa")
    write(tmp_path, "train_balanced_questions.json", {key: question() for key in ("09", "100", "7", "030")})
    root = write(tmp_path, "val_balanced_questions.json", {key: question(imageId="7") for key in ("20", "08", "0200")})
    (tmp_path / "gqa" / "val_choices.json").write_text('{"0200": {"valid": ["yes"], "plausible": []}}')
    monkeypatch.setattr("twelve.tasks.gqa.MINVAL", 3)
    minval = task.read(root, "minval")
    assert [example.id for example in minval] == ["030", "100", "0200"]  # of train as well; in the order of their ids
    assert "choices" in minval[2].facts and "choices" not in minval[0].facts
    assert sorted(example.id for example in task.read(root, "trainval")) == ["08", "09", "20", "7"]
    everything = {example.id for part in ("train_balanced", "val_balanced") for example in task.read(root, part)}
    assert {example.id for part in ("trainval", "minval") for example in task.read(root, part)} == everything
    assert task.files("minval") == task.files("trainval") == task.files("train_balanced") + task.files("val_balanced")
    monkeypatch.setattr("twelve.tasks.gqa.MINVAL", 7)
    with pytest.raises(MissingData, match="contains no example of split 'trainval'"):
        task.read(root, "trainval")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"answer": 3}, "field 'answer' must be a string, found int 3"),
        ({"types": {}}, r"\[1.types\]: field 'structural' is missing"),
        ({"groups": None}, "field 'groups' must be an object"),
        ({"groups": {"global": 3}}, r"\[1.groups\]: field 'global' must be a string"),
        ({"isBalanced": "yes"}, "field 'isBalanced' must be true or false"),
        ({"entailed": [3]}, "field 'entailed' must be strings, found int 3"),
        ({"imageId": 3}, "field 'imageId' must be a string"),
        ({"semantic": [{"operation": "x"}]}, "field 'argument' is missing"),
    ],
)
def test_malformed_questions(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    root = write(tmp_path, "val_balanced_questions.json", {"1": question(**change)})
    with pytest.raises(DataError, match=problem):
        get("gqa").read(root, "val_balanced")
