"""Nothing good is replaced by something half-written."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from twelve.errors import ConfigError, TwelveError
from twelve.io import files
from twelve.io.files import alone, append, check_file, check_folder, check_replaceable, is_there, replacing, settle
from twelve.io.json_file import log_lines, read_or_none


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without pipes")
def test_a_pipe_is_neither_there_nor_missing(tmp_path: Path) -> None:
    """Adding to one would wait for its reader."""
    pipe = tmp_path / "metrics.jsonl"
    assert not is_there(pipe)
    os.mkfifo(pipe)
    for read in (is_there, read_or_none, lambda path: list(log_lines(path))):
        with pytest.raises(TwelveError, match=r"metrics\.jsonl: expected a regular file, found a pipe or a device"):
            read(pipe)
    with pytest.raises(TwelveError, match=r"metrics\.jsonl is a device or a pipe"):
        append(pipe, "line")
    with pytest.raises(ConfigError, match="expected a regular file, found a folder"):
        is_there(tmp_path, ConfigError)
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert not is_there(tmp_path / "link")
    (tmp_path / "file").touch()
    assert is_there(tmp_path / "link")


def test_failure_inside_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    target.write_text("good")
    with pytest.raises(RuntimeError), replacing(target) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert target.read_text() == "good"
    assert list(tmp_path.iterdir()) == [target]


def test_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "x").write_text("good")
    with pytest.raises(TwelveError, match=r"No space left.*free some space"), replacing(target) as partial:
        partial.mkdir()
        raise OSError(errno.ENOSPC, "No space left on device")
    assert (target / "x").read_text() == "good"


def test_folders_are_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    for text in ("one", "two"):
        with replacing(target) as partial:
            partial.mkdir()
            (partial / text).write_text(text)
    assert [path.name for path in target.iterdir()] == ["two"]
    assert list(tmp_path.iterdir()) == [target]


def test_two_writers_take_turns(tmp_path: Path) -> None:
    """The second must not remove what the first has begun, nor the first put the second's beginning in place."""
    target, begun = tmp_path / "folder", threading.Event()

    def second() -> None:
        begun.wait()
        with replacing(target) as partial:
            partial.mkdir()
            (partial / "second").write_text("whole")

    other = threading.Thread(target=second)
    other.start()
    with replacing(target) as partial:
        partial.mkdir()
        (partial / "a").write_text("first")
        begun.set()
        other.join(0.3)
        (partial / "b").write_text("first")
        assert sorted(path.name for path in partial.iterdir()) == ["a", "b"]
    other.join()
    assert [path.name for path in target.iterdir()] == ["second"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    """Nor is a device: --out /dev/stdout would replace it for every program of the machine."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(TwelveError, match="device or a pipe"), replacing(path):
            raise AssertionError
        with pytest.raises(TwelveError, match="device or a pipe"):
            check_file(path)
    assert pipe.is_fifo() and sorted(tmp_path.iterdir()) == [link, pipe]


def test_a_file_never_replaces_a_folder_nor_the_other_way_round(tmp_path: Path) -> None:
    folder, file, link = tmp_path / "folder", tmp_path / "file", tmp_path / "link"
    folder.mkdir()
    (folder / "x").write_text("good")
    file.write_text("good")
    link.symlink_to(folder)
    for path in (folder, link):
        with (
            pytest.raises(ConfigError, match="folder: expected a file, found a folder"),
            replacing(path) as new,
        ):
            new.write_text("new")
    with pytest.raises(ConfigError, match="file: expected a folder, found a file"), replacing(file) as new:
        new.mkdir()
    assert (folder / "x").read_text() == file.read_text() == "good"
    assert sorted(tmp_path.iterdir()) == [file, folder, link]


def test_only_a_folder_of_ones_own_may_be_replaced(tmp_path: Path) -> None:
    def check(*names: str, folders: Sequence[str] = ()) -> None:
        place = tmp_path / "-".join([*names, "and", *folders])
        place.mkdir()
        for name in names:
            (place / name).write_text("")
        for name in folders:
            (place / name).mkdir()
        check_replaceable(place, marks=("a.json",), names=("b-*.txt",), what="an a")

    check()
    check("a.json")
    check("a.json", "b-1.txt")
    for names, folders, foreign in (
        (["a.json", "c.txt"], [], r"c\.txt"),
        (["b-1.txt"], [], r"b-1\.txt"),
        ([], ["a.json"], r"a\.json"),
        (["a.json"], ["thesis"], "thesis"),
    ):
        with pytest.raises(
            ConfigError, match=f"contains something that does not belong to an a \\({foreign}\\) -> name a new folder"
        ):
            check(*names, folders=folders)
    check_replaceable(tmp_path / "new" / "one", marks=("a.json",), names=(), what="an a")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="expected a folder, found a file"):
        check_replaceable(tmp_path / "file", marks=("a.json",), names=(), what="an a")


def test_a_link_is_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("old")
    link.symlink_to(target)
    with replacing(link) as partial:
        partial.write_text("new")
    assert link.is_symlink() and target.read_text() == "new"


def test_a_folder_with_a_read_only_folder_in_it_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder" / "inside" / "deep").mkdir(parents=True)
    for path in ("folder/inside/deep", "folder/inside"):
        (tmp_path / path).chmod(0o555)
    whole = shutil.rmtree

    def as_user(path: Path) -> None:
        """Root may remove everything."""
        if any(stat.S_IMODE(each.stat().st_mode) == 0o555 for each in [path, *path.rglob("*")]):
            raise PermissionError(errno.EACCES, "Permission denied")
        whole(path)

    monkeypatch.setattr(shutil, "rmtree", as_user)
    with replacing(tmp_path / "folder") as partial:
        partial.mkdir()
        (partial / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "new"]


def test_a_folder_that_stepped_aside_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the two renames: the old folder is found again, by readers and by the next writer."""
    target = tmp_path / "folder"
    for how in ("read", "write"):
        target.mkdir()
        (target / "x").write_text("good")
        os.rename(target, tmp_path / ".folder.old")
        if how == "read":
            settle(target)
        else:
            with pytest.raises(KeyboardInterrupt), replacing(target) as partial:
                partial.mkdir()
                raise KeyboardInterrupt
        assert (target / "x").read_text() == "good"
        assert list(tmp_path.iterdir()) == [target]
        (target / "x").unlink()
        target.rmdir()


def test_interrupted_between_the_renames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "x").write_text("good")
    rename = os.rename

    def interrupted(source: Path, to: Path) -> None:
        if source.name.endswith(".partial"):
            raise KeyboardInterrupt
        rename(source, to)

    monkeypatch.setattr(files.os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), replacing(target) as partial:
        partial.mkdir()
    monkeypatch.setattr(files.os, "rename", rename)
    settle(target)
    assert (target / "x").read_text() == "good"


@pytest.mark.parametrize(
    "said",
    [
        'Error while serializing: I/O error: Os { code: 28, kind: StorageFull, message: "No space left on device" }',
        "No space left on device (os error 28)",
    ],
)
def test_full_disk_in_the_words_of_libraries(tmp_path: Path, said: str) -> None:
    problem = r"a\.json cannot be written: No space left.*free some space"
    with pytest.raises(TwelveError, match=problem), replacing(tmp_path / "a.json"):
        raise Exception(said)


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TwelveError, match=r"file/a\.json cannot be written"), replacing(tmp_path / "file" / "a.json"):
        pass
    with pytest.raises(TwelveError, match=r"cannot be written: Is a directory"):
        append(tmp_path, "x")


def test_one_process_at_a_time(tmp_path: Path) -> None:
    problem = "another process is writing here"
    with alone(tmp_path / "run"), pytest.raises(TwelveError, match=problem), alone(tmp_path / "run"):
        pass
    with alone(tmp_path / "run"):
        pass


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOENT, "choose a folder that exists"),
        (errno.ENOTDIR, "not inside a file"),
        (errno.EACCES, "that you may write to"),
        (errno.EROFS, "a disk that can be written"),
        (errno.EIO, "write to another folder"),
    ],
)
def test_every_reason_has_its_remedy(code: int, remedy: str) -> None:
    shown = str(files.write_error(OSError(code, os.strerror(code)), Path("x")))
    assert os.strerror(code) in shown and f" -> {shown.partition(' -> ')[2]}".count(remedy) == 1


def test_a_folder_is_tried_before_work_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_folder(tmp_path / "a" / "b")
    check_file(tmp_path / "a" / "x.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(TwelveError, match="expected a folder, found a file"):
        check_folder(tmp_path / "file")
    with pytest.raises(TwelveError, match=r"file/run cannot be created: \S*/file is a file"):
        check_folder(tmp_path / "file" / "run")
    with pytest.raises(TwelveError, match="expected a folder, found a file"), alone(tmp_path / "file"):
        pass
    with pytest.raises(TwelveError, match="expected a file, found a folder"):
        check_file(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

    def refused(**_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(files.tempfile, "TemporaryFile", refused)
    with pytest.raises(
        TwelveError, match=r"run cannot be written: Permission denied -> choose a folder that you may write"
    ):
        check_folder(tmp_path / "run")


def test_a_program_that_runs_when_it_is_imported_is_told(tmp_path: Path) -> None:
    """Not ``if __name__ == "__main__"``: the process that it starts would wait for a lock that it holds itself."""
    (tmp_path / "program.py").write_text(
        "import multiprocessing\n"
        "from pathlib import Path\n"
        "from twelve.io.files import replacing\n"
        "with replacing(Path('a')) as partial:\n"
        "    child = multiprocessing.get_context('spawn').Process(target=print)\n"
        "    child.start()\n"
        "    child.join()\n"
        "    partial.write_text('')\n"
    )
    run = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0 and "move its calls into a block: if __name__ == '__main__':" in run.stderr


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_tensors_have_the_permissions_of_other_files(mask: int, mode: int, tmp_path: Path) -> None:
    """safetensors 0.8 writes files for their owner alone; a service that another user runs could not read them."""
    before = os.umask(mask)
    try:
        with replacing(tmp_path / "file") as partial:
            save_file({"a": np.zeros(3)}, partial)
        with replacing(tmp_path / "model") as partial:
            partial.mkdir()
            save_file({"a": np.zeros(3)}, partial / "model.safetensors")
    finally:
        assert os.umask(before) == mask
    modes = [
        stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "file", tmp_path / "model" / "model.safetensors")
    ]
    assert modes == [mode, mode]
