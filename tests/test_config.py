"""Configurations: strict, with errors that name the nearest key."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from twelve import config
from twelve.errors import ConfigError

MINIMAL = {"run": "r", "data": "d", "tasks": ["vqa", "snli_ve"]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trainig": {}}, ["trainig", '"training"']),
        ({"tasks": {"vqa": {"batchsize": 3}}}, ["tasks.vqa.batchsize", '"batch_size"']),
        ({"tasks": ["vqaa"]}, ["vqaa", '"vqa"']),
        ({"training": {"epochs": "many"}}, ["training.epochs"]),
        ({"hold_out": "val"}, ["hold_out"]),
        ({"carve": 0.0}, ["carve"]),
    ],
)
def test_mistakes_are_named(change: dict[str, object], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(MINIMAL | change)
    for word in words:
        assert word in str(caught.value)


def test_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match="data"):
        config.parse({"run": "r", "tasks": ["vqa"]})


def test_settings_reach_nested_values(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump(MINIMAL))
    found = config.load(file, ["training.epochs=3", "tasks.vqa.batch_size=5", "vocabulary.label_maps={answer: x.json}"])
    assert found.training.epochs == 3
    assert found.tasks["vqa"].batch_size == 5
    assert "snli_ve" in found.tasks
    assert found.vocabulary.label_maps == {"answer": "x.json"}


def test_written_configuration_reads_back_equal(tmp_path: Path) -> None:
    found = config.parse(MINIMAL | {"seed": 7})
    found.write(tmp_path / "config.yaml")
    assert config.load(tmp_path / "config.yaml") == found


@pytest.mark.parametrize("name", list(config.shipped()))
def test_every_shipped_configuration_loads_and_starts_with_its_command(name: str) -> None:
    config.load(f"configs/{name}")
    first = config.shipped()[name].read_text().splitlines()[0]
    assert first.startswith("# twelve ") and name in first


def test_unknown_file_suggests_a_shipped_one() -> None:
    with pytest.raises(ConfigError, match="real-sample"):
        config.load("configs/real-sampel.yaml")


def test_not_yaml(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("run: [")
    with pytest.raises(ConfigError, match="not valid YAML"):
        config.load(tmp_path / "c.yaml")
