"""Lengths of texts, counts of answers, neighbours of images: computed once, kept in the cache, and never stale."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from regions.making import regions, write

from twelve.data import kept as module
from twelve.data import text_lengths, vocabulary
from twelve.data.examples.codec import Codec
from twelve.data.examples.columns import take
from twelve.data.examples.store import open_examples, write_examples
from twelve.data.kept import kept, kept_of_regions
from twelve.model.processor import TwelveProcessor
from twelve.model.wordpieces import tokenizer_from
from twelve.outputs.parts.neighbours import HardPool
from twelve.regions.store.region_store import RegionStore
from twelve.training.sameness import _examples
from twelve.types.examples import Example


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TWELVE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Counted:
    """A computation that counts how often it runs."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> np.ndarray:
        self.times += 1
        return np.arange(5) * 3


def test_a_result_is_computed_once_and_again_for_other_facts(cache: Path) -> None:
    compute = Counted()
    for facts in (["a", "b"], ["a", "b"], ["a", "c"], ["a", "c"]):
        assert kept("texts", facts, compute).tolist() == [0, 3, 6, 9, 12]
    assert compute.times == 2 and len(list((cache / "texts").glob("*.npy"))) == 2


def test_other_code_computes_it_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compute = Counted()
    kept("texts", ["a"], compute)
    monkeypatch.setattr(module, "package_code", lambda: "another version")
    kept("texts", ["a"], compute)
    assert compute.times == 2


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "foreign"])
def test_a_damaged_file_is_never_used_but_written_again(cache: Path, damage: str) -> None:
    compute = Counted()
    kept("texts", ["a"], compute)
    (path,) = (cache / "texts").glob("*.npy")
    whole = path.read_bytes()
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    path.write_bytes({"flipped": flipped, "cut": whole[:-8], "empty": b"", "foreign": b"x" * 400}[damage])
    assert kept("texts", ["a"], compute).tolist() == [0, 3, 6, 9, 12] and compute.times == 2
    assert path.read_bytes() == whole
    kept("texts", ["a"], compute)
    assert compute.times == 2


def test_without_a_cache_it_is_computed_every_time(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compute = Counted()
    monkeypatch.setenv("TWELVE_CACHE", "off")
    for _ in range(2):
        kept("texts", ["a"], compute)
    assert compute.times == 2 and not cache.exists()


def test_a_cache_that_cannot_be_written_is_said(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache.write_text("a file is in its place")
    assert kept("texts", ["a"], Counted()).tolist() == [0, 3, 6, 9, 12]
    assert "texts are computed at every start" in capsys.readouterr().err


def test_the_oldest_file_makes_place(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    for number in range(5):
        kept("texts", [str(number)], Counted())
    assert len(list((cache / "texts").glob("*.npy"))) == 3


# --- lengths of texts -------------------------------------------------------------------------------------------------
TEXTS = ["a red kite", "kites", "a red red kite over the sea", "the sea", "a", "sea sea sea"]


def processor(texts: list[str], longest: int = 6) -> TwelveProcessor:
    made = TwelveProcessor(tokenizer_from(texts * 2))
    made.max_text["vqa"] = longest
    return made


def examples(folder: Path, texts: list[str]) -> list[Example]:
    found = [Example(str(number), text, ("coco/1",)) for number, text in enumerate(texts)]
    write_examples(folder, iter(found), Codec())
    return found


def test_kept_lengths_are_those_of_the_texts(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all examples and of some, from the cache and not."""
    plain, words = examples(tmp_path / "entry", TEXTS), processor(TEXTS)
    stored = open_examples(tmp_path / "entry", Codec())
    expected = text_lengths.text_lengths(plain, words, "vqa")
    assert expected.tolist() == [5, 3, 9, 4, 3, 5] and not cache.exists()
    rows = np.array([5, 0, 3])
    for _ in range(2):
        assert text_lengths.text_lengths(stored, words, "vqa").tolist() == expected.tolist()
        assert text_lengths.text_lengths(take(stored, rows), words, "vqa").tolist() == expected[rows].tolist()
        monkeypatch.setattr(text_lengths, "_lengths", None)  # from here on, nothing can be computed


def test_lengths_of_another_tokenizer_or_entry_are_others(cache: Path, tmp_path: Path) -> None:
    examples(tmp_path / "entry", TEXTS)
    stored, words = open_examples(tmp_path / "entry", Codec()), processor(TEXTS)
    first = text_lengths.text_lengths(stored, words, "vqa").tolist()
    assert text_lengths.text_lengths(stored, processor(TEXTS, longest=4), "vqa").tolist() == first  # the whole texts
    assert text_lengths.text_lengths(stored, processor(["a r e d k i t s o v h"]), "vqa").tolist() != first
    examples(tmp_path / "other", TEXTS[::-1])
    other = open_examples(tmp_path / "other", Codec())
    assert text_lengths.text_lengths(other, words, "vqa").tolist() == first[::-1]
    assert text_lengths.text_lengths(stored, words, "vqa").tolist() == first


def test_few_of_many_texts_are_counted_alone(cache: Path, tmp_path: Path) -> None:
    examples(tmp_path / "entry", TEXTS)
    few = take(open_examples(tmp_path / "entry", Codec()), np.array([1]))
    assert text_lengths.text_lengths(few, processor(TEXTS), "vqa").tolist() == [3] and not cache.exists()


# --- what is counted of cached examples -------------------------------------------------------------------------------
ANSWERS = ["yes", "no", "yes", "red", "no", "yes"]


def test_answers_are_counted_once_for_an_entry_its_rows_and_a_vocabulary(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [
        Example(str(row), "", ("coco/1",), {answer[:3]: 0.3 * row}, facts={"label": answer[:4]})
        for row, answer in enumerate(ANSWERS)
    ]
    write_examples(tmp_path / "entry", iter(found), Codec())
    write_examples(tmp_path / "other", iter(found[::-1]), Codec())
    stored, other = (open_examples(tmp_path / name, Codec()) for name in ("entry", "other"))
    rows = np.array([1, 3])
    counted: list[int] = []
    plain = vocabulary.counted
    monkeypatch.setattr(vocabulary, "counted", lambda *given: counted.append(1) or plain(*given))
    for times in (5, 0):  # computed, then kept
        counted.clear()
        for ours, theirs in ((stored, found), (take(stored, rows), take(found, rows))):
            assert vocabulary.labels_of(ours) == vocabulary.labels_of(list(theirs))
            assert vocabulary.coverage(ours, ["yes"]) == vocabulary.coverage(list(theirs), ["yes"])
        assert vocabulary.coverage(stored, ["no"]) == vocabulary.coverage(list(found), ["no"])
        assert len(counted) == 5 + times  # five of them are lists, which are counted always
    assert vocabulary.labels_of(other) == vocabulary.labels_of(stored) and len(counted) == 6


def test_the_digest_of_an_examples_record_is_that_of_a_list(cache: Path, tmp_path: Path) -> None:
    task: Any = SimpleNamespace(task=SimpleNamespace(fact_types=()))
    plain = examples(tmp_path / "entry", TEXTS)
    stored = open_examples(tmp_path / "entry", Codec())
    for _ in range(2):
        for rows in (np.arange(6), np.array([4, 2])):
            assert _examples(task, take(stored, rows)) == _examples(task, take(plain, rows))
    assert len(list((cache / "digests").glob("*.npy"))) == 2


# --- neighbours of images ---------------------------------------------------------------------------------------------
def pool(root: Path) -> HardPool:
    store = RegionStore(root)
    captions = [Example(str(n), f"caption {n}", (f"coco/{n}",)) for n in range(6)]
    return HardPool.build(captions, store.get, neighbours=3, keep=kept_of_regions(store))


def test_neighbours_are_kept_until_the_regions_change(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MANY", 2)
    root = tmp_path / "regions"
    write(root / "coco" / "a.arrow", [regions(f"coco/{n}") for n in range(6)])
    first = pool(root).neighbours
    (path,) = (cache / "neighbours-3").glob("*.npy")
    assert np.array_equal(pool(root).neighbours, first) and path.stat().st_size > 100
    (root / "coco" / "a.arrow").unlink()
    write(root / "coco" / "a.arrow", [regions(f"coco/{n}", seed=1) for n in range(6)])
    changed = pool(root).neighbours
    assert not np.array_equal(changed, first) and len(list(path.parent.glob("*.npy"))) == 2
    monkeypatch.setenv("TWELVE_CACHE", "off")
    assert np.array_equal(pool(root).neighbours, changed)


def test_neighbours_of_few_images_are_not_kept(cache: Path, tmp_path: Path) -> None:
    write(tmp_path / "regions" / "coco" / "a.arrow", [regions(f"coco/{n}") for n in range(6)])
    pool(tmp_path / "regions")
    assert not cache.exists()


def test_regions_without_checksums_are_not_recognised(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MANY", 2)
    write(tmp_path / "regions" / "coco" / "a.arrow", [regions(f"coco/{n}") for n in range(6)])
    monkeypatch.setattr("twelve.regions.store.region_file.RegionFile.checksums", lambda self: ["x", None])
    pool(tmp_path / "regions")
    assert not cache.exists()
