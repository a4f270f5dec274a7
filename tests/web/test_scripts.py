"""The scripts of the page, as far as they can be checked without a browser."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import twelve.web
from twelve.outputs.parts.result import CLOSE

SCRIPTS = sorted((Path(twelve.web.__file__).parent / "static").glob("*.js"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_no_name_is_declared_twice(script: Path) -> None:
    """Such a script does not run, nor do those that import it."""
    text = script.read_text(encoding="utf-8")
    declared = re.findall(r"^(?:export )?(?:async )?(?:const|let|function|class) (\w+)", text, flags=re.MULTILINE)
    imported = [name.split(" as ")[-1].strip() for names in re.findall(r"^import {(.*?)}", text, re.M | re.S)
                for name in names.split(",") if name.strip()]  # fmt: skip
    assert [name for name, count in Counter([*declared, *imported]).items() if count > 1] == []


def test_the_page_and_the_shell_call_the_same_answers_undecided() -> None:
    (replies,) = [script.read_text(encoding="utf-8") for script in SCRIPTS if script.name == "replies.js"]
    assert f"const UNDECIDED = {CLOSE};" in replies
