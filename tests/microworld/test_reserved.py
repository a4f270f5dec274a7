"""Wordings that only test sets have: drawn by the seed, and never ones whose meaning training does not teach."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_world import SIZES
from wordings import DATASETS

from twelve.errors import DataError
from twelve.formats.data_root import DataRoot, drawing_again
from twelve.microworld.language import Wording, read
from twelve.microworld.make import WRITERS, make_microworld
from twelve.microworld.reserved import forms_of, wordings_of
from twelve.microworld.world import World, make_world
from twelve.microworld.writers import nlvr2, refer, snli_ve, vqa
from twelve.tasks.base import get

MARKED = {task: wordings for task, wordings in DATASETS.items() if task != "nlvr2"}
"""All but those that cannot be drawn."""


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    return [make_world(seed, SIZES, draw_wordings=True) for seed in range(12)]


@pytest.mark.parametrize("task", MARKED)
def test_as_many_are_drawn_and_training_has_their_meanings_and_slots(task: str, worlds: list[World]) -> None:
    marked = MARKED[task]
    drawn = [wordings_of(world, task, marked) for world in worlds]
    assert [wording.text for wording in drawn[0]] == [wording.text for wording in marked]
    assert drawn[0] == wordings_of(worlds[0], task, marked)
    sets = {frozenset(each.text for each in one if each.only_test) for one in drawn}
    assert len(sets) > 3 and {len(each) for each in sets} == {sum(each.only_test for each in marked)}
    for one in drawn:
        kept = [each for each in one if not each.only_test]
        slots = set().union(*(each.slots for each in kept))
        for each in one:
            assert each.slots <= slots and any(other.meaning == each.meaning for other in kept)


def test_the_only_wording_with_a_slot_or_a_meaning_is_never_reserved(worlds: list[World]) -> None:
    texts = [[each.text for each in wordings_of(world, "refcoco", refer.REFCOCO) if each.only_test] for world in worlds]
    assert all("{ordinal} {thing} from left" not in each and "{extreme} {thing}" not in each for each in texts)
    world = worlds[0]
    assert wordings_of(world, "nlvr2", nlvr2.WORDINGS) == nlvr2.WORDINGS  # each has a meaning of its own
    none = (Wording("{thing}", "one"), Wording("{thing} {where}", "two", only_test=True))
    assert wordings_of(world, "any", none) == none


def test_forms_keep_their_wordings_and_how_many_are_reserved(worlds: list[World]) -> None:
    drawn = [forms_of(world, "vqa", vqa.FORMS) for world in worlds]
    assert len({tuple(form.reserved for form in one) for one in drawn}) == len(drawn)
    for one in drawn:
        for form, was in zip(one, vqa.FORMS, strict=True):
            assert {*form.wordings, *form.reserved} == {*was.wordings, *was.reserved} and form.wordings
            assert len(form.reserved) == len(was.reserved)


def test_without_drawing_every_seed_reserves_the_marked_ones() -> None:
    for seed in range(3):
        world = make_world(seed, SIZES)
        assert all(wordings_of(world, task, marked) == marked for task, marked in MARKED.items())
        assert forms_of(world, "vqa", vqa.FORMS) == vqa.FORMS


def test_a_drawn_world_trains_on_no_reserved_wording_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snli_ve, "PAIRS", {"train": 200, "dev": 20, "test": 100})
    root = tmp_path / "world"
    make_microworld(root, 3, SIZES, draw_wordings=True)
    data, world = DataRoot(root), make_world(3, SIZES, draw_wordings=True)
    for name in ("refcoco", "visual7w", "snli_ve"):
        task = get(name)
        wordings = wordings_of(world, name, MARKED[name])
        assert wordings != MARKED[name]

        def reserved(text: str, wordings: tuple[Wording[object], ...] = wordings) -> bool:
            return read(wordings, text)[0].only_test

        assert not any(reserved(example.text) for example in task.read(data, task.train_split))
        kinds = json.loads((root / name / "kinds.json").read_text())[task.test_split]
        tests = task.read(data, task.test_split)
        told = {example.id: kinds[example.id]["wording"] == "unseen" for example in tests}
        assert told == {example.id: reserved(example.text) for example in tests} and {*told.values()} == {
            True,
            False,
        }
    assert "--draw-wordings" in drawing_again(root)
    with pytest.raises(DataError, match=r"whose seed has drawn the wordings of its test sets.*choose another folder"):
        make_microworld(root, 3, SIZES)
    assert len(make_microworld(root, 3, SIZES, draw_wordings=True)) == len(WRITERS)
