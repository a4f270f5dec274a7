"""Genuine rows of the official files, as other repositories keep them: which file does what, and why.

``READ`` files are in a layout that one of our readers knows, and give that many examples. ``REFUSED`` files are in
such a layout but cannot be used: the reader says why. ``OTHER`` files are no annotations of these datasets; where
somebody might try one all the same, the reader must refuse it rather than make something of it. Every file of the
sample folders must stand in one of the tables.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest

from twelve.data.vocabulary import read_label_map
from twelve.errors import DataError
from twelve.formats.records import read_object
from twelve.metrics import nlvr2 as nlvr2_metric
from twelve.tasks import visual_genome_qa
from twelve.tasks.base import get
from twelve.tasks.formats.gqa import read_questions as read_gqa
from twelve.tasks.formats.karpathy import read_captions
from twelve.tasks.formats.refer import references
from twelve.tasks.nlvr2 import read_statements
from twelve.tasks.snli_ve import read_pairs
from twelve.tasks.vqa import read_annotations, read_questions
from twelve.types.examples import Example

pytestmark = pytest.mark.realdata

Reader = Callable[[Path], Iterable[object]]


def source_of(name: str) -> str:
    return "coco" if name.startswith("COCO_") else "flickr30k"


def dataset(path: Path) -> Iterable[Example]:
    return read_captions(read_object(path), "test", source_of)


def gqa(path: Path) -> Iterable[Example]:
    return read_gqa([path])


READ: dict[str, tuple[Reader, int, int]] = {
    # file: reader, examples, images
    "vqa_v2/questions.json": (read_questions, 3, 1),
    "nlvr2/dev.json": (read_statements, 6982, 8102),
    "nlvr2/test1.json": (read_statements, 6967, 8082),
    "nlvr2/balanced_dev.json": (read_statements, 2300, 2300),
    "nlvr2/allennlp_tiny-dev.json": (read_statements, 8, 8),
    "snli_ve/allennlp_sample_pairs.jsonl": (read_pairs, 16, 2),
    "snli_ve/cpuknows_sample_data.jsonl": (read_pairs, 5, 5),
    "snli_ve/xvnli_en_test.jsonl": (read_pairs, 1150, 357),  # 14 of 1,164 rows have no agreed label
    "gqa/iglue_testdev_balanced_questions_subset.json": (gqa, 1944, 398),
    "gqa/xgqa_en_dev.json": (gqa, 1422, 50),
    "gqa/xgqa_en_train_1.json": (gqa, 27, 1),
    "gqa/xgqa_en_train_5.json": (gqa, 155, 5),
    "gqa/xgqa_en_train_48.json": (gqa, 1490, 48),
    "gqa/allennlp_questions.json": (gqa, 1, 1),
    "gqa/questions0.json": (gqa, 1, 1),
    "gqa/questions1.json": (gqa, 1, 1),
    "vg_qa/question_answers.json": (visual_genome_qa.read_questions, 8, 2),
}
REFUSED: dict[str, tuple[Reader, str]] = {
    "vqa_v2/annotations.json": (read_annotations, "field 'question_type' is missing"),  # trimmed rows
}
OTHER: dict[str, tuple[Reader | None, str]] = {
    # file: a reader that might be tried, what it says (or why none would be)
    "nlvr1/dev_first60.json": (read_statements, "'identifier' must be split-set-pair-sentence"),  # NLVR, not NLVR2
    "nlvr2/annotated_dev_examples.txt": (read_statements, r"line 1\]: expected one JSON object a line"),
    "nlvr2/official_metrics_of_constant_predictions.json": (
        read_statements,
        "found an object with the fields 'dev all",
    ),
    "refer/sample_expressions_testA.json": (references, "not a pickle"),  # generated phrases without boxes
    "refer/sample_expressions_testB.json": (references, "not a pickle"),
    "refer/google_refexp_sample_results_comprehension.json": (references, "not a pickle"),  # predicted boxes
    "coco/instances_val2014_fakebbox100_results.json": (dataset, "expected an object with fields, found list"),
    "flickr30k/overlap_counted.json": (dataset, "field 'images' is missing"),
    "flickr30k/UNRELATED_CAPTIONS": (None, "not a file of this dataset"),
    "flickr30k/entities_train.txt": (None, "not a file of this dataset"),  # lists of image ids
    "flickr30k/entities_val.txt": (None, "not a file of this dataset"),
    "flickr30k/entities_test.txt": (None, "not a file of this dataset"),
    "flickr30k/entities_fixture/4945942737.txt": (None, "not a file of this dataset"),
    "flickr30k/entities_fixture/6338542128.txt": (None, "not a file of this dataset"),
    "snli_ve/flickr30k_test.lst": (read_pairs, "expected an object with fields, found int"),
    "snli_ve/flickr30k_train_val.lst": (read_pairs, "expected an object with fields, found int"),
    "coco/karpathy_test1k_image_ids.txt": (None, "not a file of this dataset"),
    "vqa_v2/n2nmn_val2014_question_ids_image_ids.csv": (read_questions, "not valid JSON"),
    "flickr30k/karpathy_test_ann.jsonl": (None, "captions as lines, another layout"),
    "flickr30k/karpathy_valid_ann.jsonl": (None, "captions as lines, another layout"),
    "coco/xflickrco_en_test.jsonl": (None, "captions as lines, another layout"),
    "coco/coco_train_ids.npy": (None, "caption ids of another split file"),
    "coco/coco_restval_ids.npy": (None, "caption ids of another split file"),
    "coco/coco_dev_ids.npy": (None, "caption ids of another split file"),
    "coco/coco_test_ids.npy": (None, "caption ids of another split file"),
    "vocab/lxmert_vqa_label2ans_3129.json": (None, "a label map, see below"),
    "vocab/lxmert_gqa_label2ans_1842.json": (None, "a label map, see below"),
}


@pytest.fixture(scope="module")
def samples(realdata: Path) -> Path:
    return realdata / "samples"


def test_every_file_stands_in_a_table(samples: Path) -> None:
    found = {
        path.relative_to(samples).as_posix()
        for path in samples.rglob("*")
        if path.is_file() and "images" not in path.parts[len(samples.parts) :] and path.parent != samples
    }
    assert found == {*READ, *REFUSED, *OTHER}


@pytest.mark.parametrize("name", READ)
def test_read(samples: Path, name: str) -> None:
    reader, count, images = READ[name]
    examples = list(reader(samples / name))
    assert all(isinstance(example, Example) and example.text for example in examples)
    assert len(examples) == len({example.id for example in examples}) == count
    assert len({image for example in examples for image in example.images}) == images


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_reason(samples: Path, name: str) -> None:
    reader, problem = REFUSED[name]
    with pytest.raises(DataError, match=problem) as caught:
        list(reader(samples / name))
    assert str(samples / name) in str(caught.value) and caught.value.remedy


@pytest.mark.parametrize("name", [name for name, (reader, _) in OTHER.items() if reader])
def test_files_of_another_layout_are_not_misread(samples: Path, name: str) -> None:
    reader, problem = OTHER[name]
    assert reader is not None
    with pytest.raises(DataError, match=problem):
        list(reader(samples / name))


def test_label_maps(samples: Path) -> None:
    assert len(read_label_map(samples / "vocab" / "lxmert_vqa_label2ans_3129.json")) == 3129
    assert len(read_label_map(samples / "vocab" / "lxmert_gqa_label2ans_1842.json")) == 1842


@pytest.mark.parametrize("split", ["dev", "test1"])
@pytest.mark.parametrize("word", ["True", "False"])
def test_constant_predictions_on_the_real_statements(samples: Path, split: str, word: str) -> None:
    """The official script's own output for a constant answer."""
    examples = list(read_statements(samples / "nlvr2" / f"{split}.json"))
    scores = nlvr2_metric.evaluate({e.id: str(e.target) for e in examples}, {e.id: word for e in examples})
    printed = json.loads((samples / "nlvr2" / "official_metrics_of_constant_predictions.json").read_text())
    assert printed[f"{split} all {word}"] == [f"accuracy={scores.accuracy}", f"consistency={scores.consistency}"]
    assert len({e.group for e in examples}) == {"dev": 2018, "test1": 1995}[split]


def test_real_categories(samples: Path) -> None:
    categories = nlvr2_metric.read_categories(samples / "nlvr2" / "annotated_dev_examples.txt")
    sentences = {e.text for e in read_statements(samples / "nlvr2" / "dev.json")}
    assert len(categories) > 100
    assert set(categories) <= sentences


def test_spellings_of_an_image_meet(samples: Path) -> None:
    """The first release writes "555378351.jpg", the later one "2248275918"; both name a Flickr30k image."""
    for name in ("cpuknows_sample_data.jsonl", "allennlp_sample_pairs.jsonl"):
        for example in read_pairs(samples / "snli_ve" / name):
            assert (samples / "snli_ve" / "images" / f"{example.images[0].split('/')[1]}.jpg").is_file()


def test_real_testdev_questions_are_measured(samples: Path) -> None:
    """Their ids are strings, their images none of Visual Genome's, and all fields that the metric reads are there."""
    examples = list(gqa(samples / "gqa" / "iglue_testdev_balanced_questions_subset.json"))
    assert all(example.images[0].startswith("vg/n") for example in examples)
    answers = [SimpleNamespace(value=example.facts["label"]) for example in examples]
    found = get("gqa").measure(examples, answers)
    assert found.headline == found.metrics["binary"] == found.metrics["open"] == 100
    assert found.metrics["distribution"] == 0 and "consistency" not in found.metrics  # needs the file of all questions
    answers = [SimpleNamespace(value="yes")] * len(examples)
    assert 10 < get("gqa").measure(examples, answers).headline < 30
