"""Flickr30k Entities: the official parser's recorded output, files that are refused, recall in three ways."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_extra_binary as tiny_files

from twelve.errors import DataError, MissingData
from twelve.formats.data_root import DataRoot
from twelve.metrics import grounding as metric
from twelve.score import score
from twelve.tasks.base import get
from twelve.tasks.formats.entities_files import read_annotation, read_images, read_sentences
from twelve.types.examples import Example

TASK = get("flickr30k_entities")


@pytest.fixture
def recorded(goldens: Path) -> Path:
    return goldens / "metrics" / "flickr30k_entities"


# --- the official parser --------------------------------------------------------------------------------------------
def test_equal_to_the_official_parser(recorded: Path) -> None:
    expected = json.loads((recorded / "expected.json").read_text())["expected"]
    assert len(expected) == 6
    for key, golden in expected.items():
        found = read_annotation(recorded / "Annotations" / f"{key}.xml")
        ours = {
            "boxes": {entity: [list(box) for box in boxes] for entity, boxes in found.boxes.items()},
            "scene": list(found.scene),
            "nobox": list(found.no_box),
        }
        assert ours | dict(zip(("width", "height", "depth"), found.size, strict=True)) == golden["annotations"]
        sentences = [
            {
                "sentence": sentence.text,
                "phrases": [
                    {
                        "phrase": phrase.text,
                        "phrase_id": phrase.entity,
                        "phrase_type": list(phrase.types),
                        "first_word_index": phrase.first_word,
                    }
                    for phrase in sentence.phrases
                ],
            }
            for sentence in read_sentences(recorded / "Sentences" / f"{key}.txt")
        ]
        assert sentences == golden["sentences"]


def test_phrases_that_have_a_box(recorded: Path, tmp_path: Path) -> None:
    shutil.copytree(recorded, tmp_path / TASK.name)
    (tmp_path / TASK.name / "test.txt").write_text("278118254\n\n27979481\n")
    examples = TASK.read(DataRoot(tmp_path), "test")
    assert examples[0] == Example(
        id="278118254#0#0",
        text="a red hat",
        images=("flickr30k/278118254",),
        target=(103, 180, 203, 318),
        group="flickr30k/278118254",
        facts={"boxes": ((103, 180, 203, 318),), "types": ("clothing",)},
    )
    assert examples[1].target == (103, 40, 203, 318) and len(examples[1].facts["boxes"]) == 2  # the box around both
    expected = json.loads((recorded / "expected.json").read_text())["expected"]
    wanted = [
        phrase["phrase"]
        for key in ("278118254", "27979481")
        for sentence in expected[key]["sentences"]
        for phrase in sentence["phrases"]
        if phrase["phrase_id"] in expected[key]["annotations"]["boxes"]
    ]
    assert [example.text for example in examples] == wanted and "278118254#1#1" not in {each.id for each in examples}
    assert len(TASK.input_files(DataRoot(tmp_path), "test")) == 5
    assert all(path.is_file() for path in TASK.input_files(DataRoot(tmp_path), "test"))


# --- files that are refused -----------------------------------------------------------------------------------------
BOMB = """<?xml version="1.0"?>
<!DOCTYPE annotation [
 <!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">
]>
<annotation><filename>&c;</filename></annotation>"""
OUTSIDE = (
    '<!DOCTYPE annotation [<!ENTITY x SYSTEM "file:///etc/hostname">]><annotation><filename>&x;</filename></annotation>'
)
ELSEWHERE = '<!DOCTYPE annotation SYSTEM "http://example.org/a.dtd"><annotation/>'
PARAMETER = '<!DOCTYPE annotation [<!ENTITY % p SYSTEM "file:///etc/hostname">%p;]><annotation/>'
LATIN = '<?xml version="1.0" encoding="klingon"?><annotation/>'
TYPED = "expected XML without a document type"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (BOMB, TYPED),
        (BOMB.encode("utf-16"), TYPED),
        (OUTSIDE, TYPED),
        (ELSEWHERE, TYPED),
        (PARAMETER, TYPED),
        ("<annotation><filename>&x;</filename></annotation>", r"line 1, column \d+\]: not valid XML: undefined entity"),
        ("<annotation>", r"line 1, column 12\]: not valid XML: no element found"),
        ("", r"not valid XML"),
        (b"\x00\xff", r"not valid XML"),
        (LATIN, r"not valid XML"),
        (tiny_files.annotation(7, "<object><name>3</name></object>"), r"object 0\]: <nobndbox> must be an integer"),
        (
            tiny_files.annotation(7, "<object><scene>1</scene></object>"),
            r"object 0\]: an object must name its entities",
        ),
        (
            tiny_files.annotation(7, tiny_files.thing(3, (4, 4, -3, 5))),
            r"object 0\]: expected xmin <= xmax and ymin <= ymax",
        ),
        (
            tiny_files.annotation(7, "<object><name>3</name><bndbox><xmin>1e3</xmin></bndbox></object>"),
            r"object 0\]: <xmin> must be an integer, found '1e3'",
        ),
        ("<annotation></annotation>", r"<size> is missing"),
    ],
)
def test_annotations_that_are_refused(tmp_path: Path, content: str | bytes, problem: str) -> None:
    path = tmp_path / "7.xml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=r"7\.xml.*" + problem) as caught:
        read_annotation(path)
    assert caught.value.file == path and caught.value.remedy


@pytest.mark.parametrize(
    "line",
    ["[/EN#12/people a man", "[/EN#12 a man]", "[/EN#x/people a man]", "[/EN#12/people ]", "[/EN#1/a x [/EN#2/b y] z]"],
)
def test_sentences_that_are_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "7.txt"
    path.write_text(f"[/EN#1/people A man] sits .\n{line} .\n")
    with pytest.raises(DataError, match=r"7\.txt \[line 2\]: expected a phrase \[/EN#number/type words\], found"):
        read_sentences(path)


def test_sentences_keep_other_brackets(tmp_path: Path) -> None:
    path = tmp_path / "7.txt"
    path.write_text("He [ sic ] sees [/EN#1/other/scene two big dogs] .\n\n")
    (found,) = read_sentences(path)
    assert found.text == "He [ sic ] sees two big dogs ."
    (phrase,) = found.phrases
    assert (phrase.text, phrase.entity, phrase.types, phrase.first_word) == ("two big dogs", "1", ("other", "scene"), 5)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("12\n../../etc/passwd\n", r"\[line 2\]: expected an image id \(a number\), found '\.\./\.\./etc/passwd'"),
        ("12\n13\n12\n", r"\[line 3\]: image 12 is already on line 1"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_lists_of_images_that_are_refused(tmp_path: Path, content: str | bytes, problem: str) -> None:
    path = tmp_path / "test.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=r"test\.txt.*" + problem):
        read_images(path)


def test_an_image_without_its_files(tmp_path: Path) -> None:
    (tmp_path / TASK.name).mkdir()
    (tmp_path / TASK.name / "test.txt").write_text("12\n")
    with pytest.raises(MissingData, match=r"Sentences/12\.txt: no such file -> unpack the release's folders"):
        TASK.read(DataRoot(tmp_path), "test")
    with pytest.raises(MissingData, match=r"val\.txt: no such file"):
        TASK.read(DataRoot(tmp_path), "val")


# --- recall ---------------------------------------------------------------------------------------------------------
LEFT, RIGHT, BOTH = (0.0, 0.0, 40.0, 40.0), (60.0, 0.0, 100.0, 40.0), (0.0, 0.0, 100.0, 40.0)
FAR = (0.0, 80.0, 10.0, 90.0)


def test_which_box_of_several_counts() -> None:
    phrases = [metric.Phrase((LEFT, RIGHT), ("people",))] * 4
    ranked = [[LEFT], [RIGHT], [BOTH], []]
    right = {name: list(metric.evaluate(phrases, ranked, name).correct) for name in metric.PROTOCOLS}
    assert right == {
        "union": [False, False, True, False],
        "any": [True, True, False, False],
        "original": [True, False, False, False],
    }


def test_recall_among_the_first_boxes_and_by_type() -> None:
    phrases = [metric.Phrase((LEFT,), types) for types in (("people",), ("people", "other"), ("scene",), ("vehicles",))]
    ranked = [[LEFT], [FAR] * 4 + [LEFT], [FAR] * 9 + [LEFT], [FAR] * 10 + [LEFT]]
    found = metric.evaluate(phrases, ranked)
    assert found.recall == {1: 0.25, 5: 0.5, 10: 0.75}
    assert found.by_type == {"people": 0.5, "vehicles": 0, "scene": 0, "other": 0}
    assert found.counts == {"people": 2, "vehicles": 1, "scene": 1, "other": 1}
    assert list(found.correct) == [True, False, False, False]
    assert metric.evaluate(phrases, [[LEFT]] * 4).recall == {1: 1}


def test_exactly_half_is_right_and_the_original_wants_more() -> None:
    half = (0.0, 0.0, 40.0, 20.0)
    phrase = [metric.Phrase((LEFT,), ())]
    assert metric.evaluate(phrase, [[half]]).correct == [True]
    inclusive = (0.0, 0.0, 9.0, 9.0), (0.0, 0.0, 9.0, 4.0)  # 50 of 100 pixels
    assert metric.evaluate([metric.Phrase(inclusive[:1], ())], [inclusive[1:]], "original").correct == [False]


def files(folder: Path) -> tuple[list[Example], Path]:
    tiny_files.write_entities(folder / TASK.name, "test", range(2))
    return TASK.read(DataRoot(folder), "test"), folder / TASK.name / "test.txt"


def predicted(*boxes: Any) -> SimpleNamespace:
    return SimpleNamespace(value=boxes[0], alternatives=tuple((box, 0.5) for box in boxes))


def test_a_result_file_scores_as_the_model_that_wrote_it(tmp_path: Path) -> None:
    examples, listed = files(tmp_path)
    assert [example.id for example in examples[:3]] == ["9000#0#0", "9000#1#1", "9000#1#2"]  # 9000#1#0 cannot be seen
    assert examples[2].target == (60, 50, 90, 90) and len(examples[2].facts["boxes"]) == 2
    predictions = [predicted(example.target) for example in examples]
    predictions[4] = predicted(FAR, examples[4].target)
    measured = TASK.measure(examples, predictions)
    assert measured.metrics == {
        "recall@1": pytest.approx(100 * 5 / 6),
        "recall@1, people": 100,
        "recall@1, clothing": 100,
        "recall@1, other": 75,
    }
    results = tmp_path / "boxes.json"
    results.write_text(TASK.submission(examples, predictions))
    found = score(TASK.name, [listed], results)
    assert {name: number.value for name, number in found.numbers.items()} == measured.metrics
    assert found.numbers["recall@1, other"].examples == 4
    assert (found.protocol, found.protocol_is_default, found.examples, found.groups) == ("union", True, 6, 2)
    anyone = score(TASK.name, [listed], results, "any")
    assert anyone.headline.mean == pytest.approx(100 * 5 / 6)  # each half is half of the box around both


ONE = {"image": "9000", "sentence": 0, "phrase": 0, "box": [0, 0, 60, 60]}


@pytest.mark.parametrize(
    ("results", "problem"),
    [
        ([ONE], r"\[phrase 9000#1#1\]: 5 of 6 phrases with a box have no prediction"),
        ([ONE, ONE], r"\[entry 2\]: phrase 9000#0#0 is predicted twice"),
        ([ONE | {"phrase": 9}], r"\[phrase 9000#0#9\]: 1 prediction has no counterpart in the phrases with a box"),
        (
            [ONE | {"box": [60, 0, 0, 60]}],
            r"\[entry 1\]: field 'box' must be x1, y1, x2, y2 with x1 <= x2",
        ),
        (
            [ONE | {"box": [0, 0, 60]}],
            r"\[entry 1\]: field 'box' must be 4 finite numbers, found 3 values -> write each",
        ),
        (
            [{"image": 9000, "sentence": 0, "phrase": 0, "boxes": [[0, 0, 1, "x"]]}],
            r"\[entry 1\.boxes\[0\]\]: field",
        ),
        ({}, r"expected a list"),
    ],
)
def test_result_files_that_cannot_be_scored(tmp_path: Path, results: Any, problem: str) -> None:
    _, listed = files(tmp_path)
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(results))
    with pytest.raises(DataError, match=r"boxes\.json.*" + problem):
        score(TASK.name, [listed], path)
