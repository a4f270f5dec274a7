"""The project's own files agree: pinned versions with requirements, and what CI runs with the README."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

HOME = Path(__file__).parents[1]


def test_the_pinned_versions_are_what_the_project_requires_and_what_make_installs() -> None:
    lines = (HOME / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}
    project = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    wanted = [Requirement(line) for line in [*project["dependencies"], *extras]]
    wanted = [one for one in wanted if one.name != project["name"]]
    assert len(wanted) > 30
    unfit = [str(one) for one in wanted if not one.specifier.contains(pins.get(canonicalize_name(one.name), "0"))]
    assert not unfit, f"constraints.txt pins no version that fits {', '.join(unfit)}"
    installs = re.findall(r"/pip install .*", (HOME / "Makefile").read_text(encoding="utf-8"))
    assert installs and all("--constraint constraints.txt" in line for line in installs)
    # -c alone leaves setuptools to be the newest: pip builds a package in an environment of its own.
    docker = re.findall(r"RUN .*?pip install (?:.*\\\n)*.*", (HOME / "Dockerfile").read_text(encoding="utf-8"))
    builds = [line for line in [*installs, *docker] if re.search(r"[ '\"]\.(?:\[|\s)", line)]
    assert len(docker) == 4 and len(builds) == 3
    assert all("--build-constraint constraints.txt" in line for line in builds) and "setuptools" in pins
    assert re.fullmatch(r"RUN pip install .*-c constraints.txt --upgrade pip", docker[0])  # an old one lacks the option
    assert Version(pins["pip"]) >= Version("25.3")


def test_ci_runs_the_readmes_commands_in_its_order() -> None:
    section = (HOME / "README.md").read_text(encoding="utf-8").split("## Try it")[1].split("\n## ")[0]
    readme = re.findall(r"^make \w+", section, flags=re.M)
    ran = re.findall(r"^(?:\w+=\w+ )*(make \w+)", (HOME / ".ci" / "run").read_text(encoding="utf-8"), flags=re.M)
    assert len(readme) == 2 and [command for command in ran if command in readme] == readme


def bibtex(text: str) -> list[dict[str, str]]:
    """Fields of each entry, without the braces that keep capitals."""
    entries = re.findall(r"^@\w+\{\w+,\n(.*?)^\}", text, flags=re.MULTILINE | re.DOTALL)
    fields = (re.findall(r"^  (\w+) *= \{(.*)\},?$", entry, flags=re.MULTILINE) for entry in entries)
    return [{name: re.sub("[{}]", "", value) for name, value in each} for each in fields]


def test_the_page_on_citing_has_the_facts_of_the_citation_file() -> None:
    cited = yaml.safe_load((HOME / "CITATION.cff").read_text(encoding="utf-8"))
    (paper,) = cited["references"]
    of_paper, of_software, *others = bibtex((HOME / "docs" / "cite.md").read_text(encoding="utf-8"))
    assert of_paper == {
        "title": paper["title"],
        "author": " and ".join(f"{each['family-names']}, {each['given-names']}" for each in paper["authors"]),
        "booktitle": paper["collection-title"],
        "year": str(paper["year"]),
        "url": paper["url"],
    }
    assert re.fullmatch(r"20\d\d", of_software.pop("year"))  # the file has no date until a version is released
    assert of_software == {
        "title": cited["title"],
        "author": " and ".join(each["name"] for each in cited["authors"]),
        "note": f"Software, version {cited['version']}",
    }
    assert len(others) == 16 and all({"title", "author", "year"} <= set(each) for each in others)
