"""A stand-in for the hosts of the twelve datasets: the project's own registry, with the files of a drawn world."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path

from download_server import DownloadServer

from twelve.downloads.download import Download, Stated
from twelve.downloads.registry import shipped


def stand_in(world: Path, server: DownloadServer) -> tuple[Download, ...]:
    """Serve every file of the project's registry that a drawn world has the content of, packed as the original is.

    Returns:
        Those files with their URLs, sizes and hashes here; hashes are stated where the registry states one.
    """
    return tuple(filter(None, (_served(one, world, server) for one in shipped() if not one.instead_of)))


def _served(one: Download, world: Path, server: DownloadServer) -> Download | None:
    if not one.urls:
        return one
    folders = {place: sorted((world / place).glob("*")) for _, place in one.places if place.endswith("/")}
    places = tuple((member, place) for member, place in one.places if folders.get(place) or (world / place).is_file())
    if not places:
        return None
    content = _content(one, places, folders, world)
    stated = tuple(Stated(f"sha256:{hashlib.sha256(content).hexdigest()}", "the stand-in") for _ in one.hashes[:1])
    members = {
        member: Stated(f"sha256:{hashlib.sha256((world / place).read_bytes()).hexdigest()}", "the stand-in")
        for member, place in places
        if member in one.members
    }
    url = server.add(one.key, content)
    size = one.bytes and len(content)
    return replace(one, urls=(url,), places=places, bytes=size, hashes=stated, members=members, optional=())


def _content(one: Download, places: tuple[tuple[str, str], ...], folders: dict[str, list[Path]], world: Path) -> bytes:
    if not one.packed:
        return (world / places[0][1]).read_bytes()
    if not one.file.endswith(".zip"):
        return gzip.compress((world / places[0][1]).read_bytes())
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, place in places:
            for path in folders.get(place, [world / place]):
                archive.write(path, f"inside/{path.name if place in folders else member}")
    return made.getvalue()
