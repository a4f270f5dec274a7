"""``Retry-After`` follows what requests take: told too early, clients come again and again, and give up."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import pytest
from starlette.testclient import TestClient
from test_hostile_requests import OCTETS, encoded

from twelve.predictor import Predictor
from twelve.web.app import create_app
from twelve.web.limits import Limits
from twelve.web.pace import MOST, ReplyPace
from twelve.web.service import LARGE


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def burst(pace: ReplyPace, count: int) -> list[ExitStack]:
    """Requests that are accepted at once; each ends when it is closed."""
    stacks = [ExitStack() for _ in range(count)]
    for stack in stacks:
        stack.enter_context(pace.accepted())
    return stacks


def test_the_first_requests_of_a_burst_teach_how_long_it_takes() -> None:
    """64 large images of a third of a second each, by a service that has answered none before."""
    pace = ReplyPace(clock := Clock())
    stacks = burst(pace, 64)
    told = []
    for done, stack in enumerate(stacks[:48], start=1):
        clock.seconds += 1 / 3
        stack.close()
        told.append((pace.left(), (64 - done) / 3))
    assert all(0.5 * left <= seconds <= 1.5 * left + 1 for seconds, left in told[20:])
    for stack in stacks[48:]:
        clock.seconds += 1 / 3
        stack.close()
    clock.seconds += 1000
    again = burst(pace, 64)
    assert len(again) == pace.waiting and 16 <= pace.left() <= 22  # the next burst is told at once


def test_replies_that_come_at_once_hide_nothing() -> None:
    """As those of a batch do: the model takes 8 seconds for 32 questions."""
    pace = ReplyPace(clock := Clock())
    for _ in range(2):
        stacks = burst(pace, 64)
        for done, stack in enumerate(stacks):
            clock.seconds += 8.0 * (done % 32 == 0)
            stack.close()
    again = burst(pace, 64)
    assert len(again) == pace.waiting and pace.left() == 16


def test_a_short_pause_does_not_count_more_than_its_time() -> None:
    pace = ReplyPace(clock := Clock())
    for number in range(200):
        (only,) = burst(pace, 1)
        clock.seconds += 5.0 if number == 190 else 0.01
        only.close()
    again = burst(pace, 64)
    assert len(again) == pace.waiting and pace.left() == 6


def test_while_nothing_moves_clients_wait_ever_longer() -> None:
    pace = ReplyPace(clock := Clock())
    stacks, told = burst(pace, 2), []
    assert len(stacks) == pace.waiting and pace.left() == 1
    for seconds in (3, 3, 6, 12, 24, 48):
        clock.seconds += seconds
        told.append(pace.left())
    assert told == [3, 6, 12, 24, 48, MOST]


def test_the_time_without_requests_is_none_of_them() -> None:
    pace = ReplyPace(clock := Clock())
    clock.seconds = 3600.0
    assert pace.left() == 1
    (only,) = burst(pace, 1)
    clock.seconds += 0.1
    only.close()
    assert pace.seconds < 0.1


def test_images_that_wait_to_be_decoded_count_before_any_is() -> None:
    pace = ReplyPace(clock := Clock())
    with ExitStack() as stack:
        stack.enter_context(pace.accepted())
        for _ in range(40):
            stack.enter_context(pace.large.waits())
        assert pace.left() == 20
        for _ in range(20):
            with pace.large.measured():
                clock.seconds += 0.25
        clock.seconds = 0.0
        assert pace.left() == 11  # 40 of 0.25 seconds, and a little of what was supposed before
    assert pace.large.images == 0


def test_what_happens_once_does_not_count_as_the_time_of_an_image(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first extraction takes several times as long as the next ones; 64 waiting images would multiply it."""
    scene_of, seconds = predictor.scene, [2.0]
    monkeypatch.setattr(
        predictor, "scene", lambda *given: (time.sleep(seconds.pop() if seconds else 0.0), scene_of(*given))[1]
    )
    service = create_app(predictor, hosts=(), no_token=True).state.service
    service.warm_up()
    service.close()
    assert not seconds and 0 < service.pace.small.seconds < 0.4


@pytest.mark.parametrize("side", [200, 2100])
def test_the_service_counts_and_measures_its_images(
    side: int, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, scene_of = threading.Event(), predictor.scene
    app = create_app(predictor, Limits(max_waiting=2), hosts=(), no_token=True)
    service = app.state.service
    assert (side * side > LARGE) == (side == 2100)
    queue = service.pace.large if side * side > LARGE else service.pace.small
    queue.seconds = 20.0
    monkeypatch.setattr(predictor, "scene", lambda *given, **named: (free.wait(), scene_of(*given, **named))[1])
    send = lambda: TestClient(app).post("/api/v1/scenes", content=encoded("PNG", (side, side)), headers=OCTETS)  # noqa: E731
    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    while queue.images < 2:
        time.sleep(0.01)
    refused = send()
    free.set()
    for thread in threads:
        thread.join()
    service.close()
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "40")
    assert queue.images == service.waiting == 0 and queue.seconds < 19
