"""Public functions take the name of a file or folder as ``str`` or as ``Path``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from PIL import Image

import twelve
from twelve import config, score
from twelve.downloads.fetch import fetch
from twelve.errors import TwelveError
from twelve.formats.data_root import DataRoot
from twelve.formats.records import read_lines
from twelve.microworld.make import make_microworld
from twelve.predictor import index_folders, remove_from_index
from twelve.regions.extraction.extract import extract, extract_root
from twelve.regions.store.region_store import RegionStore
from twelve.report.write import write_report
from twelve.runs.evaluate import evaluate_run
from twelve.study.findings import findings

Name: TypeAlias = "str | Path"
GRID = twelve.ExtractorConfig("microworld", boxes="grid:2")

CALLS: dict[str, Callable[[Callable[[str], Name]], object]] = {
    "load": lambda name: twelve.load(name("none")),
    "processor": lambda name: twelve.TwelveProcessor.from_pretrained(name("none")),
    "configuration": lambda name: config.load(name("none")),
    "evaluate_run": lambda name: evaluate_run(name("none"), submit=name("a.csv"), results_folder=name("results")),
    "write_report": lambda name: write_report(name("none")),
    "findings": lambda name: findings(name("none")),
    "make_microworld": lambda name: make_microworld(name("."), 0),
    "fetch": lambda name: fetch([], name("fetched"), mirrors=[name("none")]),
    "read_lines": lambda name: [record.place for record in read_lines(name("lines.jsonl"))],
    "score": lambda name: score.score("vqa", name("none"), name("none")),
    "index_folders": lambda name: index_folders(name("none")),
    "remove_from_index": lambda name: remove_from_index(name("none"), name("images")),
    "DataRoot": lambda name: DataRoot(name(".")).path,
    "RegionStore": lambda name: RegionStore(name("none"), data=name(".")),
    "extract": lambda name: extract(name("images/mine"), name("regions"), GRID, data=name("."), progress=False).source,
    "extract, several": lambda name: extract([name("images/none")], name("regions"), GRID, progress=False),
    "extract_root": lambda name: len(extract_root(name("."), name("all"), GRID, progress=False)),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_str_names_what_its_path_names(call: str, tmp_path: Path) -> None:
    """Both have the same result, or are refused in the same words."""
    (tmp_path / "images" / "mine").mkdir(parents=True)
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "images" / "mine" / "a.png")
    (tmp_path / "lines.jsonl").write_text("{}\n{}\n")

    def told(form: Callable[[Path], Name]) -> str:
        try:
            return repr(CALLS[call](lambda name: form(tmp_path / name)))
        except TwelveError as error:
            return str(error)

    assert told(str) == told(Path)
