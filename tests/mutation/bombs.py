"""Files that are small and would take all memory or time, or run a program, if they were read carelessly."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zipfile
from collections.abc import Iterator
from typing import Any


def nested(depth: int) -> list[Any]:
    """A list in a list in a list."""
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


def circular() -> list[Any]:
    """A list that holds itself."""
    found: list[Any] = []
    found.append(found)
    return found


def shared(depth: int) -> list[Any]:
    """A list of 2**depth leaves, of as many lists as it is deep."""
    found: list[Any] = ["leaf"]
    for _ in range(depth):
        found = [found, found]
    return found


def packed() -> Iterator[tuple[str, bytes]]:
    """(name, gzip file) that unpack to a thousand times their size: parts of a megabyte, one after the other."""
    for name, letter in (("empty lines", b"\n"), ("one line", b"a"), ("white space", b" "), ("NULs", b"\0")):
        yield f"64 MB of {name}", gzip.compress(letter * (1 << 20), mtime=0) * 64
    yield "a string without end", gzip.compress(b'{"id": "', mtime=0) + gzip.compress(b"x" * (1 << 20), mtime=0) * 64


def pickles() -> Iterator[tuple[str, bytes]]:
    """(name, pickle) that run a program or grow without end."""
    yield "a call", b"cos\ngetcwd\n(tR."
    yield "a call in protocol 4", b"\x80\x04\x8c\x02os\x8c\x06getcwd\x93)R."
    yield "a class", b"\x80\x02cfractions\nFraction\n)\x81."
    yield "an instance", b"(ios\ngetcwd\n."
    yield "an object outside", b"Pid\n."
    yield "an extension", b"\x82\x01."
    yield "a place of two billion", b"]" + b"r" + struct.pack("<I", 2_000_000_000) + b"."
    yield "a place of four hundred million", b"]" + b"r" + struct.pack("<I", 400_000_000) + b"."
    yield "a place of 12 digits", b"(lp999999999999\n."
    yield "a place of 9 digits", b"(lp999999999\n."
    yield "a place of 10,000 digits", b"(lp" + b"9" * 10_000 + b"\n."
    yield "text of 2**60 letters", b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"a."
    yield "text of 4 GB", b"\x80\x02X" + struct.pack("<I", 0xFFFFFFFF) + b"a."
    yield "bytes of 2**40", b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"a."
    yield "an array of 2**40 bytes", b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"a."
    yield "a frame of 2**50 bytes", b"\x80\x04\x95" + struct.pack("<Q", 1 << 50) + b"]."
    yield "a number of 2 GB", b"\x80\x02\x8b" + struct.pack("<i", 0x7FFFFFFF) + b"a."
    yield "a number of a negative length", b"\x80\x02\x8b" + struct.pack("<i", -1) + b"a."
    yield "a number of 100,000 digits", b"L" + b"9" * 100_000 + b"L\n."
    yield "a hundred thousand marks", b"(" * 100_000 + b"."
    yield "a hundred thousand lists in each other", b"]" * 100_000 + b"a" * 99_999 + b"."
    yield "tuples whose hash takes centuries", b"(t" + b"2\x86" * 60 + b"}2N2s" + b"."
    yield "a key whose hash takes centuries", b"})" + b"2\x86" * 60 + b"Ns."
    yield "a key of places whose hash takes centuries", b"})q\x00" + b"0h\x00h\x00\x86q\x00" * 60 + b"Ns."
    yield "keys whose hash takes centuries", b"}()q\x00" + b"0h\x00h\x00\x86q\x00" * 60 + b"Nu."
    yield "a dict at once, whose key's hash takes centuries", b"()q\x00" + b"0h\x00h\x00\x86q\x00" * 60 + b"Nd."
    yield (
        "a set of a tuple whose hash takes centuries",
        b"\x80\x04\x8f()q\x00" + b"0h\x00h\x00\x86q\x00" * 60 + b"\x90.",
    )
    yield "shared lists", pickle.dumps(shared(60), 2)
    yield "a list of itself", pickle.dumps(circular(), 2)
    yield "a dict of itself", b"}q\x00U\x01ah\x00s."
    yield "references that are all one", pickle.dumps([{"ref_id": 1, "sentences": []}] * 10, 2)
    yield "buffers from outside", b"\x80\x05\x97."
    yield "no end", b"\x80\x02]"
    yield "nothing on the stack", b"."
    yield "an unknown protocol", b"\x80\xff]."


def archives() -> Iterator[tuple[str, bytes]]:
    """(name, .npz file) that claim or unpack to far more than they hold."""

    def archive(content: bytes, name: str = "scores.npy", how: int = zipfile.ZIP_DEFLATED) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", how) as file:
            file.writestr(name, content)
        return stream.getvalue()

    def array(header: str, data: bytes = b"") -> bytes:
        text = header.encode() + b"\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data

    shape = "{{'descr': '<f8', 'fortran_order': False, 'shape': ({}), }}".format
    yield "a petabyte of numbers", archive(array(shape("10000000,10000000")))
    yield "a negative shape", archive(array(shape("-4,4")))
    yield "a shape beyond all integers", archive(array(shape("9" * 30 + ",2")))
    yield "200 MB of nothing", archive(array(shape("5000,5000"), b"\0" * 200_000_000))
    yield "objects", archive(array("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"cos\ngetcwd\n(tR."))
    yield "a header that is a program", archive(array("__import__('os').getcwd()"))
    yield "a header in brackets", archive(array("(" * 2000))
    yield "something else", archive(b"hello")
    yield "another name", archive(array(shape("1,1"), b"\0" * 8), "other.npy")
    yield "no member", archive(b"", "a.txt")
