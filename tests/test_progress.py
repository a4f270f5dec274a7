"""The time left is estimated from what was done since the start, not from what a resumed run had done before."""

from __future__ import annotations

import pytest

from twelve import progress
from twelve.progress import Track


def test_what_was_done_before_says_nothing_about_the_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Track("training", 800, "iterations", done=200) as track:
        for _ in range(20):
            now[0] += 0.5
            track.advance()
    # after five seconds, then every twenty: 2 iterations a second, 590 left
    assert capsys.readouterr().err == "training 210/800, 2 iterations/s, 4:55 left\n"
    assert track.rate == 2


def test_before_the_first_unit_no_time_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "FIRST_AFTER", 0.0)
    with Track("ranking", 800, "pairs") as track:
        track.advance(0)
    assert capsys.readouterr().err == "ranking 0/800\n"
