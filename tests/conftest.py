"""What every test can rely on: a folder, a home and an environment of its own, one thread, no network.

Nothing of the machine reaches a test but what `KEPT` names: not the folder that pytest was started in, not what lies in
the home folder, not the shell's settings. One thread a process: on models this small a second one gains nothing, and
beside other programs threads that wait for each other take twenty times as long.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

KEPT = re.compile(
    "PATH|LD_LIBRARY_PATH|TMPDIR|TZ|LANG|LC_.*|PYTHON.*|VIRTUAL_ENV|COVERAGE.*|PYTEST.*|CUDA_VISIBLE_DEVICES|OPENBLAS_.*"
    "|TWELVE_REALDATA|TWELVE_SEED|TWELVE_MUTATIONS|TWELVE_COMPLETE"
)
"""Environment variables that tests see. Locale and time zone stay: a test that depends on them must show it."""

_PLACE = Path(tempfile.mkdtemp(prefix="twelve-tests-"))
(_PLACE / "home").mkdir()
(_PLACE / "empty").mkdir()
# Here, before any test file is imported: torch reads its thread settings and huggingface_hub its folders on import.
for _name in [name for name in os.environ if not KEPT.fullmatch(name)]:
    del os.environ[_name]
os.environ |= {"HOME": str(_PLACE / "home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# Importing pyarrow would start a thread of its allocator. Some tests fork, which is safe only in a single thread.
os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"

from hypothesis import settings  # noqa: E402 - its examples lie where it finds itself when imported

# A busy machine is no failure. CI draws the same examples every time: it fails because of a change, not by chance.
settings.register_profile(
    "patient",
    deadline=None,
    database=None,
    print_blob=True,
    derandomize=os.environ.get("TWELVE_COMPLETE") == "1",
)
settings.load_profile("patient")

_Report = TypeVar("_Report", pytest.TestReport, pytest.CollectReport)
GOLDENS = Path(__file__).parent / "goldens"
LACKING = re.compile("(is|not) installed|could not import")
"""What the reason of a skip says if a program or package is missing."""


def pytest_unconfigure() -> None:
    shutil.rmtree(_PLACE, ignore_errors=True)


def _complete(report: _Report) -> _Report:
    """With TWELVE_COMPLETE=1, as in CI, a test that a missing program or package would skip fails."""
    if report.skipped and os.environ.get("TWELVE_COMPLETE") == "1":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if LACKING.search(reason):
            report.outcome, report.longrepr = "failed", f"TWELVE_COMPLETE=1: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _complete((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _complete((yield))


@pytest.fixture(scope="session", autouse=True)
def _elsewhere() -> Iterator[None]:
    """Fixtures that several tests share are made in an empty folder, and no test sees where pytest was started."""
    before = os.getcwd()
    os.chdir(_PLACE / "empty")
    yield
    os.chdir(before)
    left = sorted(os.listdir(_PLACE / "empty"))
    assert not left, f"shared fixtures wrote into the current folder: {left}"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test starts in its own empty folder, with its own empty home, and one thread whatever was set before it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", tempfile.mkdtemp(dir=_PLACE))
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    yield


@pytest.fixture(scope="session")
def goldens() -> Path:
    """Recorded inputs and outputs of the original programs (each folder has an origin note)."""
    return GOLDENS


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The real photographs and annotations; not part of the project (licences)."""
    root = Path(os.environ.get("TWELVE_REALDATA", Path(__file__).parents[2] / "shared" / "realdata"))
    if not (root / "README.md").is_file():
        pytest.skip(f"real data not found at {root} (set TWELVE_REALDATA)")
    return root
