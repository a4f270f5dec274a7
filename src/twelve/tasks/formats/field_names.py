"""Fields that a file of one's own calls by another name: recognised, so that an error can name both."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from twelve.errors import DataError
from twelve.formats.records import Record

MEANT = {
    **dict.fromkeys(("question", "ask", "query", "prompt", "caption", "sentence"), "text"),
    **dict.fromkeys(("statement", "hypothesis", "phrase", "expression"), "text"),
    **dict.fromkeys(("answer", "answers", "label", "gold", "truth", "class", "gold_label", "bbox", "box"), "target"),
    **dict.fromkeys(("img", "image_path", "image_file", "file", "filename", "file_name", "path"), "image"),
    **dict.fromkeys(("photo", "photograph"), "image"),
    **dict.fromkeys(("imgs", "image_paths", "image_files", "files"), "images"),
    **dict.fromkeys(("boxes", "bboxes", "regions"), "candidates"),
}
"""Name that people and other programs give to a field -> the name here."""


def misnamed(record: Record, fields: Collection[str], known: Collection[str]) -> DataError | None:
    """An error that says which fields to rename, if fields are missing that a record has under other names.

    Args:
        fields: those that the record should have.
        known: all fields that it may have; none of them is renamed.
    """
    missing = [name for name in fields if name not in record.fields]
    renamed: dict[str, str] = {}
    for name in record.fields:
        if name in known or record.fields[name] is None:
            continue
        ours = MEANT.get(name.lower(), "") or next(iter(difflib.get_close_matches(name.lower(), missing, n=1)), "")
        if ours in missing and ours not in renamed.values():
            renamed[name] = ours
    if not renamed:
        return None
    changes = ", ".join(f"{name!r} to {ours!r}" for name, ours in renamed.items())
    found = ", ".join(map(repr, renamed))
    expected = ", ".join(map(repr, renamed.values()))
    # Other lines may be right, and may have both names: a field that is not known is ignored.
    return record.error(f"expected {expected}, found {found}", f"rename {changes} in every line without {expected}")
