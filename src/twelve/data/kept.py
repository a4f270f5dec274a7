"""Arrays that take long to compute from millions of examples or from the regions of many images, kept in the cache
(examples/cache.py): lengths of texts, counts of answers, digests of examples, and the images most similar to each.

Like the entries of examples, they are never stale: a file is named by a hash of everything that decides its content,
this package's source code included, and begins with a checksum. Where there is no cache, they are computed at every
start.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twelve.data.examples.cache import cache_folder, package_code
from twelve.data.examples.store import Examples
from twelve.errors import TwelveError
from twelve.io import files
from twelve.progress import tell
from twelve.regions.store.region_store import RegionStore
from twelve.types.examples import Example
from twelve.types.keeping import Keep

MOST = 48
"""Files of one kind; the one that was used the longest ago makes place for another."""
MANY = 5_000
"""Images from which on what is computed from their regions is kept; with fewer it takes about a second."""
_SUM = hashlib.sha256().digest_size


def kept(kind: str, facts: Iterable[str], compute: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """What ``compute`` returns, from the cache if it is there, else into the cache.

    Args:
        kind: folder in the cache.
        facts: everything that decides the result, but for the code of this package.
    """
    folder = cache_folder()
    try:
        name = hashlib.sha256("\0".join([np.__version__, package_code(), *facts]).encode()).hexdigest()
        path = None if folder is None else folder / kind / f"{name[:32]}.npy"
        if path is not None and (found := _opened(path)) is not None:
            return found
    except OSError:
        path = None
    result = compute()
    if path is not None:
        try:
            _write(path, result)
        except (TwelveError, OSError) as error:
            tell(f"note: {kind} are computed at every start: {error}")
    return result


def kept_of_examples(
    kind: str, examples: Sequence[Example], facts: Iterable[str], compute: Callable[[], NDArray[Any]]
) -> NDArray[Any]:
    """What ``compute`` returns of ``examples``, kept if these are cached themselves.

    Args:
        facts: everything else that decides the result.
    """
    if not isinstance(examples, Examples):
        return compute()
    rows = hashlib.sha256(examples.rows.astype(np.int32).tobytes()).hexdigest()
    return kept(kind, [examples.entry, rows, *facts], compute)


def kept_of_regions(store: RegionStore) -> Keep:
    """What keeps results computed from a store's regions. Files are recognised by the checksums of their parts; where
    they have none, nothing is kept."""

    def keep(kind: str, images: Sequence[str], compute: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        if len(images) < MANY:
            return compute()
        contents = [store.content(source) for source in sorted({image.partition("/")[0] for image in images})]
        if None in contents:
            return compute()
        return kept(kind, [*map(str, contents), "\0".join(images)], compute)

    return keep


def _opened(path: Path) -> NDArray[Any] | None:
    """The array in a file; None where it is missing or damaged."""
    try:
        content = path.read_bytes()
        if hashlib.sha256(content[_SUM:]).digest() != content[:_SUM]:
            return None
        found: NDArray[Any] = np.load(io.BytesIO(content[_SUM:]), allow_pickle=False)
        os.utime(path)
    except (OSError, ValueError):
        return None
    return found


def _write(path: Path, array: NDArray[Any]) -> None:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    content = stream.getvalue()
    with files.replacing(path) as partial:
        partial.write_bytes(hashlib.sha256(content).digest() + content)
    others = sorted(path.parent.glob("*.npy"), key=lambda other: other.stat().st_mtime)
    for other in others[:-MOST]:
        other.unlink(missing_ok=True)
