"""What is released, and how: versions, the contents of distributions, workflows, templates."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import distributions
import pytest
import yaml
from image_check import Page
from packaging.version import Version

from twelve.version import __version__

HOME = Path(__file__).parents[1]
GITHUB = HOME / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
RELEASED = "# Changelog\n\n## 0.2.0 (2027-01-31)\n\n- x\n\n## 0.1.0 (2026-12-01)\n"
UNRELEASED = RELEASED.replace("# Changelog\n", "# Changelog\n\n## Unreleased\n\n- y\n")


def text(name: str) -> str:
    return (HOME / name).read_text(encoding="utf-8")


def test_the_version_fits_the_changelog_and_the_citation() -> None:
    assert distributions.wrong_version(__version__, text("CHANGELOG.md")) == []
    assert yaml.safe_load(text("CITATION.cff"))["version"] == __version__
    project = tomllib.loads(text("pyproject.toml"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "twelve.version.__version__"}


@pytest.mark.parametrize(
    ("version", "changelog", "tag", "wrong"),
    [
        ("0.2.0", RELEASED, "v0.2.0", ""),
        ("0.3.0.dev0", UNRELEASED, None, ""),
        ("0.1.0.dev0", "# Changelog\n\n## Unreleased\n\n- y\n", None, ""),
        ("0.2.0", UNRELEASED, None, "expected a version after 0.2.0 that ends with .dev0"),
        ("0.2.0.dev0", UNRELEASED, None, "expected a version after 0.2.0 that ends with .dev0"),
        ("0.3.0.dev0", RELEASED, None, "expected 0.2.0"),
        ("0.3.0.dev0", UNRELEASED, "v0.3.0.dev0", "unreleased changes"),
        ("0.2.0", RELEASED, "v0.2", "expected the tag v0.2.0, found v0.2"),
        ("0.2.0", "# Changelog\n", None, "no heading"),
        ("0.2.0", RELEASED.replace("(2027-01-31)", "soon"), None, "expected ## VERSION (YEAR-MONTH-DAY)"),
    ],
)
def test_a_version_that_does_not_fit_is_told(version: str, changelog: str, tag: str | None, wrong: str) -> None:
    found = distributions.wrong_version(version, changelog, tag)
    assert any(wrong in each for each in found) if wrong else found == []


def test_the_name_is_the_same_everywhere() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    assert project["name"] == distributions.NAME and project["scripts"] == {"twelve": "twelve.__main__:main"}
    own = [each for lines in project["optional-dependencies"].values() for each in lines if each.startswith("twelve")]
    assert own and all(each.startswith(f"{distributions.NAME}[") for each in own)
    pages = [*HOME.glob("*.md"), *HOME.glob("docs/*.md"), *HOME.glob("src/**/*.py")]
    old = [path.name for path in pages if re.search(r"pip install ['\"]?twelve(?!-vl)\b", path.read_text("utf-8"))]
    assert len(pages) > 100 and old == []


def test_links_of_the_readme_lead_into_the_repository() -> None:
    page = "![a](docs/a.jpg) [b](docs/b.md#c) [LICENSE](LICENSE) [d](https://example.org) [e](#f) `x[1](2)`"
    found = distributions.absolute(page, "https://host/o/n", "v1")
    assert found.startswith("![a](https://host/o/n/raw/v1/docs/a.jpg) [b](https://host/o/n/blob/v1/docs/b.md#c)")
    assert "[LICENSE](https://host/o/n/blob/v1/LICENSE) [d](https://example.org) [e](#f)" in found
    readme = distributions.absolute(text("README.md"), "https://host/o/n", "v1")
    assert not re.search(r"\]\((?!https://)", readme)
    assert "git clone https://host/o/n twelve && cd twelve\n" in readme and "REPOSITORY" not in readme


def test_stray_and_missing_files_are_told() -> None:
    files = ["src/twelve/__init__.py", "src/twelve/a.css", "tests/test_a.py"]
    info = [f"twelve_vl-1.dist-info/{name}" for name in distributions.WRITTEN]
    assert distributions.wrong_in_wheel(["twelve/__init__.py", "twelve/a.css", *info], files, "1") == []
    found = distributions.wrong_in_wheel(["twelve/__init__.py", "twelve/b.pyc", "tests/x.py", *info], files, "1")
    assert found == ["missing: twelve/a.css", "stray: tests/x.py", "stray: twelve/b.pyc"]
    names = [*files[:2], *distributions.BESIDE, "PKG-INFO", "setup.cfg", "src/twelve_vl.egg-info/SOURCES.txt"]
    names = [f"twelve_vl-1/{name}" for name in names]
    assert distributions.wrong_in_sdist(names, files, "1") == []
    assert distributions.wrong_in_sdist([*names[1:], "twelve_vl-1/.env"], files, "1") == [
        "missing: src/twelve/__init__.py",
        "stray: .env",
    ]


def workflow(path: Path) -> dict[Any, Any]:
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(tree, dict)
    return tree


def steps(tree: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in tree["jobs"].values() for step in job["steps"]]


def test_there_are_workflows() -> None:
    assert [path.stem for path in WORKFLOWS] == ["audit", "ci", "docs", "release"]
    triggers = {path.stem: workflow(path)[True] for path in WORKFLOWS}  # YAML 1.1 reads "on" as true
    assert triggers["release"] == {"push": {"tags": ["v*"]}}
    assert triggers["audit"].keys() == {"schedule", "pull_request", "workflow_dispatch"}
    assert all("pull_request_target" not in trigger for trigger in triggers.values())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_do_no_more_than_it_needs(path: Path) -> None:
    tree = workflow(path)
    assert tree["permissions"] == {"contents": "read"}
    allowed = {"docs": {"pages": "write", "id-token": "write"}, "release": {"id-token": "write"}}
    for name, job in tree["jobs"].items():
        assert 0 < job["timeout-minutes"] <= 120
        if name == "publish":  # runs no code of the repository
            assert job["permissions"] == allowed[path.stem] and not [step for step in job["steps"] if "run" in step]
        else:
            assert "permissions" not in job
    for step in steps(tree):
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]), f"not pinned: {step['uses']}"
            if step["uses"].startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
    assert "secrets." not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflows_commands_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), flags=re.M))
    commands = [step["run"] for step in steps(workflow(path)) if "run" in step]
    assert commands
    for command in commands:
        program, first, *_ = command.split()
        assert "${{" not in command, "a value from outside would be run by the shell"
        if program == "make":
            assert first in targets, f"make {first}"
        else:
            assert program == "bash" and (HOME / first).is_file(), command
        for variable in re.findall(r"(\b[A-Z]+)=", command):
            assert f"$({variable})" in text("Makefile")


def test_the_audit_reads_the_pinned_versions_and_its_program_is_no_dependency() -> None:
    (commands,) = re.findall(r"^audit:.*\n((?:\t.*\n)+)", text("Makefile"), flags=re.M)
    assert re.search(r" pip-audit==[\d.]+\n", commands)
    assert "/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict\n" in commands
    assert "pip-audit" not in text("constraints.txt") + text("pyproject.toml")


def test_dependabot_proposes_versions_of_everything_that_is_pinned() -> None:
    updates = workflow(GITHUB / "dependabot.yml")["updates"]
    assert [each["package-ecosystem"] for each in updates] == ["github-actions", "pip", "docker"]
    assert {each["directory"] for each in updates} == {"/"}
    # What its parsers read: a .txt file in which every line is a requirement, and an image that is no variable.
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in text("constraints.txt").splitlines())
    image, own = re.findall(r"^FROM (.+)$", text("Dockerfile"), flags=re.M)
    assert re.fullmatch(r"python:[\d.]+-slim AS usual", image) and own == "$BASE"
    assert text("Dockerfile").index("\nARG BASE=usual\n") < text("Dockerfile").index("\nFROM ")  # an ARG for FROM


def test_the_check_of_the_image_finds_the_commands_of_the_page() -> None:
    page = Page()
    assert page.build == "docker build -t twelve ." and page.run.endswith("--log-json")
    assert page.question.startswith("curl ") and page.begins.startswith('{"text":')


def test_templates_of_issues_are_forms() -> None:
    forms = [path for path in sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) if path.stem != "config"]
    assert len(forms) == 2
    for path in forms:
        tree = workflow(path)
        assert {"name", "description", "body"} <= tree.keys()
        ids = [part["id"] for part in tree["body"]]
        assert len(set(ids)) == len(ids) and all(part["attributes"]["label"] for part in tree["body"])
    assert (GITHUB / "pull_request_template.md").is_file() and (HOME / "SECURITY.md").is_file()


def test_versions_order_as_the_rule_says() -> None:
    assert Version("0.2.0") < Version("0.3.0.dev0") < Version("0.3.0")
