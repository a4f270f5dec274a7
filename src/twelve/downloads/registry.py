"""The registry of official files: name, URLs, size, hashes and place of each, and who states them.

A dataset is a table of TOML, with one ``[[DATASET.files]]`` a file::

    [nlvr2]
    page = "https://github.com/lil-lab/nlvr/tree/master/nlvr2"
    terms = "annotations CC BY 4.0; the images are given on request"

    [[nlvr2.files]]
    name = "dev.json"
    kind = "annotation"
    urls = ["https://raw.githubusercontent.com/lil-lab/nlvr/master/nlvr2/data/dev.json"]
    bytes = 3762423
    hashes = [{ is = "sha256:7c44...", source = "lil-lab/nlvr at 18924841: the git blob hashed" }]
    to = "nlvr2/dev.json"
    source = "lil-lab/nlvr at 18924841"

For archives, ``unpack = { MEMBER = PLACE }`` replaces ``to``, and ``members = { MEMBER = HASH }`` states hashes;
members in ``optional`` may be missing. A file
without ``urls`` must be asked for at the dataset's page, or its own ``page``. A file is tried where the one that it is
``instead_of`` cannot be had. Of several hashes all must fit, except those that are marked ``disagrees = REASON``.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from twelve.downloads.download import Download, Kind, merged
from twelve.downloads.present import first_choices, others_of
from twelve.downloads.shapes import flaw
from twelve.errors import ConfigError, located_problem, nearest
from twelve.io.json_file import read_text


def shipped() -> tuple[Download, ...]:
    """The project's own registry."""
    return _parsed(files(__package__).joinpath("registry.toml").read_text(encoding="utf-8"), "registry.toml")


def read(path: str | Path) -> tuple[Download, ...]:
    """Another registry, for example of an internal mirror.

    Raises:
        ConfigError: it cannot be read, or is not a registry; names the dataset and the file.
    """
    remedy = "name a registry: twelve/downloads/registry.py shows one"
    return _parsed(read_text(Path(path), ConfigError, remedy=remedy, most=1 << 24), path)


def _parsed(text: str, origin: str | Path) -> tuple[Download, ...]:
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _flawed(f"not valid TOML: {error}", origin) from None
    except ValueError:  # of int()
        raise _flawed("not valid TOML: a number with thousands of digits", origin) from None
    found: dict[str, Download] = {}
    for dataset, table in tree.items():
        for number, entry in enumerate(_list(table, dataset, origin), 1):
            name = entry.get("name") if isinstance(entry, dict) else None
            record = f"{dataset}, {name or f'file {number}'}"
            try:
                one = _ADAPTER.validate_json(json.dumps(_fields(dataset, table, entry), default=str))
            except ValidationError as error:
                where, problem = flaw(error, _KEYS)
                raise _flawed(located_problem(where, problem), origin, record) from None
            except RecursionError:
                raise _flawed("tables within each other, too deep", origin, record) from None
            except _Misnamed as error:
                raise _flawed(str(error), origin, record) from None
            if found.setdefault(one.key, one) is not one:
                raise _flawed("this file occurs twice", origin, record)
    if not found:
        raise _flawed("expected datasets with files, found none", origin)
    _check_together(found, origin)
    return tuple(found.values())


def _check_together(found: Mapping[str, Download], origin: str | Path) -> None:
    """Raise ConfigError where files of a registry do not fit together."""
    owners: dict[str, Download] = {}
    groups: dict[tuple[str, ...], list[Download]] = {}
    for one in found.values():
        other = found.get(f"{one.dataset}/{one.instead_of}")
        if one.instead_of and other is None:
            raise _flawed(f"no file {one.instead_of!r}", origin, one.key)
        if other is not None and other.instead_of:
            raise _flawed(f"{other.file!r} replaces a file itself: name that one in 'instead_of'", origin, one.key)
        groups.setdefault(one.transfer, []).append(one)
        if one.instead_of:
            continue
        for _, place in one.places:
            if not place.endswith("/") and owners.setdefault(place, one) is not one:
                raise _flawed(f"{owners[place].key} has the same place, {place}", origin, one.key)
    for group in groups.values():
        try:
            merged(group)
        except ValueError as error:
            problem = flaw(error)[1] if isinstance(error, ValidationError) else str(error)
            raise _flawed(f"of the same URL, {problem}", origin, " and ".join(one.key for one in group)) from None


def _flawed(problem: str, origin: str | Path, record: str | None = None) -> ConfigError:
    remedy = "correct it: twelve/downloads/registry.py describes every key"
    return ConfigError(problem, file=origin, record=record, remedy=remedy)


class _Misnamed(ValueError):
    """A key that nobody knows."""


_ADAPTER: TypeAdapter[Download] = TypeAdapter(Download)
_KEYS = {"places": "to or unpack", "file": "name", "hash": "is"}
"""Field of a Download -> the key that gives it, where that has another name."""
_COMMON = frozenset({"page", "terms", "files"})
"""Keys of a dataset."""


def _list(table: Any, dataset: str, origin: str | Path) -> list[Any]:
    entries = table.get("files") if isinstance(table, dict) else None
    if not isinstance(entries, list):
        remedy = "write its files as [[DATASET.files]]"
        raise ConfigError("expected a dataset with files", file=origin, record=dataset, remedy=remedy)
    if strange := table.keys() - _COMMON:
        raise _flawed(f"{min(strange)}: expected page, terms and files alone", origin, dataset)
    return entries


def _fields(dataset: str, table: Mapping[str, Any], entry: Any) -> Any:
    """The fields of a Download, from the keys of its entry and its dataset's; what has another type stays for pydantic
    to refuse."""
    if not isinstance(entry, dict):
        return entry
    if strange := entry.keys() & {"dataset", *_KEYS}:
        raise _Misnamed(f"{min(strange)}: no such key")
    if "to" in entry and "unpack" in entry:
        raise _Misnamed("to or unpack: expected one of the two, found both")
    entry = dict(entry)
    unpack = entry.pop("unpack", None)
    to = entry.pop("to", None)
    places = [["", to]] if to is not None else list(unpack.items()) if isinstance(unpack, dict) else unpack
    if isinstance(hashes := entry.get("hashes"), list):
        entry["hashes"] = [_stated(each) for each in hashes]
    if isinstance(members := entry.get("members"), dict):
        entry["members"] = {name: _stated(each) for name, each in members.items()}
    known = {"page": table.get("page"), "terms": table.get("terms"), "tasks": [dataset], "urls": []}
    return known | {"dataset": dataset, "file": entry.pop("name", None), "places": places} | entry


def _stated(entry: Any) -> Any:
    return {"hash" if key == "is" else key: value for key, value in entry.items()} if isinstance(entry, dict) else entry


def choose(
    downloads: Iterable[Download], names: Sequence[str], kinds: Collection[Kind] = ("annotation", "weight")
) -> tuple[Download, ...]:
    """The files of these kinds for tasks (or other names, such as ``released``), in the registry's order.

    Raises:
        ConfigError: a name that the registry has no file for.
    """
    downloads = tuple(downloads)
    known = list(dict.fromkeys(name for one in downloads for name in one.tasks))
    for name in names:
        if name not in known:
            raise ConfigError(
                f"no files of {name!r} are known{nearest(name, known)}", remedy=f"name some of {', '.join(known)}"
            )
    return tuple(one for one in downloads if one.kind in kinds and not {*one.tasks}.isdisjoint(names))


def leave_out(downloads: Sequence[Download], keys: Iterable[str]) -> tuple[Download, ...]:
    """Files without the named ones, and without those that would be tried instead of them.

    Args:
        keys: :attr:`Download.key` of each, ``DATASET/FILE``.

    Raises:
        ConfigError: none of the files has this name.
    """
    known = {one.key: one for one in first_choices(downloads) if one.urls}
    gone: set[str] = set()
    for key in keys:
        if key not in known:
            remedy = f"name some of {', '.join(known)}" if known else "leave --without away"
            raise ConfigError(f"no file {key!r} to leave out{nearest(key, known)}", remedy=remedy)
        gone |= {one.key for one in (known[key], *others_of(known[key], downloads))}
    return tuple(one for one in downloads if one.key not in gone)
