"""Errors that a person can mend: each names the file, the record and the remedy.

The command line prints them as one line and exits with code 2; nothing else is caught.
"""

from __future__ import annotations

import difflib
import re
import shlex
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class Again(str):
    """A remedy that gets a file again. A caller that knows where the file came from replaces it by a better one."""

    __slots__ = ()


class Own(str):
    """A remedy for a file that the user wrote, which no official file replaces and no download brings back."""

    __slots__ = ()


class TwelveError(Exception):
    """A mistake of the user's or a flaw in the user's data. As a string: "file [record]: problem -> remedy", on one
    line, without the parts that are None.

    Args:
        problem: what is wrong, in one clause; its subject may be the place ("is empty").
        file: the file in which the problem was found.
        record: the record inside that file (a line number, an id).
        remedy: what to do about it, as an imperative.

    Attributes:
        problem, file, record, remedy: as passed, at full length; the string leaves out the middle of long ones.
        others: further mistakes that the same call found, such as other unknown keys of a configuration; mostly none.
    """

    others: Sequence[TwelveError] = ()

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path | None = None,
        record: str | int | None = None,
        remedy: str | None = None,
    ) -> None:
        self.problem, self.file, self.record, self.remedy = problem, file, record, remedy
        where = "" if file is None else shortened(f"{file}")
        if record is not None:
            where += f" [{shortened(str(record))}]" if where else f"[{shortened(str(record))}]"
        text = located_problem(where, shortened(problem))
        if remedy:
            text += f" -> {shortened(remedy, 2400)}"
        super().__init__(one_line(text))

    def located(self, file: str | Path) -> TwelveError:
        """The same error with ``file``, if the error names no file yet; likewise its ``others``."""
        found = self
        if self.file is None:
            found = type(self)(self.problem, file=file, record=self.record, remedy=self.remedy)
        found.others = [each.located(file) for each in self.others]
        return found

    @property
    def listed(self) -> Sequence[str]:
        """Lines that the command line prints before the error itself: its ``others``, or the wrong lines of a file."""
        return [str(each) for each in self.others]


def located_problem(where: str, problem: str) -> str:
    """A problem with the place it is about before it: "a.jpg is empty" if it begins with a verb whose subject is that
    place, else "a.jpg: no such image"; without a place, the problem alone."""
    return f"{where}{' ' if _VERB.match(problem) else ': '}{problem}" if where else problem


def with_subject(subject: str, problem: str) -> str:
    """A problem as a sentence: with the subject before it if it begins with a verb."""
    return f"{subject} {problem}" if _VERB.match(problem) else problem


_VERB = re.compile(
    r"(are|begins|cannot be|contains|does|expands|has|have|holds|is|lacks|must|redirects|registers|unpacks|was)\b"
)
"""How such problems begin. Not with words that are nouns too ("names"), nor with every "cannot", since "cannot identify
image file" of a library has another subject."""


def shortened(text: str, most: int = 600) -> str:
    """Text without its middle where it is long: a flaw in a file can be of any length."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 4 :]}"


def one_line(text: str) -> str:
    """Text as one line that every terminal can show as it stands: what files hold must not steer one."""
    return shown(" ".join(text.split()))


def shown(text: str, escape: Callable[[str], str] = lambda mark: ascii(mark)[1:-1]) -> str:
    """Text of several lines as every terminal can show it; as :func:`one_line`, but lines and spaces stay.

    Args:
        escape: what to print instead of a character that is not printable.
    """
    return _UNUSUAL.sub(lambda found: found[0] if found[0].isprintable() else escape(found[0]), text)


_UNUSUAL = re.compile(r"[^\n -~]")


@contextmanager
def found_in(file: str | Path) -> Iterator[None]:
    """Errors from within name ``file``, unless they name another."""
    try:
        yield
    except TwelveError as error:
        found = error.located(file)
        if found is error:
            raise
        raise found from error.__cause__


def check_all(checks: Iterable[Callable[[], object]]) -> None:
    """Run every check, even after one has failed, so that all mistakes are told at once, each once.

    Raises:
        TwelveError: the first error, with those of the other checks as its ``others``.
    """
    found: dict[tuple[str, str, str], TwelveError] = {}
    for check in checks:
        try:
            check()
        except TwelveError as error:
            for each in (error, *error.others):
                found.setdefault((each.problem, str(each.file), str(each.record)), each)
    if found:
        first, *others = found.values()
        first.others = others
        raise first


def places(error: BaseException) -> list[tuple[str, int, str, str]]:
    """(file, line, function, module) of each call that an error passed through, the outermost first. Another process
    that sends an error keeps them in its attribute ``places``, since a traceback cannot be sent."""
    found = [
        (frame.f_code.co_filename, line, frame.f_code.co_name, str(frame.f_globals.get("__name__", "")))
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    return [*found, *getattr(error, "places", ())]


class ConfigError(TwelveError):
    """An unknown key, a value of the wrong type, a combination that cannot run."""


class InputError(TwelveError):
    """An argument that a method cannot take: an image that cannot be read, a text without words, a box outside the
    image, a task that the model does not have."""


class DataError(TwelveError):
    """A dataset file that is missing, malformed or inconsistent."""


class MissingData(DataError):
    """A file, or a split inside a file, that the data root does not have (as opposed to one that is damaged)."""


class RegionError(TwelveError):
    """A region file that is missing, damaged, or made by another extractor than the checkpoint's."""


class CheckpointError(TwelveError):
    """A checkpoint that is missing, damaged or does not fit the configuration."""


def quoted(path: str | Path) -> str:
    """A path as a shell reads it, for a command that an error advises."""
    return shlex.quote(str(path))


def closest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name closest to ``name``, whatever their case; None where the similarity of none, 0..1, reaches
    ``cutoff``."""
    spelt = {each.lower(): each for each in known}
    match = difflib.get_close_matches(name.lower(), list(spelt), n=1, cutoff=cutoff)
    return spelt[match[0]] if match else None


def nearest(name: str, known: Iterable[str], before: str = "") -> str:
    """``' (did you mean "x"?)'`` for the known name closest to ``name``, or an empty string where none is close;
    ``before`` is what stands before every name, such as a folder."""
    match = closest(name, known)
    return f' (did you mean "{before}{match}"?)' if match else ""
