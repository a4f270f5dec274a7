"""One official file, as the registry states it: name, URLs, size, hashes, and where it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from rich.filesize import decimal

from twelve.downloads.shapes import About, Line, Member, Name, Place, Size, Url, rough_bytes

Kind = Literal["annotation", "image", "feature", "weight"]
_DIGITS = {"md5": 32, "sha1": 40, "git-blob-sha1": 40, "sha256": 64, "sha512": 128}
"""Name of a hash -> its length in hexadecimal digits. ``git-blob-sha1`` is the id that git gives a file's content."""
_STRICT = ConfigDict(strict=True, extra="forbid")


@dataclass(frozen=True, slots=True, config=_STRICT)
class Stated:
    """A hash, and who states it.

    Attributes:
        hash: ``algorithm:hexadecimal digits``.
        disagrees: why it is not the one that is compared; empty for those that must fit.
    """

    hash: str
    source: Line
    disagrees: Line | Literal[""] = ""

    def __post_init__(self) -> None:
        name, _, digits = self.hash.partition(":")
        if _DIGITS.get(name) != len(digits) or set(digits) - set("0123456789abcdef"):
            raise ValueError(f"expected NAME:DIGITS with NAME one of {', '.join(_DIGITS)}, found {self.hash[:150]!r}")

    @property
    def algorithm(self) -> str:
        return self.hash.partition(":")[0]


@dataclass(frozen=True, slots=True, config=_STRICT)
class Download:
    """One file, as its dataset publishes it.

    Attributes:
        dataset: name of the dataset; ``key`` is ``dataset/file``, which is also its path on a mirror.
        tasks: the names that it is fetched for.
        urls: its URLs, tried in this order; empty for a file that must be asked for at ``page``.
        bytes: its exact size; None where nobody states it. ``about`` is then what is said, such as ``1.4 GB``, or "".
        hashes: what is stated about the file; may be empty.
        places: where it goes in the data root, as (member of the archive, place); the member is "" for the file itself.
        members: member -> its hash.
        optional: members that no task needs, and that the archive may lack.
        instead_of: name of the file that this one replaces where that cannot be had.
        page, terms: where the dataset is described, and what it says about its use.
        source: who states the URLs, the size and what is in the archive.
    """

    dataset: Name
    file: Name
    kind: Kind
    tasks: Annotated[tuple[Name, ...], Field(min_length=1)]
    urls: tuple[Url, ...]
    places: tuple[tuple[Member | Literal[""], Place], ...]
    page: Url
    terms: Line
    source: Line
    bytes: Size | None = None
    about: About = ""
    hashes: tuple[Stated, ...] = ()
    members: Mapping[str, Stated] = field(default_factory=dict)
    optional: tuple[Member, ...] = ()
    instead_of: Name | None = None

    def __post_init__(self) -> None:
        if not self.places or (len(self.places) > 1 and any(member == "" for member, _ in self.places)):
            raise ValueError("expected either one place ('to') or members to unpack")
        for member, place in self.places:
            if self.urls and (member.startswith("*") != place.endswith("/") or ".." in place.split("/")):
                raise ValueError(f"expected a folder for a pattern and a file otherwise, found {member!r}: {place!r}")
        for what, each in (("member", [member for member, _ in self.places]), ("place", self._files)):
            if twice := [name for name in each if each.count(name) > 1]:
                raise ValueError(f"the {what} {twice[0]!r} occurs twice")
        if self.instead_of == self.file:
            raise ValueError("expected another file in 'instead_of', found its own name")
        if strange := {*self.members, *self.optional} - {member for member, _ in self.places}:
            raise ValueError(f"a member that is not unpacked: {sorted(strange)[0]}")
        stated: dict[str, str] = {}
        for one in self.hashes:
            if not one.disagrees and stated.setdefault(one.algorithm, one.hash) != one.hash:
                raise ValueError(f"two sources state another {one.algorithm}: mark one with 'disagrees'")

    @property
    def key(self) -> str:
        return f"{self.dataset}/{self.file}"

    @property
    def transfer(self) -> tuple[str, ...]:
        """What files have in common that come with one transfer."""
        return (self.file, *(self.urls or [self.key]))

    @property
    def _files(self) -> list[str]:
        return [place for _, place in self.places if not place.endswith("/")]

    @property
    def needed(self) -> tuple[str, ...]:
        """Places of what must be there."""
        return tuple(place for member, place in self.places if member not in self.optional)

    @property
    def packed(self) -> bool:
        return self.places[0][0] != ""

    @property
    def rough(self) -> int | None:
        """Its exact size in bytes, or what is said of it; None if nothing is."""
        return self.bytes if self.bytes is not None else rough_bytes(self.about)

    @property
    def size(self) -> str:
        """Its size, for people."""
        if self.bytes is not None:
            return decimal(self.bytes)
        return f"{'' if self.about.startswith('over') else 'about '}{self.about}" if self.about else "unknown"


def merged(group: Sequence[Download]) -> Download:
    """One file for the datasets that it has members for.

    Raises:
        ValueError: what they state does not agree.
    """
    sizes = {one.bytes for one in group if one.bytes is not None}
    if len(sizes) > 1:
        raise ValueError(f"{group[0].file} has {' and '.join(map(str, sorted(sizes)))} bytes")
    members: dict[str, Stated] = {}
    for name, stated in (each for one in group for each in one.members.items()):
        if members.setdefault(name, stated).hash != stated.hash:
            raise ValueError(f"two hashes are stated of the member {name}")
    return replace(
        group[0],
        bytes=next(iter(sizes), None),
        places=tuple(dict.fromkeys(place for one in group for place in one.places)),
        members=members,
        hashes=tuple(dict.fromkeys(each for one in group for each in one.hashes)),
        optional=tuple(dict.fromkeys(member for one in group for member in one.optional)),
    )
