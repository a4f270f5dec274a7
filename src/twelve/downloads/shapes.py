"""What fields of the registry and of the lock may look like: none leads out of a folder, and none steers a terminal.

Each is a type that pydantic checks, with a message that says what was expected and what was found.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError

from twelve.io.invalid import problem_of

_PART = r"[A-Za-z0-9_+()][A-Za-z0-9_.+()-]{0,199}"
_UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_ABOUT = re.compile(rf"(?:over )?(\d{{1,4}}(?:\.\d{{1,3}})?) ({'|'.join(_UNITS)})")


def _shaped(pattern: str, expected: str, most: int) -> AfterValidator:
    def check(text: str) -> str:
        if len(text) > most or not re.fullmatch(pattern, text):
            raise ValueError(f"expected {expected}, found {text[:100]!r}")
        return text

    return AfterValidator(check)


def _one_line(text: str) -> str:
    """The text with single spaces instead of line breaks and tabs."""
    if len(text) > 2000:
        raise ValueError(f"expected at most 2,000 characters, found {len(text):,}")
    plain = " ".join(text.split())
    if not plain or not plain.isprintable():
        raise ValueError(f"expected a string without control characters, found {plain[:100]!r}")
    return plain


Name = Annotated[str, _shaped(_PART, "a name of letters, digits and _ . + ( ) -, at most 200", 200)]
Place = Annotated[
    str,
    _shaped(
        rf"{_PART}(/{_PART})+/?|{_PART}/",
        "a path in the data root such as mugs/train.json, or images/mugs/ for a folder, without '..' and spaces",
        400,
    ),
]
"""Of a file, relative to the data root; of a folder, with a slash at its end."""
Member = Annotated[
    str,
    _shaped(
        rf"\*\.[a-z0-9]{{1,20}}|{_PART}(/{_PART})*", "the end of a member's path such as train.json, or *.jpg", 400
    ),
]
"""The end of a member's path in an archive, or ``*.jpg`` for every member of that kind."""
Url = Annotated[str, _shaped(r"https?://[!-~]+", "a URL with http:// or https://", 2000)]
Line = Annotated[str, AfterValidator(_one_line)]
"""Text for people; line breaks in it become spaces."""
About = Annotated[str, _shaped(rf"|{_ABOUT.pattern}", "a rough size such as '1.4 GB' or 'over 90 GB'", 40)]
Count = Annotated[int, Field(ge=0, lt=1 << 50)]
"""A number of bytes or files: of files that exist, less than 10^15."""
Size = Annotated[int, Field(ge=1, lt=1 << 50)]
Sha256 = Annotated[str, _shaped(r"[0-9a-f]{64}", "64 hexadecimal digits", 64)]


def rough_bytes(about: str) -> int | None:
    """``"over 90 GB" -> 90_000_000_000``; None for ""."""
    match = _ABOUT.fullmatch(about)
    return round(float(match[1]) * _UNITS[match[2]]) if match else None


def flaw(error: ValidationError, names: dict[str, str] | None = None) -> tuple[str, str]:
    """(place, what is wrong) of the first thing that pydantic found.

    Args:
        names: field -> what it is called in the file.
    """
    first = error.errors(include_url=False)[0]
    place = ".".join((names or {}).get(str(part), str(part)) for part in first["loc"])
    return place, problem_of(first)
