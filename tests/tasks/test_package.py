"""A task in a package of its own, examples/own-task, as docs/add-a-task.md shows it; and mistakes in such a task."""

from __future__ import annotations

import importlib
import json
import shlex
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import test_docs
from test_cli import fails
from typer.testing import CliRunner

from twelve import cli
from twelve.config import load
from twelve.data.check import check_root
from twelve.data.examples.reading import read_examples
from twelve.data.opening import check_regions, open_root
from twelve.errors import DataError, RegionError
from twelve.evaluation.evaluate import checked
from twelve.forked import each
from twelve.formats.data_root import DataRoot
from twelve.report.own_task_steps import on_more
from twelve.report.reading import read_run
from twelve.report.write import render
from twelve.runs.evaluate import evaluate_run
from twelve.runs.train import train
from twelve.tasks import base
from twelve.types.measurement import Measurement
from twelve.types.predictions import Prediction

PAGE = (test_docs.HOME / "docs" / "add-a-task.md").read_text(encoding="utf-8")
PACKAGE = test_docs.HOME / "examples" / "own-task"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Copies the package and its images to ``own``, with replacements in its module, as ``pip install -e`` makes it
    known."""
    monkeypatch.chdir(tmp_path)
    base.all_tasks()
    monkeypatch.setattr(base, "_REGISTRY", dict(base._REGISTRY))
    monkeypatch.setattr(base, "_BROKEN", {})

    def install(*replacements: tuple[str, str], known: bool = True) -> None:
        shutil.copytree(PACKAGE.parent, "examples")
        shutil.copytree(PACKAGE, "own")
        shutil.copytree(PACKAGE.parent / "tutorial" / "images", "own/images")
        module = Path("own/riding_task.py")
        text = module.read_text()
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        module.write_text(text)
        info = tmp_path / "own" / "riding_task-1.0.dist-info"
        if known:
            ((group, points),) = tomllib.loads(Path("own/pyproject.toml").read_text())["project"][
                "entry-points"
            ].items()
            info.mkdir()
            (info / "METADATA").write_text("Metadata-Version: 2.1\nName: riding-task\nVersion: 1.0\n")
            lines = "".join(f"{name} = {value}\n" for name, value in points.items())
            (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
        monkeypatch.delitem(sys.modules, "riding_task", raising=False)
        monkeypatch.syspath_prepend(str(tmp_path / "own"))

    yield install
    sys.modules.pop("riding_task", None)


def test_the_page_shows_the_package() -> None:
    assert (PACKAGE / "riding_task.py").read_text() in test_docs.blocks(PAGE, "python")
    assert [(PACKAGE / "pyproject.toml").read_text()] == test_docs.blocks(PAGE, "toml")
    lines = (PACKAGE / "riding" / "train.csv").read_text().splitlines(keepends=True)
    assert "".join(lines[:3]) in test_docs.blocks(PAGE, "text")
    assert "tasks: {riding: {}}" in PAGE and "\ntasks: {riding: {}}\n" in (PACKAGE / "riding.yaml").read_text()


def test_the_page_in_order(
    installed: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Installed, with its commands; a mistake in its measure; and what the commands say without the package."""
    installed()
    (body,) = [body for body in test_docs.blocks(PAGE, "bash") if "pip install -e own" in body]
    said = dict[str, str]()
    for command in body.splitlines():
        name, *words = shlex.split(command)
        if name == "twelve":
            words += ["--set", "training.iterations=20"] if words[0] == "train" else []
            result = CliRunner().invoke(cli.app, words)
            assert result.exit_code == 0, (command, result.output, result.exception)
            said[words[0]] = " ".join(result.output.split())
    results = json.loads(Path("runs/riding/evaluation.json").read_text())["tasks"]
    assert results["riding"]["examples"] == 20 and set(results["riding"]["baselines"]) >= {"majority", "bag of words"}

    assert "score: the metric of your task, per cent." in said["evaluate"] and "fficial" not in said["evaluate"]
    page = render(read_run(Path("runs/riding")))
    assert "The metric that the code of your task defines; higher" in page and ">Metric</th>" in page
    assert "Computed by the code of your task." in page and "not on the test split." in page
    assert "fficial" not in page and "own scorer" not in page and "your test file" not in page

    riding = SimpleNamespace(name="riding")
    step = on_more(read_run(Path("runs/riding")), [riding], "Evaluate on more examples", "20 are too few")
    assert step.why == "20 are too few: add lines to own/riding/test.csv."
    assert step.commands[-2:] == ["twelve evaluate runs/riding", "twelve report runs/riding"]

    task = type(base.get("riding"))
    monkeypatch.setattr(task, "measure", lambda self, examples, predictions: Measurement("a", {"a": 1.0}, [0.0], ["x"]))
    code, error = fails(monkeypatch, capsys, "evaluate", "runs/riding", "--no-baselines")
    assert code == 2 and "expected 20 values and groups, one an example, found 1 values and 1 groups" in error
    shutil.rmtree("own/riding_task-1.0.dist-info")
    monkeypatch.setattr(base, "_REGISTRY", {name: each for name, each in base._REGISTRY.items() if name != "riding"})
    base._entry_points.cache_clear()
    code, error = fails(monkeypatch, capsys, "evaluate", "runs/riding")
    assert code == 2 and "unknown name 'riding'" in error and "or install the package that defines it\n" in error


def test_the_script_of_the_page(installed: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    """Without a package; after the regions of the images were extracted."""
    installed(known=False)
    (extract,) = [
        line
        for body in test_docs.blocks(PAGE, "bash")
        for line in body.splitlines()
        if line.startswith("twelve regions extract --images own")
    ]
    assert CliRunner().invoke(cli.app, shlex.split(extract)[1:]).exit_code == 0
    (script,) = [body for body in test_docs.blocks(PAGE, "python") if "import riding_task" in body]
    exec(script.replace('riding.yaml"', 'riding.yaml", ["training.iterations=5"]'), {})  # our own page
    said = " ".join("".join(capsys.readouterr()).split())
    assert "on its own training examples" in said  # as of a file of JSON lines
    assert "next: twelve.report.write.write_report(Path('runs/riding')) in a program that defines its task " in said
    assert "next: twelve report" not in said and Path("runs/riding/report.html").is_file()


def test_the_second_class_of_the_page(installed: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    """A task of boxes: those that the detector finds in the images."""
    installed(known=False)
    extract = "regions extract --images own/images/mine --boxes detect --backbone microworld --out own/regions"
    assert CliRunner().invoke(cli.app, extract.split()).exit_code == 0
    (shown,) = [body for body in test_docs.blocks(PAGE, "python") if "class Pointing" in body]
    module = Path("own/riding_task.py")
    module.write_text(module.read_text() + shown)
    task = importlib.import_module("riding_task").Pointing
    root, store = open_root(load("own/riding.yaml"), ["riding"])
    Path("own/pointing").mkdir()
    for name, images in (("train", range(20)), ("test", range(20, 40))):
        lines = ["photo,phrase,x1,y1,x2,y2"]
        for number in images:
            sides = ",".join(map(str, store.get(f"mine/{number:02}", 1).boxes[0].tolist()))
            lines.append(f"{number:02}.jpg,the first thing,{sides}")
        Path(f"own/pointing/{name}.csv").write_text("\n".join(lines) + "\n")
    examples = task().read(root, "test")
    right = [Prediction(each.target, 1.0) for each in examples[:-1]]
    assert task().measure(examples, [*right, Prediction((0.0, 0.0, 1.0, 1.0), 1.0)]).metrics == {"accuracy": 95.0}
    tree = Path("own/riding.yaml").read_text().replace("riding: {}", "pointing: {}").replace("runs/riding", "runs/p")
    Path("own/pointing.yaml").write_text(tree)
    run = train(load("own/pointing.yaml", ["training.iterations=5"]))
    (result,) = evaluate_run(run, baselines=False)
    assert result.examples == 20 and "on its own training examples" in "".join(capsys.readouterr())


def test_an_image_id_with_an_extension(installed: Callable[..., None]) -> None:
    installed(("{image_key(photo)}", "{photo if number == 3 else image_key(photo)}"))
    told = str(check_root("own", ["riding"]))
    assert "1 of 20 images have neither a file nor regions; the first is mine/02.jpg -> " in told
    assert "'mine/02.jpg' has an extension; image ids have none: write 'mine/02'" in told and "fetch" not in told


def test_an_image_id_with_an_extension_in_training(installed: Callable[..., None]) -> None:

    installed(("{image_key(photo)}", "{photo}"))
    (Path("own") / "regions").mkdir()
    task = base.get("riding")
    root, store = open_root(load("own/riding.yaml"), ["riding"])
    with pytest.raises(
        RegionError, match=r"20 of 20 .*-> 'mine/00.jpg' has an extension; image ids have none"
    ) as caught:
        check_regions(store, task, read_examples(task, root, "train"), root=root)
    assert "check that" not in str(caught.value) and "run: " not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "{answer: 1.0}",
            "answer",
            "[example 1]: expected {answer: score} as target, found 'yes' -> correct what Riding.",
        ),
        ("{answer: 1.0}", "{answer: 'x'}", "expected {answer: score} as target"),
        ("(image,)", "image", "[example 1]: expected a tuple of 1 image id SOURCE/NAME, found 'mine/00'"),
        ("(image,)", "(image, image)", "expected a tuple of 1 image id"),
        ("str(number), question", "str(number), 7", "expected a string as text, found 7"),
        (", facts=facts", "", "expected facts={'label': ANSWER}"),
        (
            "Example(str(number), question, (image,), {answer: 1.0}, group=image, facts=facts)",
            "7",
            "expected an Example",
        ),
    ],
)
def test_what_a_task_reads_is_checked(old: str, new: str, said: str, installed: Callable[..., None]) -> None:
    installed((old, new))
    with pytest.raises(DataError) as caught:
        read_examples(base.get("riding"), DataRoot("own"), "train")
    assert said in str(caught.value) and str(caught.value).startswith(str(Path("own/riding_task.py").resolve()))


def test_an_error_in_a_task_is_not_twelves(
    installed: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed(('{"label": answer}', '{}["answers"]'))
    code, said = fails(monkeypatch, capsys, "data", "check", "own", "--config", "own/riding.yaml")
    line = 1 + Path("own/riding_task.py").read_text().splitlines().index(
        '            facts = {}["answers"]  # the answer that the vocabulary counts'
    )
    assert code == 3 and f"riding_task.py, line {line}, in read(): KeyError: 'answers' -> correct it there: " in said
    assert "riding_task, not twelve, defines the task 'riding'; TWELVE_DEBUG=1 prints the traceback\n" in said

    def read(_: str) -> object:
        return base.get("riding").read(DataRoot("own"), "train")

    with pytest.raises(KeyError) as caught:  # another process sends where it arose
        each(read, ["a", "b"], 2, DataError("lost"), "reading")
    found = base.at_fault(caught.value)
    assert found is not None and found[0].endswith(f"line {line}, in read()")
    assert base.at_fault(ValueError()) is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('    test_split = "test"\n', "", "the task Riding lacks test_split"),
        ("def read(", "def reads(", "the task Riding lacks read()"),
        (
            "source =",
            "token = 1; source =",
            "'vqa' and 'riding' have the same token, 1: leave token out, or set a free one ",
        ),
        ("source =", "token = 1; source =", "(19, or any from 20)"),
    ],
)
def test_a_task_that_cannot_be_registered(
    old: str, new: str, said: str, installed: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    installed((old, new))
    assert "riding" not in base.all_tasks() and said in capsys.readouterr().err


def test_tokens_of_the_page() -> None:
    taken = {task.token for task in base.all_tasks().values()}
    assert "0 to 18 belong to the tasks that `twelve tasks` lists, 19 is free" in PAGE
    assert taken & set(range(base.TOKEN_ROWS)) == set(range(19))


def test_a_measurement_is_checked(installed: Callable[..., None]) -> None:
    installed()
    task = base.get("riding")
    assert checked(task, Measurement("a", {"a": 1.0}, [True], ["x"]), 1).per_example.dtype == float  # type: ignore[arg-type]
    for found, said in (
        (
            Measurement("a", {"a": 1.0}, [1.0, 0.0], ["x"]),
            "expected 2 values and groups, .* found 2 values and 1 groups",
        ),  # type: ignore[arg-type]
        (Measurement("b", {"a": 1.0}, [1.0, 0.0], ["x", "y"]), "expected its primary metric among a, found 'b'"),  # type: ignore[arg-type]
    ):
        with pytest.raises(DataError, match=said):
            checked(task, found, 2)
