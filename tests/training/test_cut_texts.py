"""Texts that are longer than a model reads: data check, training, evaluation and the report say so."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_others
import tiny_own
import yaml
from rich.console import Console
from typer.testing import CliRunner

from twelve import config as configuration
from twelve.cli import app
from twelve.data.loader import Pool
from twelve.data.text_lengths import cut_of, text_lengths
from twelve.model.processor import TwelveProcessor
from twelve.model.wordpieces import tokenizer_from
from twelve.predictor.warnings import of_length
from twelve.report.reading import read_run
from twelve.report.write import render
from twelve.runs.evaluate import evaluate_run
from twelve.runs.train import beginning, train
from twelve.training.building import streams_of
from twelve.types.cut import Cut
from twelve.types.examples import Example

QUIET = Console(quiet=True)
LONG = "it is " * 7
"""14 word pieces of the tiny tokenizer, 16 with [CLS] and [SEP]."""
OTHER = "it is " * 6 + "is it"
"""As many that differ in the last two."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_others.make(tmp_path_factory.mktemp("root"), train=24, val=8)


def configured(root: Path, run: Path, texts: Sequence[str] = (LONG, OTHER), **changes: Any) -> dict[str, Any]:
    """A run of one task of its own; 5 of the 24 training texts and all 8 test texts are longer than 12 word pieces:
    each of ``texts`` in turn."""
    mine = tiny_own.settings(root, "answer") | changes
    for name, few in (("train", 5), ("val", 8)):
        path = root / "answer" / f"{name}.jsonl"
        records = [json.loads(line) for line in path.read_text().splitlines()]
        tiny.write_lines(
            path, [each | ({"text": texts[row % len(texts)]} if row < few else {}) for row, each in enumerate(records)]
        )
    tree = tiny.tree(root, run, sources={}, tasks={"mine": mine})
    tree["training"] |= {"iterations": 2, "eval_every": 2, "save_every": 2}
    return tree


def test_numbers() -> None:
    texts = ["a", "a b c d e f g", "a b c d e f g h", "a b c d e f g h i j"]
    found = counted_of(texts, 9)
    assert found == Cut(4, 2, 12, 9)
    assert found.sentence("training texts") == (
        "2 of 4 training texts (50%) are cut: the longest has 12 word pieces with [CLS] and [SEP], max_text is 9"
    )
    assert Cut(3000, 1, 20, 9).sentence().startswith("1 of 3,000 texts (less than 0.1%) is cut")
    assert Cut(300, 3, 20, 9).sentence().startswith("3 of 300 texts (1.0%) are cut")


def counted_of(texts: Sequence[str], limit: int) -> Cut:
    """Of texts whose letters are word pieces."""
    processor = TwelveProcessor(tokenizer_from(["a b c d e f g h i j k"]))
    examples = [Example(str(number), text, ("coco/1",)) for number, text in enumerate(texts)]
    return cut_of(examples, processor, text_lengths(examples, processor, "t"), limit)


@pytest.mark.parametrize(
    ("texts", "same"),
    [
        (["a b c d e"] * 20, True),  # one question for all images
        (["a b c d e", "b a c d e", "a"], True),  # they differ in what is read
        (["a b c d e", "b c", "c"], True),  # nothing is as the cut one
        (["a b c d e", "a b c", "c"], False),  # becomes equal to one that is not cut
        (["a b c d e", "a b c e d"], False),  # become equal
        (["a b c d e", "b a c e d"], False),  # lose other parts, one of which may decide
        (["a b c d e", "b a c d e e"], False),
        (["a b [SEP] a b c d", "b a [SEP] b b c d"], True),  # of two parts, the longer one is cut
        (["a b [SEP] a b c d", "b a [SEP] b b d c"], False),
        (["a b c d", "a b c"], False),
        (["a b c"], False),  # none is cut
    ],
)
def test_a_part_that_tells_no_texts_apart_is_no_problem(texts: list[str], same: bool) -> None:
    found = counted_of(texts, 7 if "[SEP]" in texts[0] else 5)
    assert found.same == same
    assert found.matters(official=False) == (found.cut > 0 and not same)


@pytest.mark.parametrize(
    ("cut", "official", "matters"),
    [
        (Cut(100_000, 900, 40, 30), False, False),
        (Cut(100_000, 1000, 40, 30), False, True),
        (Cut(100_000, 4900, 40, 30), True, False),
        (Cut(100_000, 5000, 40, 30), True, True),
        (Cut(0, 0, 0, 30), False, False),
    ],
)
def test_a_handful_of_cut_texts_does_not_matter(cut: Cut, official: bool, matters: bool) -> None:
    assert cut.matters(official=official) == matters


@pytest.mark.parametrize(
    ("longest", "limit", "positions", "grows", "settings", "remedy"),
    [
        (40, 30, 64, False, ["tasks.t.max_text=40"], "to read them whole, train with --set tasks.t.max_text=40"),
        (
            *(99, 30, 64, False, ["tasks.t.max_text=64"]),
            "train with --set tasks.t.max_text=64, the most that the model reads, and shorten longer texts",
        ),
        (99, 64, 64, False, [], "shorten them, since the model reads at most 64"),
        (
            *(99, 30, 64, True, ["tasks.t.max_text=99", "model.architecture.max_position_embeddings=99"]),
            "to read them whole, train with --set tasks.t.max_text=99 --set "
            "model.architecture.max_position_embeddings=99",
        ),
        (
            *(9999, 30, 64, True, ["tasks.t.max_text=512", "model.architecture.max_position_embeddings=512"]),
            "train with --set tasks.t.max_text=512 --set model.architecture.max_position_embeddings=512, the most that "
            "the model reads, and shorten longer texts",
        ),
    ],
)
def test_what_to_do_depends_on_what_the_model_can_read(
    longest: int, limit: int, positions: int, grows: bool, settings: list[str], remedy: str
) -> None:
    cut = Cut(4, 2, longest, limit)
    assert cut.settings("t", positions, grows=grows) == settings
    assert cut.remedy("t", positions, grows=grows) == remedy


def test_every_command_says_which_texts_are_cut(root: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    tree = configured(root, run)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tree))
    remedy = "to read them whole, train with --set tasks.mine.max_text=16"
    longest = "the longest has 16 word pieces with [CLS] and [SEP], max_text is 12"
    few, all_ = f"5 of 24 texts (21%) are cut: {longest}", f"8 of 8 texts (100%) are cut: {longest}"
    arguments = ["data", "check", str(root), "--config", str(tmp_path / "mine.yaml")]
    said = CliRunner().invoke(app, arguments)
    assert f"  answer/train.jsonl: warning: {few}; {remedy}\n" in said.stdout
    assert f"  answer/val.jsonl: warning: {all_}; {remedy}\n" in said.stdout
    assert " cut" not in CliRunner().invoke(app, [*arguments, "--set", "tasks.mine.max_text=16"]).stdout

    console = Console(record=True, quiet=False, file=(tmp_path / "log").open("w"), width=999)
    train(configuration.parse(tree), console=console)
    told = re.findall(r"warning: mine: (.* training texts .*)", (tmp_path / "log").read_text())
    recorded = json.loads((run / "data.json").read_text())["tasks"]["mine"]["cut"]
    assert len(told) == 1 and told[0].endswith(f"{longest}; {remedy}")
    assert recorded["longest"] == 16 and told[0].startswith(f"{recorded['cut']} of {recorded['texts']} training")

    with (tmp_path / "said").open("w") as file:
        (result,) = evaluate_run(run, console=Console(file=file, width=999))
    assert result.cut == Cut(8, 8, 16, 12)
    assert (
        f"warning: mine: 8 of 8 texts of answer/val.jsonl (100%) are cut: {longest}; {remedy}"
        in (tmp_path / "said").read_text()
    )


def test_texts_that_lose_the_same_part_are_a_remark_at_most(root: Path, tmp_path: Path) -> None:
    """A task that asks one question: to read its end would change nothing."""
    tree = configured(root, tmp_path / "run", texts=[LONG])
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tree))
    said = CliRunner().invoke(app, ["data", "check", str(root), "--config", str(tmp_path / "mine.yaml")]).stdout
    remark = "max_text is 12; the cut part does not distinguish any two texts"
    assert said.count(remark) == 2 == said.count(f"[SEP], {remark}\n") and "max_text=" not in said
    assert re.search(r"  answer/val.jsonl: note: 8 of 8 texts \(100%\) are cut", said)
    with (tmp_path / "log").open("w") as file, (tmp_path / "said").open("w") as later:
        train(configuration.parse(tree), console=Console(file=file, width=999))
        (result,) = evaluate_run(tmp_path / "run", console=Console(file=later, width=999))
    assert result.cut == Cut(8, 8, 16, 12, same=True)
    (told,) = (line for line in (tmp_path / "log").read_text().splitlines() if " cut" in line)
    assert re.fullmatch(rf"note: mine: \d of \d+ training texts .* are cut: .*, {remark}", told)
    assert " cut" not in (tmp_path / "said").read_text()
    assert "whole texts" not in render(read_run(tmp_path / "run"))
    kept = TwelveProcessor.from_pretrained(tmp_path / "run" / "model")
    assert kept.same_cut == ("mine",) and LONG.strip() in kept.own_texts["mine"]
    assert of_length(kept, "mine", LONG) == ()
    assert [warning.code for warning in of_length(kept, "mine", OTHER)] == ["long_text"]
    # A further run whose texts differ where they are cut.
    tree = configured(root, tmp_path / "next")
    train(configuration.parse(tree | {"model": {"init": str(tmp_path / "run")}}), console=QUIET)
    assert TwelveProcessor.from_pretrained(tmp_path / "next" / "model").same_cut == ()


def test_batches_are_sorted_by_what_the_model_reads_of_the_texts(root: Path, tmp_path: Path) -> None:
    config = configuration.parse(configured(root, tmp_path / "run"))
    _, processor, data, _ = beginning(config)
    counted = {"mine": text_lengths(data.tasks["mine"].train, processor, "mine")}
    assert counted["mine"].max() == 16
    streams = streams_of(config, data, processor, Pool(0), slice(None), counted)
    assert streams["mine"].lengths.max() == 12 == streams["mine"].longest().input_ids.shape[1]


def test_a_dataset_is_checked_with_the_tokenizer_of_its_configuration(root: Path, tmp_path: Path) -> None:
    tree = tiny.tree(root, tmp_path / "run", sources={}, tasks={"refcoco": tiny_others.settings(root, "refcoco")})
    tree["tasks"]["refcoco"]["max_text"] = 3
    (tmp_path / "refcoco.yaml").write_text(yaml.safe_dump(tree))
    arguments = ["data", "check", str(root), "--task", "refcoco"]
    assert " cut" not in CliRunner().invoke(app, arguments).stdout  # without a tokenizer, this is not known
    said = CliRunner().invoke(app, [*arguments, "--config", str(tmp_path / "refcoco.yaml")]).stdout
    assert re.search(
        r"train: warning: .* are cut: .* max_text is 3; to read them whole, train with --set tasks.refcoco", said
    )
    missing = [*arguments, "--config", str(tmp_path / "refcoco.yaml"), "--set", "model.tokenizer=nobody/nothing"]
    said = CliRunner().invoke(app, missing).stdout
    assert said.count("note: whether texts are cut is not known: nobody/nothing: the tokenizer is not on this") == 1


@pytest.mark.parametrize("there", [False, True])
def test_without_its_base_model_no_task_can_run(root: Path, tmp_path: Path, there: bool) -> None:
    """Data check says it as training does, once, and texts are not mentioned."""
    base = tmp_path / "base"
    if there:
        base.mkdir()
    tree = configured(root, tmp_path / "run")
    tree["model"]["init"] = str(base)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tree))
    arguments = ["data", "check", str(root), "--config", str(tmp_path / "mine.yaml")]
    said = CliRunner().invoke(app, arguments)
    error = CliRunner().invoke(app, ["train", str(tmp_path / "mine.yaml")]).exception
    assert str(error).startswith(f"{base}: no model here -> name" if there else f"{base} [model.init]: no such folder")
    assert said.exit_code == 1 and "mine (mine): cannot run\n" in said.stdout
    assert said.stdout.endswith(f"\nno task can run: {error}\n") and said.stdout.count("-> ") == 1
    assert " cut" not in said.stdout
    said = CliRunner().invoke(app, [*arguments, "--set", "model.init=null"])
    assert said.exit_code == 0 and "mine (mine): can run\n" in said.stdout
