"""Exclusion lists on an invented root: by ids, and by pixels."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image
from test_clean import Invented
from typer.testing import CliRunner

from twelve.cli import app
from twelve.data.duplicates import Duplicate
from twelve.data.exclusions import find_exclusions, joined
from twelve.errors import ConfigError
from twelve.formats.data_root import DataRoot
from twelve.microworld.draw import draw
from twelve.microworld.scene import sample_scene

TASKS = {
    "a": Invented(train=["x/1", "x/2", "x/2"], test=["x/3"]),
    "b": Invented(train=["x/3", "w/9", "x/4"], val=["x/2"]),
    "c": Invented(test=["x/1"]),
}


def draw_root(path: Path) -> DataRoot:
    """Images x/1 ... x/4 and w/9, which is x/3 once more, smaller."""
    rng = np.random.default_rng(0)
    for source in ("x", "w"):
        (path / "images" / source).mkdir(parents=True)
    for number in range(1, 5):
        draw(sample_scene(rng), seed=number).save(path / "images" / "x" / f"{number}.png")
    with Image.open(path / "images" / "x" / "3.png") as image:
        image.resize((image.width // 2, image.height // 2)).save(path / "images" / "w" / "9.jpg", quality=70)
    return DataRoot(path)


def test_by_ids_alone(tmp_path: Path) -> None:
    found = find_exclusions(DataRoot(tmp_path), tasks=TASKS, progress=False)
    a, b = found.tasks
    assert (a.examples, b.examples) == (("0",), ("0",))
    assert a.images == {"x/1": {"c test": "id"}}
    assert (a.overlap, b.overlap) == ({"a": (0, 0), "c": (1, 1)}, {"a": (1, 1), "c": (0, 0)})
    assert round(a.lost, 1) == 33.3
    assert (found.compared, found.images) == (0, 5)
    assert "b test" in found.skipped and "c train" in found.skipped


def test_by_pixels_and_with_validation(tmp_path: Path) -> None:
    root = draw_root(tmp_path / "root")
    found = find_exclusions(root, "test+val", tasks=TASKS, progress=False)
    a, b = found.tasks
    assert [{pair.image, pair.of} for pair in found.duplicates] == [{"w/9", "x/3"}]
    assert a.examples == ("0", "1", "2")
    assert b.images == {"x/3": {"a test": "id"}, "w/9": {"a test": "pixels"}}
    assert b.overlap["a"] == (2, 2)
    assert (b.sizes.examples_before, b.sizes.examples_after) == (3, 1)
    assert find_exclusions(root, tasks=TASKS, pixels=False, progress=False).tasks[1].examples == ("0",)


def test_files(tmp_path: Path) -> None:
    found = find_exclusions(draw_root(tmp_path / "root"), tasks=TASKS, progress=False)
    found.write(tmp_path / "out")
    assert (tmp_path / "out" / "b.images.txt").read_text() == "x/3\nw/9\n"
    assert (tmp_path / "out" / "b.examples.txt").read_text() == "0\n1\n"
    record = json.loads((tmp_path / "out" / "b.json").read_text())
    assert (record["lost_per_cent"], record["held_out"]) == (66.667, "test")
    (pair,) = json.loads((tmp_path / "out" / "duplicates.json").read_text())
    assert {pair["image"], pair["of"]} == {"w/9", "x/3"}
    assert "66.7%" in (tmp_path / "out" / "report.txt").read_text()


def test_chains_have_one_name() -> None:
    whole = (0.0, 0.0, 1.0, 1.0)
    found = joined({"vg/1": "coco/5"}, [Duplicate("x/2", "vg/1", whole, 1.0), Duplicate("x/3", "x/2", whole, 1.0)])
    assert {found.get(name, name) for name in ("vg/1", "coco/5", "x/2", "x/3")} == {"coco/5"}


def test_nothing_but_earlier_lists_is_replaced(tmp_path: Path) -> None:
    root = draw_root(tmp_path / "root")
    found = find_exclusions(root, tasks=TASKS, pixels=False, progress=False)
    for folder in (root.path, tmp_path):
        with pytest.raises(ConfigError, match="contains something that does not belong to lists of exclusions"):
            found.write(folder)
    assert (root.path / "images" / "x" / "1.png").is_file()
    for _ in range(2):
        found.write(tmp_path / "out")
    assert (tmp_path / "out" / "report.txt").is_file()
    for name in ("notes.txt", "notes.json"):
        (tmp_path / "out" / name).write_text("mine")
        with pytest.raises(ConfigError, match=re.escape(f"does not belong to lists of exclusions ({name})")):
            found.write(tmp_path / "out")
        (tmp_path / "out" / name).unlink()


def test_the_command_says_where_its_lists_are(tmp_path: Path) -> None:
    root = tiny.make(tmp_path / "root", train=8, val=3)
    out = tmp_path / "lists"
    result = CliRunner().invoke(app, ["data", "clean", str(root), "--no-pixels", "--out", str(out)])
    assert result.exit_code == 0 and (out / "report.txt").is_file()
    assert result.output.splitlines()[-1] == f"wrote the lists to {out}"
