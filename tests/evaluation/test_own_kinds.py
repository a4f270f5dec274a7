"""Kinds of examples that a data root names itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from twelve.errors import DataError
from twelve.evaluation.kinds import kinds_of
from twelve.evaluation.own_kinds import with_own_kinds
from twelve.formats.data_root import DataRoot
from twelve.tasks.base import get
from twelve.types.examples import Example

EXAMPLES = [Example(str(key), "is it red?", ("x/1",), {"yes": 1.0}, facts={"question_type": "is"}) for key in range(4)]


def kinds(folder: Path, tree: Any, split: str = "val") -> dict[str, tuple[str, ...]]:
    (folder / "vqa").mkdir(exist_ok=True)
    (folder / "vqa" / "kinds.json").write_text(json.dumps(tree))
    return kinds_of(with_own_kinds(get("vqa"), DataRoot(folder), split, EXAMPLES))


def test_kinds_of_the_file_are_kinds_of_the_examples(tmp_path: Path) -> None:
    given = {"0": {"light": "day"}, "1": {"light": "night"}, "2": {"light": "day"}, "3": {"light": "day"}}
    assert kinds(tmp_path, {"val": given})["light"] == ("day", "night", "day", "day")
    assert "light" not in kinds(tmp_path, {"val": given}, "test")
    (tmp_path / "vqa" / "kinds.json").unlink()
    assert with_own_kinds(get("vqa"), DataRoot(tmp_path), "val", EXAMPLES) is EXAMPLES


@pytest.mark.parametrize(
    ("own", "record", "problem"),
    [
        ({"0": {"light": "day"}}, "1", "found none"),
        ({key: {"light": 3} for key in "0123"}, "0", "light"),
        ({key: ["light"] for key in "0123"}, "0", "found"),
        ({key: {"question_type": "what"} for key in "0123"}, "0", "already"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, own: Any, record: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem) as error:
        kinds(tmp_path, {"val": own})
    assert "kinds.json" in str(error.value) and record in str(error.value)
