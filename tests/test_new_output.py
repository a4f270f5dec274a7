"""A new kind of output is one file, and a new task another: nothing else of the package changes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny

import twelve

SOURCE = Path(str(twelve.__file__)).parent
FILES = Path(__file__).parent / "new_output"
USE = """
import json, sys
from pathlib import Path
from rich.console import Console

sys.path.append(sys.argv[3])
import tiny
import twelve
from twelve import config
from twelve.evaluation import recorded
from twelve.export.export import export
from twelve.predictor.lines import requests_in
from twelve.report.write import write_report
from twelve.run_folder import RunFolder
from twelve.runs.evaluate import evaluate_run
from twelve.runs.train import train

if __name__ == "__main__":
    tree, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    run = train(config.parse(tree), console=Console(quiet=True))
    (measured,) = evaluate_run(run, console=Console(quiet=True))
    model = twelve.load(run)
    scene = model.scene(tiny.regions_of("coco/30", 30))
    result = scene.ask("count", "how many is it ?")
    (folder / "ask.jsonl").write_text(json.dumps({"image": "a.png", "count": "how many is it ?"}))
    page = write_report(run).read_text()
    exported = export(run, folder / "exported", output="count") if "--export" in sys.argv else None
    found = {
        "module": twelve.__file__,
        "score": measured.score.mean,
        "baselines": {name: each.score for name, each in measured.baselines.items()},
        "methods": model.methods,
        "result": result.to_dict(),
        "said": str(result),
        "asked": [asked.method for asked in requests_in(folder / "ask.jsonl")],
        "recorded": recorded.read(RunFolder(run).predictions)["counting"][0].value,
        "page": page,
        "card": (run / "model" / "README.md").read_text(),
        "labels": json.loads((folder / "exported" / "export.json").read_text())["labels"] if exported else None,
    }
    (folder / "found.json").write_text(json.dumps(found))
"""


def number_of(image: int) -> int:
    return 1 + tiny.colour_of(image)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a copy of the package with two new files says, in a process of its own."""
    folder = tmp_path_factory.mktemp("new")
    package = shutil.copytree(SOURCE, folder / "source" / "twelve", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(FILES / "count.py", package / "outputs")
    shutil.copy(FILES / "counting.py", package / "tasks")
    root = tiny.make(folder / "root")
    for split, numbers in {"train": range(24), "val": range(24, 32)}.items():
        lines = [{"image": f"coco/{n}", "question": "what is it ?", "number": number_of(n)} for n in numbers]
        tiny.write_lines(root / "counting" / f"{split}.jsonl", lines)
    training = {"iterations": 60, "eval_every": 30, "save_every": 60, "log_every": 10, "threads": 1}
    tree = tiny.tree(root, folder / "run", training=training, sources={})
    tree["tasks"] = {"counting": {"test_split": "val", "batch_size": 8, "learning_rate": 3e-3, "max_text": 12}}
    (folder / "tree.json").write_text(json.dumps(tree))
    (folder / "use.py").write_text(USE)
    can_export = not subprocess.run([sys.executable, "-c", "import onnx, onnxruntime"], capture_output=True).returncode
    command = [sys.executable, "use.py", "tree.json", str(folder), str(FILES.parent), *["--export"] * can_export]
    environment = os.environ | {"PYTHONPATH": str(package.parent)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    read: dict[str, Any] = json.loads((folder / "found.json").read_text())
    assert read["module"].startswith(str(package))
    return read


def test_it_trains_and_is_measured_beside_its_baselines(found: dict[str, Any]) -> None:
    assert found["score"] > found["baselines"]["shuffled images"] + 10
    assert set(found["baselines"]) == {"chance", "majority", "bag of words", "shuffled images"}
    assert found["baselines"]["chance"] == 25


def test_a_model_is_asked_for_it(found: dict[str, Any]) -> None:
    assert found["methods"] == {"count": ["counting"]} and found["asked"] == ["count"]
    assert found["result"]["count"] == number_of(30) and 0 < found["result"]["confidence"] <= 1
    assert found["said"].startswith(f"{number_of(30)} things (")


def test_the_report_and_the_card_show_it(found: dict[str, Any]) -> None:
    assert found["recorded"] in range(4)
    for text in (
        "Count the things in an image.",
        "how likely the model finds each",
        "counted exactly",
        "things",
    ):
        assert text in found["page"]
    assert 'count("how many boats?")' in found["card"]


def test_it_is_exported(found: dict[str, Any]) -> None:
    if found["labels"] is None:
        pytest.skip("onnx or onnxruntime is not installed (extra export)")
    assert found["labels"] == ["0 things", "1 things", "2 things", "3 things"]
