"""The whole suite with other versions, and in other surroundings; ends with a table.

    python tests/matrix.py versions --python python3.11 --python python3.13    # lowest and newest, on each Python
    python tests/matrix.py places                                              # with the environment that runs this

Everything is made in a temporary folder: a copy of the working tree, virtual environments, logs. Versions are chosen by
uv (itself installed there by pip), among wheels alone: *lowest* is the lowest that pyproject.toml admits of each
package it names and that has a wheel for the Python, *newest* the newest. Arguments after ``--`` go to pytest.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ORDINARY = "ordinary"
BUSY = "two busy processes"
OTHER_USER = "another user"
PLACES = {
    ORDINARY: {},
    "no HOME": {"HOME": None},
    "LC_ALL=C": {"LC_ALL": "C"},
    "random order": {},
    OTHER_USER: {},
    BUSY: {},
}
"""Surroundings, and what they change in the environment (None: removed); all in a folder with spaces and umlauts."""


def copied(to: Path) -> Path:
    """The working tree as git sees it, ignored files left out, in ``to``."""
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True
    )
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    return to


def release(python: str) -> str:
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", program], check=True, capture_output=True, text=True).stdout.strip()


def environment(work: Path, python: str, versions: str) -> Path:
    """A virtual environment with the package's extra ``dev``; returns its Python."""
    if not (work / "uv").exists():
        subprocess.run([sys.executable, "-m", "venv", work / "uv"], check=True)
        subprocess.run([work / "uv" / "bin" / "pip", "install", "--quiet", "uv"], check=True)
    uv, place = work / "uv" / "bin" / "uv", work / f"{versions}-{release(python)}"
    subprocess.run([uv, "venv", "--quiet", "--python", python, place], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", place / "bin" / "python", "--only-binary", ":all:"]
    install += ["--no-binary", "twelve-vl", "--resolution", {"lowest": "lowest-direct", "newest": "highest"}[versions]]
    subprocess.run([*install, "--editable", f"{copied(work / 'twelve')}[dev]"], check=True)
    return place / "bin" / "python"


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def suite(command: list[str], folder: Path, log: Path, changes: dict[str, str | None]) -> tuple[str, str, bool]:
    """What pytest's last line says, the minutes, whether all was well."""
    shared = {"TWELVE_REALDATA": str(ROOT.parent / "shared" / "realdata"), "PYTHONPATH": str(folder / "src")}
    settings = {**shared, **os.environ, "PYTHONPATH": str(folder / "src"), **changes}
    began = time.monotonic()
    with log.open("wb") as stream:
        done = subprocess.run(
            command,
            cwd=folder,
            env={name: value for name, value in settings.items() if value is not None},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
        )
    said = re.findall(r"^.*\d+ (?:passed|failed|error).*$", log.read_text(encoding="utf-8", errors="replace"), re.M)
    last = re.sub(r" in [\d.]+s.*|=", "", said[-1]).strip() if said else "no summary"
    return last, f"{(time.monotonic() - began) / 60:.1f}", done.returncode == 0


def versions(work: Path, pythons: list[str], pytest: list[str]) -> Iterator[tuple[str, str, str, bool]]:
    for python in pythons:
        for which in ("lowest", "newest"):
            name = f"{which}, Python {release(python)}"
            try:
                found = environment(work, python, which)
            except subprocess.CalledProcessError as error:
                yield name, f"could not be installed ({error.returncode})", "", False
                continue
            yield name, *suite([str(found), *pytest], work / "twelve", work / f"{which}-{release(python)}.log", {})


def places(work: Path, names: list[str], pytest: list[str]) -> Iterator[tuple[str, str, str, bool]]:
    folder = copied(work / "Ein Ordner mit Umlauten äöü" / "twelve")
    for name in names:
        command = [sys.executable, *pytest]
        if name == "random order":
            command += ["--random-order"]
        if name == OTHER_USER:
            if os.geteuid() != 0:
                yield name, "skipped: only root can become another user", "", True
                continue
            work.chmod(0o755)
            subprocess.run(["chmod", "-R", "a+rX", folder.parent], check=True)
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
            if subprocess.run([*command[:4], sys.executable, "-c", ""], check=False, capture_output=True).returncode:
                yield name, f"skipped: another user cannot read {sys.executable}; /usr/bin/python3's can be", "", True
                continue
        with busy(2 if name == BUSY else 0):
            yield name, *suite(command, folder, work / f"{name}.log", PLACES[name])


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("what", choices=["versions", "places"])
    asked.add_argument("--python", action="append", help="versions: a Python; again for several (this one if none)")
    asked.add_argument("--place", action="append", choices=list(PLACES), help="places: one of them; again for several")
    asked.add_argument("--work", type=Path, help="an empty folder to work in (a temporary one)")
    given, rest = sys.argv[1:], []
    if "--" in given:
        given, rest = given[: given.index("--")], given[given.index("--") + 1 :]
    chosen = asked.parse_args(given)
    work = (chosen.work or Path(tempfile.mkdtemp(prefix="twelve-matrix-"))).resolve()
    work.mkdir(parents=True, exist_ok=True)
    pytest = ["-m", "pytest", "-p", "no:cacheprovider", *rest]
    if chosen.what == "versions":
        rows = versions(work, chosen.python or [sys.executable], pytest)
    else:
        rows = places(work, chosen.place or list(PLACES), pytest)
    table, good = [], True
    for name, result, minutes, well in rows:
        good &= well
        table.append(f"| {name} | {result} | {minutes} | {'ok' if well else 'FAILED'} |")
        print(table[-1], flush=True)
    print("\n| what | result | minutes | |\n|---|---|---|---|", *table, f"\nlogs: {work}", sep="\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
