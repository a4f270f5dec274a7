"""Tasks of other packages: one that cannot be imported is passed over, with one line, and the rest works."""

from __future__ import annotations

from pathlib import Path

import pytest

from twelve import config as configuration
from twelve.errors import ConfigError
from twelve.tasks import base


def install(folder: Path, module: str, points: str) -> None:
    """A module and its entry points, as an installed distribution has them."""
    (folder / "my_broken.py").write_text(module)
    info = folder / "my_broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[twelve.tasks]\n{points}\n")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("import not_there_at_all", ["ModuleNotFoundError", "not_there_at_all"]),
        ("1 / 0", ["ZeroDivisionError"]),
        ("Broken = int", ["TypeError", "not a subclass of twelve.tasks.base.Task"]),
        ("", ["AttributeError", "Broken"]),
        ("from twelve.tasks.nlvr2 import NLVR2\nclass Broken(NLVR2):\n    pass", ["two tasks are named 'nlvr2'"]),
    ],
    ids=["import", "code", "no-task", "no-class", "name-taken"],
)
def test_a_broken_entry_point_is_passed_over(
    module: str,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    install(tmp_path, module, "broken = my_broken:Broken")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(base, "_BROKEN", {})
    monkeypatch.delitem(__import__("sys").modules, "my_broken", raising=False)
    assert "vqa" in base.all_tasks() and "broken" not in base.all_tasks()
    (line,) = capsys.readouterr().err.splitlines()  # said once
    for word in ["my-broken", "'broken'", "my_broken:Broken", *words]:
        assert word in line
    configuration.parse({"run": "r", "data": "d", "tasks": ["vqa"]})
    with pytest.raises(ConfigError, match=r"unknown task 'broken'.*my-broken"):
        base.get("broken")
    with pytest.raises(ConfigError, match=r"tasks\.broken.*my-broken"):
        configuration.parse({"run": "r", "data": "d", "tasks": ["broken"]})
