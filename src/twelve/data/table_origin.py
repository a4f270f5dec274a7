"""Which table (CSV) ``twelve data table`` made the files of a data root from, so that a correction of the table can be
converted again."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from twelve.errors import ConfigError, quoted
from twelve.formats.content_digest import content_digest
from twelve.formats.data_root import IMAGES, image_key
from twelve.io.json_file import read_or_none, readable
from twelve.progress import enumerated

FILE = "table.json"
"""Its name in the data root."""
_WORDS = ["twelve", "data", "table"]
_SHOWN = 5
"""Most lines that are named."""


@dataclass(frozen=True, slots=True)
class TableOrigin:
    """What the command made.

    Attributes:
        command: its words; they convert the table again over these files.
        tables: split -> the table that it was made from, as the command named it. The id of each example is its line
            there.
        files: each file, relative to the data root -> the digest of its content.
        tested: the images among them that are tested on.
        removed: images of earlier tables that are gone and may have regions still -> the digest of their content.
        digests: each table, as the command named it -> the digest of what was read.
    """

    command: Sequence[str]
    tables: Mapping[str, str]
    files: Mapping[str, str]
    tested: Sequence[str]
    removed: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)

    def option(self, name: str) -> str | None:
        """The value of an option of the command."""
        words = dict(zip(self.command, self.command[1:], strict=False))
        return words.get(name)

    @property
    def sides(self) -> dict[str, bool]:
        """The digest of each image -> whether it is tested on."""
        return {digest: name in self.tested for name, digest in self.files.items() if name.startswith(f"{IMAGES}/")}

    @staticmethod
    def by_id(folder: str, files: Mapping[str, str]) -> dict[str, str]:
        """The key of each image in a folder, which its file's ending does not change -> the digest of its content."""
        return {image_key(name): digest for name, digest in files.items() if os.path.dirname(name) == folder}

    @property
    def remedy(self) -> str:
        """How to correct the files."""
        tables, command = [*dict.fromkeys(self.tables.values())], shlex.join(self.command)
        if changed := [table for table in tables if self._edited(table)]:
            have = "has" if len(changed) == 1 else "have"
            return f"{enumerated(changed)} {have} changed since this conversion; to convert again, run: {command}"
        return f"to correct lines, edit {enumerated(tables)} and run: {command}"

    def lines(self, split: str, ids: Collection[str]) -> str:
        """Where the table has examples with these ids: ``line 7 of faces.csv``; where it had them, if it was edited."""
        shown, table = [*dict.fromkeys(ids)], self.tables[split]
        before = " before it changed" if self._edited(table) else ""
        return f"line{'s' * (len(shown) > 1)} {some(shown)} of {table}{before}"

    def _edited(self, table: str) -> bool:
        """Whether a table has changed since it was converted; False where it is not there, or the note is older."""
        return table in self.digests and Path(table).is_file() and _digest(Path(table)) != self.digests[table]

    def check(self, root: Path) -> None:
        """Raise ConfigError if a file has been changed since it was made, or is in a folder that is a link, or if there
        is a pipe or a device, which cannot be copied."""
        for inside, _, names in os.walk(root):
            for name in names:
                _check_plain(Path(inside, name))
        for folder in sorted({folder for name in self.files for folder in Path(name).parents[:-1]}):
            if (root / folder).is_symlink():
                raise _in_the_way("is a link, and not the folder that was made from the table", root / folder)
        for name, digest in self.files.items():
            file = root / name
            if os.path.lexists(file) and _digest(file) != digest:
                raise _in_the_way("has been changed since it was made from the table", file)

    def keep_others(self, root: Path, new: Path) -> None:
        """Put all other files of the data root, such as regions, into a new one beside it.

        Raises:
            ConfigError: the new one has a file of the same name.
        """

        def known(folder: str, names: Sequence[str]) -> set[str]:
            inside = os.path.relpath(folder, root)
            return {name for name in names if os.path.normpath(os.path.join(inside, name)) in (*self.files, FILE)}

        def link(file: str, to: str) -> None:
            if os.path.lexists(to):
                raise _in_the_way("was not made from the table", Path(file))
            link_or_copy(Path(file), Path(to))

        shutil.copytree(root, new, symlinks=True, ignore=known, copy_function=link, dirs_exist_ok=True)


def write(
    root: Path,
    command: Sequence[str],
    tables: Mapping[str, str],
    tested: Collection[str] = (),
    removed: Mapping[str, str] | None = None,
    digests: Mapping[str, str] | None = None,
) -> None:
    """Note that this command has made all files of a data root; ``tested``: the images that are tested on; ``removed``
    and ``digests``: as in :class:`TableOrigin`."""
    files = {str(file.relative_to(root)): _digest(file) for file in sorted(root.rglob("*")) if file.is_file()}
    origin = TableOrigin(command, tables, files, sorted(tested), dict(removed or {}), dict(digests or {}))
    text = readable(asdict(origin), indent=1)
    (root / FILE).write_text(f"{text}\n", encoding="utf-8")


def read(root: Path) -> TableOrigin | None:
    """What a command has noted; None if there is no such note, or none that only this command can have written."""
    tree = read_or_none(root / FILE, most=1 << 30)
    try:
        removed, digests = (dict(tree.get(key, {})) for key in ("removed", "digests"))  # older notes do not have these
        origin = TableOrigin(
            list(tree["command"]), dict(tree["tables"]), dict(tree["files"]), list(tree["tested"]), removed, digests
        )
        said = [*origin.command, *origin.tables, *origin.tables.values(), *origin.files, *origin.files.values()]
        said += [*origin.tested, *removed, *removed.values(), *digests, *digests.values()]
        inside = all(not Path(file).is_absolute() and ".." not in Path(file).parts for file in origin.files)
        ours = [*origin.command[: len(_WORDS)]] == _WORDS and inside and all(each.isprintable() for each in said)
        ours = ours and 0 < float(origin.option("--test-fraction") or 0.5) < 1
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return origin if ours else None


def of_split(root: Path, split: str) -> TableOrigin | None:
    """What a command has noted about a split, unless the split has been changed since."""
    origin = read(root)
    if origin is None or split not in origin.tables or origin.files.get(split) != _digest(root / split):
        return None
    return origin


def some(names: Sequence[str]) -> str:
    """Names in a sentence, the first few and how many more there are."""
    more = [f"{len(names) - _SHOWN:,} more"] if len(names) > _SHOWN else []
    return enumerated([*names[:_SHOWN], *more])


def link_or_copy(file: Path, to: Path) -> None:
    """Put a file, with its time, into another folder as well."""
    try:
        os.link(file, to)  # a copy of many regions would take time and space
    except OSError:
        shutil.copy2(file, to)


def _digest(file: Path) -> str:
    return content_digest(file).hex()


def _check_plain(file: Path) -> None:
    """Raise ConfigError unless a file is a regular one or a link: to open a pipe would wait for its other end."""
    mode = file.lstat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        kind = "a named pipe" if stat.S_ISFIFO(mode) else "a socket or a device"
        raise ConfigError(f"is {kind}, not a file", file=file, remedy=f"remove it: rm {quoted(file)}")


def _in_the_way(problem: str, file: Path) -> ConfigError:
    number, aside = 1, file.with_stem(f"{file.stem}-kept")
    while os.path.lexists(aside):
        number += 1
        aside = file.with_stem(f"{file.stem}-kept-{number}")
    remedy = f"move it away, so that it is not replaced (mv {quoted(file)} {quoted(aside)}), or name another folder"
    return ConfigError(problem, file=file, remedy=remedy)
