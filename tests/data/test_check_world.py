"""``data check`` on a drawn world: every one of the twelve tasks, whole, without a file, without an image."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_world import SIZES

from twelve.data.check import check_root
from twelve.microworld.make import WRITERS, make_microworld
from twelve.tasks.base import get


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("checked") / "world"
    make_microworld(out, 0, SIZES)
    return out


@pytest.fixture
def root(world: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """One task of the world, and all images."""
    shutil.copytree(world / request.param, tmp_path / request.param)
    (tmp_path / "images").symlink_to(world / "images")
    return tmp_path


@pytest.mark.parametrize("root", sorted(WRITERS), indirect=True)
def test_every_task(root: Path, world: Path) -> None:
    (name,) = (path.name for path in root.iterdir() if path.name != "images")
    task = get(name)
    found = next(found for found in check_root(root).tasks if found.task == name)  # a folder may be several tasks'
    assert found.ok, str(found)
    assert found.train.images and f"{found.train.images} of {found.train.images} images have no regions yet" in str(
        found
    )
    (root / "images").unlink()
    (found,) = check_root(root, [name]).tasks
    assert not found.ok and "have neither a file nor regions" in str(found)
    (root / "images").symlink_to(world / "images")
    for file in task.files(task.train_split):
        kept = (root / name / file).read_bytes()
        (root / name / file).unlink()
        report = check_root(root, [name])
        (found,) = report.tasks
        assert not report.ok and found.train.missing == (file,)
        assert f"{task.train_split}: missing {file}" in str(report) and task.page in str(report)
        (root / name / file).write_bytes(kept)
