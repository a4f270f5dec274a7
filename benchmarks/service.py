"""How the service bears 50 clients, what a question waits beside the longest work, what asking together is worth.

    python benchmarks/service.py runs/quickstart --out benchmarks/results/service.json
    python benchmarks/service.py examples/quickstart-model --only base64 --out benchmarks/results/service-base64.json

Everything on one machine, over loopback: the clients take processor time from the service.

* ``minute``: every client sends an image, asks ten questions, has it forgotten, and begins again; refused, it waits as
  long as it was told to. Fewer requests may wait than there are clients, so that some are refused. The service's
  resident memory is read after ten seconds and at the end.
* ``batching``: two services that differ in nothing but how many questions they ask together, side by side in turns:
  images sent beforehand, then questions alone. Processor time is the service's own; it depends less than the rate
  on what else the machine does.
* ``base64``: one service, side by side in turns: questions about images that were sent beforehand, and questions that
  each contain their image, whose regions the service extracts every time.
* ``beside``: one client asks a question after the other about a small image; first alone, then while a second client
  sends the largest image that is taken (36 million pixels, a PNG) again and again, then while a third one searches
  64 images with 32 captions, then beside both.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from twelve.io.files import replacing
from twelve.microworld.draw import draw
from twelve.microworld.scene import sample_scene
from twelve.training.provenance import machine

CLIENTS = 50
WAITING = 40
QUESTIONS = 10
IMAGES = 64
ASKED: tuple[tuple[str, str, str], ...] = (
    ("answer", "question", "What colour is the ball?"),
    ("locate", "phrase", "the red kite"),
    ("answer", "question", "How many birds can you see?"),
    ("entails", "statement", "There is a green cup or a book."),
    ("answer", "question", "Is the umbrella in the middle or right of the image?"),
)
SERVER = """
import sys
from twelve.web.limits import Limits
from twelve.web.server import serve
serve(sys.argv[1], port=0, limits=Limits(max_batch=int(sys.argv[2]), max_waiting=int(sys.argv[3])))
"""


@dataclass
class Told:
    """What clients were answered: statuses, and seconds by kind of request of those that were not refused."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)


class Client:
    """One connection of HTTP/1.1, kept open."""

    def __init__(self, port: int, told: Told) -> None:
        self._port, self._told = port, told
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, kind: str, path: str, body: bytes, content: str, method: str = "POST") -> Any:
        """The reply; None where it was refused (after the wait that it asked for)."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        assert self._reader is not None
        start = time.perf_counter()
        lines = (
            f"{method} {path} HTTP/1.1",
            "Host: 127.0.0.1",
            f"Content-Type: {content}",
            f"Content-Length: {len(body)}",
        )
        self._writer.write("\r\n".join((*lines, "\r\n")).encode() + body)
        raw = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        status = int(raw[0].split()[1])
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in raw[1:])}
        text = await self._reader.readexactly(int(headers.get("content-length", "0")))
        self._told.statuses[status] += 1
        if status >= 300:
            self.close()  # while it waits, the service may take the connection for a dead one
            if status != 429:
                self._told.errors.append(text.decode()[:200])
            await asyncio.sleep(float(headers.get("retry-after", 1)))
            return None
        self._told.seconds[kind].append(time.perf_counter() - start)
        return json.loads(text) if text else None

    async def upload(self, image: bytes) -> str:
        """An image's id, once it is taken."""
        while (scene := await self.post("upload", "/api/v1/scenes", image, "application/octet-stream")) is None:
            if self._told.errors:
                raise SystemExit(f"an image is not taken: {self._told.errors[0]}")
        return str(scene["id"])

    async def ask(self, image: dict[str, str], number: int) -> None:
        method, key, text = ASKED[number % len(ASKED)]
        body = json.dumps({"image": image, key: text}).encode()
        await self.post("ask", f"/api/v1/{method}", body, "application/json")

    async def forget(self, scene: str) -> None:
        await self.post("forget", f"/api/v1/scenes/{scene}", b"", "application/octet-stream", method="DELETE")

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


@contextlib.contextmanager
def served(run: Path, batch: int, waiting: int) -> Iterator[tuple[int, int]]:
    """A service in a process of its own: its port and process id."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(run), str(batch), str(waiting)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().split("/")[2].split(":")[1])
        asyncio.run(_listening(port))
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(60)


async def _listening(port: int) -> None:
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.2)


def resident(process: int) -> int:
    """Bytes of memory that a process has."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def processor_seconds(process: int) -> float:
    """Processor time that a process has taken."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def minute(port: int, process: int, images: list[bytes], seconds: float) -> dict[str, Any]:
    """Looking and asking for so long."""
    told, end = Told(), time.perf_counter() + seconds
    memory: dict[str, int] = {}
    series: list[float] = []

    async def one(number: int) -> None:
        client = Client(port, told)
        while time.perf_counter() < end:
            scene = await client.upload(images[number % len(images)])
            number += CLIENTS
            for question in range(QUESTIONS):
                await client.ask({"scene": scene}, number + question)
            await client.forget(scene)
        client.close()

    async def watch() -> None:
        while (left := end - time.perf_counter()) > 0:
            if seconds - left >= min(10.0, seconds / 3):
                memory.setdefault("early", resident(process))
            memory["peak"] = max(memory.get("peak", 0), resident(process))
            if seconds - left >= 10 * (1 + len(series)):
                series.append(round(resident(process) / 1e6, 1))
            await asyncio.sleep(0.25)

    await asyncio.gather(watch(), *(one(number) for number in range(CLIENTS)))
    memory["end"] = resident(process)
    taken = sum(map(len, told.seconds.values()))
    return {
        "seconds": seconds,
        "clients": CLIENTS,
        "max_waiting": WAITING,
        "statuses": {str(status): count for status, count in sorted(told.statuses.items())},
        "errors": told.errors[:5],
        "answered_per_second": round(taken / seconds, 1),
        "milliseconds": {kind: summary(values) for kind, values in sorted(told.seconds.items())},
        "memory_mb": {when: round(size / 1e6, 1) for when, size in memory.items()},
        "memory_mb_every_ten_seconds": series,
    }


def summary(seconds: list[float]) -> dict[str, float]:
    """Milliseconds: median, 95th and 99th in a hundred, longest."""
    values = 1000 * np.asarray(seconds)
    return {
        "median": round(float(np.median(values)), 1),
        "p95": round(float(np.percentile(values, 95)), 1),
        "p99": round(float(np.percentile(values, 99)), 1),
        "longest": round(float(values.max()), 1),
    }


async def rate(port: int, process: int, images: list[dict[str, str]], seconds: float) -> tuple[float, float]:
    """Questions a second that 50 clients are answered, and the service's milliseconds of processor time for each."""
    told, end, before = Told(), time.perf_counter() + seconds, processor_seconds(process)

    async def one(number: int) -> None:
        client, asked = Client(port, told), 0
        while time.perf_counter() < end:
            await client.ask(images[number % len(images)], number + asked)
            asked += 1
        client.close()

    await asyncio.gather(*(one(number) for number in range(CLIENTS)))
    answered = len(told.seconds["ask"])
    return answered / seconds, 1000 * (processor_seconds(process) - before) / answered


def stored(scenes: list[str]) -> list[dict[str, str]]:
    """How a question names images that were sent beforehand."""
    return [{"scene": scene} for scene in scenes]


async def sent(port: int, images: list[bytes]) -> list[str]:
    client = Client(port, Told())
    return [await client.upload(image) for image in images]


def batching(run: Path, images: list[bytes], rounds: int, seconds: float) -> dict[str, Any]:
    """Questions asked together and one at a time, in turns."""
    with served(run, 32, 64) as together, served(run, 1, 64) as alone:
        scenes = {service: stored(asyncio.run(sent(service[0], images))) for service in (together, alone)}
        found: dict[tuple[int, int], list[tuple[float, float]]] = {together: [], alone: []}
        for number in range(rounds + 1):
            for service in (together, alone) if number % 2 else (alone, together):
                measured = asyncio.run(rate(*service, scenes[service], seconds if number else 1.0))
                if number:  # the first round warms up
                    found[service].append(measured)
    rates, costs = (
        [(one[place], other[place]) for one, other in zip(found[together], found[alone], strict=True)]
        for place in (0, 1)
    )
    return {
        "rounds": rounds,
        "seconds_each": seconds,
        "questions_per_second": compared(rates, more_is_better=True),
        "processor_milliseconds_per_question": compared(costs, more_is_better=False),
    }


def containing(run: Path, images: list[bytes], rounds: int, seconds: float) -> dict[str, Any]:
    """Questions about images that were sent beforehand, and questions that contain theirs, in turns."""
    with served(run, 32, 64) as service:
        kinds = {
            "stored": stored(asyncio.run(sent(service[0], images))),
            "base64": [{"base64": base64.b64encode(image).decode()} for image in images],
        }
        found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
        for number in range(rounds + 1):
            for kind in kinds if number % 2 else [*kinds][::-1]:
                measured = asyncio.run(rate(*service, kinds[kind], seconds if number else 1.0))
                if number:  # the first round warms up
                    found[kind].append(measured)
    rates, costs = (
        [(one[place] / other[place]) for one, other in zip(found["base64"], found["stored"], strict=True)]
        for place in (0, 1)
    )
    return {
        "rounds": rounds,
        "seconds_each": seconds,
        "image_bytes": round(statistics.mean(map(len, images))),
        "base64_to_stored": {
            "questions_per_second": spread(rates),
            "processor_milliseconds_per_question": spread(costs),
        },
    }


def spread(ratios: list[float]) -> dict[str, Any]:
    """The median of ratios, and their range."""
    return {"median": round(statistics.median(ratios), 3), "range": [round(min(ratios), 3), round(max(ratios), 3)]}


async def beside(port: int, images: list[bytes], seconds: float) -> dict[str, Any]:
    """How long a question takes alone, and beside what takes longest."""
    scenes = await sent(port, images)
    side = 6000
    levels = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(levels).resize((side, side)).save(file, "PNG", compress_level=1)
    large = file.getvalue()
    captions = [f"{'a red ball on the grass ' * 10}{number}" for number in range(32)]
    search = json.dumps({"images": [{"scene": scene} for scene in scenes], "captions": captions}).encode()
    stop = asyncio.Event()

    async def looking(told: Told) -> None:
        client = Client(port, told)
        while not stop.is_set():
            await client.forget(await client.upload(large))
        client.close()

    async def searching(told: Told) -> None:
        client = Client(port, told)
        while not stop.is_set():
            await client.post("search", "/api/v1/match", search, "application/json")
        client.close()

    found: dict[str, Any] = {"seconds_each": seconds, "image_megabytes": round(len(large) / 1e6, 1)}
    for name, others in (
        ("alone", ()),
        ("beside_large_images", (looking,)),
        ("beside_searches", (searching,)),
        ("beside_both", (looking, searching)),
    ):
        told, heavy = Told(), Told()
        stop.clear()
        tasks = [asyncio.create_task(other(heavy)) for other in others]
        client, number, end = Client(port, told), 0, time.perf_counter() + seconds
        # On until each of the others was answered once: what they ask takes part in every moment that is measured.
        while time.perf_counter() < end or len(heavy.seconds) < (len(others) + (looking in others)):
            await client.ask({"scene": scenes[0]}, number)
            number += 1
        stop.set()
        await asyncio.gather(*tasks)
        client.close()
        found[name] = {
            "questions": len(told.seconds["ask"]),
            "milliseconds": summary(told.seconds["ask"]),
            "others": {kind: summary(values) for kind, values in heavy.seconds.items()},
            "statuses": {str(status): count for status, count in (told.statuses + heavy.statuses).items()},
        }
    return found


def compared(pairs: list[tuple[float, float]], *, more_is_better: bool) -> dict[str, Any]:
    """Medians of (together, alone) and how many times better together is, round by round."""
    ratios = [one / other if more_is_better else other / one for one, other in pairs]
    return {
        "together": round(statistics.median(one for one, _ in pairs), 2),
        "one_at_a_time": round(statistics.median(other for _, other in pairs), 2),
        "times_better": round(statistics.median(ratios), 2),
        "range": [round(min(ratios), 2), round(max(ratios), 2)],
    }


def drawn(count: int) -> list[bytes]:
    """PNG files of drawn scenes."""
    rng, found = np.random.default_rng(0), []
    for number in range(count):
        file = io.BytesIO()
        draw(sample_scene(rng), seed=number).save(file, "PNG")
        found.append(file.getvalue())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a trained model's run folder")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--only", choices=["base64"], help="measure this part alone")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    load_average = [round(number, 1) for number in os.getloadavg()]
    images = drawn(IMAGES)
    each = min(2.5, options.seconds / 3)
    contained = containing(options.run, images[:16], options.rounds, each)
    result = {"machine": machine() | {"load": load_average}, "base64": contained}
    if options.only is None:
        result |= whole(options, images, each)
    print(json.dumps(result, indent=1))
    if options.out:
        with replacing(options.out) as partial:
            partial.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def whole(options: argparse.Namespace, images: list[bytes], each: float) -> dict[str, Any]:
    """The other parts."""
    with served(options.run, 32, WAITING) as (port, process):
        load = asyncio.run(minute(port, process, images, options.seconds))
    print(json.dumps(load, indent=1), flush=True)
    with served(options.run, 32, 64) as (port, _):
        waits = asyncio.run(beside(port, images, min(15.0, options.seconds / 3)))
    print(json.dumps(waits, indent=1), flush=True)
    return {"minute": load, "beside": waits, "batching": batching(options.run, images[:16], options.rounds, each)}


if __name__ == "__main__":
    main()
