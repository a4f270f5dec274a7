"""What is said about files of one's own that can be read, but may be wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import tiny
from PIL import Image

from twelve import config as configuration
from twelve.data.check import check_root
from twelve.data.own_files import misspelt, unanswerable, warnings_of, with_counts
from twelve.formats.data_root import DataRoot
from twelve.tasks.custom import FileTask, own_tasks


def test_the_most_frequent_answers_are_listed() -> None:
    assert (
        with_counts({"no": 1200, "yes": 1300, "a, b": 2, "no ": 1}) == "yes (1,300), no (1,200), 'a, b' (2), 'no ' (1)"
    )
    many = {f"answer{number:02}": 1 for number in range(13)}
    assert (
        with_counts(many).endswith("answer09 (1), and 3 more")
        and with_counts(dict(list(many.items())[:10])).count("(") == 10
    )


def test_long_answers_are_shortened() -> None:
    long = f"{'a' * 45_000}{'b' * 45_000}"
    short = f"{'a' * 30} ... {'b' * 15}"
    assert with_counts({long: 2, "no": 1}) == f"{short} (2), no (1)"
    assert misspelt({long.upper(): 1, long: 9}) == [
        f"answer '{short.upper()}' (1 time) differs from '{short}' (9 times) only in case or spaces"
    ]


@pytest.mark.parametrize(
    ("rare", "frequent"),
    [
        *(("yess", "yes"), ("noo", "no"), ("yelow", "yellow"), ("gray car", "grey car"), ("yas", "yes")),
        *(("Yess", "yes"), ("yse", "yes"), ("bicylce", "bicycle")),
    ],
)
def test_one_letter_of_a_rare_answer_may_be_wrong(rare: str, frequent: str) -> None:
    assert misspelt({rare: 8, frequent: 32}) == [
        f"answer '{rare}' (8 times) may be a misspelling of '{frequent}' (32 times)"
    ]
    assert not misspelt({rare: 9, frequent: 32})  # not so rare


@pytest.mark.parametrize(("rare", "frequent"), [("Yes", "yes"), ("hotdog", "hot dog"), ("no ", "no"), ("B 12", "b 12")])
def test_case_and_spaces_are_no_difference(rare: str, frequent: str) -> None:
    said = f"answer '{rare}' (1 time) differs from '{frequent}' (2 times) only in case or spaces"
    assert misspelt({rare: 1, frequent: 2}) == [said]


@pytest.mark.parametrize(
    ("rare", "frequent"),
    [
        *(("101", "100"), ("1 2", "12"), ("room 1", "room 2"), ("on", "no"), ("in", "on"), ("cups", "cup")),
        *(("cup", "cups"), ("二十一", "二十二"), ("yesno", "yes"), ("red", "blue"), ("sey", "yes")),
    ],
)
def test_other_answers_are_other_answers(rare: str, frequent: str) -> None:
    assert not misspelt({rare: 1, frequent: 99})


def test_a_few_misspellings_are_named() -> None:
    """All of them after the right answer, also those that differ from another misspelling."""
    found = misspelt({"yes": 99, "yess": 1, "Yess": 1, "yas": 1, "yies": 1, "YES": 1, "yesx": 1, "yyes": 1})
    assert len(found) == 6 and found[-1] == "2 more answers may be misspellings"
    assert all("'yes' (99 times)" in said for said in found[:5])


def test_answers_of_another_file_are_compared_with_those_of_training() -> None:
    taught = {"yes": 24, "no": 20, "maybe": 2, "noo": 1}  # noo is said of the training file itself
    found = misspelt(taught, {"yse": 1, "No": 3, "mabye": 1, "Yse": 1, "red": 8, "rde": 1}, " in train.jsonl")
    assert found == [
        "answer 'No' (3 times) differs from 'no' (20 times in train.jsonl) only in case or spaces",
        "answer 'Yse' (1 time) may be a misspelling of 'yes' (24 times in train.jsonl)",
        "answer 'yse' (1 time) may be a misspelling of 'yes' (24 times in train.jsonl)",
    ]


def test_data_check_compares_the_answers_of_both_files(tmp_path: Path) -> None:
    found = checked(tmp_path, twenty(), [("t", "yse"), ("u", "yes"), ("v", "no")])
    assert [line for line in found if "warning" in line] == [
        "  val.jsonl: warning: the answer to 1 of 3 questions never occurs in train.jsonl, so training cannot teach "
        "it: yse (1)",
        "  val.jsonl: warning: answer 'yse' (1 time) may be a misspelling of 'yes' (10 times in train.jsonl)",
    ]


def with_images(root: Path, *names: str) -> None:
    (root / "images" / "mine").mkdir(parents=True)
    for name in names:
        Image.new("RGB", (8, 8)).save(root / "images" / "mine" / name)


def twenty(*image: str) -> list[tuple[str, ...]]:
    """Different questions, every other one with the answer "yes"."""
    return [(f"t{row}", "no" if row % 2 else "yes", *image) for row in range(20)]


def checked(
    root: Path,
    train: Sequence[tuple[object, ...]],
    val: Sequence[tuple[object, ...]],
    tested: str = "b.jpg",
    least: int = 2,
) -> list[str]:
    """The report on lines of a text and an answer, and perhaps an image."""
    for name, lines, usual in (("train", train, "a.jpg"), ("val", val, tested)):
        records = [{"text": text, "target": target, "image": (*image, usual)[0]} for text, target, *image in lines]
        (root / f"{name}.jsonl").write_text("\n\n".join(map(json.dumps, records)))
    settings = {"kind": "answer", "train": "train.jsonl", "test_split": "val.jsonl"}
    config = configuration.parse({"run": "r", "data": "d", "tasks": {"mine": settings}})
    data = DataRoot(root, own_tasks=own_tasks(config.tasks))
    return str(check_root(data, ["mine"], least=lambda task: least)).splitlines()


def test_data_check_says_what_may_be_wrong(tmp_path: Path) -> None:
    train = [("t", "yes"), ("", "yes"), (" ", "no"), ("t", "no"), ("t", "no"), ("t", "No")]
    found = checked(tmp_path, train, [("t", "maybe"), ("t", {"maybe": 1.0, "no": 0.3}), ("t", {"no": 0.0})])
    assert "  train.jsonl: answers: no (3), yes (2), No (1)" in found
    assert "  val.jsonl: answers: maybe (2), no (1)" in found
    assert [line for line in found if "warning" in line] == [
        "  train.jsonl: warning: 2 of 6 texts are empty, the first in line 3",
        "  train.jsonl: warning: 1 of 6 lines of train.jsonl repeats an earlier one, first: 't' about a.jpg; remove "
        "what counts twice",
        "  train.jsonl: warning: 2 questions have different answers in train.jsonl, first: 't' about a.jpg: no (2), "
        "No (1), yes (1)",
        "  train.jsonl: warning: answer 'No' (1 time) differs from 'no' (3 times) only in case or spaces",
        "  train.jsonl: warning: mine has 6 training examples: fewer than 20 often teach nothing; compare the test "
        "score with the baselines",
        "  val.jsonl: warning: the answer to 1 of 3 questions never occurs in train.jsonl, so training cannot teach "
        "it: maybe (1)",
    ]


def test_data_check_says_nothing_of_sound_files(tmp_path: Path) -> None:
    found = checked(tmp_path, twenty(), [("t", "yes")])
    assert not any("warning" in line for line in found) and "  train.jsonl: answers: no (10), yes (10)" in found


def contradicted(root: Path, kind: str, *lines: dict[str, object]) -> list[str]:
    """What is said of lines about one or two images."""
    settings = {"kind": kind, "train": "train.jsonl", "test_split": "val.jsonl"}
    task = own_tasks(configuration.parse({"run": "r", "data": "d", "tasks": {"mine": settings}}).tasks)["mine"]
    assert isinstance(task, FileTask)
    image = {"images": ["a.jpg", "b.jpg"]} if kind == "pair" else {"image": "a.jpg"}
    tiny.write_lines(root / "train.jsonl", [image | line for line in lines])
    data = DataRoot(root)
    said = warnings_of(task, data, "train.jsonl", task.read(data, "train.jsonl"), None)
    return [line for line in said if "different answers" in line]


def test_the_same_question_with_different_answers_is_told(tmp_path: Path) -> None:
    def said(kind: str, *targets: object) -> list[str]:
        texts = ["Is it  a dog?", "is it a dog?"] * len(targets)
        return contradicted(
            tmp_path, kind, *({"text": text, "target": target} for text, target in zip(texts, targets, strict=False))
        )

    first = "different answers in train.jsonl, first: 'Is it  a dog?' about"
    assert said("answer", "yes", "no", "yes") == [f"1 question has {first} a.jpg: yes (2), no (1)"]
    assert said("answer", {"cup": 1.0, "mug": 0.6}, "jug") == [f"1 question has {first} a.jpg: cup (1), jug (1)"]
    assert said("pair", True, False) == [f"1 statement has {first} a.jpg and b.jpg: false (1), true (1)"]
    assert said("entailment", "neutral", "contradiction") == [
        f"1 statement has {first} a.jpg: contradiction (1), neutral (1)"
    ]
    for targets in (("yes", "yes"), ("yes", "Yes"), ({"cup": 1.0, "mug": 0.6}, "mug"), ("yes", {"no": 0.0})):
        assert said("answer", *targets) == []  # the same, in other letters, one in common, none that is right
    assert said("pair", True, True) == said("region", [1, 2, 3, 4], [5, 6, 7, 8]) == []


def test_different_answers_about_different_images_or_to_different_questions_are_no_contradiction(
    tmp_path: Path,
) -> None:
    lines = [{"text": "t", "target": "yes"}, {"text": "t", "target": "no", "image": "b.jpg"}]
    assert contradicted(tmp_path, "answer", *lines, {"text": "u", "target": "no"}) == []


def repeated(root: Path, kind: str, *lines: dict[str, object]) -> list[str]:
    task = own_tasks(
        configuration.parse(
            {
                "run": "r",
                "data": "d",
                "tasks": {"mine": {"kind": kind, "train": "train.jsonl", "test_split": "val.jsonl"}},
            }
        ).tasks
    )["mine"]
    assert isinstance(task, FileTask)
    tiny.write_lines(root / "train.jsonl", [{"image": "a.jpg", "text": "t"} | line for line in lines])
    said = warnings_of(task, DataRoot(root), "train.jsonl", task.read(DataRoot(root), "train.jsonl"), None)
    return [line for line in said if "repeat" in line or "several images" in line]


def test_lines_that_say_the_same_are_told(tmp_path: Path) -> None:
    yes, no = {"target": "yes"}, {"target": "no"}
    first = "first: 't' about a.jpg; remove what counts twice"
    assert repeated(tmp_path, "answer", yes, yes, no) == [
        f"1 of 3 lines of train.jsonl repeats an earlier one, {first}"
    ]
    same = {"text": " T", "target": "yes"}
    assert repeated(tmp_path, "answer", {"text": "u"} | no, yes, same, yes, no) == [
        f"2 of 5 lines of train.jsonl repeat earlier ones, {first}"
    ]
    assert repeated(tmp_path, "answer", yes, no, yes | {"image": "b.jpg"}, yes | {"text": "u"}) == []
    box = {"target": [0, 0, 9, 9]}
    assert repeated(tmp_path, "region", box, {"target": [0, 0, 9, 8]}) == []
    assert repeated(tmp_path, "region", box, box)


def test_a_caption_of_several_images_is_told(tmp_path: Path) -> None:
    images = [{"image": f"{name}.jpg"} for name in "abcd"]
    cats = [image | {"text": "A cat"} for image in images[:3]]
    assert repeated(tmp_path, "retrieval", *cats, images[3]) == [
        "1 caption is of several images in train.jsonl, such as 'A cat' of 3; a search for it cannot find the right "
        "one: write what only that image shows"
    ]
    dogs = [image | {"text": "a dog"} for image in images[1:3]]
    (said,) = repeated(tmp_path, "retrieval", *dogs, *cats)
    assert said.startswith("2 captions are of several images in train.jsonl, such as 'A cat' of 3;")
    assert repeated(tmp_path, "retrieval", cats[0], dogs[0], images[3]) == []
    assert repeated(tmp_path, "pretraining", *cats, cats[0]) == []  # of millions of captions, some are the same


def test_data_check_warns_of_training_images_that_are_tested_too(tmp_path: Path) -> None:
    with_images(tmp_path, "a.jpg", "c.jpg", "d.jpg")
    train = [("t", "yes", "a.jpg"), ("t", "no", "c.jpg"), *twenty("d.jpg")]
    found = checked(tmp_path, train, [("t", "yes", "a.jpg")])
    assert found[0] == "mine (mine): can run once regions are extracted"
    assert [line for line in found if "warning" in line] == [
        "  val.jsonl: warning: 1 of 3 training images is also in val.jsonl; training leaves it out"
    ]


def test_data_check_names_the_line_of_an_image_with_another_suffix(tmp_path: Path) -> None:
    with_images(tmp_path, "a.jpg", "b.png", "c.jpg", "c.jpeg")
    train = [("t", "yes", "c.jpeg"), *twenty("a.jpeg")]
    found = checked(tmp_path, train, [("t", "yes", "b.PNG")])
    said = (
        "1 image is named with another suffix than its file has (the file is used): line 3 has a.jpeg, "
        "the file is a.jpg"
    )
    assert [line for line in found if "warning" in line] == [f"  train.jsonl: warning: {said}"]


@pytest.mark.parametrize(
    ("images", "told"),
    [
        ([f"{number}.jpg" for number in range(20)], "all 20 training images are also in {}, and are removed"),
        (["0.jpg"] * 20, "the only training image is also in {}, and is removed"),
    ],
)
def test_the_same_images_for_training_and_test_are_no_damage(tmp_path: Path, images: list[str], told: str) -> None:
    with_images(tmp_path, *images, "b.jpg")
    lines = [(text, answer, image) for (text, answer, *_), image in zip(twenty(), images, strict=True)]
    error = f"{told.format('val.jsonl')} from training -> put different images into the two files"
    found = checked(tmp_path, lines, lines)
    assert found[0] == "mine (mine): cannot run" and not any("warning" in line for line in found)
    assert [line for line in found if "error" in line] == [f"  train.jsonl: error: {error}"]
    ready = "can run once regions are extracted"
    found = checked(tmp_path, lines, lines, least=0)  # a configuration that removes no image
    assert found[0] == f"mine (mine): {ready}" and not any("0 training examples" in line for line in found)
    some = len(set(images))
    found = checked(tmp_path, [*lines, ("t", "no", "b.jpg")], lines)  # nor most of them: one image is left
    assert found[0] == "mine (mine): cannot run"
    (error,) = (line for line in found if "error" in line)
    assert f"{some} of {some + 1} training images are also in val.jsonl" in error and "too little to validate" in error


def test_a_damaged_image_of_ones_own_is_nowhere_to_download(tmp_path: Path) -> None:
    (tmp_path / "images" / "mine").mkdir(parents=True)
    (tmp_path / "images" / "mine" / "a.jpg").write_bytes(b"")
    found = checked(tmp_path, [("t", "yes")], [("t", "yes")], tested="a.jpg")
    (line, _) = (line for line in found if "damaged" in line)
    assert line.endswith("a.jpg is empty (0 bytes) -> replace them by complete copies")


def test_answers_that_a_model_cannot_give(tmp_path: Path) -> None:
    """Those that its vocabulary lacks, and those that only another task can have taught it."""
    settings = {"kind": "answer", "train": "train.jsonl", "test_split": "val.jsonl"}
    task = own_tasks(configuration.parse({"run": "r", "data": "d", "tasks": {"mine": settings}}).tasks)["mine"]
    line = {"text": "t", "image": "a.jpg"}
    tiny.write_lines(tmp_path / "train.jsonl", [line | {"target": "yes"}])
    tiny.write_lines(tmp_path / "val.jsonl", [line | {"target": answer} for answer in ("yes", "red", "maybe", "maybe")])
    train, val = (task.read(DataRoot(tmp_path), f"{name}.jsonl") for name in ("train", "val"))
    impossible = "the model cannot give the answers to 2 of 4 questions of val.jsonl: maybe (2)"
    untaught = "the answer to 1 of 4 questions never occurs in the training examples, so training cannot teach it"
    assert unanswerable(task, "val.jsonl", val, train, ["yes", "red"]) == [impossible, f"{untaught}: red (1)"]
    assert unanswerable(task, "val.jsonl", val, [], ["yes", "red"]) == [impossible]
    assert unanswerable(task, "train.jsonl", train, train, ["yes", "red"]) == []
