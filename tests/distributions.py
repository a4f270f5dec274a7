"""The distributions: building them from what git sees, and what they may and must hold."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
NAME = "twelve-vl"
PACKAGE = "src/twelve/"
BESIDE = {"CHANGELOG.md", "CITATION.cff", "LICENSE", "MANIFEST.in", "README.md", "constraints.txt", "pyproject.toml"}
"""What a source distribution holds beside the package."""
CLONE = "git clone REPOSITORY twelve && cd twelve   # REPOSITORY: the URL of this page\n"
"""A command of the README; a release fills in the URL."""
WRITTEN = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"}
"""What the build writes into a wheel's dist-info."""


def wrong_version(version: str, changelog: str, tag: str | None = None) -> list[str]:
    """What does not fit in a version, the headings of CHANGELOG.md and, if there is one, the tag of a release."""
    headings = re.findall(r"^## (.+)$", changelog, flags=re.M)
    if not headings:
        return ["CHANGELOG.md: no heading of a release, nor ## Unreleased"]
    pending = headings[0] == "Unreleased"
    releases = [re.fullmatch(r"(\d+\.\d+\.\d+) \(\d{4}-\d{2}-\d{2}\)", each) for each in headings[pending:]]
    if not all(releases):
        return ["CHANGELOG.md: expected ## VERSION (YEAR-MONTH-DAY), such as ## 0.2.0 (2027-01-31)"]
    newest = next((each[1] for each in releases if each), "0")
    found = []
    if pending and not (version.endswith(".dev0") and Version(version) > Version(newest)):
        found.append(f"version.py: expected a version after {newest} that ends with .dev0, found {version}")
    if not pending and version != newest:
        found.append(f"version.py: expected {newest}, the newest release in CHANGELOG.md, found {version}")
    if tag is not None and pending:
        found.append("CHANGELOG.md: unreleased changes; give them a version and a day")
    if tag is not None and tag != f"v{version}":
        found.append(f"expected the tag v{version}, found {tag}")
    return found


def tracked(root: Path = ROOT) -> list[str]:
    """Files of the working tree that git tracks or would, as paths with slashes."""
    command = ["git", "ls-files", "-coz", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True).stdout.decode()
    return sorted(name for name in listed.split("\0") if name and (root / name).is_file())


def absolute(text: str, repository: str, revision: str) -> str:
    """A page whose relative links lead into a repository, since the index shows the README without its folder; the
    command that clones the repository names it.

    Args:
        repository: URL of a repository on GitHub, or on a host with its layout.
        revision: a tag or commit.
    """

    def link(found: re.Match[str]) -> str:
        kind = "raw" if found[1] else "blob"
        return f"{found[1]}[{found[2]}]({repository}/{kind}/{revision}/{found[3]})"

    named = text.replace(CLONE, f"git clone {repository} twelve && cd twelve\n")
    return re.sub(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)]+)\)", link, named)


def copied(to: Path, repository: str | None, revision: str) -> Path:
    """The working tree as git sees it, without its tests; with the URLs of a repository if there is one."""
    for name in tracked():
        if not name.startswith(("tests/", "benchmarks/", ".")):
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, to / name)
    if repository:
        readme, project = to / "README.md", to / "pyproject.toml"
        readme.write_text(absolute(readme.read_text(encoding="utf-8"), repository, revision), encoding="utf-8")
        pages = {"Source": "", "Changelog": f"/blob/{revision}/CHANGELOG.md", "Issues": "/issues"}
        lines = "".join(f'{title} = "{repository}{page}"\n' for title, page in pages.items())
        project.write_text(f"{project.read_text(encoding='utf-8')}\n[project.urls]\n{lines}", encoding="utf-8")
    return to


def build(source: Path, out: Path, *, isolated: bool) -> tuple[Path, Path]:
    """Build the wheel and the source distribution, the wheel from the latter; check their metadata.

    Args:
        isolated: whether the build gets an environment of its own, as pyproject.toml asks, from the package index.
    """
    alone = [] if isolated else ["--no-isolation"]
    command = [sys.executable, "-m", "build", *alone, "--outdir", str(out), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        raise SystemExit(f"{built.stdout}{built.stderr}")
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sdist)], check=True)
    return wheel, sdist


def wrong_in_wheel(names: Iterable[str], files: Iterable[str], version: str) -> list[str]:
    """Files that a wheel lacks, and those that it should not hold."""
    wanted = {name.removeprefix("src/") for name in files if name.startswith(PACKAGE)}
    wanted |= {f"twelve_vl-{version}.dist-info/{name}" for name in WRITTEN}
    return _differences({name for name in names if not name.endswith("/")}, wanted)


def wrong_in_sdist(names: Iterable[str], files: Iterable[str], version: str) -> list[str]:
    """Files that a source distribution lacks, and those that it should not hold."""
    top = f"twelve_vl-{version}/"
    wanted = {name for name in files if name.startswith(PACKAGE)} | BESIDE | {"PKG-INFO", "setup.cfg"}
    inside = {name.removeprefix(top) for name in names}
    return _differences({name for name in inside if not name.startswith("src/twelve_vl.egg-info")}, wanted)


def _differences(found: set[str], wanted: set[str]) -> list[str]:
    missing, stray = sorted(wanted - found), sorted(found - wanted)
    return [*(f"missing: {name}" for name in missing), *(f"stray: {name}" for name in stray)]


def wrong(wheel: Path, sdist: Path, version: str) -> list[str]:
    """What is wrong with both: files too many or too few, files that name this machine's folders, unsafe paths."""
    files = tracked()
    with zipfile.ZipFile(wheel) as opened:
        found = {f"{wheel.name}: {each}" for each in wrong_in_wheel(opened.namelist(), files, version)}
        contents = {name: opened.read(name) for name in opened.namelist()}
    with tarfile.open(sdist) as archive:
        members = [member for member in archive if not member.isdir()]
        found |= {f"{sdist.name}: no regular file: {member.name}" for member in members if not member.isfile()}
        names = [member.name for member in members]
        found |= {f"{sdist.name}: {each}" for each in wrong_in_sdist(names, files, version)}
        found |= {f"{sdist.name}: outside: {name}" for name in names if ".." in PurePosixPath(name).parts}
    here = str(ROOT).encode()
    found |= {f"{wheel.name}: {name} names {ROOT}" for name, content in contents.items() if here in content}
    return sorted(found)
