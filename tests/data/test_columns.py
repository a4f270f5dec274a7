"""What is done to columns is what is done to a list of the same examples."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twelve.data.clean import HeldOut, HeldOutImages, clean_splits, split_validation
from twelve.data.examples import columns, store
from twelve.data.examples.codec import Codec
from twelve.data.examples.store import Examples, open_examples, write_examples
from twelve.data.opening import check_regions
from twelve.data.prepare import ValidationImages, subset
from twelve.data.text_lengths import text_lengths
from twelve.data.vocabulary import build_vocabulary, coverage, labels_of
from twelve.errors import DataError
from twelve.tasks.base import get
from twelve.types.examples import Example

IMAGES = st.integers(0, 6).map(lambda number: f"x/{number}")
TARGETS = st.none() | st.booleans() | st.integers(0, 1) | st.dictionaries(st.sampled_from("abc"), st.floats(0, 1))
BOXES = st.lists(st.tuples(*[st.floats(0, 9)] * 4), max_size=2).map(tuple)
EXAMPLES = st.builds(
    Example,
    id=st.uuids().map(str),
    text=st.text(max_size=4),
    images=st.lists(IMAGES, min_size=1, max_size=2).map(tuple),
    target=TARGETS,
    group=st.sampled_from(["", "s1", "s2", "s10"]),
    candidates=BOXES,
    facts=st.dictionaries(st.just("label"), st.sampled_from("abc")),
)
LISTS = st.lists(EXAMPLES, max_size=12)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several batches, and values that are forgotten and written again."""
    for name, size in {"BATCH": 3, "KNOWN_VALUES": 2, "KNOWN_OBJECTS": 2}.items():
        monkeypatch.setattr(store, name, size)
    monkeypatch.setenv("TWELVE_CACHE", "off")  # the entries' names here do not stand for their content


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("columns")


def in_columns(examples: Sequence[Example], folder: Path) -> Examples:
    name = folder / str(len(list(folder.iterdir())))
    assert write_examples(name, iter(examples), Codec()) == len(examples)
    return open_examples(name, Codec())


def same(found: Sequence[Example], expected: Sequence[Example]) -> bool:
    """Equal in types, too: 1, 1.0 and True differ."""
    return repr(list(found)) == repr(list(expected))


FEW = settings(max_examples=40)


@FEW
@given(LISTS, st.randoms(use_true_random=False))
def test_a_sequence_of_the_same_examples(folder: Path, examples: list[Example], random: Any) -> None:
    found = in_columns(examples, folder)
    assert len(found) == len(examples) and same(found, examples)
    assert same([found[row] for row in range(len(found))], examples)
    part = slice(*sorted(random.sample(range(-14, 14), 2)), random.choice([1, 2, -1]))
    assert isinstance(found[part], Examples) and same(found[part], examples[part])
    rows = np.array([random.randrange(len(examples)) for _ in examples], dtype=np.int64)
    view = columns.take(columns.take(found, rows), rows)
    expected = columns.take(columns.take(examples, rows), rows)
    assert same(view, expected) and same([view[row] for row in range(len(view))], expected)
    assert list(columns.texts_of(view)) == [example.text for example in expected]
    assert list(columns.texts_of(found)) == [example.text for example in examples]
    assert same(pickle.loads(pickle.dumps(view)), expected)  # as worker processes get it
    for row in (len(examples), -len(examples) - 1):
        with pytest.raises(IndexError):
            found[row]


@FEW
@given(LISTS)
def test_columns_of_either(folder: Path, examples: list[Example]) -> None:
    found = columns.take(in_columns([*examples, *examples], folder), np.arange(len(examples))[::-1])
    expected = examples[::-1]
    for column in (columns.images_of, columns.groups_of):
        ours, theirs = column(found), column(expected)
        assert ours.values == theirs.values and ours.codes.tolist() == theirs.codes.tolist()
        assert len(set(ours.values)) == len(ours.values)
    assert [columns.images_of(found).values[code] for code in columns.images_of(found).codes] == [
        example.images for example in expected
    ]
    assert columns.distinct_images(found, found) == columns.distinct_images(expected)
    assert columns.have_candidates(found).tolist() == [bool(example.candidates) for example in expected]
    for name in ("target", "facts"):
        ours, theirs = (Counter[str]() for _ in range(2))
        for part, counts in ((found, ours), (expected, theirs)):
            for value, count in columns.counted(part, name):  # type: ignore[arg-type]
                counts[repr(value)] += count
        assert ours == theirs
    pairs = columns.distinct_pairs(columns.images_of(found), columns.groups_of(found))
    assert len(pairs) == len(set(pairs)) and set(pairs) == {(example.images, example.group) for example in examples}


@FEW
@given(LISTS, st.sets(IMAGES, max_size=3), st.integers(0, 9))
def test_cleaned_split_and_counted(folder: Path, examples: list[Example], banned: set[str], seed: int) -> None:
    others = [Example(f"y{number}", "", (f"y/{number}",), group=f"y/{number}") for number in range(2)]
    parts = {"columns": in_columns([*examples, *others], folder), "list": [*examples, *others]}
    held = HeldOutImages("test", (HeldOut("n", "test", "test", frozenset(banned)),), same={"x/5": "x/6"})
    cleaned = {}
    for name, part in parts.items():
        kept, report = clean_splits({"": part}, held)
        sides = split_validation(kept, 0.4, seed, held.same)[""]
        held_back = ValidationImages(frozenset(banned), frozenset(columns.distinct_images(sides[1])))
        few = subset(sides[0], 3, seed)
        covered = coverage(part, ["a", "b"])
        counts = sorted(labels_of(sides[0]).items())  # their order is the order of reading, and nothing depends on it
        cleaned[name] = [
            *map(list, (kept[""], *sides, few, *held_back.parts(part))),
            report.removed,
            report.overlap,
            counts,
            build_vocabulary([sides[0]], min_count=1) if counts else [],
            (covered.questions, covered.best_known, round(covered.highest_score, 9)),
        ]
        assert isinstance(sides[0], Examples) == isinstance(few, Examples) == (name == "columns")
    assert repr(cleaned["columns"]) == repr(cleaned["list"])
    assert all(banned.isdisjoint(example.images) for example in cleaned["columns"][0])


def test_examples_without_an_image_are_named(folder: Path) -> None:
    examples = [Example("1", "", ("x/1",)), Example("7", "", ())]
    with pytest.raises(DataError, match=r"\[7\]: an example without an image"):
        split_validation({"": in_columns(examples, folder)}, 0.5, 0)


def test_lengths_are_counted_part_by_part(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = [Example(str(number), "x" * number, ("x/1",)) for number in range(8)]
    asked: list[int] = []

    def tokenize(texts: Sequence[str], longest: int) -> list[list[int]]:
        asked.append(len(texts))
        return [[0] * min(longest, len(text)) for text in texts]

    processor: Any = SimpleNamespace(tokenize=tokenize, words="")
    monkeypatch.setattr("twelve.data.text_lengths.TEXTS", 3)
    assert text_lengths(in_columns(examples, folder), processor, "t").tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert asked == [3, 3, 2]


TWICE = st.lists(EXAMPLES.map(lambda one: replace(one, id=one.text)) | EXAMPLES, max_size=12)
WITH_BOXES = st.lists(st.builds(replace, EXAMPLES, target=TARGETS | st.tuples(*[st.floats(0, 9)] * 4)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(examples=TWICE | WITH_BOXES, data=st.data())
def test_ids_that_repeat_and_boxes_are_found_as_in_a_list(
    examples: list[Example], data: st.DataObject, folder: Path
) -> None:
    stored = in_columns(examples, folder)
    rows = np.array(data.draw(st.lists(st.sampled_from(range(len(examples))))) if examples else [], np.int64)
    for one, other in ((examples, stored), (columns.take(examples, rows), columns.take(stored, rows))):
        assert columns.repeated_ids(other) == columns.repeated_ids(one) == len(one) - len({each.id for each in one})
        boxed = [bool(each.candidates) or isinstance(each.target, tuple) for each in one]
        assert columns.have_boxes(other).tolist() == columns.have_boxes(one).tolist() == boxed
        assert list(columns.texts_of(other)) == [each.text for each in one]


def test_ids_with_the_hash_of_another_are_no_repetition(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "hash", lambda text: 7, raising=False)
    stored = in_columns([Example(name, "", ("x/1",)) for name in "abca"], folder)
    assert columns.repeated_ids(stored) == 1 and columns.repeated_ids(stored[:3]) == 0


def test_images_are_decoded_once_however_often_they_are_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    decode = Codec.decode_all
    monkeypatch.setattr(Codec, "decode_all", lambda self, texts: decoded.extend(texts) or decode(self, texts))
    stored = in_columns([Example(str(n), "", (f"x/{n % 4}",)) for n in range(40)], folder)
    for part in (stored, stored[3:], stored[::-1]):
        assert len(columns.images_of(part).values) == 4
    # Written again when they were forgotten (KNOWN_VALUES), so that several numbers stand for an image.
    assert len(decoded) == len(set(stored.codes("images").tolist()))


def test_a_reader_holds_few_decoded_values(folder: Path) -> None:
    """Every worker has its own: of many more, each would hold a copy of the data."""
    stored = in_columns([Example("0", "", ("x/1",))], folder)
    assert stored._files.value.cache_info().maxsize * 2_000 < 2e6  # bytes of VQA's answers


def test_regions_are_asked_for_the_images_of_all_parts(folder: Path) -> None:
    box = (0.0, 0.0, 1.0, 1.0)
    examples = [Example("0", "", ("x/1",)), Example("1", "", ("x/2", "x/3"), candidates=(box,))]
    asked: list[str] = []

    class Store:
        root = "regions"

        def __contains__(self, image: str) -> bool:
            asked.append(image)
            return True

        def has_given(self, image: str) -> bool:
            asked.append(f"given {image}")
            return True

    check_regions(Store(), get("visual7w"), in_columns(examples[:1], folder), in_columns(examples, folder))  # type: ignore[arg-type]
    assert asked == ["x/1", "x/2", "x/3", "given x/2"]


def test_values_of_objects_that_are_gone(folder: Path) -> None:
    """A new object may lie where an old one lay."""
    made = (Example(str(number), "", (f"x/{number}",), group=f"x/{number}") for number in range(50))
    assert write_examples(folder / "gone", made, Codec()) == 50
    found = open_examples(folder / "gone", Codec())
    assert [example.images for example in found] == [(f"x/{number}",) for number in range(50)]


def test_a_subset_does_not_depend_on_the_order_of_the_file() -> None:
    examples = [Example(str(number), "", ("x/1",), group=f"g{number}") for number in range(40)]
    chosen = [{example.id for example in subset(part, 10, 0)} for part in (examples, examples[::-1])]
    assert len(chosen[0]) == 10 and chosen[0] == chosen[1]
