"""Work in forked processes: results, errors, and what happens when one ends early."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest
import torch
from helpers_left import left

from twelve import forked, progress
from twelve.errors import DataError
from twelve.forked import HelperLost
from twelve.threads import given_back

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
NAMES = ["d", "a", "c", "b", "e"]
LOST = HelperLost("ended", remedy="again")


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    assert not left()


def test_results_come_in_order_from_processes_with_one_thread() -> None:
    def work(name: str) -> tuple[str, int, int]:
        time.sleep(0.25 if name == "d" else 0.05)  # so long that a busy machine starts both
        return name * 2, os.getpid(), torch.get_num_threads()

    with given_back():
        torch.set_num_threads(2)
        found = forked.each(work, NAMES, 2, LOST)
        assert torch.get_num_threads() == 2
    assert list(found) == NAMES and all(found[name][0] == name * 2 for name in NAMES)
    ids = {pid for _, pid, _ in found.values()}
    assert len(ids) == 2 and os.getpid() not in ids
    assert {threads for *_, threads in found.values()} == {1}


def test_a_sigterm_of_others_ends_no_helper() -> None:
    """Neither one at work nor one that has nothing left to do."""

    def work(name: str) -> int:
        time.sleep(1.0 if name == "d" else 0.05)
        if name == "d":  # the other one has done the rest
            subprocess.run(["kill", "-TERM", *(str(each.pid) for each in psutil.Process(os.getppid()).children())])
            time.sleep(0.2)
        return os.getpid()

    found = forked.each(work, NAMES, 2, LOST)
    assert list(found) == NAMES and len(set(found.values())) == 2


@pytest.mark.parametrize("count", [0, 1])
def test_one_process_is_this_one(count: int) -> None:
    assert set(forked.each(lambda name: os.getpid(), NAMES, count, LOST).values()) == {os.getpid()}


def test_results_may_be_larger_than_a_pipe_holds() -> None:
    found = forked.each(lambda name: torch.full((1 << 20,), float(ord(name))), NAMES, 2, LOST)
    assert all(torch.equal(found[name], torch.full((1 << 20,), float(ord(name)))) for name in NAMES)


def test_an_error_is_raised_here_as_it_was() -> None:
    def work(name: str) -> None:
        raise DataError("no such image", file="a.json", record=3, remedy="fetch it")

    with pytest.raises(DataError) as caught:
        forked.each(work, NAMES, 2, LOST)
    error = caught.value
    assert (error.problem, error.file, error.record, error.remedy) == ("no such image", "a.json", 3, "fetch it")
    assert str(error) == "a.json [3]: no such image -> fetch it"


def test_a_process_that_ends_early_is_one_line() -> None:
    def work(name: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(HelperLost, match="again"):
        forked.each(work, NAMES, 2, LOST)


def test_only_this_process_shows_progress(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "FIRST_AFTER", 0.0)

    def work(name: str) -> None:
        with progress.Track("inner", 1) as track:
            track.advance()

    forked.each(work, NAMES, 2, LOST, "measuring")
    assert "measuring 1/5" in (printed := capfd.readouterr().err) and "inner" not in printed


KILLED = """
import os, time
from twelve import forked
from twelve.forked import HelperLost
from twelve.threads import given_back

def work(name):
    print(os.getpid(), flush=True)
    time.sleep(60)

forked.each(work, ["a", "b"], 2, HelperLost("ended"))
"""


def test_a_killed_command_takes_its_processes_along() -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        helpers = [psutil.Process(int(command.stdout.readline())) for _ in range(2)]
        command.kill()
    assert not psutil.wait_procs(helpers, timeout=60)[1]
