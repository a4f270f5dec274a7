"""The time left is estimated from what was done since the start, not from what a resumed run had done before."""

from __future__ import annotations

import pytest

from twelve import progress
from twelve.progress import Track, counted


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


def test_one_is_told_in_the_singular() -> None:
    assert counted(1, "step") == "1 step" and counted(0, "step") == "0 steps" and counted(1200, "step") == "1,200 steps"
    told = [(counted(1, "image", verb), counted(2, "image", verb)) for verb in ("are", "were", "have", "repeat")]
    assert [one for one, _ in told] == ["1 image is", "1 image was", "1 image has", "1 image repeats"]
    assert [two for _, two in told] == ["2 images are", "2 images were", "2 images have", "2 images repeat"]
