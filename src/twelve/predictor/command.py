"""``twelve predict`` and ``twelve match``: answer questions about image files."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count, groupby
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from twelve.device import check_usable
from twelve.errors import (
    ConfigError,
    DataError,
    InputError,
    RegionError,
    TwelveError,
    located_problem,
    one_line,
    quoted,
    with_subject,
)
from twelve.formats.flaws import without_flaws
from twelve.io.files import check_file, check_folder, replacing
from twelve.io.json_file import decode, readable
from twelve.outputs.parts.result import Result, percent, suffix
from twelve.outputs.parts.warned import NOTED, OF_TASK, Warned
from twelve.predictor.lines import Request
from twelve.predictor.search import measured
from twelve.predictor.table import HEADER, HEADERS, is_table, row
from twelve.predictor.warnings import of_an_image
from twelve.progress import Track, counted
from twelve.regions.asked import check_weights

if TYPE_CHECKING:
    from twelve.predictor.abilities import Abilities
    from twelve.predictor.matched import Matched
    from twelve.predictor.predictor import Predictor
    from twelve.predictor.scene import Scene


BEST = 5
"""Images of a caption that are written, by default."""
SAME = 3
"""Images that are named for the same warning; of the rest, their number is told."""
OTHER_TABLES = (".xlsx", ".xls", ".ods", ".tsv", ".parquet")
"""Suffixes of tables that are not written."""
_LINE = 1 << 24
"""Maximum bytes of a first line that is read to recognise a file of results."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a question, or ``problem``: why it has none, and ``about`` which image."""

    request: Request
    result: Result | None
    problem: str = ""
    about: str = ""

    def to_dict(self) -> dict[str, Any]:
        names = [str(image) for image in self.request.images]
        tree: dict[str, Any] = {**self.request.extra, "image": names[0]} if len(names) == 1 else {**self.request.extra}
        if len(names) > 1:
            tree["images"] = names
        tree["method"] = self.request.method
        if self.result is None:
            return {**tree, "text": self.request.text, "error": self.error}
        return {**tree, **self.result.to_dict()}

    @property
    def error(self) -> str:
        """Why there is no result, to be read beside the images: of two images, it names the one that is meant."""
        if self.about == self.request.named_images:
            return with_subject("the file", self.problem)
        return located_problem(self.about, self.problem)

    @property
    def asked(self) -> str:
        """The question on one line: the turns of a dialogue are separated by semicolons."""
        return self.request.text.replace("\n", "; ")

    def line(self, names: Mapping[Path, str], *, with_task: bool = False) -> str:
        """The outcome as one line of text, with the task that answered or without; ``names`` are those of
        :func:`twelve.predictor.asked.short_names`."""
        shown = " + ".join(names[image] for image in self.request.images)
        words = f"error: {self.error}" if self.result is None else self.result.line
        if self.result is not None and any(each.code not in NOTED for each in self.result.warnings):
            words += "; see the warning"
        if with_task and self.result is not None:
            words += f"; task: {self.result.task}"
        return one_line(f"{shown}: {self.asked} -> {words}")

    def failure(self) -> str:
        """Why there is no result; of a file of questions, also its line."""
        place = self.request.place
        why = located_problem(self.about, self.problem)
        return why if place is None else f"{place.file} [{place.place}]: {why}"

    def warnings(self) -> list[tuple[str, Warned]]:
        """What each warning of the result is about, the images or the question, and the warning; "" for one about the
        task, which it names itself."""
        found = () if self.result is None else self.result.warnings
        return [(self._subject(warning), warning) for warning in found]

    def _subject(self, warning: Warned) -> str:
        if warning.code in OF_TASK:
            return ""
        return self.request.named_images if of_an_image(warning) else self.asked


def check_outputs(requests: Sequence[Request], *, out: Path | None, draw: Path | None, jsonl: Path | None) -> None:
    """Check the output files before any work is done.

    Raises:
        ConfigError: an output is also an input (links are followed), ``out`` exists and is not a file of results, or
            its folder does not exist; ``out`` has the suffix of another kind of table.
        TwelveError: an output cannot be written.
    """
    if out is not None and out.suffix.lower() in OTHER_TABLES:
        problem = f"expected a file of JSON lines, or a table that ends in .csv, found {out.suffix}"
        remedy = f"write to {quoted(out.with_suffix('.csv'))}, which spreadsheets open"
        raise ConfigError(problem, file=out, remedy=remedy)
    read = {os.path.realpath(image) for request in requests for image in request.images}
    if jsonl is not None:
        read.add(os.path.realpath(jsonl))
    written = [] if out is None else [out]
    if draw is not None:
        check_folder(draw)
        written += [_drawing(draw, number, request) for number, request in enumerate(requests)]
    if out is not None:
        check_file(out)
        if not out.parent.is_dir():
            raise ConfigError(f"folder {out.parent} does not exist", remedy=f"create it: mkdir -p {quoted(out.parent)}")
        if os.path.realpath(out) not in read:
            _check_results(out)
    for path in written:
        if os.path.realpath(path) in read:
            raise ConfigError("this input file would be replaced", file=path, remedy="choose another output")


def _check_results(out: Path) -> None:
    """Raise ConfigError if ``out`` exists and does not begin with what :func:`write` writes to a file of its name."""
    if not out.exists() or not out.stat().st_size:
        return
    with out.open("rb") as file:
        line = file.readline(_LINE)
    try:
        first = decode(line.decode("utf-8"))
    except ValueError:
        first = None
    ours = isinstance(first, dict) and "method" in first and bool({"image", "images"} & set(first))
    if is_table(out):
        ours = line.rstrip().decode(errors="replace") in HEADERS
    if not ours:
        problem = "this file exists and does not contain results, so it is not replaced"
        raise ConfigError(problem, file=out, remedy="choose another output")


def predict(predictor: Predictor, requests: Sequence[Request]) -> Iterator[Outcome]:
    """The outcomes of questions, in order. Consecutive questions about an image open it once.

    If an image cannot be read, or a box lies outside it, only the questions about it have no result.

    Raises:
        InputError, DataError: the model has no task for a question, or a text is empty.
    """
    check(predictor, requests)
    _ = predictor.extractor  # otherwise, its errors would be reported as those of the first image
    with measured(predictor, len(requests)), Track("asking", len(requests), "questions") as track:
        for _, part in groupby(requests, key=lambda request: request.images):
            outcomes = _of_images(predictor, list(part))
            yield from outcomes
            track.advance(len(outcomes))


def check(abilities: Abilities, requests: Sequence[Request]) -> None:
    """Check that a model can answer the questions.

    Raises:
        InputError, DataError: the model has no task for a question, or a text is empty
            (:class:`twelve.formats.flaws.BadLines`: this is so of several lines).
    """
    file = next((request.place.file for request in requests if request.place is not None), Path())
    without_flaws((_checked(abilities, request) for request in requests), file)


def _checked(abilities: Abilities, request: Request) -> Request | DataError:
    """The request, or what is wrong with its line; raises InputError where it is of the command line."""
    try:
        abilities.check(**request.arguments)
    except InputError as error:
        if (line := request.place) is None:
            raise
        remedy = error.remedy or "remove the line"
        return DataError(error.problem, file=line.file, record=line.place, remedy=remedy)
    return request


def _of_images(predictor: Predictor, requests: Sequence[Request]) -> list[Outcome]:
    """The outcomes of questions about the same images."""
    scenes: list[Scene] = []
    for image in requests[0].images:
        try:
            scenes.append(predictor.scene(image))
        except (InputError, RegionError) as error:
            if not os.path.exists(image):
                return [Outcome(each, None, f"no such image -> {each.correction}", str(image)) for each in requests]
            return [Outcome(each, None, f"{error.problem} -> {error.remedy}", str(image)) for each in requests]
    return _of_scenes(predictor, requests, scenes)


def _of_scenes(predictor: Predictor, requests: Sequence[Request], scenes: Sequence[Scene]) -> list[Outcome]:
    try:
        questions = [predictor.question(scenes=scenes, **request.arguments) for request in requests]
        return [Outcome(*pair) for pair in zip(requests, predictor.ask(questions), strict=True)]
    except TwelveError as error:
        if len(requests) == 1:
            return [Outcome(requests[0], None, error.problem, requests[0].named_images)]
    # Ask one by one, so that only the faulty questions fail.
    return [outcome for request in requests for outcome in _of_scenes(predictor, [request], scenes)]


def write(
    outcomes: Iterable[Outcome],
    *,
    out: Path | None,
    as_json: bool,
    draw: Path | None,
    stream: IO[str],
    names: Mapping[Path, str],
    with_task: Callable[[str], bool] = lambda method: False,
) -> int:
    """Write outcomes as they come, and drawings. ``out`` is written completely or not at all, and then told on stderr;
    if the work ends early, the finished outcomes are kept beside it. It is a table if its name ends in .csv.

    Args:
        names: names of the images in lines of text.
        with_task: of which methods these lines name the task that answered.

    Returns:
        The number of questions without a result.
    """
    if out is None:

        def line(one: Outcome) -> str:
            return one.line(names, with_task=with_task(one.request.method))

        return _write(outcomes, _json if as_json else line, draw, stream, explained=not as_json)
    table, count, earlier = is_table(out), 0, _results_in(out)

    def counted() -> Iterator[Outcome]:
        nonlocal count
        for outcome in outcomes:
            count += outcome.result is not None
            yield outcome

    with (
        replacing(out) as partial,
        _kept(partial, out, headers=int(table)),
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file,
    ):
        if table:
            print(HEADER, file=file, flush=True)
        missing = _write(counted(), _row if table else _json, draw, file)
    print(one_line(f"{count:,} answer{'s' * (count != 1)} written to {out}"), file=sys.stderr)
    if earlier:
        print(one_line(f"replaced the earlier {out} ({earlier:,} result{'s' * (earlier != 1)})"), file=sys.stderr)
    return missing


def _results_in(out: Path) -> int:
    """How many results a file has that :func:`write` wrote, each on a line; 0 where there is no file."""
    if not out.is_file():
        return 0
    with out.open("rb") as file:
        return max(0, sum(1 for _ in file) - is_table(out))


@contextmanager
def _kept(partial: Path, out: Path, headers: int) -> Iterator[None]:
    """Keep the complete lines of ``partial`` as ``out``.part, or .part2, ..., if the block ends with an error or is
    interrupted, and print where they are. The first ``headers`` of them are no answers."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            whole = partial.read_bytes()
            whole = whole[: whole.rfind(b"\n") + 1]
            lines = whole.count(b"\n") - headers
            if lines > 0:
                partial.write_bytes(whole)
                name = (out.with_name(f"{out.name}.part{number if number > 1 else ''}") for number in count(1))
                kept = next(path for path in name if not os.path.lexists(path))
                os.rename(partial, kept)
                print(one_line(f"{lines:,} finished answer{'s' * (lines > 1)} kept in {kept}"), file=sys.stderr)
        raise


def _row(outcome: Outcome) -> str:
    """A row of a table."""
    return row(outcome.request.named_images, outcome.asked, outcome.result, outcome.error)


def _json(outcome: Outcome) -> str:
    """A line of JSON."""
    return readable(outcome.to_dict())


def _write(
    outcomes: Iterable[Outcome],
    text: Callable[[Outcome], str],
    draw: Path | None,
    stream: IO[str],
    *,
    explained: bool = False,
) -> int:
    """Write each outcome.

    Args:
        explained: the texts say to people why a question failed.
    """
    missing, number, first = 0, -1, None
    printed, doubted = set[str](), Counter[Warned]()
    for number, one in enumerate(outcomes):
        print(text(one), file=stream, flush=True)
        for about, warning in one.warnings():
            told = warning.after(f"{about}: " if about else "")
            doubted[warning] += of_an_image(warning) and told not in printed
            if doubted[warning] <= SAME:
                warn([told], printed)
            printed.add(told)
        if one.result is None:
            missing, first = missing + 1, first or one
        if draw is not None and one.result is not None:
            draw.mkdir(parents=True, exist_ok=True)
            with replacing(_drawing(draw, number, one.request)) as partial:
                one.result.draw().save(partial, "PNG")
    rest = {warning: found - SAME for warning, found in doubted.items() if found > SAME}
    warn((warning.after(f"{counted(more, 'more image')}: ") for warning, more in rest.items()), set())
    if first is not None:
        count = f"{missing} of {number + 1} questions failed; first" if number else "the question failed"
        why = "" if explained and not number else f": {first.failure()}"
        print(one_line(f"{count}{why}"), file=sys.stderr)
    return missing


def write_matches(
    found: Matched,
    write: Callable[[str], None],
    *,
    top: int | None,
    as_json: bool,
    names: Mapping[Path, str],
    with_task: bool,
) -> None:
    """Write the best images of each caption, or JSON; and to stderr, the images that were skipped and the warnings.

    Args:
        write: writes a line.
        top: number of images of a caption; None for 5, or with JSON for all.
        names: names of the images in lines of text.
        with_task: name the task that matched.
    """
    for each in found.skipped.items():
        print(one_line(f"skipped: {located_problem(*each)}"), file=sys.stderr)
    warn(found.warnings_of(top if as_json else top or BEST), set())
    if as_json:
        write(found.to_json(top))
        return
    if found.shortlist:
        write(found.selection)
    answering = f"; task: {found.task}" if with_task else ""
    for number, caption in enumerate(found.captions):
        write(one_line(caption) + answering)
        for place, (name, share) in enumerate(found.ranked_images(number)[: top or BEST], start=1):
            write(f"  {place}. {one_line(names[Path(name)])} ({percent(share)}){suffix(found.calibrated)}")
    if len(found.images) > 1:
        print("percentages: each image's share among the images that were ranked for the caption", file=sys.stderr)


def warn(warnings: Iterable[Warned], printed: set[str]) -> None:
    """Print each warning to stderr, unless it is in ``printed``, and add it there."""
    for warning in warnings:
        if warning not in printed:
            printed.add(warning)
            print(one_line(warning.line), file=sys.stderr, flush=True)


def note_synthetic(abilities: Abilities) -> None:
    """Print to stderr that a model was trained on synthetic images only, if it was: results do not say so."""
    if abilities.note is not None:
        print(one_line(f"note: {abilities.note}"), file=sys.stderr, flush=True)


def note_uncalibrated(predictor: Predictor, requests: Iterable[Request]) -> None:
    """Print to stderr of which of the asked tasks the confidence is not calibrated, each once."""
    tasks = dict.fromkeys(predictor.task_for(request.method, request.task) for request in requests)
    for task in tasks:
        if not predictor.calibrated(task):
            print(one_line(f"confidence of {task} is not calibrated"), file=sys.stderr, flush=True)


def _drawing(folder: Path, number: int, request: Request) -> Path:
    """The file name of a drawing."""
    return folder / f"{number:05}-{request.images[0].stem}.png"


def check_extractor(weights: str | None, device: str) -> None:
    """Check the options of the extractor, before it is built.

    Raises:
        ConfigError: the device is unknown, or cannot be used.
        RegionError: the file of weights does not exist.
    """
    check_weights(weights)
    check_usable(device)


def check_captions(abilities: Abilities, captions: Iterable[str], task: str | None) -> None:
    """Raise InputError if a model has no task for matching, or a caption is empty."""
    for caption in captions:
        abilities.check("match", caption, task=task)
