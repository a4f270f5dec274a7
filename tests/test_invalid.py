"""What pydantic refuses is told in the words of the other messages."""

from __future__ import annotations

import shlex
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from twelve.config import load
from twelve.errors import ConfigError
from twelve.io.invalid import problem_of


class _Shade(Enum):
    LIGHT = "light"
    DARK = "dark"


class _Described(BaseModel):
    model_config = ConfigDict(extra="forbid")

    needed: int
    count: Annotated[int, Field(gt=2, lt=5000)] = 3
    share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.5
    on: bool = False
    text: Annotated[str, Field(min_length=1, max_length=3)] = "a"
    word: Literal["a", "b", "c"] = "a"
    shade: _Shade = _Shade.DARK
    several: Annotated[list[int], Field(min_length=1, max_length=2)] = Field(default=[1])
    named: dict[str, int] = Field(default={})

    @field_validator("named")
    @classmethod
    def _allowed(cls, value: dict[str, int]) -> dict[str, int]:
        if "x" in value:
            raise ValueError("x is taken")
        return value


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({}, "is missing"),
        ({"extra": 1}, "no such key"),
        ({"count": "abc"}, "expected an integer, found 'abc'"),
        ({"count": 3.5}, "expected an integer, found 3.5"),
        ({"count": None}, "expected an integer, found None"),
        ({"count": "9" * 5000}, "expected an integer, found '999999999999999999999999999...999999999..."),
        ({"count": 2}, "expected more than 2, found 2"),
        ({"count": 5000}, "expected less than 5,000, found 5000"),
        ({"share": "half"}, "expected a number, found 'half'"),
        ({"share": 3}, "expected at most 1, found 3"),
        ({"share": -0.5}, "expected at least 0, found -0.5"),
        ({"share": float("nan")}, "expected a finite number, found nan"),
        ({"on": "maybe"}, "expected true or false, found 'maybe'"),
        ({"text": 3}, "expected a string, found 3"),
        ({"text": ""}, "expected a string of at least 1 character, found an empty one"),
        ({"text": "abcd"}, "expected a string of at most 3 characters, found one of 4"),
        ({"word": "d"}, "expected one of 'a', 'b' or 'c', found 'd'"),
        ({"shade": "grey"}, "expected one of 'light' or 'dark', found 'grey'"),
        ({"several": 3}, "expected a list, found 3"),
        ({"several": []}, "expected at least 1 item, found none"),
        ({"several": [1, 2, 3]}, "expected at most 2 items, found 3"),
        ({"named": [3]}, "expected a mapping of keys to values, found [3]"),
        ({"named": {"x": 1}}, "x is taken"),
    ],
)
def test_in_words(tree: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        _Described.model_validate({"needed": 1, **tree} if tree else {})
    (error,) = caught.value.errors()
    assert problem_of(error) == said


def test_a_setting_of_the_wrong_type(tmp_path: Path) -> None:
    said = r"--set training.iterations=abc \[training.iterations\]: expected an integer, found 'abc' -> "
    with pytest.raises(ConfigError, match=said):
        load("real-sample.yaml", ["training.iterations=abc"])


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("training.iterations=many", "found 'many' -> change it, for example: --set training.iterations=1000"),
        ("tasks.vqa.batch_size=five", "-> change it, for example: --set tasks.vqa.batch_size=128"),
        ("tasks.vqa.max_train=0", "-> change it, for example: --set tasks.vqa.max_train=1000"),
        (
            "optimizer.task_scale=nrom",
            '(did you mean "norm"?) -> change it, for example: --set optimizer.task_scale=norm',
        ),
        ("hold_out=all", "found 'all' -> change it, for example: --set hold_out=test"),
        ("training.packed=maybe", "-> change it, for example: --set training.packed=false"),
        ("training.threads=0", "-> change it, for example: --set training.threads=auto"),
        ("training.trackers=[wandbb]", "-> change it, for example: --set 'training.trackers=[\"wandb\"]'"),
        ("training.trackers=trackio", "-> change it, for example: --set 'training.trackers=[\"trackio\"]'"),
        ("optimizer.betas=[0.9, b]", "-> change it, for example: --set 'optimizer.betas=[0.9, 0.999]'"),
        ("contrast.weight=-1", "-> change it, for example: --set contrast.weight=1.0"),
        ("model.init=3", "-> write it in quotes: --set 'model.init=\"3\"'"),
        ("run=", "-> change it, for example: --set run=runs/mine"),
        ("optimizer.factors.text=slow", "-> see docs/configuration.md"),
    ],
)
def test_a_value_is_told_for_a_wrong_one(setting: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load("real-sample.yaml", [setting])
    assert str(caught.value).endswith(told)
    if "--set" in told:
        load("real-sample.yaml", [setting, shlex.split(told.rpartition("--set")[2])[0]])


def test_keys_are_told_where_a_section_is_a_value() -> None:
    with pytest.raises(ConfigError, match="put keys and values below it; known there: size, weight, distill, "):
        load("real-sample.yaml", ["contrast=5"])
    with pytest.raises(
        ConfigError, match=r'unknown key \(did you mean "contrast\.weight"\?\) -> known here: size, weight, '
    ):
        load("real-sample.yaml", ["contrast.wieght=5"])
