"""What errors advise where an optional package is missing: a command that installs the extra as it stands."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from twelve import extras

HOME = Path(__file__).parents[1]
COMMIT = "7a1f38fe" * 5
ORIGINS: tuple[tuple[dict[str, Any], str], ...] = (
    (
        {"url": "file:///my%20files/twelve_vl-1.whl", "archive_info": {}},
        "pip install 'twelve-vl[web] @ file:///my%20files/twelve_vl-1.whl'",
    ),
    (
        {"url": "https://example.org/twelve", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
        f"pip install 'twelve-vl[web] @ git+https://example.org/twelve@{COMMIT}'",
    ),
    (
        {"url": "https://a.b/c", "vcs_info": {"vcs": "git", "commit_id": COMMIT}, "subdirectory": "my/twelve"},
        f"pip install 'twelve-vl[web] @ git+https://a.b/c@{COMMIT}#subdirectory=my/twelve'",
    ),
)


class Installed:
    """Stands in for an installed distribution."""

    def __init__(self, origin: str | None) -> None:
        self.origin = origin

    def read_text(self, name: str) -> str | None:
        return self.origin if name == "direct_url.json" else None


def known(monkeypatch: pytest.MonkeyPatch, origin: dict[str, Any] | None) -> None:
    text = json.dumps(origin) if origin else None
    monkeypatch.setattr(extras, "distribution", lambda name: Installed(text))


@pytest.mark.parametrize(("origin", "command"), ORIGINS, ids=lambda value: str(value)[:40])
def test_the_command_names_where_the_package_came_from(
    origin: dict[str, Any], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(monkeypatch, origin)
    assert extras.install("web") == command
    *_, wanted = shlex.split(command)
    if " @ " in wanted:
        assert Requirement(wanted).extras == {"web"}


@pytest.mark.parametrize(("editable", "option"), [({}, []), ({"editable": True}, ["-e"]), ({"editable": False}, [])])
def test_a_recorded_folder_is_named_while_it_is_there(
    editable: dict[str, bool], option: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "my clone"
    folder.mkdir()
    known(monkeypatch, {"url": folder.as_uri(), "dir_info": editable})
    assert shlex.split(extras.install("web")) == ["pip", "install", *option, f"{folder}[web]"]
    folder.rmdir()
    assert shlex.split(extras.install("web")) == ["pip", "install", f"{HOME}[web]"]
    monkeypatch.setattr(extras, "_CLONE", tmp_path)
    assert extras.install("web") == "pip install 'twelve-vl[web]'"


@pytest.mark.parametrize(
    "record",
    [
        *("{bad", "[1]", "null", '"x"', '{"dir_info": {}}', '{"url": 5, "dir_info": {}}', "\udc80"),
        '{"url": "https://example.org/twelve", "vcs_info": {"vcs": "git"}}',
        '{"vcs_info": {"vcs": "git", "commit_id": "7a1f38fe"}}',
    ],
)
def test_a_damaged_record_is_as_none(record: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(extras, "distribution", lambda name: Installed(record))
    assert shlex.split(extras.install("web")) == ["pip", "install", f"{HOME}[web]"]
    monkeypatch.setattr(extras, "_CLONE", tmp_path)
    assert extras.install("web") == "pip install 'twelve-vl[web]'"


def test_a_source_tree_that_is_used_in_place_names_its_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Installed:
        raise PackageNotFoundError(name)

    command = ["pip", "install", f"{HOME}[web]"]
    monkeypatch.setattr(extras, "distribution", missing)
    assert shlex.split(extras.install("web")) == command
    known(monkeypatch, None)  # metadata that a build left in the source tree
    assert shlex.split(extras.install("web")) == command


def test_what_came_from_an_index_is_completed_from_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known(monkeypatch, None)
    monkeypatch.setattr(extras, "_CLONE", tmp_path)
    assert extras.install("web") == "pip install 'twelve-vl[web]'"


def test_every_advised_extra_is_there_and_no_message_names_one_otherwise() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in (HOME / "src").rglob("*.py")}
    advised = [name for text in sources.values() for name in re.findall(r"\binstall\(['\"](\w+)['\"]\)", text)]
    project = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert len(advised) > 6 and {*advised} <= project["optional-dependencies"].keys()
    assert project["name"] == extras.NAME
    assert not [path for path, text in sources.items() if f"{extras.NAME}[" in text]
