"""Warnings of results: sentences with a code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

WarningCode = Literal[
    "unusual_image",
    "no_regions",
    "unknown_words",
    "unusual_text",
    "other_spelling",
    "long_text",
    "left_out_task",
    "doubtful_task",
]
"""Kinds of warnings. Programs rely on them: some may be added, but none is renamed."""
CODES: tuple[WarningCode, ...] = get_args(WarningCode)
HARMLESS: frozenset[WarningCode] = frozenset({"other_spelling", "long_text"})
"""Warnings that leave the confidence as it is. Each of the others says that the result may be meaningless. form.js of
the page has them too."""
NOTED: frozenset[WarningCode] = frozenset({"other_spelling"})
"""Those of which a reader has nothing to do or to doubt: they are printed as notes."""
OF_TASK: frozenset[WarningCode] = frozenset({"left_out_task", "doubtful_task"})
"""Those that are about the task, whatever it is asked."""

NAMED = 5
"""Words or images that a warning names at most."""


class Warned(str):
    """A warning: a sentence for people, with a code for programs.

    Attributes:
        code: the kind of warning, which keeps its name and meaning; the text may change.
    """

    code: WarningCode

    def __new__(cls, code: WarningCode, text: str) -> Warned:
        made = super().__new__(cls, text)
        made.code = code
        return made

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return self.code, str(self)

    def after(self, beginning: str) -> Warned:
        """The same warning, with its text after another one, such as the name of an image."""
        return Warned(self.code, beginning + self)

    @property
    def line(self) -> str:
        """The warning as it is printed: after ``warning:``, or after ``note:`` if it is only a note."""
        return f"{'note' if self.code in NOTED else 'warning'}: {self}"

    def to_dict(self) -> dict[str, str]:
        """The warning in JSON."""
        return {"code": self.code, "text": str(self)}


def reliable(warnings: Iterable[Warned]) -> bool:
    """Whether no warning says that the result may be meaningless."""
    return all(warning.code in HARMLESS for warning in warnings)


def of_images(named: Iterable[tuple[str, Iterable[Warned]]]) -> list[Warned]:
    """The warnings of images, given by name, each once with the names of its images."""
    images: dict[Warned, list[str]] = {}
    for name, warnings in named:
        for warning in warnings:
            images.setdefault(warning, []).append(name)
    return [warning.after(f"{some(names)}: ") for warning, names in images.items()]


def some(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - NAMED} more" if len(every) > NAMED else ""
    return ", ".join(every[:NAMED]) + more
