"""The shell: help everywhere, one line for a person's mistake, exit codes 0, 1 and 2."""

from __future__ import annotations

import importlib.abc
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import typer
import yaml
from typer.testing import CliRunner

from twelve import cli
from twelve.cli import use
from twelve.cli.order import ORDER
from twelve.config import shipped
from twelve.errors import TwelveError
from twelve.regions.detectors.shipped_detector import ShippedDetector
from twelve.regions.detectors.x152.detector import X152

COMMANDS = [[], ["train"], ["evaluate"], ["parity"], ["tasks"], ["configs"], ["regions"], ["index"]]
COMMANDS += [["regions", name] for name in ("extract", "info", "verify")]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("cli"), train=8, val=3)


def fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and standard error of a command."""
    monkeypatch.setattr(sys, "argv", ["twelve", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0), capsys.readouterr().err


def configured(root: Path, tmp_path: Path, **changes: object) -> str:
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(tiny.tree(root, tmp_path / "run", **changes)))
    return str(file)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(command: list[str]) -> None:
    result = CliRunner().invoke(cli.app, [*command, "--help"])
    assert result.exit_code == 0
    if command and command != ["regions"]:
        assert "Example: twelve" in result.output


def test_h_is_short_for_help_on_every_command() -> None:
    def every(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield words
        for name, below in getattr(command, "commands", {}).items():
            yield from every(below, (*words, name))

    found = list(every(typer.main.get_command(cli.app), ()))
    assert len(found) > 30 and ("regions", "extract") in found
    for command in found:
        short, long = (CliRunner().invoke(cli.app, [*command, option]) for option in ("-h", "--help"))
        assert short.exit_code == 0 and short.output == long.output and "-h, --help" in short.output, command


def test_the_help_of_extract_tells_the_defaults_of_each_detector() -> None:
    text = " ".join(CliRunner().invoke(cli.app, ["regions", "extract", "--help"]).output.split())
    most, least = ShippedDetector.most, ShippedDetector.threshold
    assert f"detect: {most} with microworld, otherwise {X152.most}; region files: all" in text
    assert f"{least} with microworld, {X152.threshold:g} with x152, otherwise that of torchvision's detector" in text


@pytest.mark.parametrize("command", [use.predict, use.match, use.serve], ids=lambda command: command.__name__)
def test_examples_of_using_a_model_name_what_a_checkout_has(command: Callable[..., None]) -> None:
    places = [word for word in shlex.split(use.EXAMPLES[command]) if word.startswith("examples")]
    assert places and all((Path(__file__).parents[1] / place).exists() for place in places)


def test_every_configuration_is_listed_with_its_purpose() -> None:
    lines = CliRunner().invoke(cli.app, ["configs"]).output.splitlines()
    assert len(lines) == 3 * len(shipped()) - 1 and set(lines[2::3]) == {""}
    for name, command, purpose in zip(shipped(), lines[::3], lines[1::3], strict=True):
        assert command.startswith(f"{name}  twelve ")
        assert re.fullmatch(r"    [A-Z].{10,169}\.", purpose) and "#" not in purpose, purpose


def test_the_commands_are_listed_in_the_order_of_use_with_short_summaries() -> None:
    listed = CliRunner().invoke(cli.app, ["--help"]).output.partition("Commands:\n")[2].splitlines()
    rows = [line.split(None, 1) for line in listed if line.startswith("  ") and not line.startswith("   ")]
    names = [name for name, _ in rows]
    assert names == [name for name in ORDER if name in names] and len(names) > 15
    assert {name: summary for name, summary in rows if len(summary) >= 50 or summary.endswith("...")} == {}


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from twelve.cli import app; from typer.testing import CliRunner;"
        "CliRunner().invoke(app, ['--help']);"
        "heavy = {'torch', 'transformers', 'pyarrow', 'numpy', 'accelerate', 'twelve.extras', 'urllib.request'};"
        "heavy &= set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_cannot_be_trained_is_refused_before_torch_is_imported(tmp_path: Path) -> None:
    given = [
        "train",
        "quickstart.yaml",
        *("--set", "schedule.name=none"),
        *("--set", "init=none", "--set", "data=none"),
    ]
    code = (
        "import sys; from twelve.cli import app; from typer.testing import CliRunner;"
        f"said = CliRunner().invoke(app, {given}).exception;"
        "assert 'torch' not in sys.modules; print(*said.listed, said, sep='\\n')"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True, text=True).stdout
    assert "unknown schedule 'none'" in said


@pytest.mark.parametrize(
    ("changes", "settings", "words"),
    [
        ({}, ["--set", "data=nowhere"], ["nowhere", "data root not found"]),
        ({}, ["--set", "regions=nowhere"], ["nowhere", "regions extract"]),
        ({}, ["--set", "tasks.vqa.test_split=vall"], ["vall"]),
        ({}, ["--set", "training.epoch=3"], ['"training.epochs"']),
        ({"tasks": ["vqq"]}, [], ['"vqa"']),
        ({"tasks": {}}, [], ["tasks"]),
        ({}, ["--set", "tasks.vqa=0"], ["--set tasks.vqa=0", "[tasks.vqa]", "mapping"]),
        ({}, ["--set", "tasks.vqa=[]"], ["[tasks.vqa]", "mapping"]),
        ({"training": 3}, [], ["[training]", "mapping", "3"]),
        ({"seed": -1}, [], ["seed"]),
        ({"sources": {"reefcoco": "flickr30k"}}, [], ['"refcoco"', "sources"]),
        ({}, ["--set", "optimizer.betas=[2,3]"], ["optimizer.betas"]),
        ({}, ["--set", "optimizer.factors={text: -1}"], ["optimizer.factors"]),
        ({}, ["--set", "tasks.vqa.learning_rate=.inf"], ["learning_rate"]),
        ({}, ["--set", "tasks.vqa.test_split=train"], ["trained on"]),
        ({}, ["--set", "vocabulary.label_maps={answr: x.json}"], ['"answer"']),
        ({}, ["--set", "schedule.options={patience: x}"], ["patience"]),
        ({}, ["--set", "model.architecture.vocab_size=10"], ["vocab_size", "24"]),
        ({}, ["--set", "model.architecture.max_position_embeddings=4"], ["max_position_embeddings", "12"]),
        ({}, ["--set", "model.architecture.v_feature_size=99"], ["99", "8"]),
        ({}, ["--set", "run=/proc/nope"], ["/proc/nope"]),
        ({}, ["--set", "schedule.name=stop-and-come"], ['"stop-and-go"']),
        ({}, ["--set", "model.tokenizer=nowhere/at/all"], ["nowhere/at/all"]),
        ({}, ["--set", "model.architecture.hiden_size=4"], ['"hidden_size"']),
        ({}, ["--resume"], ["no run to resume"]),
    ],
    ids=lambda value: str(value)[-30:],
)
def test_mistakes_in_training(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, object],
    settings: list[str],
    words: list[str],
) -> None:
    code, shown = fails(monkeypatch, capsys, "train", configured(root, tmp_path, **changes), *settings)
    line = shown.strip().splitlines()[-1]
    assert code == 2 and line.startswith("twelve: ") and "Traceback" not in shown
    for word in words:
        assert word in line
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_a_drawn_world_without_regions_has_its_own_detector(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "drawn").mkdir()
    (tmp_path / "drawn" / "microworld.json").write_text("{}")
    for data, how in (
        (root, "--boxes grid:6x6 --backbone tf_efficientnet_lite0"),
        (tmp_path / "drawn", "--boxes detect --backbone microworld"),
    ):
        settings = ["--set", f"data={data}", "--set", "regions=nowhere"]
        assert how in fails(monkeypatch, capsys, "train", configured(root, tmp_path), *settings)[1]


def test_malformed_line_names_file_and_line(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tiny.make(tmp_path / "bad", train=4, val=2)
    file = bad / "nlvr2" / "train.json"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], lines[1][:20], *lines[2:]]))
    code, shown = fails(monkeypatch, capsys, "train", configured(bad, tmp_path))
    assert code == 2 and "train.json" in shown and "2" in shown and "Traceback" not in shown


def test_corrupt_region_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tiny.make(tmp_path / "bad", train=4, val=2)
    file = bad / "regions" / "coco" / "tiny.arrow"
    file.write_bytes(file.read_bytes()[:-200])
    code, shown = fails(monkeypatch, capsys, "train", configured(bad, tmp_path))
    assert code == 2 and "tiny.arrow" in shown and "Traceback" not in shown
    code, shown = fails(monkeypatch, capsys, "regions", "verify", str(bad / "regions"))
    assert code == 1


def test_regions_of_two_extractors_do_not_mix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tiny.make(tmp_path / "bad", train=6, val=2)
    (bad / "regions" / "coco" / "tiny.arrow").unlink()
    tiny.write_regions(bad / "regions", {f"coco/{number}": number for number in range(8)}, fingerprint="other-2")
    code, shown = fails(monkeypatch, capsys, "train", configured(bad, tmp_path))
    assert code == 2 and "other-2" in shown and "tiny-1" in shown


def test_missing_image_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tiny.make(tmp_path / "bad", train=4, val=2)
    (bad / "regions" / "coco" / "tiny.arrow").unlink()
    tiny.write_regions(bad / "regions", {"coco/0": 0})
    code, shown = fails(monkeypatch, capsys, "train", configured(bad, tmp_path))
    assert code == 2 and "3 of 4 images of vqa" in shown and "regions extract" in shown


@pytest.mark.parametrize("folder", ["nothing", "."])
def test_evaluate_needs_a_run(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown = fails(monkeypatch, capsys, "evaluate", str(tmp_path / folder))
    assert code == 2 and "no run" in shown


def test_verify_good_regions_and_list_what_ships(root: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(cli.app, ["regions", "verify", str(root / "regions")]).exit_code == 0
    shown = runner.invoke(cli.app, ["regions", "info", str(root / "regions")]).output
    assert shown.count("extractor tiny-1") == 3
    assert "real-sample.yaml" in runner.invoke(cli.app, ["configs"]).output
    assert "SNLI-VE" in runner.invoke(cli.app, ["tasks"]).output


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["data", "clean", "{root}", "--out", "{file}"], ["expected a folder, found a file", "{file}"]),
        (["data", "clean", "{root}", "--out", "{root}"], ["refusing to replace this folder"]),
        (["data", "vocabulary", "{root}", "vqa", "--out", "{root}"], ["expected a file, found a folder"]),
        (["data", "make-microworld", "--out", "{file}/world"], ["cannot be created", "{file}"]),
        (["quickstart", "--set", "run={file}", "--set", "data={new}"], ["expected a folder, found a file", "{file}"]),
        (["quickstart", "--set", "regions={file}/x", "--set", "data={new}"], ["cannot be created", "{file}"]),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_where_nothing_can_be_written_is_said_before_the_work(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    words: list[str],
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("this is work")

    for work in ("twelve.data.exclusions.held_out_images", "twelve.data.stats.read_examples"):
        monkeypatch.setattr(work, never)
    monkeypatch.setattr("twelve.microworld.make.make_world", never)
    (tmp_path / "file").write_text("")
    names = {"root": str(root), "file": str(tmp_path / "file"), "new": str(tmp_path / "new")}
    code, shown = fails(monkeypatch, capsys, *(part.format(**names) for part in command))
    assert code == 2 and "Traceback" not in shown
    for word in words:
        assert word.format(**names) in shown
    assert (tmp_path / "file").read_text() == "" and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["configs", "{binary}"], ["expected YAML in UTF-8"]),
        (["data", "stats", "{empty}"], ["no split of any task"]),
        (["data", "clean", "{empty}", "--out", "{new}"], ["no training set of any task"]),
        (["data", "vocabulary", "{root}", "nlvr2", "--out", "{new}"], ["nlvr2 has no answers"]),
        (["report", "{empty}"], ["holds no run"]),
        (["data", "check", "{binary}"], ["found a file"]),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_wrong_things_in_the_right_place(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    words: list[str],
) -> None:
    (tmp_path / "empty räum").mkdir()
    (tmp_path / "binary").write_bytes(b"\0\xff")
    names = {"root": root, "empty": tmp_path / "empty räum", "binary": tmp_path / "binary", "new": tmp_path / "new"}
    code, shown = fails(monkeypatch, capsys, *(part.format(**names) for part in command))
    assert code == 2 and "Traceback" not in shown and all(word in shown for word in words)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["report", "{name}"],
        ["evaluate", "{name}"],
        ["train", "{name}"],
        ["train", "quickstart.yaml", "--set", "run={name}"],
        ["train", "quickstart.yaml", "--set", "data={name}"],
        ["predict", "x", "--image", "{name}", "--ask", "what"],
        ["data", "check", "{name}"],
        ["data", "clean", "{root}", "--out", "{name}"],
        ["regions", "info", "{name}"],
        ["score", "vqa", "--truth", "{name}", "--predictions", "{name}"],
        ["export", "{name}", "out", "--output", "answer"],
        ["convert", "{name}", "out"],
        ["study", "show", "{name}"],
        ["serve", "{name}"],
        ["quickstart", "--set", "run={name}"],
        ["configs", "{name}"],
        ["parity", "{name}"],
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_a_name_without_an_end_is_shortened(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """A path of 5,000 characters is none, and nobody wants to read it."""
    code, shown = fails(monkeypatch, capsys, *(part.format(name="x" * 5000, root=root) for part in command))
    assert code == 2 and "Traceback" not in shown and len(shown.splitlines()) == 1
    assert "xxx" in shown and len(shown) < 3000 and "x" * 1500 not in shown, len(shown)
    assert len(str(TwelveError("no run", file="x" * 5000, remedy=f"run: twelve train {'x' * 5000}"))) < 3000


@pytest.mark.parametrize(
    ("error", "said", "code"),
    [
        (RuntimeError("a\nb\x1b[2J"), "RuntimeError: a b\\x1b[2J: this is a bug in twelve", 3),
        (RecursionError(), "RecursionError: this is a bug in twelve", 3),
        (MemoryError(), "out of memory -> reduce the batch size, or use a device with more memory\n", 3),
        (
            torch.OutOfMemoryError("CUDA"),
            "out of memory -> reduce the batch size, or use a device with more memory (",
            3,
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory -> ", 3),
        (KeyboardInterrupt(), "interrupted", 130),
    ],
)
def test_a_flaw_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, said: str, code: int
) -> None:
    def raises(**_: object) -> None:
        raise error

    monkeypatch.delenv("TWELVE_DEBUG", raising=False)
    monkeypatch.setattr(cli, "app", raises)
    found, text = fails(monkeypatch, capsys, "tasks")
    assert found == code and text.count("\n") == 1 and text.startswith(f"twelve: {said}") and "Traceback" not in text
    monkeypatch.setenv("TWELVE_DEBUG", "1")
    assert ("Traceback" in fails(monkeypatch, capsys, "tasks")[1]) == (code == 3)


def test_interrupted_while_modules_are_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupting(importlib.abc.MetaPathFinder):
        def find_spec(self, name: str, *_: object) -> None:
            if name == "twelve.cli":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "twelve.cli")
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    with pytest.raises(SystemExit) as leaving:
        runpy.run_module("twelve", run_name="__main__")
    assert leaving.value.code == 130 and capsys.readouterr().err == "twelve: interrupted\n"


@pytest.mark.parametrize(
    ("told", "spins"),
    [({}, "3000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
    ids=["nothing", "spins", "policy"],
)
def test_threads_that_wait_soon_sleep(
    told: dict[str, str], spins: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """OpenMP reads its settings once, when torch is loaded; what a person set stays."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    monkeypatch.setattr(os, "environ", environment | told)
    monkeypatch.setattr(sys, "argv", ["twelve", "--help"])
    with pytest.raises(SystemExit):
        runpy.run_module("twelve", run_name="__main__")
    capsys.readouterr()
    assert os.environ.get("GOMP_SPINCOUNT") == spins
