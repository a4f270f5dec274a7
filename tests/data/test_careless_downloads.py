"""``data check`` on files as careless downloads, unpacking and exports leave them: every file of the twelve tasks.

Each damage is done to each official file of a drawn world in turn. The check must fail, and a line must name the file,
but where :data:`TOLERATED` says why nothing can be seen (docs/data.md says the same for people).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import pickle
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from small_world import SIZES
from typer.testing import CliRunner

from twelve.cli import app
from twelve.data.check import check_root
from twelve.data.examples.reading import read_examples
from twelve.errors import DataError, MissingData
from twelve.formats.data_root import DataRoot
from twelve.microworld.make import WRITERS, make_microworld
from twelve.tasks.base import get

OWN = {"oracle.json", "kinds.json"}
"""Files of the drawn world that no release has."""
LINES = 150
"""Lines of a file of JSON lines that are kept: it is read some twenty times."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("careless") / "world"
    make_microworld(out, 0, SIZES)
    for path in (out / "snli_ve").glob("*.jsonl"):
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:LINES]))
    toolbox = {"annotations": {"1": {"image_id": 1, "bbox": [1, 1, 5, 5], "refexp_ids": [7]}}}
    toolbox |= {"images": {"1": {"width": 50, "height": 50}}, "refexps": {"7": {"raw": "a cup"}}}  # type: ignore[dict-item]
    (out / "refcocog" / "google_refexp_val_201511_coco_aligned.json").write_text(json.dumps(toolbox))
    (out / "nlvr2" / "annotated_dev_examples.txt").write_text(
        "A cup is red.\n- Cardinality\n\nIt is not.\n- Negation\n"
    )
    shutil.copy(out / "nlvr2" / "dev.json", out / "nlvr2" / "balanced_dev.json")
    (out / "microworld.json").unlink()
    return out


@pytest.fixture
def root(world: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """One task of the world, and all images."""
    shutil.copytree(world / request.param, tmp_path / request.param)
    (tmp_path / "images").symlink_to(world / "images")
    return tmp_path


def _values(path: Path) -> Any:
    """What a file holds, lines of JSON as a list of them."""
    if path.suffix == ".p":
        return pickle.loads(path.read_bytes())
    text = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()
    return json.loads(text) if not _lined(path) else [json.loads(line) for line in text.splitlines()]


def _lined(path: Path) -> bool:
    return ".jsonl" in path.suffixes or path.parent.name == "nlvr2"


def _write(path: Path, values: Any) -> None:
    if path.suffix == ".p":
        path.write_bytes(pickle.dumps(values, protocol=0))
        return
    text = "".join(f"{json.dumps(row)}\n" for row in values) if _lined(path) else json.dumps(values)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def _changed(path: Path, change: Callable[[str, Any], Any]) -> None:
    """Write a file again with every value in an object replaced by ``change(key, value)``."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(change(key, inner)) for key, inner in value.items()}
        return [walk(inner) for inner in value] if isinstance(value, list) else value

    _write(path, walk(_values(path)))


TEXTS = {"question", "sentence", "sentence2", "raw", "q"}
IDS = {"question_id", "qa_id", "sent_id", "sentid", "image_id", "box_id", "id", "imageId", "Flickr30K_ID", "ann_id"}
IDS |= {"identifier", "pairID", "width", "x"}


def no_texts(path: Path) -> None:
    _changed(path, lambda key, value: "" if key in TEXTS and isinstance(value, str) else value)


def _other(value: Any) -> Any:
    return int(f"1{''.join(filter(str.isdigit, value))}") if isinstance(value, str) else str(value)


def other_ids(path: Path) -> None:
    """Numbers as texts and texts as numbers, as a spreadsheet saves them."""
    keyed = lambda key, value: _other(value) if key in IDS and isinstance(value, int | str) else value  # noqa: E731
    _changed(path, keyed)


def as_csv(path: Path) -> None:
    values = _values(path)
    lists = [value for value in values.values() if isinstance(value, list)] if isinstance(values, dict) else [values]
    rows = max(lists, key=len) if lists else [{"key": key, **row} for key, row in values.items()]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(out.getvalue())


def doubled(path: Path) -> None:
    """Everything twice, as two runs of one script that appends write it."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(inner) for key, inner in value.items()}
        return [*value, *value] if isinstance(value, list) and value and isinstance(value[0], dict) else value

    _write(path, walk(_values(path)))


def replaced(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 5 + 1])


def zeros(path: Path) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


def zipped(path: Path) -> None:
    import zipfile

    content = path.read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(path.name, content)


def packed(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(gzip.decompress(content) if path.suffix == ".gz" else gzip.compress(content))


def utf16(path: Path) -> None:
    path.write_bytes(path.read_bytes().decode("latin-1").encode("utf-16"))


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>404: Not Found</body></html>\n"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22e\nsize 12345\n"
DENIED = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>'
DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (cut, ""),
    "a web page": (replaced(PAGE), "is a web page"),
    "access denied": (replaced(DENIED), "is a web page"),
    "a pointer of Git LFS": (replaced(POINTER), "is a pointer of Git LFS"),
    "empty": (replaced(b""), "is empty (0 bytes)"),
    "zeros": (zeros, ""),
    "not unpacked": (zipped, "is a zip archive"),
    "packed or unpacked": (packed, "packed"),
    "UTF-16": (utf16, ""),
    "a folder": (a_folder, "is a folder, not a file"),
    "a pipe": (a_pipe, "is a pipe or a device, not a file"),
    "a device": (a_device, "is a pipe or a device, not a file"),
    "CSV": (as_csv, ""),
    "no texts": (no_texts, ""),
    "other ids": (other_ids, ""),
    "doubled": (doubled, ""),
    "an empty list": (replaced(b"[]"), ""),
    "an empty object": (replaced(b"{}"), ""),
}
"""Damage -> who does it, and what the line says."""
_NO_VALUES = ("CSV", "no texts", "other ids", "doubled")
TOLERATED = {
    ("*_annotations.json", "no texts"): "annotations repeat no question",
    ("instances.json", "no texts"): "phrases stand in refs(*).p",
    ("*_choices.json", "no texts"): "there is none",
    ("*_choices.json", "other ids"): "its ids are keys, which are texts in JSON",
    ("*_choices.json", "doubled"): "its members are keys, which differ",
    ("*_sceneGraphs.json", "no texts"): "there is none",
    ("*_sceneGraphs.json", "doubled"): "its members are keys, which differ",
    ("*_questions.json", "doubled"): "where its members are keys, these differ",
    ("image_data.json", "no texts"): "there is none",
    ("google_refexp_*.json", "no texts"): "expressions are compared by their ids",
    ("google_refexp_*.json", "doubled"): "its members are keys, which differ",
    **{("annotated_*.txt", name): "the file is no JSON" for name in _NO_VALUES},
    ("annotated_*.txt", "cut off"): "fewer examples are some all the same",
}
"""(file, damage) -> why the check cannot tell, or there is nothing to damage."""


def tolerated(path: Path, damage: str) -> bool:
    if damage == "doubled" and path.match("*_questions.json") and path.parent.name == "vqa":
        return False
    return any(damage == name and path.match(pattern) for pattern, name in TOLERATED)


def restored(path: Path, content: bytes) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("root", sorted(WRITERS), indirect=True)
def test_every_file_of_every_task(root: Path) -> None:
    (folder,) = (path for path in root.iterdir() if path.name != "images")
    sound = check_root(root, [folder.name])
    assert sound.ok, str(sound)
    failures = []
    for path in sorted(path for path in folder.rglob("*") if path.name not in OWN):
        content = path.read_bytes()
        for name, (damage, expected) in DAMAGES.items():
            if tolerated(path, name):
                continue
            damage(path)
            report = check_root(root, [folder.name])
            lines = [line for line in str(report).splitlines() if "error: " in line and path.name in line]
            if report.ok or not lines:
                failures.append(f"{path.name}, {name}: {'ok' if report.ok else str(report)}")
            elif expected and expected not in lines[0]:
                failures.append(f"{path.name}, {name}: {lines[0]}")
            elif " -> " not in lines[0]:
                failures.append(f"{path.name}, {name}: no remedy in {lines[0]}")
            restored(path, content)
    assert not failures, "\n".join(failures)
    assert str(check_root(root, [folder.name])) == str(sound)


@pytest.mark.parametrize("root", sorted(WRITERS), indirect=True)
def test_line_ends_and_marks_are_read(root: Path) -> None:
    """What editors add is no damage."""
    (folder,) = (path for path in root.iterdir() if path.name != "images")
    sound = str(check_root(root, [folder.name]))
    for path in folder.rglob("*"):
        if path.suffix not in (".gz", ".p"):
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert str(check_root(root, [folder.name])) == sound


def _edited(path: Path, change: Callable[[Any], object]) -> None:
    values = _values(path)
    change(values)
    _write(path, values)


def _swapped(first: Path, second: Path) -> None:
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)


def _vqa(name: str) -> str:
    return f"v2_OpenEnded_mscoco_{name}_questions.json"


def _both_swapped(folder: Path) -> None:
    _swapped(folder / _vqa("train2014"), folder / _vqa("val2014"))
    _swapped(folder / "v2_mscoco_train2014_annotations.json", folder / "v2_mscoco_val2014_annotations.json")


def _copied(folder: Path, source: str, target: str) -> None:
    shutil.copy(folder / source, folder / target)


def _each(key: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Any], object]:
    return lambda values: [change(row) for row in (values[key] if isinstance(values, dict) else values)]


def _scaled(box: list[float]) -> None:
    box[:] = [value / 1000 for value in box]


def _answer_also_wrong(image: dict[str, Any]) -> None:
    for question in image["qa_pairs"]:
        question["multiple_choices"][0] = question["answer"]


def _maybe(turns: list[dict[str, Any]]) -> None:
    for turn in turns:
        turn["a" if "a" in turn else "answer"] = "Maybe"


WRONG: list[tuple[str, Callable[[Path], object], str]] = [
    ("vqa", _both_swapped, "[data_subtype]: expected the file of train2014, found that of val2014"),
    ("vqa", lambda f: _copied(f, _vqa("val2014"), _vqa("test2015")), "test2015, found that of val2014"),
    ("vqa", lambda f: _copied(f, _vqa("test2015"), _vqa("test-dev2015")), "test-dev2015, found that of test2015"),
    (
        "vqa",
        lambda f: _copied(f, "v2_mscoco_train2014_annotations.json", "v2_mscoco_val2014_annotations.json"),
        "val2014_annotations.json [data_subtype]: expected the file of val2014, found that of train2014",
    ),
    (
        "vqa",
        lambda f: _edited(f / _vqa("val2014"), lambda v: v.update(info={"version": "1.0"})),
        "val2014_questions.json [info]: expected VQA v2, found v1.0",
    ),
    (
        "vqa",
        lambda f: _edited(
            f / "v2_mscoco_val2014_annotations.json", _each("annotations", lambda row: row.update(image_id=7))
        ),
        "image_id is 7, but the question's is",
    ),
    (
        "vg_qa",
        lambda f: _edited(f / "question_answers.json", _each("", lambda row: row["qas"][0].update(image_id=7))),
        "question_answers.json [entry 1.qas[0]]: image_id is 7, but the question is listed under image",
    ),
    (
        "visual7w",
        lambda f: _edited(
            f / "dataset_v7w_pointing.json", _each("images", lambda row: row["qa_pairs"][0].update(type="what"))
        ),
        "field 'type' must be 'which', found str 'what'",
    ),
    (
        "visual7w",
        lambda f: _edited(f / "dataset_v7w_pointing.json", lambda v: v.update(dataset="visual7w-telling")),
        "dataset_v7w_pointing.json [dataset]: expected a file of Visual7W's pointing questions, found",
    ),
    (
        "visual7w",
        lambda f: _edited(f / "dataset_v7w_pointing.json", lambda v: v["images"][3].update(image_id=7)),
        "image_id is 7, but the image's file is",
    ),
    (
        "guesswhat",
        lambda f: _edited(f / "guesswhat.valid.jsonl.gz", _each("", lambda row: row["image"].update(width=9999))),
        "images do not have the size that the files state; the first is",
    ),
    ("gqa", lambda f: _copied(f, "train_sceneGraphs.json", "val_sceneGraphs.json"), "it is of another split -> put"),
    ("gqa", lambda f: _copied(f, "train_choices.json", "val_choices.json"), "it is of another split -> put"),
    (
        "nlvr2",
        lambda f: _swapped(f / "dev.json", f / "test1.json"),
        "is not of split dev -> replace dev.json by the file of that split",
    ),
    (
        "nlvr2",
        lambda f: _copied(f, "train.json", "dev.json"),
        "is not of split dev -> replace dev.json by the file of that split",
    ),
    ("nlvr2", lambda f: _copied(f, "test1.json", "balanced_dev.json"), "not of split dev -> replace balanced_dev.json"),
    (
        "gqa",
        lambda f: _copied(f, "train_balanced_questions.json", "val_balanced_questions.json"),
        "of val_balanced are in train_balanced too: see train_balanced_questions.json and val_balanced_questions.json",
    ),
    ("snli_ve", lambda f: _copied(f, "snli_ve_train.jsonl", "snli_ve_test.jsonl"), "of test are in train too: see"),
    ("guesswhat", lambda f: _copied(f, "guesswhat.test.jsonl.gz", "guesswhat.train.jsonl.gz"), "of test are in train"),
    (
        "coco",
        lambda f: _edited(f / "dataset_coco.json", lambda v: v.update(dataset="flickr30k")),
        "dataset_coco.json [dataset]: expected dataset 'coco', found 'flickr30k'",
    ),
    (
        "vqa",
        lambda f: _edited(
            f / "v2_mscoco_val2014_annotations.json",
            _each("annotations", lambda row: [answer.update(answer="") for answer in row["answers"]]),
        ),
        "answers are empty",
    ),
    (
        "vqa",
        lambda f: _edited(
            f / "v2_mscoco_val2014_annotations.json", _each("annotations", lambda row: row["answers"].pop())
        ),
        "field 'answers' must hold 10 people's answers, found 9",
    ),
    (
        "refcoco",
        lambda f: _edited(f / "instances.json", _each("annotations", lambda row: _scaled(row["bbox"]))),
        "these are fractions of the image's size, expected pixels",
    ),
    (
        "refcoco",
        lambda f: _edited(f / "refs(unc).p", _each("", lambda row: row.update(file_name="COCO_train2014_9_1.jpg"))),
        "file_name is 'COCO_train2014_9_1.jpg', but its image_id is that of",
    ),
    (
        "refcoco",
        lambda f: _edited(f / "refs(unc).p", _each("", lambda row: row.update(sent_ids=[123456]))),
        "sent_ids are [123456], but the sentences have",
    ),
    (
        "refcoco",
        lambda f: _edited(f / "refs(unc).p", lambda rows: rows[3].update(split="training")),
        "field 'split' must be one of train, val, test",
    ),
    (
        "visual7w",
        lambda f: _edited(f / "dataset_v7w_pointing.json", _each("images", _answer_also_wrong)),
        "is both the answer and a wrong choice",
    ),
    (
        "visual7w",
        lambda f: _edited(f / "dataset_v7w_pointing.json", lambda v: v["images"][3].update(split="training")),
        "field 'split' must be one of train, val, test, found 'training'",
    ),
    (
        "guesswhat",
        lambda f: _edited(f / "guesswhat.valid.jsonl.gz", lambda rows: rows[3].update(status="won")),
        "field 'status' must be one of success, failure, incomplete, found 'won'",
    ),
    (
        "guesswhat",
        lambda f: _edited(f / "guesswhat.valid.jsonl.gz", _each("", lambda row: _maybe(row["qas"]))),
        "the answer must be one of Yes, No, N/A, found 'Maybe'",
    ),
    (
        "flickr30k",
        lambda f: _edited(f / "dataset_flickr30k.json", _each("images", lambda row: row.update(imgid=7))),
        "imgid",
    ),
    (
        "flickr30k",
        lambda f: _edited(
            f / "dataset_flickr30k.json",
            lambda v: [sentence.update(imgid=123456) for sentence in v["images"][3]["sentences"]],
        ),
        "imgid is int 123456, but its image's",
    ),
    (
        "flickr30k",
        lambda f: _edited(f / "dataset_flickr30k.json", lambda v: v["images"][3].update(split="training")),
        "field 'split' must be one of train, val, test, restval, found 'training'",
    ),
]


@pytest.mark.parametrize(("root", "damage", "line"), WRONG, indirect=["root"])
def test_files_of_something_else(root: Path, damage: Callable[[Path], object], line: str) -> None:
    (folder,) = (path for path in root.iterdir() if path.name != "images")
    damage(folder)
    report = check_root(root, [folder.name])
    assert not report.ok
    assert [text for text in str(report).splitlines() if "error: " in text and line in text], str(report)


def _moved(path: Path, to: str) -> None:
    (path.parent / to).parent.mkdir(exist_ok=True)
    path.rename(path.parent / to)


def _archived(path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(path.with_name("v2_Questions_Train_mscoco.zip"), "w") as archive:
        archive.write(path, path.name)
    path.unlink()


@pytest.mark.parametrize("root", ["vqa"], indirect=True)
@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (_archived, "but v2_Questions_Train_mscoco.zip contains it -> unpack"),
        (lambda path: _moved(path, f"unpacked/{path.name}"), "but there is unpacked/v2_OpenEnded"),
        (lambda path: (packed(path), _moved(path, f"{path.name}.gz")), "questions.json.gz -> unpack it: gunzip"),
        (Path.unlink, None),
    ],
)
def test_what_is_missing_is_looked_for_nearby(root: Path, damage: Callable[[Path], object], found: str | None) -> None:
    path = root / "vqa" / _vqa("train2014")
    damage(path)
    report = check_root(root, ["vqa"])
    assert not report.ok and f"train: missing {path.name}" in str(report)
    notes = report.tasks[0].train.notes
    assert (not notes) if found is None else (len(notes) == 1 and found in notes[0])
    with pytest.raises(MissingData) as caught:
        read_examples(get("vqa"), DataRoot(root), "train")  # training says the same
    assert (found or f"no such file -> download {path.name}") in str(caught.value)


def _truncated(path: Path) -> None:
    Image.effect_noise((64, 64), 50).convert("RGB").save(path, "JPEG" if path.suffix == ".jpg" else "PNG")
    path.write_bytes(path.read_bytes()[:-600])


@pytest.mark.parametrize("name", ["vqa", "nlvr2"])
@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (replaced(b""), "is empty (0 bytes)"),
        (replaced(PAGE), "is a web page"),
        (_truncated, "truncated"),
        (a_pipe, "is a pipe or a device, not a file"),
        (Path.unlink, "images have neither a file nor regions"),
    ],
)
def test_images(name: str, harm: Callable[[Path], object], found: str, world: Path, tmp_path: Path) -> None:
    """Of every second image the file is damaged, or missing."""
    shutil.copytree(world / name, tmp_path / name)
    source = get(name).source
    shutil.copytree(world / "images" / source, tmp_path / "images" / source)
    assert check_root(tmp_path, [name]).ok
    for path in sorted(path for path in (tmp_path / "images").rglob("*") if path.is_file())[::2]:
        harm(path)
    report = check_root(tmp_path, [name])
    assert not report.ok
    (error,) = report.tasks[0].train.errors
    total = report.tasks[0].train.images
    assert found in error and f" of {total:,} image" in error


def test_one_damaged_image_is_told_in_the_singular(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "nlvr2", tmp_path / "nlvr2")
    shutil.copytree(world / "images" / "nlvr2", tmp_path / "images" / "nlvr2")
    seen = check_root(tmp_path, ["nlvr2"]).tasks[0].train.images
    for path in sorted(path for path in (tmp_path / "images").rglob("*") if path.is_file()):
        whole = path.read_bytes()
        path.write_bytes(b"")
        if errors := check_root(tmp_path, ["nlvr2"]).tasks[0].train.errors:
            break
        path.write_bytes(whole)  # an image of another split
    assert errors[0].startswith(f"1 of {seen:,} image files is damaged; the first: ")


def test_what_stands_behind_an_images_end_is_no_damage(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "nlvr2", tmp_path / "nlvr2")
    shutil.copytree(world / "images" / "nlvr2", tmp_path / "images" / "nlvr2")
    for path in (path for path in (tmp_path / "images").rglob("*") if path.is_file()):
        path.write_bytes(path.read_bytes() + b"\0" * 500)
    assert check_root(tmp_path, ["nlvr2"]).ok


def test_the_list_of_sources_is_no_file(world: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "sources.json")
    with pytest.raises(DataError, match="found a pipe or a device"):
        check_root(tmp_path)


@pytest.mark.parametrize("root", ["vqa"], indirect=True)
def test_what_is_not_allowed_to_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may be allowed to read everything."""
    path = root / "vqa" / _vqa("test-dev2015")
    plain = Path.open

    def refused(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self == path:
            raise PermissionError(13, "Permission denied", str(path))
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refused)
    report = check_root(root, ["vqa"])
    assert not report.ok and report.tasks[0].runs
    assert f"test-dev: error: {path} cannot be read: Permission denied -> make it readable" in str(report)
    assert "vqa (VQA v2): can run, but there are errors" in str(report)


@pytest.mark.parametrize("root", ["vqa"], indirect=True)
def test_the_commands_exit_code(root: Path) -> None:
    assert CliRunner().invoke(app, ["data", "check", str(root)]).exit_code == 0
    (root / "vqa" / _vqa("test-dev2015")).write_bytes(PAGE)
    result = CliRunner().invoke(app, ["data", "check", str(root)])
    assert result.exit_code == 1 and "test-dev2015_questions.json is a web page" in result.output
    with pytest.raises(
        DataError, match=r"train2014_questions\.json is a pointer of Git LFS"
    ):  # and training refuses it
        (root / "vqa" / _vqa("train2014")).write_bytes(POINTER)
        read_examples(get("vqa"), DataRoot(root), "train")


@pytest.mark.parametrize("root", ["guesswhat", "vqa"], indirect=True)
def test_remedies_followed_to_the_letter(root: Path) -> None:
    """What an error says to do, done as it is said, makes the check pass."""
    (folder,) = (path for path in root.iterdir() if path.name != "images")
    name = "guesswhat.train.jsonl.gz" if folder.name == "guesswhat" else _vqa("train2014")
    path, content = folder / name, (folder / name).read_bytes()
    cases: list[tuple[Callable[[Path], object], str, Callable[[str], object]]] = []

    def run(remedy: str, pattern: str) -> None:
        found = re.search(pattern, remedy)
        assert found, remedy
        subprocess.run(found[0].replace("move ", "mv ").replace(" to ", " "), shell=True, check=True, cwd=folder)

    if folder.name == "guesswhat":
        cases.append(
            (packed, "is not packed", lambda r: path.rename(folder / re.findall(r"rename it to (\S+);", r)[0]))
        )
    else:
        cases.append((lambda p: _moved(p, f"unpacked/{p.name}"), "but there is", lambda r: run(r, r"move \S+ to \S+")))
        cases.append((lambda p: (packed(p), _moved(p, f"{p.name}.gz")), "gunzip", lambda r: run(r, r"gunzip \S+")))
        cases.append(
            (_archived, "contains it", lambda r: shutil.unpack_archive(re.findall(r"unpack (\S+) and", r)[0], folder))
        )
    for damage, expected, follow in cases:
        damage(path)
        report = check_root(root, [folder.name])
        (line,) = (line for line in str(report).splitlines() if " -> " in line and expected in line and "train" in line)
        follow(line.partition(" -> ")[2])
        assert check_root(root, [folder.name]).ok, line
        for left in (path, path.with_suffix("")):
            left.unlink(missing_ok=True)
        path.write_bytes(content)
