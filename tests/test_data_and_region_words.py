"""What the commands about data and regions say: good files, wrong files, lost images, interrupts, small shares."""

from __future__ import annotations

import base64
import builtins
import json
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import twelve
from twelve import cli
from twelve.cli.usage import resuming
from twelve.errors import ConfigError
from twelve.extras import install
from twelve.outputs.answer import Answered
from twelve.outputs.parts.result import percent, rounded
from twelve.regions.detectors import library_backbones
from twelve.regions.extraction.jobs import ExtractReport
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.importers.recognising import described
from twelve.run_folder import RunFolder
from twelve.stopping import Stopped


def run(*words: object) -> Any:
    return CliRunner().invoke(cli.app, [str(word) for word in words])


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images" / "mugs"
    folder.mkdir(parents=True)
    for number in range(2):
        Image.new("RGB", (64, 48), (90 * number, 30, 30)).save(folder / f"{number}.png")
    return folder


def extract(images: Path, out: Path, *words: str) -> Any:
    return run(
        "regions", "extract", "--images", images, "--boxes", "detect", "--backbone", "microworld", "--out", out, *words
    )


def test_verify_says_ok_and_info_how_it_was_made(images: Path, tmp_path: Path) -> None:
    assert extract(images, tmp_path / "deep" / "regions").exit_code == 0
    (line,) = run("regions", "verify", tmp_path / "deep" / "regions").output.splitlines()
    assert line.endswith(": ok") and "2 images" in line
    shown = run("regions", "info", tmp_path / "deep" / "regions").output
    first, *made = shown.splitlines()
    assert "2 images" in first and not first.endswith("ok")
    assert any(line.startswith("  boxes: detect") for line in made)
    assert any(line.startswith("  classes: 12 (ball, ") for line in made)
    for key in ("settings", "recipe"):
        assert any(line.startswith(f"  {key}: ") and "backbone microworld" in line for line in made)
    (everything,) = json.loads(run("regions", "info", "--json", tmp_path / "deep" / "regions").output)
    assert len(everything["metadata"]["classes"]) == 12 and everything["images"] == 2
    assert everything["metadata"]["recipe"]["backbone"] == "microworld"


def test_extract_fails_after_the_rest_if_an_image_is_damaged(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a script does not go on without its regions; but a launcher would end the other processes."""
    good = extract(images, tmp_path / "good")
    assert good.exit_code == 0 and good.output.startswith("mugs: 2 images in ")
    (images / "broken.png").write_bytes(b"no image")
    first = extract(images, tmp_path / "regions")
    assert first.exit_code == 1 and first.output.startswith("mugs: 2 images in ") and "1 skipped:" in first.output
    again = extract(images, tmp_path / "regions")
    assert again.exit_code == 1 and again.output.startswith("mugs: nothing to do, all 2 images are extracted; 1 skipp")
    for rank in "01":
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", rank)
        assert extract(images, tmp_path / "parts").exit_code == 0
    given = ExtractReport("s/given", None, 0, 0, 0, {"s/1": "why"}, "f", 1, 0.0)
    assert ExtractReport("s", None, 0, 0, 0, {}, "f", 1, 0.0, given=given).left_out


def test_one_image_is_told_in_the_singular(images: Path, tmp_path: Path) -> None:
    (images / "1.png").unlink()
    assert extract(images, tmp_path / "regions").output.startswith("mugs: 1 image in ")
    assert extract(images, tmp_path / "regions").output == "mugs: nothing to do, the image is extracted\n"
    assert ": 1 image, " in run("regions", "info", tmp_path / "regions").output
    assert str(ExtractReport("s", None, 0, 0, 0, {"s/1": "why"}, "f", 1, 0.0)).startswith("s: no image is extracted; 1")


def test_an_import_that_skips_a_record_fails(tmp_path: Path) -> None:
    def line(name: str, width: int, boxes: str) -> str:
        features = base64.b64encode(np.ones((1, 4), np.float32)).decode()
        return "\t".join([name, str(width), "50", "1", boxes, features])

    box = base64.b64encode(np.array([[1, 2, 30, 40]], np.float32)).decode()
    words = ("--source", "s", "--detector", "d", "--out", tmp_path / "regions")
    (tmp_path / "good.tsv").write_text(line("1", 60, box) + "\n")
    good = run("regions", "import", tmp_path / "good.tsv", *words)
    assert good.exit_code == 0 and good.output.startswith("s: 1 image of tsv in ")
    (tmp_path / "bad.tsv").write_text("\n".join([line("2", 60, box), line("3", 60, "!"), ""]))
    bad = run("regions", "import", tmp_path / "bad.tsv", *words)
    assert (
        bad.exit_code == 1
        and bad.output.startswith("s: 1 image of tsv in ")
        and "1 invalid record skipped" in bad.output
    )


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b'{"boxes":\t[1]}', "JSON"),
        (b"\xef\xbb\xbf [1, 2]", "JSON"),
        (b"ARROW1\0\0", "a region file, which needs no import"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x80\x04.", "a pickle"),
        (b"\n", "empty"),
        (b"a,b\n", "text"),
        (b"x\0y", "binary"),
    ],
)
def test_a_wrong_file_is_said_to_be_what_it_is(head: bytes, words: str, tmp_path: Path) -> None:
    assert words in described(head)
    (tmp_path / "file.bin").write_bytes(head)
    with pytest.raises(Exception, match=words):
        CliRunner().invoke(
            cli.app,
            [
                "regions",
                "import",
                str(tmp_path / "file.bin"),
                "--source",
                "s",
                "--detector",
                "d",
                "--out",
                str(tmp_path),
            ],
            catch_exceptions=False,
        )


def test_without_timm_its_names_are_not_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **named: Any) -> Any:
        if name == "timm":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigError, match=rf"timm, .* is not installed -> {re.escape(install('timm'))}, or") as caught:
        library_backbones.build(ExtractorConfig("tf_efficientnet_lite0", "random"))
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data", "clean", "x", "--out", "y"], "twelve: interrupted\n"),
        (["train", "x.yaml"], "twelve: interrupted; run it with --continue"),
        (["regions", "import", "x"], "twelve: interrupted; run it again to resume"),
        (["data", "fetch", "x"], "twelve: interrupted; run it again to resume"),
    ],
)
def test_an_interrupt_promises_what_is_kept(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**_: object) -> None:
        raise SystemExit(130)

    monkeypatch.setattr(cli, "app", interrupted)
    monkeypatch.setattr(sys, "argv", ["twelve", *words])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 130 and capsys.readouterr().err.startswith(said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "x.yaml"], "run it with --continue to resume from the last checkpoint, if there is one"),
        (["quickstart", "--set", "run=my run"], "to resume: twelve quickstart --set 'run=my run'"),
        (["study", "groups", "--config", "x.yaml"], "to resume: twelve study groups --config x.yaml --resume"),
        (["study", "groups", "--resume", "--seeds", "2"], "to resume: twelve study groups --resume --seeds 2"),
    ],
)
def test_training_that_a_signal_has_stopped_says_how_to_resume_it(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(told: bool, **_: object) -> None:
        raise Stopped(signal.SIGTERM, 1200, 5000, told)

    monkeypatch.setattr(sys, "argv", ["twelve", *words])
    line = f"twelve: SIGTERM: stopped after iteration 1,200 of 5,000, with a checkpoint; {said}\n"
    for told, expected in ((True, line), (False, "")):  # the first of several processes tells it
        monkeypatch.setattr(cli, "app", partial(stopped, told))
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert caught.value.code == 143 and capsys.readouterr().err == expected


def test_interrupted_training_names_its_last_checkpoint(tmp_path: Path) -> None:
    words = ["train", "quickstart.yaml", "--set", f"run={tmp_path / 'my run'}"]
    assert resuming(words) == "nothing is saved yet: run it again"
    command = f"twelve train quickstart.yaml --set 'run={tmp_path / 'my run'}' --continue"
    RunFolder(tmp_path / "my run").model.mkdir(parents=True)  # which training does not overwrite without --continue
    assert resuming(words) == f"no checkpoint yet; start again: {command}"
    for number in (20, 60):
        RunFolder(tmp_path / "my run").checkpoint(number).mkdir(parents=True)
    assert resuming([*words, "--resume"]) == f"resume from step-0000060: {command}"


def test_little_is_not_shown_as_nothing() -> None:
    shares = {
        0.0: "0%",
        0.0001: "<0.1%",
        0.0005: "0.1%",
        0.004: "0.4%",
        0.0094: "0.9%",
        0.0099: "1%",
        0.01: "1%",
        0.5: "50%",
        0.994: "99%",
        0.995: ">99%",
        0.9999999: ">99%",
        1.0: "100%",
    }
    assert {share: percent(share) for share in shares} == shares
    assert rounded([0.9999999, 1.0, -0.5]) == [0.999999, 1.0, -0.5]  # the page shows rounded shares
    if (node := shutil.which("node")) is not None:  # its own function says the same
        script = (Path(twelve.__file__).parent / "web" / "static" / "dom.js").read_text(encoding="utf-8")
        script += f"console.log(JSON.stringify({json.dumps(list(shares))}.map(percent)));"
        command = [node, "--input-type=module", "--eval", script]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert json.loads(said.stdout) == list(shares.values())
    alternatives = (("white", 0.004), ("red", 0.0))
    answer = Answered(text="?", task="vqa", confidence=0.004, answer="white", alternatives=alternatives)
    assert answer.words == "white (0.4%); red 0%"
