"""Archives that are not what they should be: nothing of them reaches the data root, or any other place."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from download_server import DownloadServer
from tiny_downloads import QUICK, download, placed, says_what_to_do

from twelve.downloads.fetch import fetch
from twelve.downloads.unpack import MOST, BadArchive, unpack

PLACES = (("mugs.json", "mugs/mugs.json"), ("*.jpg", "images/mugs/"))
GOOD = {"mugs.json": b"{}", "1.jpg": b"image"}


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (*GOOD.items(), *members):
            archive.writestr(name, content)
    return made.getvalue()


def tarred(name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for each, what in GOOD.items():
            info = tarfile.TarInfo(each)
            info.size = len(what)
            archive.addfile(info, io.BytesIO(what))
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        info.size = len(content) if kind == tarfile.REGTYPE else 0
        archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def of_kind(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o777) << 16
    return info


def encrypted() -> bytes:
    content = bytearray(zipped(("2.jpg", b"x")))
    for head, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.rindex(head) + flags] |= 1
    return bytes(content)


def lying_size() -> bytes:
    """A member that says it has 2 bytes, and has a million."""
    content = bytearray(zipped(("2.jpg", bytes(1_000_000))))
    for head, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = content.rindex(head) + at
        content[place : place + 4] = (2).to_bytes(4, "little")
    return bytes(content)


def tar_header(kind: bytes, size: int) -> bytes:
    """A .tar.gz with a header of a kind and size that is followed by as many zeros."""
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(size), 9)


def negative_size() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, changes in (("1.jpg", {}), ("mugs.json", {"size": "-5"})):
            info = tarfile.TarInfo(name)
            info.pax_headers, info.size = changes, 2
            archive.addfile(info, io.BytesIO(b"{}"))
    return made.getvalue()


def empty_member() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("1.jpg", b"image")
        archive.writestr("deep/mugs.json", b"")
    return made.getvalue()


def many_members() -> bytes:
    return gzip.compress(tarfile.TarInfo("x").tobuf() * 40_000, 9)


def lying_directory() -> bytes:
    """A zip archive that says its directory is far behind its end."""
    content = bytearray(zipped())
    at = content.rindex(b"PK\x05\x06") + 16
    content[at : at + 4] = (0x7FFFFFF).to_bytes(4, "little")
    return bytes(content)


BAD: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "up": ("a.zip", lambda: zipped(("../../evil.jpg", b"x")), "leads out of its folder"),
    "up, backslash": ("a.zip", lambda: zipped(("..\\evil.jpg", b"x")), "leads out of its folder"),
    "absolute": ("a.zip", lambda: zipped(("/tmp/evil.jpg", b"x")), "leads out of its folder"),
    "drive": ("a.zip", lambda: zipped(("C:/evil.jpg", b"x")), "leads out of its folder"),
    "link": ("a.zip", lambda: zipped((of_kind("2.jpg", stat.S_IFLNK), b"/etc/passwd")), "is a link or a device"),
    "pipe": ("a.zip", lambda: zipped((of_kind("2.jpg", stat.S_IFIFO), b"")), "is a link or a device"),
    "encrypted": ("a.zip", encrypted, "is encrypted"),
    "twice": ("a.zip", lambda: zipped(("deep/mugs.json", b"[]")), "two members are 'deep/mugs.json'"),
    "images twice": ("a.zip", lambda: zipped(("b/1.jpg", b"x")), "two members are 'b/1.jpg'"),
    "bomb": ("a.zip", lambda: zipped(("2.jpg", bytes(60 << 20))), f"more than {MOST} times its size"),
    "bombs": ("a.zip", lambda: zipped(*((f"{n}.jpg", bytes(9 << 20)) for n in (2, 3))), f"{MOST} times its size"),
    "lying bomb": ("a.zip", lying_size, "damaged"),
    "lying directory": ("a.zip", lying_directory, "damaged, or no .zip archive"),
    "cut": ("a.zip", lambda: zipped(("2.jpg", b"x"))[:-30], "damaged, or no .zip archive"),
    "no zip": ("a.zip", lambda: b"<html>", "damaged, or no .zip archive"),
    "no member": ("a.zip", lambda: zipped()[:0] + tarred("x"), "damaged, or no .zip archive"),
    "tar up": ("a.tar.gz", lambda: tarred("x/../../evil.jpg"), "leads out of its folder"),
    "tar absolute": ("a.tar.gz", lambda: tarred("/tmp/evil.jpg"), "leads out of its folder"),
    "tar link": ("a.tar.gz", lambda: tarred("2.jpg", kind=tarfile.SYMTYPE, link="/etc/passwd"), "a link or a device"),
    "tar hard link": ("a.tar.gz", lambda: tarred("2.jpg", kind=tarfile.LNKTYPE, link="1.jpg"), "a link or a device"),
    "tar device": ("a.tar.gz", lambda: tarred("2.jpg", kind=tarfile.CHRTYPE), "a link or a device"),
    "tar bomb": ("a.tar.gz", lambda: tarred("2.jpg", bytes(60 << 20)), f"{MOST} times its size"),
    "tar bomb beside": ("a.tar.gz", lambda: tarred("2.txt", bytes(60 << 20)), f"{MOST} times its size"),
    "tar pax header": ("a.tar.gz", lambda: tar_header(tarfile.XHDTYPE, 2 << 20), "a header of the archive has 2097152"),
    "tar long name": ("a.tar.gz", lambda: tar_header(tarfile.GNUTYPE_LONGNAME, 2 << 20), "a header of the archive has"),
    "tar negative size": ("a.tar.gz", negative_size, "a member has -5 bytes"),
    "tar many members": ("a.tar.gz", many_members, f"{MOST} times its size"),
    "tar cut": ("a.tar.gz", lambda: tarred("2.jpg", bytes(range(256)) * 50)[:-40], "damaged, or no .tar.gz archive"),
    "empty member": ("a.zip", empty_member, "the member 'deep/mugs.json' is empty"),
    "empty gz": ("a.gz", lambda: gzip.compress(b""), "the member 'mugs.json' is empty"),
    "no archive": ("a.rar", lambda: b"x", "expected a name that ends in .zip"),
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("known", [True, False])
def test_a_bad_archive_leaves_nothing(what: str, known: bool, server: DownloadServer, tmp_path: Path) -> None:
    name, make, said = BAD[what]
    content = make()
    root = tmp_path / "deep" / "root"
    url = server.add(name, content)
    one = download(url, content=content if known else None, file=name, places=PLACES)
    (file,) = fetch([one], root, patience=QUICK, progress=None).files
    assert says_what_to_do(file) and said in file.note, file.note
    assert not placed(root)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {".lock"}


def test_a_good_archive_of_the_same_kind_arrives(server: DownloadServer, tmp_path: Path) -> None:
    for name, content in (("a.zip", zipped(("2.jpg", b"x"))), ("a.tar.gz", tarred("2.jpg"))):
        one = download(server.add(name, content), content=content, file=name, places=PLACES)
        assert fetch([one], tmp_path / name, patience=QUICK, progress=None).ok
        assert set(placed(tmp_path / name)) == {"mugs/mugs.json", "images/mugs/1.jpg", "images/mugs/2.jpg"}


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_a_member_whose_name_no_disk_takes_is_left_out(name: str, tmp_path: Path) -> None:
    long = "\u6f22" * 150 + ".jpg"
    (tmp_path / name).write_bytes(zipped((long, b"x")) if name == "a.zip" else tarred(long))
    written = unpack(tmp_path / name, name, PLACES, tmp_path / "stage")
    assert written == ["mugs/mugs.json", "images/mugs/1.jpg"]


def test_an_archive_that_does_not_have_a_member_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped())
    with pytest.raises(BadArchive, match=r"no member 'cups\.json'"):
        unpack(tmp_path / "a.zip", "a.zip", (("cups.json", "mugs/cups.json"),), tmp_path / "stage")


def test_a_bad_archive_is_not_transferred_again_from_a_mirror_of_the_same_bytes(
    server: DownloadServer, tmp_path: Path
) -> None:
    content = zipped(("../evil.jpg", b"x"))
    urls = [server.add(name, content) for name in ("a.zip", "b.zip")]
    assert not fetch([download(*urls, content=content, file="a.zip", places=PLACES)], tmp_path, progress=None).ok
    assert [path for _, path, _ in server.requests] == ["a.zip"]
