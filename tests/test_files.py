"""Nothing good is replaced by something half-written."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from twelve.errors import TwelveError
from twelve.files import replacing


def test_failure_inside_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    target.write_text("good")
    with pytest.raises(RuntimeError), replacing(target) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert target.read_text() == "good"
    assert list(tmp_path.iterdir()) == [target]


def test_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "x").write_text("good")
    with pytest.raises(TwelveError, match=r"No space left.*free some space"), replacing(target) as partial:
        partial.mkdir()
        raise OSError(errno.ENOSPC, "No space left on device")
    assert (target / "x").read_text() == "good"


def test_folders_are_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    for text in ("one", "two"):
        with replacing(target) as partial:
            partial.mkdir()
            (partial / text).write_text(text)
    assert [path.name for path in target.iterdir()] == ["two"]
    assert list(tmp_path.iterdir()) == [target]
