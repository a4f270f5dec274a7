"""``twelve data check`` names the words of a task's texts that the tokenizer of its base model lacks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_model
import tiny_others
import tiny_own
import yaml
from typer.testing import CliRunner

from twelve.cli import app
from twelve.model.bert_tokenizer import SPECIAL, wordpieces
from twelve.model.processor import TwelveProcessor
from twelve.model.wordpieces import tokenizer_from

NOTE = "that the base model does not know: "
THEN = "; it reads such a word letter by letter or as [UNK], which is harmless if all questions are the same"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_others.make(tmp_path_factory.mktemp("root"), train=24, val=8)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.make(tmp_path_factory.mktemp("base") / "model")


def told(root: Path, folder: Path, base: Path | None, texts: Sequence[str]) -> tuple[int, list[str]]:
    """The exit code and the notes about words; ``texts``: those of the first training examples, the others have one
    that every tokenizer here reads."""
    settings = tiny_own.settings(root, "answer")
    asked = [*texts, *["is it red ?"] * 32][:32]
    records = [each | {"text": text} for each, text in zip(tiny_own.lines("answer", range(32)), asked, strict=True)]
    tiny.write_lines(root / "answer" / "train.jsonl", records[:24])
    tiny.write_lines(root / "answer" / "val.jsonl", records[24:])
    tree: dict[str, Any] = tiny.tree(root, folder / "run", sources={}, tasks={"mine": settings})
    if base is not None:
        tree["model"] = {"init": str(base)}
    (folder / "mine.yaml").write_text(yaml.safe_dump(tree))
    found = CliRunner().invoke(app, ["data", "check", str(root), "--config", str(folder / "mine.yaml")])
    assert "mine (mine): can run\n" in found.stdout, found.output
    return found.exit_code, [line for line in found.stdout.splitlines() if NOTE in line]


def with_pieces(base: Path, folder: Path, tokenizer: Any) -> Path:
    """The base model with another tokenizer, which is all that is read of it for the words."""
    processor = TwelveProcessor.from_pretrained(base)
    processor.tokenizer = tokenizer
    processor.save_pretrained(folder)
    (folder / "config.json").write_bytes((base / "config.json").read_bytes())
    (folder / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes())
    return folder


def test_words_without_a_piece_are_one_line_with_the_most_frequent_first(
    root: Path, base: Path, tmp_path: Path
) -> None:
    texts = ["is the wombat red ?", "Wombat, wombat: is it “red” ?", "is a yak, or a wombat ? \U0001f600"]
    code, lines = told(root, tmp_path, base, texts)
    assert code == 0 and lines == [
        f"  note: 3 of 32 texts have words {NOTE}wombat (3), yak (1), or (1), \U0001f600 (1){THEN}"
    ]
    letters = with_pieces(base, tmp_path / "letters", tokenizer_from(["is it the red a or"] * 2 + ["wombat yak , : ?"]))
    _, lines = told(root, tmp_path, letters, ["is a yak red ?", "is it a wombat ?"])
    assert lines == [f"  note: 2 of 32 texts have words {NOTE}yak (1), wombat (1){THEN}"]
    assert told(root, tmp_path, letters, ["a yak ?"])[1] == [f"  note: 1 of 32 texts has words {NOTE}yak (1){THEN}"]


def test_eight_words_are_named(root: Path, base: Path, tmp_path: Path) -> None:
    _, (line,) = told(root, tmp_path, base, [" ".join(f"zz{letter}" for letter in "abcdefghijk"), "zzk zzj", "zzk"])
    named = "zzk (3), zzj (2), zza (1), zzb (1), zzc (1), zzd (1), zze (1), zzf (1), and 3 others"
    assert line.endswith(f"{NOTE}{named}{THEN}")


def test_words_of_several_pieces_are_no_note(root: Path, base: Path, tmp_path: Path) -> None:
    pieces = (*SPECIAL, "is", "it", "red", "?", "wom", "##bat", "##s", "a", "##x")
    split = with_pieces(base, tmp_path / "split", wordpieces(pieces))
    assert told(root, tmp_path, split, ["wombat ?", "is it wombats [SEP] it is a ?"]) == (0, [])
    assert told(root, tmp_path, split, ["ax ?"])[1] == [f"  note: 1 of 32 texts has words {NOTE}ax (1){THEN}"]


def test_without_a_base_model_there_is_no_note(root: Path, base: Path, tmp_path: Path) -> None:
    assert told(root, tmp_path, None, ["is the wombat red ?"]) == (0, [])


def test_the_tutorial_names_the_words_of_its_question() -> None:
    home = Path(__file__).parents[2]
    mine, model = home / "examples" / "tutorial", home / "examples" / "quickstart-model"
    words = ["data", "check", str(mine), "--config", str(mine / "mine.yaml"), "--set", f"model.init={model}"]
    found = CliRunner().invoke(app, words).stdout.partition(NOTE)[2].splitlines()[0]
    page = " ".join((home / "docs" / "tutorial.md").read_text(encoding="utf-8").split())
    assert found == f"could (40), ride (40), something (40), here (40){THEN}"
    assert 'Here these are "could", "ride", "something" and "here"' in page
