"""The quickstart on a tiny world: every stage once, what is there stays, another run is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from small_world import SIZES

from twelve import quickstart as module
from twelve.errors import ConfigError, DataError
from twelve.quickstart import quickstart
from twelve.run_folder import RunFolder
from twelve.runs import train as training
from twelve.training.validation import Validation

QUIET = Console(quiet=True)


def settings(folder: Path, *more: str) -> list[str]:
    short = ["iterations=4", "eval_every=2", "eval_examples=8", "log_every=1", "save_every=2", "threads=1"]
    return [
        f"run={folder / 'run'}",
        f"data={folder / 'data'}",
        "val_fraction=0.2",
        "vocabulary.min_count=1",
        "evaluation.derangements=1",
        "evaluation.resamples=100",
        *(f"training.{name}" for name in short),
        *more,
    ]


@pytest.mark.slow
def test_interrupted_it_goes_on_and_finished_it_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "_sizes", lambda _: SIZES)
    validation, validations = Validation.score, []

    def interrupted(self: Validation, network: Any, name: str, examples: Any = None) -> float:
        validations.append(name)
        if len(validations) > 12:  # all twelve tasks have been looked at, so a best model is there already
            raise KeyboardInterrupt
        return validation(self, network, name, examples)

    monkeypatch.setattr(Validation, "score", interrupted)
    with pytest.raises(KeyboardInterrupt):
        quickstart(settings=settings(tmp_path), console=QUIET)
    run = tmp_path / "run"
    assert (run / "model" / "model.safetensors").is_file() and not RunFolder(run).trained.exists()
    monkeypatch.setattr(Validation, "score", validation)
    page = quickstart(settings=settings(tmp_path), console=QUIET)
    assert RunFolder(run).trained.is_file() and page.is_file()
    trained = (run / "model" / "model.safetensors").stat().st_mtime_ns
    assert "GQA" in capsys.readouterr().out

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("this is there already")

    monkeypatch.setattr(training, "train", never)
    quickstart(settings=settings(tmp_path), console=QUIET)
    assert "GQA" in capsys.readouterr().out
    assert (run / "model" / "model.safetensors").stat().st_mtime_ns == trained
    with pytest.raises(ConfigError, match=r"training: iterations: 4, now 5"):
        quickstart(settings=settings(tmp_path, "training.iterations=5"), console=QUIET)
    with pytest.raises(DataError, match="seed"):
        quickstart(settings=settings(tmp_path, f"run={tmp_path / 'other'}", "seed=1"), console=QUIET)


def test_no_world_is_drawn_for_another_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no microworld"):
        quickstart("real-sample.yaml", settings=[f"data={tmp_path / 'new'}"], console=QUIET)
    assert not (tmp_path / "new").exists()
