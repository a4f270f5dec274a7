"""Tests see nothing of the machine they run on: conftest.py holds what is promised here."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import torch


def test_a_test_starts_in_an_empty_folder(tmp_path: Path) -> None:
    assert Path.cwd() == tmp_path and not os.listdir()


@pytest.mark.parametrize("time", [1, 2])
def test_home_is_empty_and_settings_of_the_shell_are_gone(time: int) -> None:
    assert not os.listdir(Path.home())
    (Path.home() / "left").touch()
    assert not [name for name in os.environ if name.startswith(("XDG_", "HF_HOME", "RANK", "COLUMNS", "CI"))]


@pytest.mark.parametrize("time", [1, 2])
def test_threads_that_one_test_sets_do_not_reach_the_next(time: int) -> None:
    assert torch.get_num_threads() == 1
    torch.set_num_threads(3)


def test_a_skip_for_a_missing_package_says_that_it_is_not_installed(pytestconfig: pytest.Config) -> None:
    """By these words TWELVE_COMPLETE=1 knows which skips must fail; `datasets` may be missing even then."""
    tests = Path(__file__).parent
    lacking = pytestconfig.pluginmanager.get_plugin(str(tests / "conftest.py")).LACKING  # type: ignore[union-attr]
    reasons = [
        reason
        for file in tests.rglob("test_*.py")
        for reason in re.findall(r'importorskip\("[^)]*reason="([^"]+)"', file.read_text(encoding="utf-8"))
    ]
    assert len(reasons) > 5
    others = [reason for reason in reasons if not lacking.search(reason)]
    assert others == ["datasets is no dependency, not even of the tests"]
