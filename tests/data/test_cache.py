"""The cache of examples: what the plain reader gives, from what the files hold now, or nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_extras
import tiny_others
import tiny_own
import tiny_web_captions

from twelve import config as configuration
from twelve.data.check import splits_of
from twelve.data.examples import cache, reading, store
from twelve.data.examples.cache import code_of, key_of, package_code
from twelve.data.examples.reading import read_examples
from twelve.data.examples.store import ENTRY, ROWS, VALUES, Examples
from twelve.data.prepare import prepare, prepare_measuring
from twelve.errors import ConfigError, DataError, MissingData
from twelve.formats.data_root import DataRoot
from twelve.tasks.base import Task, all_tasks, get
from twelve.tasks.custom import KINDS
from twelve.tasks.gqa import GQA
from twelve.types.examples import Example

NAMES = sorted(all_tasks())
MORE = {"vqa": ("trainval", "minval"), "gqa": ("trainval", "minval", "val_all", "train_all", "test_balanced")}
"""Further splits that are written here."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    made = tiny_others.make(tmp_path_factory.mktemp("cached"), train=12, val=4)
    for extra in (*tiny_extras.EXTRAS, tiny_web_captions):
        extra.make(made, train=12, val=4)
    _more_of_gqa(made / "gqa")
    return DataRoot(made)


def _more_of_gqa(folder: Path) -> None:
    """Facts of every kind: entailed questions, choices, no answers; and the folder of ten files."""
    rows = tiny_read(folder / "val_balanced_questions.json")
    trained = tiny_read(folder / "train_balanced_questions.json")
    few = {key: trained[key] | {"entailed": [key, f"1{key}"], "groups": {"global": None}} for key in [*trained][:3]}
    tiny.write_json(folder / "val_all_questions.json", few)
    choices = {key: {"valid": ["red", "blue"], "plausible": ["red"]} for key in few}
    tiny.write_json(folder / "val_choices.json", choices)
    open_rows = {key: {name: row[name] for name in ("question", "imageId", "isBalanced")} for key, row in rows.items()}
    tiny.write_json(folder / "test_balanced_questions.json", open_rows)
    for number in range(10):
        part = {f"{number}{key}": row for key, row in trained.items()}
        tiny.write_json(folder / "train_all_questions" / f"train_all_questions_{number}.json", part)


def tiny_read(path: Path) -> dict[str, Any]:
    import json

    content: dict[str, Any] = json.loads(path.read_text())
    return content


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the cache is; everything is large."""
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "cache"))
    monkeypatch.setattr(reading, "LARGE", 0)
    package_code.cache_clear()
    return tmp_path / "cache"


@pytest.fixture
def opened() -> Iterator[Callable[[], set[Path]]]:
    """Files that were opened since."""
    paths: list[str] = []
    on = [True]
    sys.addaudithook(lambda event, args: paths.append(args[0]) if on[0] and event == "open" else None)
    yield lambda: {Path(os.path.abspath(path)) for path in paths if isinstance(path, str)}
    on[0] = False


def splits(name: str) -> tuple[str, ...]:
    return (*splits_of(get(name)), *MORE.get(name, ()))


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("examples/*/*") if path.is_dir())


@pytest.mark.parametrize("name", NAMES)
def test_what_the_plain_reader_gives(name: str, root: DataRoot, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BATCH", 5)
    task, found = get(name), []
    for split in splits(name):
        try:
            expected = task.read(root, split)
        except MissingData as error:
            with pytest.raises(MissingData, match="^" + str(error)[:10]):
                read_examples(task, root, split)
            continue
        for examples in (read_examples(task, root, split), read_examples(task, root, split)):
            assert isinstance(examples, Examples), split
            assert list(examples) == expected and repr(list(examples)) == repr(expected)
            assert [examples[row] for row in range(len(expected))] == expected
        found.append(split)
    assert task.train_split in found and len(entries(folder)) == len(found) > 1


@pytest.mark.parametrize("name", NAMES)
def test_a_key_is_made_of_every_file_that_is_read(name: str, root: DataRoot, opened: Callable[[], set[Path]]) -> None:
    task = get(name)
    sources: set[Path] = set()
    for split in splits(name):
        try:
            task.read(root, split)
        except MissingData:
            continue
        sources |= set(task.input_files(root, split))
    read = {path for path in opened() if path.is_relative_to(root.path)}
    assert read and read <= sources


@pytest.mark.parametrize("kind", KINDS)
def test_tasks_of_ones_own(kind: str, tmp_path: Path, folder: Path) -> None:
    split = tiny_own.write(tmp_path, kind, "train", range(6))
    task = type("Own", (KINDS[kind],), {"name": "own", "title": "Own", "train_split": split, "source": "flickr30k"})()
    found = read_examples(task, DataRoot(tmp_path), split)
    assert isinstance(found, Examples) and list(found) == task.read(DataRoot(tmp_path), split)
    assert entries(folder)[0].startswith(f"{kind}%2Ftrain.jsonl-")


def questions(root: Path, *texts: str) -> DataRoot:
    """GQA's val, and its choices."""
    fields = {"imageId": "1", "isBalanced": True, "answer": "yes", "entailed": [], "semantic": []}
    fields |= {"types": {"structural": "verify", "semantic": "attr", "detailed": "x"}, "groups": {"global": None}}
    rows = {f"0{number}": {"question": text, **fields} for number, text in enumerate(texts)}
    tiny.write_json(root / "gqa" / "val_balanced_questions.json", rows)
    tiny.write_json(root / "gqa" / "val_choices.json", {"00": {"valid": ["yes"], "plausible": []}})
    return DataRoot(root)


def read(root: DataRoot) -> list[Example]:
    found = read_examples(get("gqa"), root, "val_balanced")
    assert isinstance(found, Examples)
    return list(found)


def test_a_changed_byte_of_any_file_is_another_entry(tmp_path: Path, folder: Path) -> None:
    root = questions(tmp_path / "root", "Is it red?", "Is it blue?")
    assert read(root)[0].text == "Is it red?"
    for name, old, new in (
        ("val_balanced_questions.json", b"Is it red?", b"Is it RED?"),
        ("val_choices.json", b'["yes"]', b'["yep"]'),
    ):
        path, before = root.path / "gqa" / name, entries(folder)
        state = path.stat()
        path.write_bytes(path.read_bytes().replace(old, new))
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))  # neither size nor time tell
        assert path.stat().st_size == state.st_size
        assert read(root) == get("gqa").read(root, "val_balanced")
        assert len(entries(folder)) == 1 and entries(folder) != before  # the old one is gone
    (root.path / "gqa" / "val_choices.json").unlink()
    assert "choices" not in read(root)[0].facts
    assert read(DataRoot(root.path, {"gqa": "rooms"}))[0].images == ("rooms/1",)


def test_an_unchanged_split_is_not_read_again(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = questions(tmp_path / "root", "Is it red?")
    first = read(root)
    monkeypatch.setattr(GQA, "iterate", lambda *_: pytest.fail("read again"))
    assert read(root) == first
    monkeypatch.undo()


def test_entries_of_other_splits_stay(root: DataRoot, folder: Path) -> None:
    for split in ("val_balanced", "val_all", "testdev_balanced", "val_balanced"):
        read_examples(get("gqa"), root, split)
    assert [name.rpartition("-")[0] for name in entries(folder)] == ["testdev_balanced", "val_all", "val_balanced"]


def test_keys_differ_in_whatever_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = questions(tmp_path / "root", "Is it red?")
    paths = get("gqa").input_files(root, "val_balanced")

    def key(task: Task | None = None, root: DataRoot = root, split: str = "val_balanced") -> str:
        return key_of(task or get("gqa"), root, split, paths)

    keys = [key(), key(split="val_all"), key(root=DataRoot(root.path, {"gqa": "x"})), key(type("Other", (GQA,), {})())]
    with monkeypatch.context() as patch:
        patch.setattr(GQA, "train_split", "val_balanced")
        keys.append(key())
    keys.append(key_of(get("gqa"), root, "val_balanced", paths[:1]))
    assert key() == keys[0] and len(set(keys)) == len(keys)


def anew(kind: type[Task]) -> str:
    """:func:`code_of` in another process, which has not hashed the package yet."""
    package_code.cache_clear()
    return code_of(kind)


def test_code_that_reads_is_part_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "elsewhere"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("A = 1\n")
    (package / "task.py").write_text("from twelve.tasks.gqa import GQA\nclass Mine(GQA):\n    pass\n")
    from elsewhere.task import Mine  # type: ignore[import-not-found]

    seen = [code_of(GQA), code_of(Mine)]
    (package / "helper.py").write_text("A = 2\n")
    seen.append(code_of(Mine))
    assert code_of(GQA) == seen[0]
    own = tmp_path / "twelve"
    places = ["tasks", "data", "evaluation/metrics", "reading/json"]
    for name in places:
        (own / name).mkdir(parents=True)
        (own / name / "part.py").write_text("A = 1\n")
    monkeypatch.setattr(cache, "PACKAGE", own)
    seen.append(anew(GQA))
    for name in places:
        (own / name / "part.py").write_text("A = 2\n")
        seen.append(anew(GQA))
    for name in places[:3]:  # whatever a folder is called, its code counts
        (own / name).rename(own / f"{Path(name).name}s")
        (own / f"{Path(name).name}s" / "part.py").write_text("A = 3\n")
        seen.append(anew(GQA))
    assert len(set(seen)) == len(seen)


def test_all_code_that_reads_is_hashed() -> None:
    """Wherever modules move: no part of a reader, and of the store itself, lies outside of what is hashed."""
    hashed = set(cache.PACKAGE.rglob("*.py"))
    classes = {kind for task in all_tasks().values() for kind in type(task).__mro__}
    names = {kind.__module__ for kind in classes if kind.__module__.startswith("twelve.")}
    names |= {cache.__name__, reading.__name__, store.__name__, "twelve.formats.json_streams"}
    read = {Path(str(sys.modules[name].__file__)) for name in names}
    assert len(read) > 20 and read <= hashed


@pytest.mark.parametrize("settled", [True, False])
def test_a_file_that_several_splits_read_is_hashed_once(
    settled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it has changed since, or so lately that its times may not show the next change."""
    hashed: list[Path] = []
    plain = store._hashed
    monkeypatch.setattr(store, "_hashed", lambda path: hashed.append(path) or plain(path))
    monkeypatch.setattr(store, "SETTLED", 0.0 if settled else 3600.0)
    path = tmp_path / "file"
    path.write_bytes(b"a")
    first = [store.checksum(path) for _ in range(3)]
    assert len(set(first)) == 1 and len(hashed) == (1 if settled else 3)
    path.write_bytes(b"bc")
    assert store.checksum(path) != first[0]


def test_without_source_code_nothing_is_cached(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = questions(tmp_path / "root", "Is it red?")
    monkeypatch.setattr(cache, "PACKAGE", tmp_path / "nothing")
    assert read_examples(get("gqa"), root, "val_balanced") == get("gqa").read(root, "val_balanced")
    assert "is read without a cache: no source code in" in capsys.readouterr().err and entries(folder) == []


def test_files_that_come_and_go(tmp_path: Path) -> None:
    """Each of them is noticed, though no size and no time is another."""
    root = questions(tmp_path / "root", "Is it red?")
    choices = root.path / "gqa" / "val_choices.json"
    for number in range(10):
        tiny.write_json(root.path / "gqa" / "train_all_questions" / f"train_all_questions_{number}.json", {})
    parts = root.path / "gqa" / "train_all_questions"
    tiny.write_json(parts / "train_all_questions_0.json", tiny_read(root.path / "gqa" / "val_balanced_questions.json"))

    def same() -> list[Example]:
        for split in ("val_balanced", "train_all"):
            assert list(read_examples(get("gqa"), root, split)) == get("gqa").read(root, split)
        return read(root)

    kept = same()[0]
    assert "choices" in kept.facts
    choices.rename(choices.with_name("choices.json"))  # renamed, and back
    assert "choices" not in same()[0].facts
    choices.with_name("choices.json").rename(choices)
    assert same() == [kept]
    choices.with_name("train_choices.json").write_text("[")  # only metrics need choices: those of training are not read
    assert same() == [kept]
    assert "choices" not in read_examples(get("gqa"), root, "train_all")[0].facts
    first, second = (parts / f"train_all_questions_{number}.json" for number in (0, 1))
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other), second.write_bytes(one)  # two files have changed their places
    same()
    second.unlink()  # removed
    with pytest.raises(MissingData, match="train_all_questions_1"):
        read_examples(get("gqa"), root, "train_all")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [_cut, _flip, Path.unlink, lambda path: path.write_bytes(b"{}")])
@pytest.mark.parametrize("name", [ROWS, VALUES, ENTRY])
def test_a_damaged_entry_is_written_again(
    name: str, harm: Callable[[Path], object], tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = questions(tmp_path / "root", "Is it red?", "Is it blue?")
    first = read(root)
    (entry,) = (folder / "examples" / "gqa").glob("val*")
    good = {path.name: path.read_bytes() for path in entry.iterdir()}
    harm(entry / name)
    assert read(root) == first
    assert ("the cache is written again" in capsys.readouterr().err) == (name != ENTRY or harm is not Path.unlink)
    assert {path.name: path.read_bytes() for path in entry.iterdir()} == good


def test_what_killed_processes_left_goes_with_the_old_entry(tmp_path: Path, folder: Path) -> None:
    read(questions(tmp_path / "root", "Is it red?"))
    (old,) = (folder / "examples" / "gqa").glob("val*")
    left = old.with_name(f".{old.name.replace('d-', 'd-0')}.partial")
    other = old.with_name(".val_all-0.partial")
    for partial in (left, other):
        partial.mkdir()
        (partial / ROWS).write_bytes(b"half")
    read(questions(tmp_path / "root", "Is it red?", "Is it blue?"))
    assert not old.exists() and not left.exists() and other.exists()


def test_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = questions(tmp_path / "root", "Is it red?")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "file"))
    assert read_examples(get("gqa"), root, "val_balanced") == get("gqa").read(root, "val_balanced")
    assert "GQA val_balanced is read without a cache: " in capsys.readouterr().err


def test_a_full_disk(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    root = questions(tmp_path / "root", "Is it red?")
    monkeypatch.setattr(store, "_write_rows", full)
    assert read_examples(get("gqa"), root, "val_balanced") == get("gqa").read(root, "val_balanced")
    assert not [path for path in (folder / "examples" / "gqa").iterdir() if path.is_dir()]


def test_facts_of_a_kind_that_is_not_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = questions(tmp_path / "root", "Is it red?")
    monkeypatch.setattr(GQA, "fact_types", ())
    assert read_examples(get("gqa"), root, "val_balanced") == get("gqa").read(root, "val_balanced")
    assert "cannot be written: a task declares its own types" in capsys.readouterr().err


def test_what_changes_while_it_is_read_is_not_kept(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = questions(tmp_path / "root", "Is it red?")
    plain = GQA.iterate

    def iterate(self: GQA, root: DataRoot, split: str) -> Iterator[Example]:
        monkeypatch.setattr(GQA, "iterate", plain)
        questions(root.path, "Is it blue?")
        return plain(self, root, split)

    monkeypatch.setattr(GQA, "iterate", iterate)
    found = read_examples(get("gqa"), root, "val_balanced")
    assert [example.text for example in found] == ["Is it blue?"] and entries(folder) == []


def test_small_files_and_no_cache(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = questions(tmp_path / "root", "Is it red?")
    size = sum(path.stat().st_size for path in get("gqa").input_files(root, "val_balanced"))
    monkeypatch.setattr(reading, "LARGE", size + 1)
    assert isinstance(read_examples(get("gqa"), root, "val_balanced"), list) and not folder.exists()
    monkeypatch.setattr(reading, "LARGE", size)
    monkeypatch.setenv(cache.FOLDER, "Off")
    assert isinstance(read_examples(get("gqa"), root, "val_balanced"), list) and not folder.exists()
    monkeypatch.setenv(cache.FOLDER, str(folder))
    assert isinstance(read_examples(get("gqa"), root, "val_balanced"), Examples)


def test_the_users_own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cache.FOLDER)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.cache_folder() == Path("/somewhere/twelve")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.cache_folder() == Path.home() / ".cache" / "twelve"
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 2)  # a user that the system does not know
    assert cache.cache_folder() is None


def test_mistakes_are_the_readers(tmp_path: Path, folder: Path) -> None:
    root = questions(tmp_path / "root", "Is it red?")
    with pytest.raises(ConfigError, match="gqa has no split 'val'"):
        read_examples(get("gqa"), root, "val")
    with pytest.raises(MissingData, match=r"testdev_balanced_questions\.json: no such file"):
        read_examples(get("gqa"), root, "testdev_balanced")
    (root.path / "gqa" / "val_balanced_questions.json").write_text('{"1": {}}')
    with pytest.raises(DataError, match=r"val_balanced_questions\.json \[1\]: field 'imageId' is missing"):
        read_examples(get("gqa"), root, "val_balanced")
    (root.path / "gqa" / "val_balanced_questions.json").write_text("{}")
    with pytest.raises(MissingData, match="contains no example"):
        read_examples(get("gqa"), root, "val_balanced")
    assert entries(folder) == []


@pytest.mark.parametrize("alone", [False, True])
def test_a_run_is_prepared_as_from_lists(
    alone: bool, root: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tiny.tree(root.path, tmp_path / "run")
    tree["tasks"] = {name: tiny_others.settings(root.path, name) for name in tiny_others.ALL_TASKS}
    tree["tasks"]["gqa"] |= {"train": "train_all", "max_train": 20}
    if alone:
        tree["tasks"] = {"gqa": tree["tasks"]["gqa"] | {"val_split": "val_all"}}
    tree["hold_out"] = "test"
    found = prepare(configuration.parse(tree))
    held_back = prepare_measuring(
        configuration.parse(tree), found.vocabularies, list(found.tasks), found.validation_images
    )
    monkeypatch.setenv(cache.FOLDER, "off")
    expected = prepare(configuration.parse(tree))
    assert (found.vocabularies, found.cleaned, found.validation_images) == (
        expected.vocabularies,
        expected.cleaned,
        expected.validation_images,
    )
    assert repr(found.coverage) == repr(expected.coverage)
    for name, task in expected.tasks.items():
        ours = found.tasks[name]
        assert isinstance(ours.train, Examples) and isinstance(task.train, list)
        assert list(ours.train) == task.train and list(ours.validation) == list(task.validation)
        if not task.output.ranks_gallery:
            assert list(held_back.tasks[name].train) == task.train
    assert len(found.tasks["gqa"].train) == 20 and found.tasks["gqa"].train[0].id.startswith("0")
