"""How an error names its place: as the subject of the problem if that begins with a verb, else before a colon."""

from __future__ import annotations

import pytest

from twelve.errors import TwelveError, located_problem


@pytest.mark.parametrize(
    ("where", "problem", "told"),
    [
        ("README.md", "is not an image (checked by content)", None),
        ("question", "is missing", None),
        ("boxes.json [row 3]", "has no area", None),
        ("boxes", "have no area", None),
        ("a.json", "cannot be read: Permission denied", None),
        ("a.json [x]", "must be true or false, found 3", None),
        (
            "train.jsonl [line 3]",
            "expected a string, found 5",
            "train.jsonl [line 3]: expected a string, found 5",
        ),
        ("mine.yaml", "no such file", "mine.yaml: no such file"),
        ("a.jpg", "isolated bytes", "a.jpg: isolated bytes"),
        ("a.jpg", "names begin with a", "a.jpg: names begin with a"),
        ("a.jpg", "cannot identify image file", "a.jpg: cannot identify image file"),
        ("", "is missing", "is missing"),
    ],
)
def test_a_problem_with_its_place(where: str, problem: str, told: str | None) -> None:
    assert located_problem(where, problem) == (told or f"{where} {problem}")


def test_an_error_with_its_place() -> None:
    error = TwelveError("is missing", file="mine.yaml", record="data", remedy="add it")
    assert str(error) == "mine.yaml [data] is missing -> add it" and error.problem == "is missing"
    assert str(TwelveError("must be a list", record="tasks")) == "[tasks] must be a list"
    assert str(TwelveError("no such file", file="mine.yaml")) == "mine.yaml: no such file"
    assert str(TwelveError("no task").located("mine.yaml")) == "mine.yaml: no task"
