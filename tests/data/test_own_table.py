"""``twelve data table``: a task of one's own from a table and a folder of images."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from twelve import cli
from twelve import config as configuration
from twelve.data import own_table, table_origin
from twelve.data.check import check_root
from twelve.data.clean import split_validation
from twelve.data.image_sizes import size_or_flaw
from twelve.data.own_table import LEAST, ExampleRow, divided, read_table
from twelve.errors import DataError, TwelveError
from twelve.evaluation.calibration import FEWEST_EXAMPLES
from twelve.formats.data_root import DataRoot
from twelve.formats.flaws import BadLines
from twelve.io.files import replacing
from twelve.model.processor_file import CONFIG_FILE
from twelve.regions.store.resumable_writer import PartWriter
from twelve.runs import own_task
from twelve.runs.own_task import make
from twelve.tasks.custom import own_tasks

HOME = Path(__file__).parents[2]
MODEL = HOME / "examples" / "quickstart-model"
IMAGES = HOME / "examples" / "tutorial" / "images" / "mine"
SCENE = HOME / "examples" / "scene.jpg"
LONG = f"{'e' * 150}/{'f' * 149}/a.jpg"


def run(*words: object) -> Any:
    return CliRunner().invoke(cli.app, [str(word) for word in words])


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A table of the tutorial's forty examples."""
    lines = [
        json.loads(line)
        for name in ("train", "test")
        for line in (IMAGES.parents[1] / f"{name}.jsonl").read_text().splitlines()
    ]
    with open(tmp_path / "faces.csv", "w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["image", "question", "answer"])
        table.writerows([line["image"], line["text"], line["target"]] for line in lines)
    return tmp_path / "faces.csv"


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder with four images, one of them in a subfolder."""
    (tmp_path / "photographs" / "sub").mkdir(parents=True)
    for number, name in enumerate(("a.jpg", "b.JPG", "c.png", "sub/a.jpg")):
        Image.new("RGB", (8, 8), (60 * number, 0, 0)).save(tmp_path / "photographs" / name)
    return tmp_path / "photographs"


def lines(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def run_all(commands: Sequence[str]) -> None:
    """Run commands that :func:`make` printed; training is two iterations long."""
    short = [word for key in ("iterations", "eval_every", "save_every") for word in ("--set", f"training.{key}=2")]
    for command in commands:
        words = shlex.split(command)[1:]
        done = run(*words, *(short if words[0] == "train" else ()))
        assert done.exit_code == 0, (command, done.output, done.exception)


def test_from_the_table_to_a_trained_model(faces: Path) -> None:
    made = run("data", "table", faces, "--images", IMAGES, "--init", MODEL, "--out", "mine")
    assert made.exit_code == 0, (made.output, made.exception)
    assert "columns: text is question, image is image, target is answer\n" in made.output
    for split, parts in (("train", "; 16 to train on, 4 for validation"), ("test", "")):
        assert f"{split}.jsonl: 20 examples of 20 images: no (10), yes (10){parts}\n" in made.output
    assert "warning" not in made.output
    files = {"images", "mine.yaml", "table.json", "test.jsonl", "train.jsonl"}
    assert {path.name for path in Path("mine").iterdir()} == files
    assert {path.name: path.read_bytes() for path in Path("mine/images/mine").iterdir()} == {
        path.name: path.read_bytes() for path in IMAGES.iterdir()
    }
    extract, *others = [line.strip() for line in made.output.partition("next:\n")[2].splitlines()]
    assert others == [
        "twelve data check mine --config mine/mine.yaml",
        "twelve train mine/mine.yaml",
        "twelve evaluate runs/mine",
        "twelve report runs/mine",
        f"twelve predict runs/mine --image mine/images/mine/{lines(Path('mine/test.jsonl'))[0]['image']} "
        "--ask 'could I ride on something here?'",
    ]
    checked = run("data", "check", "mine", "--config", "mine/mine.yaml")
    assert checked.exit_code == 0
    assert f"\nto extract regions, run: {extract}\n" in checked.output
    assert f"make it: {extract}" in str(run("train", "mine/mine.yaml").exception)
    assert run(*shlex.split(extract)[1:]).exit_code == 0
    checked = run("data", "check", "mine", "--config", "mine/mine.yaml")
    assert checked.exit_code == 0 and "mine (mine): can run\n" in checked.output
    run_all(others)


def test_images_of_other_formats_go_through_every_step(tmp_path: Path) -> None:
    names = [*(f"{number}.webp" for number in range(8)), "mug.GIF", "jug.tiff"]
    (tmp_path / "photographs").mkdir()
    for number, name in enumerate(names):
        Image.new("RGB", (40, 40), (25 * number, 80, 0)).save(tmp_path / "photographs" / name)
    rows = "".join(f"{name},is it red?,{('yes', 'no')[number % 2]}\n" for number, name in enumerate(names))
    (tmp_path / "t.csv").write_text(f"image,text,target\n{rows}")
    made = make(Path("t.csv"), Path("photographs"), MODEL, Path("mine"))
    assert {path.name for path in Path("mine/images/mine").iterdir()} == set(names)
    run_all(made.commands)


def test_the_configuration_begins_with_its_command_and_is_that_of_the_tutorial(faces: Path) -> None:
    make(faces, IMAGES, MODEL, Path("mine"))
    text = Path("mine/mine.yaml").read_text()
    assert text.startswith("# twelve train mine/mine.yaml\n")
    tutorial = configuration.load(HOME / "examples" / "tutorial" / "mine.yaml").model_dump()
    ours = configuration.load("mine/mine.yaml").model_dump()
    tutorial["model"]["init"] = str(MODEL)
    tutorial["tasks"]["mine"]["max_text"] = None
    assert ours == tutorial


@pytest.mark.parametrize("out", ["a: b", "it's", "1", "null", "a #b", "[x", "ein Ordner", "schön", "x/y", "a, b}"])
def test_every_name_of_a_folder_can_be_written_into_the_configuration(out: str, faces: Path) -> None:
    made = make(faces, IMAGES, MODEL, Path(out), name="boats", kind="answer")
    first, *_ = Path(out, "boats.yaml").read_text(encoding="utf-8").splitlines()
    assert f"  {first[2:]}" in str(made).splitlines()
    config = configuration.load(shlex.split(first)[-1])
    assert (config.data, config.run, list(config.tasks)) == (out, "runs/boats", ["boats"])


def test_a_task_is_named_after_its_folder(faces: Path) -> None:
    """A second table has a configuration, images and a run of its own; other names of folders are said not to do."""
    for out in (Path("x/shelf"), Path("x/boats")):
        made = make(faces, IMAGES, MODEL, out)
        assert made.told[0].startswith("columns: ") and made.commands[3] == f"twelve evaluate runs/{out.name}"
        config = configuration.load(out / f"{out.name}.yaml")
        assert (list(config.tasks), config.run) == ([out.name], f"runs/{out.name}")
        assert len(list((out / "images" / out.name).iterdir())) == 40
    for folder in ("Shelf", "vqa"):  # no name of a task; a known dataset
        made = make(faces, IMAGES, MODEL, Path(folder))
        assert made.told[0] == (
            f"'{folder}' is not a valid task name, so the task is called mine; --name sets another name"
        )
        assert list(configuration.load(Path(folder, "mine.yaml")).tasks) == ["mine"]


@pytest.mark.parametrize("name", ["null", "yes", "no", "on", "true", "mine"])
def test_every_name_of_a_task_can_be_written_into_the_configuration(name: str, faces: Path) -> None:
    make(faces, IMAGES, MODEL, Path("mine"), name=name)
    config = configuration.load(Path("mine", f"{name}.yaml"))
    assert list(config.tasks) == [config.tasks[name].images] == [name]


def test_the_page_shows_what_its_command_prints(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (HOME / "docs" / "add-a-task.md").read_text(encoding="utf-8").partition("### From a CSV table\n")[2]
    (command, shown) = re.findall(r"```\w+\n(.*?)```", text, flags=re.S)[:2]
    shutil.copytree(HOME / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    assert run(*shlex.split(command.replace("\\\n", " "))[1:]).output == shown


@pytest.mark.parametrize("times", [12, 13])
def test_a_table_says_if_too_few_rows_validate_to_calibrate(times: int, faces: Path) -> None:
    header, *rows = faces.read_text().splitlines()
    faces.write_text("\n".join([header, *rows * times]) + "\n")
    made = make(faces, IMAGES, MODEL, Path("mine"))
    config = configuration.load("mine/mine.yaml")
    train = own_tasks(config.tasks)["mine"].read(DataRoot("mine"), "train.jsonl")
    _, validation = split_validation({"mine": train}, config.val_fraction, config.seed, counted=["mine"])["mine"]
    said = "confidence will not be calibrated: this needs 50 validation examples, of about 250 in train.jsonl; the"
    assert len(validation) == 4 * times and FEWEST_EXAMPLES == 50
    told = [line for line in made.told if "calibrated" in line]
    assert told == ([f"{said} table gives 48 of 240"] if times == 12 else [])


def test_more_examples_are_trained_longer(faces: Path) -> None:
    header, *rows = faces.read_text().splitlines()
    faces.write_text("\n".join([header, *rows * 5]) + "\n")  # 100 training examples
    make(faces, IMAGES, MODEL, Path("mine"))
    training = configuration.load("mine/mine.yaml").training
    assert (training.iterations, training.eval_every, training.save_every) == (500, 50, 166)


@pytest.mark.parametrize("start", ["", "\ufeff", "\r\n\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_tables_of_spreadsheets_are_read(mark: str, end: str, start: str, photographs: Path, tmp_path: Path) -> None:
    rows = (
        *("Image", "notes", "Question", "Answer"),
        *(" a.jpg ", "", f'"red{mark} ""or"" not?"', "yes "),
        *("", "", "", ""),
        *("sub/a.jpg", "x", '"two\nlines"', "nö"),
    )
    text = start + "".join(mark.join(rows[at : at + 4]) + end for at in range(0, len(rows), 4))
    (tmp_path / "t.csv").write_bytes(text.encode())
    found, called = read_table(tmp_path / "t.csv", photographs, "answer", {})
    assert called == {"text": "Question", "image": "Image", "target": "Answer"}
    assert [(row.text, row.name, row.target) for row in found] == [
        (f'red{mark} "or" not?', "a.jpg", "yes"),
        ("two\nlines", "sub_a.jpg", "nö"),
    ]


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_a_first_line_for_excel_names_the_separator(
    mark: str, end: str, start: str, photographs: Path, tmp_path: Path
) -> None:
    header = mark.join(["a,b;c,d;e", "image", "text", "target"]).replace("a,b;c,d;e", '"a,b;c,d;e"')
    rows = [f"SEP={mark}", header, mark.join(["", "a.jpg", "red?", "yes"]), mark.join(["", "a.jpg", "red?", ""])]
    (tmp_path / "t.csv").write_bytes((start + end.join(rows[:3]) + end).encode())
    found, _ = read_table(tmp_path / "t.csv", photographs, "answer", {})
    assert [(row.place, row.text, row.target) for row in found] == [("line 3", "red?", "yes")]
    (tmp_path / "t.csv").write_bytes((start + end.join(rows) + end).encode())
    with pytest.raises(DataError, match=re.escape("[line 4]: the target is empty")):
        read_table(tmp_path / "t.csv", photographs, "answer", {})


def test_an_error_in_a_row_of_several_lines_names_its_first(photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('image,text,target\na.jpg,"one\ntwo",x\n\na.jpg,"one\ntwo",\n')
    with pytest.raises(
        DataError, match=re.escape("[line 5]: the target is empty -> write the target into the cell, or remove the row")
    ):
        read_table(tmp_path / "t.csv", photographs, "answer", {})


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a.jpg,what?", r"expected 3 cells, found 2 -> put a text with separators or line breaks in quotes: \"red"),
        ("a.jpg,red, green,yes", "expected 3 cells, found 4"),
        ("a.jpg,,yes", "the text is empty -> write the text into the cell, or remove the row"),
        ("a.jpg, ,yes", "the text is empty"),
        ("a.jpg,what?,", "the target is empty"),
        (",what?,yes", "the image is empty"),
        ("a.jpg,what\x1b[2J?,yes", r"the text has the control character U\+001B -> remove the character"),
        ("z.jpg,what?,yes", "image z.jpg in photographs: no such image -> correct the row or the image; paths are"),
        ("empty.png,what?,yes", "image empty.png in photographs is empty"),
        ("text.png,what?,yes", r"image text.png in photographs is not an image \(checked by content\)"),
        ("cut.jpg,what?,yes", "image cut.jpg in photographs: image file is truncated"),
        ("d.jpg,what?,yes", "image d.jpg in photographs is a folder"),
        (f"{'d' * 300}.jpg,what?,yes", "image d+.jpg in photographs: File name too long -> correct the row or"),
        (f"{LONG},what?,yes", "the image is copied under its folders' names and its own, which are 306 bytes together"),
        (f"a.jpg,{'x' * 140_000},yes", "cannot be read as CSV: field larger than field limit .* -> shorten this cell"),
        ("cut.webp,what?,yes", "image cut.webp in photographs"),
        ("cut.bmp,what?,yes", "image cut.bmp in photographs: image file is truncated"),
        (
            "https://example.org/a.jpg,what?,yes",
            "the image https://example.org/a.jpg is a URL -> images must be local files: save it in photographs, and "
            "write the file's name into the cell",
        ),
        ("a.avif,what?,yes", "expected a .bmp, .gif, .jpeg, .* or .webp image, found a.avif -> convert it to one of"),
        ("../x.jpg,what?,yes", "the image ../x.jpg is outside photographs -> name an image in this folder"),
        ("sub/../../x.jpg,what?,yes", "the image sub/../../x.jpg is outside photographs"),
        ("/etc/x.jpg,what?,yes", "the image /etc/x.jpg is outside photographs"),
        ('a.jpg,"what?,yes', "cannot be read as CSV: unexpected end of data -> write"),
        ('a.jpg,"what"?,yes', "cannot be read as CSV: ',' expected after"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(row: str, said: str, photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes((photographs / "a.jpg").read_bytes())
    (photographs / "empty.png").write_bytes(b"")
    (photographs / "text.png").write_text("no image")
    (photographs / "cut.jpg").write_bytes(SCENE.read_bytes()[:1500])
    for cut in (photographs / "cut.webp", photographs / "cut.bmp"):
        Image.open(SCENE).save(cut)
        cut.write_bytes(cut.read_bytes()[:1500])
    (photographs / "d.jpg").mkdir()
    (photographs / LONG).parent.mkdir(parents=True)
    shutil.copyfile(photographs / "a.jpg", photographs / LONG)
    (tmp_path / "t.csv").write_text(f"image,text,target\na.jpg,what?,no\n{row}\n")
    with pytest.raises(DataError, match=rf"^t.csv \[line 3\]:? {said}"):
        make(Path("t.csv"), Path("photographs"), MODEL, Path("mine"))
    assert not Path("mine").exists()


def test_a_truncated_image_is_listed_with_the_other_bad_rows(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is read once, of however many rows it is the image."""
    read: list[str] = []

    def recorded(path: Path) -> tuple[int, int] | str:
        read.append(path.name)
        return size_or_flaw(path)

    monkeypatch.setattr(own_table, "size_or_flaw", recorded)
    (photographs / "cut.jpg").write_bytes(SCENE.read_bytes()[:1500])
    rows = ("a.jpg,x,no", "cut.jpg,x,no", "a.jpg,,no", "cut.jpg,y,no", "a.jpg,y,no")
    (tmp_path / "t.csv").write_text("\n".join(("image,text,target", *rows)))
    with pytest.raises(DataError, match="3 of 5 lines are wrong, listed above") as raised:
        make(Path("t.csv"), Path("photographs"), MODEL, Path("mine"))
    assert "[line 3]: image cut.jpg in photographs: image file is truncated" in raised.value.listed[0]
    assert raised.value.listed[1] == "the same: line 5" and "[line 4]: the text is empty" in raised.value.listed[2]
    assert read == ["a.jpg", "cut.jpg"] and not Path("mine").exists()


def test_all_bad_rows_are_listed(photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,text,target\na.jpg,,no\nz.jpg,x,no\na.jpg,x,no\n")
    with pytest.raises(DataError, match="2 of 3 lines are wrong, listed above") as raised:
        make(Path("t.csv"), Path("photographs"), MODEL, Path("mine"))
    assert ["line 2" in raised.value.listed[0], "line 3" in raised.value.listed[1]] == [True, True]


@pytest.mark.parametrize(
    ("named", "images", "advised"),
    [
        ("photographs/sub", ["a.jpg", "b.JPG", "a.jpg"], "photographs"),  # above; one of them is there
        (".", ["a.jpg", "b.JPG"], "photographs"),  # in it
        ("other", ["a.jpg", "c.png"], "photographs"),  # beside
        ("photographs", ["photographs/a.jpg", "photographs/c.png"], "."),
        ("photographs", ["x.jpg", "y.jpg"], None),
        ("photographs", ["x.jpg", "x.jpg"], None),
    ],
)
def test_a_wrong_folder_of_images_is_said_in_one_line(
    named: str, images: list[str], advised: str | None, photographs: Path, tmp_path: Path
) -> None:
    Path("other").mkdir()
    Path("photographs/sub/a.jpg").unlink()
    rows = "".join(f"{image},x,no\n" for image in images)
    (tmp_path / "t.csv").write_text(f"image,text,target\n{rows}")
    which = f"none of its {len(set(images))} images is" if len(set(images)) > 1 else "its image is not"
    said = re.escape(f"t.csv: {which} in {named}: there is no {Path(named, images[0])} -> ")
    remedy = "use --images to name the folder" if advised is None else f"name .*: --images {advised}$"
    with pytest.raises(DataError, match=f"^{said}{remedy}") as caught:
        make(Path("t.csv"), Path(named), MODEL, Path("mine"))
    assert not caught.value.listed
    if advised is not None:  # the images are found there: what is wrong now is that a test needs more of them
        with pytest.raises(DataError, match="at least 3 different images, found 2"):
            make(Path("t.csv"), Path(advised), MODEL, Path("mine"))


def test_not_all_bad_rows_are_said_to_be_listed(photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,text,target\na.jpg,x,no\n" + "z.jpg,x,no\n" * 11)
    with pytest.raises(DataError, match="11 of 12 lines are wrong, the first 10 are listed above -> correct") as raised:
        make(Path("t.csv"), Path("photographs"), MODEL, Path("mine"))
    assert raised.value.listed[-1] == "and 1 more"


@pytest.mark.parametrize(
    ("content", "columns", "said"),
    [
        (
            b"my scan,text,target\n",
            {},
            "[line 1]: expected a column image, found my scan, text, target -> if my scan is this column, rename it to "
            "image, or add --image-column 'my scan'",
        ),
        (b"scan,id,text,target\n", {}, "found scan, id, text, target -> name the column with --image-column, or call"),
        (
            b"\nred?,a.JPG,yes\nred?,b.JPG,no\n",
            {},
            "[line 2]: expected the names of columns, found red?, a.JPG, yes -> write a line above it that names your "
            "columns in their order, such as text,image,target",
        ),
        (b"a.jpg,yes,red?\n", {}, "names your columns in their order, such as image,text,target"),
        (b"a.jpg,text,target\n", {}, "expected a column image, found a.jpg, text, target"),
        (b"a,b\n", {"text": "be"}, "expected a column be, found a, b"),
        (b"question,text2\n", {"text": "texd2"}, '(did you mean "text2"?) -> name the column with --text-column'),
        (b"image,text,answer,label\n", {}, "expected one column target, found answer, label -> name the column with"),
        (b"image,image,text\n", {}, "[line 1]: several columns are called image -> rename all of them but one"),
        (b"", {}, "t.csv is empty -> write a first line of column names, such as text,image,target"),
        (b"\n , \n", {}, "t.csv is empty -> write"),
        (b"sep=;", {}, "t.csv is empty -> write"),
        (
            b"image,text,target\n",
            {"text": "target"},
            "[line 1]: the column target would be both text and target -> name another column with --text-column",
        ),
        (b"image,question,x\n", {"target": "question"}, "both target and text -> name another column with --target-"),
        (
            f"image,text,target,{'x' * 140_000}\n".encode(),
            {},
            "t.csv [line 1] cannot be read as CSV: field larger than field limit (131072) -> shorten this cell; if it",
        ),
        (b"image,text,target\n", {}, "has no rows below its header -> write a row for each example"),
        (b"PK\x03\x04\xff\xff", {}, "is not text in UTF-8 (byte 4) -> save the table as CSV in UTF-8"),
        ("image,text,target\na.jpg,schön,x".encode("latin-1"), {}, "is not text in UTF-8 (byte 27)"),
        ("image,text".encode("utf-16"), {}, "is not text in UTF-8 (byte 0)"),
        ("image,text".encode("utf-16-le"), {}, "is not text: it has NUL characters -> save the table as CSV"),
    ],
)
def test_what_is_no_table_is_refused(
    content: bytes, columns: dict[str, str | None], said: str, photographs: Path, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=re.escape(said)):
        read_table(tmp_path / "t.csv", photographs, "answer", columns)


def test_a_column_can_be_named(photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("photo,image,text,q,answer,label\na.jpg,z,z,why?,z,yes\n")
    columns: dict[str, str | None] = {"text": "q", "image": "photo", "target": "label"}
    (row,), called = read_table(tmp_path / "t.csv", photographs, "answer", columns)
    assert (row.text, row.name, row.target) == ("why?", "a.jpg", "yes") and called == columns


def test_a_column_of_photos_is_one_of_images(photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Photo,text,target\na.jpg,why?,yes\n")
    (row,), called = read_table(tmp_path / "t.csv", photographs, "answer", {})
    assert (row.name, called["image"]) == ("a.jpg", "Photo")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["faces.cvs"], 'faces.cvs: no such file (did you mean "faces.csv"?) -> name the table'),
        (["."], ". is a folder, not a table -> name the table in it"),
        (["--images", "nowhere"], "nowhere: no such folder of images"),
        (["--init", "nowhere"], "nowhere: no such folder -> name a run's folder or a model's folder"),
        (["--name", "Mine"], "found 'Mine' -> choose another, such as --name mine"),
        (["--name", "vqa"], "vqa is a known dataset, which reads its official files -> choose another"),
        (["--kind", "region"], "unknown --kind 'region' -> choose among answer, entailment, retrieval; for others"),
        (["--kind", "answers"], "unknown --kind 'answers' (did you mean \"answer\"?)"),
        (["--test", "faces.csv", "--test-fraction", "0.2"], "expected --test or --test-fraction, found both"),
        (["--test", "faces.csv"], "faces.csv [line 2, the first]: 40 of 40 test rows are about images that the"),
        (["--out", "."], "expected the name of a new folder -> name one: --out mine"),
        (["--out", "faces.csv"], "faces.csv: expected a folder, found a file"),
        (["--out", "full"], "full: this folder is not empty -> name a new one: --out full-3"),
        (["--kind", "entailment"], "expected a target entailment, neutral, contradiction, found yes -> write one of"),
    ],
)
def test_a_mistake_in_an_option_writes_nothing(words: list[str], said: str, faces: Path) -> None:
    for name in ("full", "full-2"):
        Path(name).mkdir()
        Path(name, "x").touch()
    options = {"--images": str(IMAGES), "--init": str(MODEL), "--out": "mine"}
    table = [faces.name] if words[0].startswith("--") else [words.pop()]
    options |= dict(zip(words[::2], words[1::2], strict=True))
    failed = run("data", "table", *table, *(word for pair in options.items() for word in pair))
    assert isinstance(failed.exception, TwelveError)
    assert said in "\n".join([*failed.exception.listed, str(failed.exception)])
    assert sorted(path.name for path in Path().iterdir()) == ["faces.csv", "full", "full-2"]


def test_the_remedy_for_a_full_folder_works(faces: Path) -> None:
    """An empty folder is replaced; a run of the same name stays, and the commands name another."""
    Path("runs/mine").mkdir(parents=True)
    Path("my data").mkdir()
    assert "twelve evaluate runs/mine-2" in str(make(faces, IMAGES, MODEL, Path("my data")))
    with pytest.raises(TwelveError, match="not empty") as raised:
        make(faces, IMAGES, MODEL, Path("my data"))
    ours = "add --update to replace the data that this command made there, or name another: --out 'my data-2'"
    assert str(raised.value).endswith(f" -> {ours}")
    _, out = shlex.split(str(raised.value).partition("name another: ")[2])
    make(faces, IMAGES, MODEL, Path(out))
    assert configuration.load(Path(out, "mine.yaml")).run == "runs/mine-2"
    make(faces, IMAGES, MODEL, Path("my data"), update=True)


def test_a_folder_of_something_else_is_not_to_be_updated(faces: Path) -> None:
    shutil.copytree(HOME / "examples" / "tutorial", "mine")
    with pytest.raises(TwelveError, match=r"not empty -> name a new one: --out mine-2$"):
        make(faces, IMAGES, MODEL, Path("mine"))
    for name, more in (("mine", ", and name a new folder: --out mine-2"), ("new", "")):
        said = f"{name}: there is no data of an earlier .* -> leave out --update{more}$"
        with pytest.raises(TwelveError, match=said):
            make(faces, IMAGES, MODEL, Path(name), update=True)
    for name in ("mine-2", "new"):
        make(faces, IMAGES, MODEL, Path(name))


def update(*words: object) -> Any:
    return run("data", "table", "faces.csv", "--images", IMAGES, "--init", MODEL, "--out", "my own", *words, "--update")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_edited_table_is_converted_again_over_the_files_made_from_it(faces: Path) -> None:
    """What the command did not make stays; the image of a row that is gone does not."""
    make(faces, IMAGES, MODEL, Path("my own"))
    others = {"regions/mine/a": b"1", "notes.txt": b"2", "images/mine/other.jpg": b"3"}
    for name, content in others.items():
        Path("my own", name).parent.mkdir(parents=True, exist_ok=True)
        Path("my own", name).write_bytes(content)
    Path("my own/linked").symlink_to("regions")
    (header, first, *rows) = faces.read_text().splitlines()
    faces.write_text("\n".join([header, *rows]) + "\n")
    updated = update()
    assert updated.exit_code == 0, (updated.output, updated.exception)
    assert sum(len(lines(Path("my own", f"{split}.jsonl"))) for split in ("train", "test")) == 39
    found = contents(Path("my own"))
    assert others.items() <= found.items() and Path("my own/linked").readlink() == Path("regions")
    note = json.loads(found.pop(table_origin.FILE))
    gone = first.partition(",")[0]
    assert gone not in str(found) and gone not in str(note["files"]) and [*note["removed"]] == [f"images/mine/{gone}"]
    assert update().exit_code == 0  # a second time, too
    again = contents(Path("my own"))
    assert json.loads(again.pop(table_origin.FILE)) == note and again == found
    assert [path.name for path in Path().iterdir() if path.name.startswith(".")] == []


def test_images_stay_on_their_side_when_answers_are_corrected_and_rows_removed(faces: Path) -> None:
    """So a run that was trained before can be evaluated on the corrected test file."""

    def sides() -> list[set[str]]:
        return [{line["image"] for line in lines(Path("my own", f"{split}.jsonl"))} for split in ("train", "test")]

    make(faces, IMAGES, MODEL, Path("my own"))
    before = sides()
    header, *rows = faces.read_text().splitlines()
    corrected = [row.replace(",yes", ",no") if number % 3 else row for number, row in enumerate(rows[3:])]
    faces.write_text("\n".join([header, *corrected]) + "\n")
    make(faces, IMAGES, MODEL, Path("afresh"), name="mine")
    assert {line["image"] for line in lines(Path("afresh/test.jsonl"))} - before[1]  # would be divided otherwise
    assert update().exit_code == 0
    left = {row.partition(",")[0] for row in corrected}
    assert sides() == [side & left for side in before]
    assert update("--seed", 1).exit_code == 0 and sides() != [side & left for side in before]
    faces.write_text("\n".join([header, *(row for row in corrected if row.partition(",")[0] in sides()[0])]) + "\n")
    refused, before = update("--seed", 1), contents(Path("my own"))
    assert "this leaves no test image -> " in str(refused.exception)
    assert contents(Path("my own")) == before
    assert "--seed with another number" in str(refused.exception) and update("--seed", 2).exit_code == 0
    assert all(sides())


def test_a_side_keeps_enough_images_to_train_on(faces: Path) -> None:
    make(faces, IMAGES, MODEL, Path("my own"))
    tested = {line["image"] for line in lines(Path("my own/test.jsonl"))}
    header, *rows = faces.read_text().splitlines()
    left = [row for row in rows if row.partition(",")[0] in tested]
    left.append(next(row for row in rows if row not in left))
    faces.write_text("\n".join([header, *left]) + "\n")
    assert "this leaves 1 training image, at least 2 are needed -> " in str(update().exception)


@pytest.fixture
def photos(faces: Path) -> Path:
    """The images in a folder beside the table, converted from there."""
    photos = Path("photos")
    shutil.copytree(IMAGES, photos)
    assert from_photos().exit_code == 0
    return photos


def from_photos(*words: str) -> Any:
    return run("data", "table", "faces.csv", "--images", "photos", "--init", MODEL, "--out", "my own", *words)


def test_an_image_that_changes_keeps_its_side_and_no_regions_of_the_earlier_one(photos: Path) -> None:
    """Other images stay the files that they were, so that nothing takes them for newer than their regions."""
    regions, kept = Path("my own/regions/mine"), Path("my own/images/mine")
    before = {split: lines(Path("my own", split)) for split in ("train.jsonl", "test.jsonl")}
    regions.mkdir(parents=True)
    (regions / "mine.arrow").write_bytes(b"of the earlier images")
    changed = [before[split][0]["image"] for split in before]
    times = {path.name: path.stat().st_mtime_ns for path in kept.iterdir()}
    for name in changed:
        Image.open(photos / name).transpose(Image.Transpose.ROTATE_180).save(photos / name)
    refused = from_photos("--update")
    assert f"2 images have changed, and the regions are those of the earlier ones: {' and '.join(changed)} -> " in str(
        refused.exception
    )
    subprocess.run(re.findall(r"rm -r .*", str(refused.exception))[0], shell=True, check=True)
    assert from_photos("--update").exit_code == 0
    assert before == {split: lines(Path("my own", split)) for split in before}
    after = {path.name: path.stat().st_mtime_ns for path in kept.iterdir()}
    assert {name for name, time in times.items() if after[name] != time} == set(changed)
    assert all((kept / name).read_bytes() == (photos / name).read_bytes() for name in times)


EXTRACT = "regions extract --images my\\ own/images/mine --boxes detect --backbone microworld --out my\\ own/regions"


def turned(photo: Path, to: Path) -> None:
    """Write another image."""
    Image.open(photo).transpose(Image.Transpose.ROTATE_180).save(to)


def test_an_image_with_another_ending_takes_no_regions_of_the_earlier_one(photos: Path) -> None:
    """It has the same id. It keeps its side, too."""
    assert run(*shlex.split(EXTRACT)).exit_code == 0
    tested = {Path(line["image"]).stem for line in lines(Path("my own/test.jsonl"))}
    table = Path("faces.csv")
    for photo in list(photos.iterdir()):
        turned(photo, photo.with_suffix(".png"))
    table.write_text(table.read_text().replace("02.jpg", "02.png"))
    before, refused = contents(Path("my own")), from_photos("--update")
    assert "1 image has changed, and the regions are those of the earlier ones: 02.png -> " in str(refused.exception)
    assert contents(Path("my own")) == before
    (photos / "02.png").rename(photos / "new.png")
    table.write_text(table.read_text().replace("02.png", "new.png"))
    assert from_photos("--update").exit_code == 0  # as the remedy says
    header, *rows = table.read_text().replace("new.png", "02.jpg").replace(".jpg", ".png").splitlines()
    table.write_text("\n".join([header, *rows[3:]]) + "\n")  # a new table of these would be divided otherwise
    refused = from_photos("--update")
    subprocess.run(re.findall(r"rm -r .*", str(refused.exception))[0], shell=True, check=True)
    assert from_photos("--update").exit_code == 0
    left = {Path(row.partition(",")[0]).stem for row in rows[3:]}
    assert {Path(line["image"]).stem for line in lines(Path("my own/test.jsonl"))} == tested & left


@pytest.mark.parametrize("noted", [True, False])
def test_a_restored_row_takes_regions_of_its_own_image_only(noted: bool, photos: Path) -> None:
    """Also if the image was removed before the note named images that are gone."""
    assert run(*shlex.split(EXTRACT)).exit_code == 0
    table, note = Path("faces.csv"), Path("my own", table_origin.FILE)
    rows = table.read_text()
    without = "".join(row for row in rows.splitlines(keepends=True) if not row.startswith("03.jpg"))
    for _ in range(2):  # the note of the second call names it, too
        table.write_text(without)
        assert from_photos("--update").exit_code == 0
    tree = json.loads(note.read_text())
    assert list(tree["removed"]) == ["images/mine/03.jpg"]
    if not noted:
        del tree["removed"]
        note.write_text(json.dumps(tree))
    table.write_text(rows)
    original = (photos / "03.jpg").read_bytes()
    turned(photos / "03.jpg", photos / "03.jpg")
    refused = str(from_photos("--update").exception)
    said = "1 image has changed, and the regions are those of the earlier ones: 03.jpg -> "
    assert (said if noted else "1 new image has regions already, perhaps of other images: 03.jpg -> ") in refused
    changed = (photos / "03.jpg").read_bytes()
    (photos / "03.jpg").write_bytes(original)
    if noted:  # the same image is accepted
        assert from_photos("--update").exit_code == 0
        assert not json.loads(note.read_text())["removed"]
        return
    (photos / "03.jpg").write_bytes(changed)
    subprocess.run(re.findall(r"rm -r .*", refused)[0], shell=True, check=True)
    assert from_photos("--update").exit_code == 0


def test_an_update_that_was_killed_between_two_renames_can_be_run_again(faces: Path) -> None:
    made = make(faces, IMAGES, MODEL, Path("my own"))
    (made.out / "notes.txt").write_text("mine")
    made.out.rename(".my own.old")
    assert update().exit_code == 0 and (made.out / "notes.txt").read_text() == "mine"


def test_a_folder_that_an_update_would_take_away_is_refused(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(Path("my own"))
    inside = run("data", "table", "faces.csv", "--images", "my own/images/mine", "--init", MODEL, "--out", "my own")
    assert "this folder is not empty" in str(inside.exception)
    words = ["data", "table", "faces.csv", "--images", "my own/images/mine", "--init", MODEL, "--out", "my own"]
    refused = run(*words, "--update")
    assert "expected a folder of your own images, found their copies" in str(refused.exception)
    subprocess.run(re.findall(r"\((cp .*)\)", str(refused.exception))[0], shell=True, check=True)
    assert contents(Path("photos-2")).keys() == contents(photos).keys()
    monkeypatch.chdir("my own")
    refused = run(
        "data", "table", "../faces.csv", "--images", "../photos", "--init", MODEL, "--out", "../my own", "--update"
    )
    assert "is the folder that you are in, which will be replaced -> leave it (cd " in str(refused.exception)
    assert contents(Path()) == before


def test_a_folder_into_which_something_is_being_written_is_not_replaced(photos: Path) -> None:
    regions = Path("my own/regions/mine/mine.arrow")
    with replacing(regions) as partial:
        partial.write_bytes(b"regions")
        refused = from_photos("--update")
        assert str(refused.exception).startswith("my own/regions/mine: another process is writing here -> wait for it")
    Path("my own/regions/mine/.mine.arrow.lock").touch()  # as of a process that was killed
    with PartWriter(regions.with_stem("more"), pa.schema([], {})):  # of an extraction
        assert "more.arrow.parts: another process is writing here" in str(from_photos("--update").exception)
    assert from_photos("--update").exit_code == 0 and regions.read_bytes() == b"regions"


def test_a_link_is_not_replaced_by_a_folder(photos: Path) -> None:
    Path("my own/images").rename("elsewhere")
    Path("my own/images").symlink_to("../elsewhere")
    refused = from_photos("--update")
    assert str(refused.exception).startswith("my own/images is a link, and not the folder that was made from the table")
    subprocess.run(re.findall(r"\((mv .*)\)", str(refused.exception))[0], shell=True, check=True)
    assert from_photos("--update").exit_code == 0 and not Path("my own/images").is_symlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["my pipe", "images/mine/00.jpg", "regions/mine/.a.lock"])
def test_a_pipe_is_named_and_not_waited_for(name: str, photos: Path) -> None:
    pipe = Path("my own", name)
    pipe.unlink(missing_ok=True)
    pipe.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(pipe)
    (pipe.parent / "link to it").symlink_to(pipe.name)  # later to nothing; stays
    ends = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)  # while it is open, nothing waits for its other end
    try:
        refused = from_photos("--update")
    finally:
        os.close(ends)
    assert str(refused.exception) == f"{pipe} is a named pipe, not a file -> remove it: rm {shlex.quote(str(pipe))}"
    subprocess.run(str(refused.exception).partition("remove it: ")[2], shell=True, check=True)
    assert from_photos("--update").exit_code == 0 and not pipe.is_fifo()


@pytest.mark.parametrize("name", ["train.jsonl", "mine.yaml", "images/mine/00.jpg"])
def test_an_update_replaces_no_file_edited_since(name: str, faces: Path) -> None:
    make(faces, IMAGES, MODEL, Path("my own"))
    edited = Path("my own", name)
    edited.write_bytes(edited.read_bytes() + b" ")
    before = contents(Path("my own"))
    refused = update()
    assert isinstance(refused.exception, TwelveError)
    assert str(refused.exception).startswith(f"my own/{name} has been changed since it was made from the table -> ")
    assert contents(Path("my own")) == before
    subprocess.run(re.findall(r"\((mv .*)\)", str(refused.exception))[0], shell=True, check=True)
    assert update().exit_code == 0
    after = contents(Path("my own"))
    assert after[str(edited.relative_to("my own").with_stem(f"{edited.stem}-kept"))] == before[name]
    assert after[name] == before[name][:-1]


@pytest.mark.parametrize(
    "forged",
    [
        {"command": ["rm", "-r", "."]},
        {"command": ["twelve", "data", "table", "a\nrm -r ."]},
        {"command": "twelve data table"},
        {"command": ["twelve", "data", "table", "a", "--test-fraction", "half"]},
        {"command": ["twelve", "data", "table", "a", "--test-fraction", "nan"]},
        {"tables": {"train.jsonl": "a\x1b[2J"}},
        {"tables": {"train.jsonl": 3}},
        {"files": {"../outside": ""}},
        {"files": {"/dev/zero": ""}},
        {"files": ["train.jsonl"]},
        {"tested": [3]},
        {"removed": {"images/mine/a.jpg": 3}},
        {"digests": {"faces.csv": 3}},
    ],
)
def test_a_note_that_the_command_cannot_have_written_is_not_believed(forged: dict[str, Any], faces: Path) -> None:
    make(faces, IMAGES, MODEL, Path("my own"))
    note = Path("my own", table_origin.FILE)
    assert table_origin.read(Path("my own")) is not None
    note.write_text(json.dumps(json.loads(note.read_text()) | forged))
    assert table_origin.read(Path("my own")) is None


def test_an_update_replaces_no_file_that_it_did_not_make(faces: Path) -> None:
    make(faces, IMAGES, MODEL, Path("my own"))
    Path("my own/boats.yaml").write_text("mine")
    before = contents(Path("my own"))
    refused = update("--name", "boats")
    assert str(refused.exception).startswith("my own/boats.yaml was not made from the table -> move it away, ")
    assert contents(Path("my own")) == before
    subprocess.run(re.findall(r"\((mv .*)\)", str(refused.exception))[0], shell=True, check=True)
    assert update("--name", "boats").exit_code == 0
    after = contents(Path("my own"))
    assert after["boats-kept.yaml"] == b"mine" and "mine.yaml" not in after and "images/mine/00.jpg" not in after


def test_warnings_name_the_lines_of_the_table_and_the_command_that_converts_it_again(faces: Path) -> None:
    """Where the files are made from it: not of files that are edited themselves."""
    question = "could I ride on something here?"
    rows = ["00.jpg,{},no", "00.jpg,{},yes", "01.jpg,{},no", "02.jpg,{},yes", "03.jpg,is it?,yse", "01.jpg,is it?,yse"]
    with faces.open("a") as stream:
        stream.writelines(f"{row.format(question)}\n" for row in rows)
    words = ["faces.csv", "--images", IMAGES, "--init", MODEL, "--out", "my own", "--test-fraction", "0.3"]
    made = run("data", "table", *words).output
    checked = run("data", "check", "my own", "--config", "my own/mine.yaml").output
    for said in (made, checked):
        assert (
            f"different answers in train.jsonl, first: {question!r} about 00.jpg (lines 2, 42 and 43 of faces.csv): "
            in said
        )
        assert f"repeats an earlier one, first: {question!r} about 02.jpg (lines 4 and 45 of faces.csv); remove" in said
        assert re.search(r"'yse' .* may be a misspelling of 'yes' \(.*\): lines 46 and 47 of faces.csv\n", said)
    command = next(line for line in made.splitlines() if line.startswith("to correct lines, edit faces.csv and run: "))
    assert f"note: {command}\n" in checked
    extract, _, train, *_ = [shlex.split(line)[1:] for line in made.partition("next:\n")[2].splitlines()]
    short = [word for key in ("iterations", "eval_every", "save_every") for word in ("--set", f"training.{key}=2")]
    assert run(*extract).exit_code == 0
    check = ["data", "check", "my own", "--config", "my own/mine.yaml"]
    assert (run(*check).exit_code, run(*check, "--strict").exit_code) == (0, 1)
    assert f"note: {command}\n" in run(*train, *short).output
    faces.write_text("\n".join(faces.read_text().splitlines()[:41]) + "\n")
    checked = run(*check).output
    assert "(lines 2, 42 and 43 of faces.csv before it changed): " in checked
    assert (
        f"note: faces.csv has changed since this conversion; to convert again, {command.partition(' and ')[2]}\n"
        in checked
    )
    assert run(*shlex.split(command.partition("run: ")[2])[1:]).exit_code == 0
    checked = run("data", "check", "my own", "--config", "my own/mine.yaml").output
    assert "warning" not in checked and "faces.csv" not in checked
    assert run(*check, "--strict").exit_code == 0
    with open("my own/train.jsonl", "a") as stream:
        stream.write(Path("my own/train.jsonl").read_text().splitlines()[0].replace('"id": ', '"id": 9') + "\n")
    checked = run("data", "check", "my own", "--config", "my own/mine.yaml").output
    assert "repeats an earlier one" in checked and "faces.csv" not in checked


def test_training_images_that_become_test_images_are_said(faces: Path) -> None:
    make(faces, IMAGES, MODEL, Path("my own"))
    trained = {line["image"] for line in map(json.loads, Path("my own/train.jsonl").read_text().splitlines())}
    assert "before" not in update().output
    shown = update("--test-fraction", "0.8").output
    tested = {line["image"] for line in map(json.loads, Path("my own/test.jsonl").read_text().splitlines())}
    count = len(trained & tested)
    assert count > 1 and f"warning: {count} test images were training images before: train again before" in shown
    assert "were training images" not in update("--test-fraction", "0.8").output


def test_what_is_interrupted_leaves_nothing(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(own_task.shutil, "copyfile", full)
    with pytest.raises(TwelveError, match="No space left on device -> free some space"):
        make(faces, IMAGES, MODEL, Path("mine"))
    assert [path.name for path in Path().iterdir()] == ["faces.csv"]


def test_images_of_subfolders_and_of_coco_are_found_again(photographs: Path, tmp_path: Path) -> None:
    """Extraction searches no subfolders, and images named COCO_* would belong to another source."""
    names = ["a.jpg", "sub/a.jpg", "b.JPG", "c.png", "sub/COCO_val2014_000000262148.jpg", "x.jpg.png"]
    for number, name in enumerate(names[4:]):
        Image.new("RGB", (8, 8), (0, 9 * number, 9)).save(photographs / name)
    rows = "".join(f"{name},caption {number}\n" for number, name in enumerate(names))
    (tmp_path / "t.csv").write_text(f"file,caption\n{rows}")
    made = make(tmp_path / "t.csv", photographs, MODEL, Path("mine"), kind="retrieval", name="cups")
    assert "columns: text is caption, image is file\n" in str(made)
    written = lines(Path("mine/train.jsonl")) + lines(Path("mine/test.jsonl"))
    assert {line["text"]: line["image"] for line in written} == {
        f"caption {number}": name
        for number, name in enumerate(["a.jpg", "sub_a.jpg", "b.JPG", "c.png", "sub_262148.jpg", "x.png"])
    }
    assert all(line.keys() == {"id", "text", "image"} for line in written)
    config = configuration.load("mine/cups.yaml")
    assert check_root(DataRoot("mine", own_tasks=own_tasks(config.tasks)), ["cups"]).ok


def test_one_training_image_is_refused(photographs: Path, tmp_path: Path) -> None:
    """Training could not validate on another one; a copy is no other one."""
    shutil.copyfile(photographs / "a.jpg", photographs / "copy.jpg")
    (tmp_path / "t.csv").write_text("image,text,target\na.jpg,x,yes\ncopy.jpg,x,no\n")
    (tmp_path / "test.csv").write_text("image,text,target\nc.png,x,no\n")
    said = r"t.csv: expected at least 2 different images to train on, found 1 -> add rows about other images"
    with pytest.raises(DataError, match=said):
        make(tmp_path / "t.csv", photographs, MODEL, Path("mine"), test=tmp_path / "test.csv")
    assert not Path("mine").exists()


@pytest.mark.parametrize("tested", [True, False])
@pytest.mark.parametrize(("kind", "answer"), [("answer", "yes"), ("entailment", "neutral")])
def test_a_table_with_one_answer_is_refused(
    kind: str, answer: str, tested: bool, photographs: Path, tmp_path: Path
) -> None:
    """A test table may have one."""
    other = {"answer": "no", "entailment": "entailment"}[kind]
    rows = "".join(f"{name},x,{answer}\n" for name in ("a.jpg", "b.JPG", "c.png"))
    (tmp_path / "t.csv").write_text(f"image,text,target\n{rows}")
    (tmp_path / "test.csv").write_text(f"image,text,target\nsub/a.jpg,x,{other}\n")
    test = tmp_path / "test.csv" if tested else None
    said = f"t.csv: all 3 rows have the answer '{answer}', so the model can learn nothing -> add rows with other"
    with pytest.raises(DataError, match=said):
        make(tmp_path / "t.csv", photographs, MODEL, Path("mine"), kind=kind, test=test)
    assert not Path("mine").exists()
    (tmp_path / "t.csv").write_text(f"image,text,target\n{rows}a.jpg,y,{other}\n")
    make(tmp_path / "t.csv", photographs, MODEL, Path("mine"), kind=kind, test=test)


def test_a_long_line_does_not_hide_the_separator(photographs: Path, tmp_path: Path) -> None:
    """Commas would make one cell of it, longer than any may be."""
    names = [f"a column with number {number}" for number in range(6000)]
    (tmp_path / "t.csv").write_text(";".join(["image", "text", "target", *names]) + f"\na.jpg;x;y{';' * len(names)}\n")
    ((row,), _) = read_table(tmp_path / "t.csv", photographs, "answer", {})
    assert (row.text, row.target) == ("x", "y")


def test_two_images_of_one_name_are_refused(photographs: Path, tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(photographs / "c.jpg")
    (tmp_path / "t.csv").write_text("image,text,target\nc.png,x,y\na.jpg,x,y\nc.jpg,x,y\n")
    with pytest.raises(
        DataError, match=r"\[line 4\]: .*c.jpg and .*c.png \(line 2\) would have the same name -> rename"
    ):
        make(tmp_path / "t.csv", photographs, MODEL, Path("mine"))


def test_what_may_be_wrong_is_said_as_elsewhere(photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,text,target\na.jpg,x,yes\nb.JPG,x,no\n")
    (tmp_path / "test.csv").write_text("image,text,target\nc.png,x,perhaps\n")
    made = str(make(tmp_path / "t.csv", photographs, MODEL, Path("mine"), test=tmp_path / "test.csv"))
    assert "train.jsonl: 2 examples of 2 images: no (1), yes (1); 1 to train on, 1 for validation\n" in made
    assert "test.jsonl: 1 example of 1 image: perhaps (1)\n" in made
    for warning in (
        "mine has 2 training examples: fewer than 20 often teach nothing",
        "the answer to 1 of 1 questions never occurs in train.jsonl, so training cannot teach it: perhaps (1)",
    ):
        assert f"\nwarning: {warning}" in made


def test_a_warning_has_a_remedy_that_works(photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,text,target\na.jpg,x,yes\nb.JPG,x,yes\nc.png,x,yse\nsub/a.jpg,x,yes\n")
    words = ["data", "table", tmp_path / "t.csv", "--images", photographs, "--init", MODEL, "--out", "my own"]
    for again in ((), ("--update",)):
        made = run(*words, *again)
        remedy = f"to correct lines, edit {words[2]} and run: {shlex.join(['twelve', *map(str, words), '--update'])}\n"
        assert made.exit_code == 0 and made.output.index("\nwarning: ") < made.output.index(f"\n{remedy}")


@pytest.mark.parametrize(("count", "fraction"), [(30, 0.35), (38, 0.45), (29, None), (12, None)])
def test_of_a_small_table_a_smaller_test_share_is_advised_that_ends_the_warning(
    count: int, fraction: float | None, faces: Path
) -> None:
    header, *rows = faces.read_text().splitlines()
    faces.write_text("\n".join([header, *rows[:count]]) + "\n")
    (warning,) = [line for line in make(faces, IMAGES, MODEL, Path("mine")).told if line.startswith("warning")]
    plan = "add rows: plan for 60 training examples (docs/tutorial.md, “More images”)"
    if fraction is None:  # of which too few images would be left to test on
        assert warning.endswith(f"compare the test score with the baselines; {plan}")
        return
    test = int(fraction * count)
    left = f"{count - test} for training and validation, {test} for the test; or, better, {plan}"
    assert warning.endswith(f"; --test-fraction {fraction} leaves {left}")
    again = "\n".join(make(faces, IMAGES, MODEL, Path("again"), fraction=fraction).told)
    assert "warning" not in again and f"test.jsonl: {test} examples" in again


@pytest.mark.parametrize(
    ("kind", "target", "asked"),
    [
        ("entailment", "neutral", "twelve predict runs/own --image own/images/own/{image} --entails 'a cup'"),
        ("retrieval", "", "twelve match runs/own 'a cup' --images own/images/own"),
    ],
)
def test_the_last_command_asks_as_the_kind_of_the_task_does(
    kind: str, target: str, asked: str, photographs: Path, tmp_path: Path
) -> None:
    """The text that it asks has one line, and is no option."""
    targets = {"a.jpg": target, "b.JPG": target, "c.png": target and "contradiction"}
    rows = [f"{name},a cup,{each}\n" for name, each in targets.items()]
    (tmp_path / "t.csv").write_text("".join(["image,text,target\n", *rows]))
    made = make(tmp_path / "t.csv", photographs, MODEL, Path("own"), kind=kind)
    image = lines(Path("own/test.jsonl"))[0]["image"]
    assert made.commands[-1] == asked.format(image=image)
    for text in ('"two\nlines"', "--help"):
        (tmp_path / "t.csv").write_text("".join(["image,text,target\n", *rows]).replace("a cup", text))
        assert make(tmp_path / "t.csv", photographs, MODEL, tmp_path / f"own{len(text)}", kind=kind).commands[-1] == (
            f"twelve report runs/own{len(text)}"
        )


def test_all_missing_columns_are_told_at_once(photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Bild,Frage,Antwort\na.jpg,x,yes\n")
    with pytest.raises(DataError) as raised:
        read_table(tmp_path / "t.csv", photographs, "answer", {})
    assert [(each.problem, each.remedy) for each in (raised.value, *raised.value.others)] == [
        (
            f"expected a column {field}, found Bild, Frage, Antwort",
            f"name the column with --{field}-column, or call it {field}, {others} ...",
        )
        for field, others in {"text": "question, ask", "image": "img, image_path", "target": "answer, answers"}.items()
    ]


def test_each_empty_cell_has_its_remedy(photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,text,target\na.jpg,,yes\nb.JPG,x,\n")
    with pytest.raises(BadLines) as raised:
        read_table(tmp_path / "t.csv", photographs, "answer", {})
    assert [line.partition(" -> ")[2] for line in raised.value.listed] == [
        f"write the {field} into the cell, or remove the row" for field in ("text", "target")
    ]


def test_a_model_of_imported_regions_says_so(faces: Path, tmp_path: Path) -> None:
    shutil.copytree(MODEL, tmp_path / "model")
    fields = json.loads((MODEL / CONFIG_FILE).read_text())
    (tmp_path / "model" / CONFIG_FILE).write_text(json.dumps(fields | {"region_recipes": {}}))
    made = make(faces, IMAGES, tmp_path / "model", Path("mine"))
    assert (
        made.commands[0] == "extract regions into mine/regions in the same way as the model's regions (docs/regions.md)"
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Forty files, the last four of which are copies of the first four."""
    found = [tmp_path_factory.mktemp("images") / f"{number}.jpg" for number in range(40)]
    for number, path in enumerate(found):
        path.write_bytes(bytes([number % 36]))
    return found


@given(
    st.lists(st.tuples(st.integers(0, 39), st.sampled_from(["yes", "no", "red", None])), min_size=1, max_size=99),
    st.floats(0.01, 0.99),
    st.integers(0, 9),
)
def test_no_image_is_on_both_sides(
    files: Sequence[Path], drawn: list[tuple[int, str | None]], fraction: float, seed: int
) -> None:
    rows = [
        ExampleRow(f"line {at}", "x", files[number], files[number].name, target)
        for at, (number, target) in enumerate(drawn)
    ]
    targets = defaultdict(list)
    for number, target in drawn:
        targets[number % 36].append(target or "")
    if len(targets) < LEAST:
        with pytest.raises(DataError, match=f"expected at least 3 different images, found {len(targets)} -> add rows"):
            divided(rows, fraction, seed, Path("t.csv"))
        return
    train, test = divided(rows, fraction, seed, Path("t.csv"))
    assert sorted([*train, *test], key=rows.index) == rows  # each once
    assert (train, test) == divided(rows, fraction, seed, Path("t.csv"))
    sides = [{row.image.read_bytes()[0] for row in side} for side in (train, test)]
    assert not sides[0] & sides[1]
    count = len(sides[1])
    assert len(sides[0]) >= 2 and count >= 1
    assert abs(count - fraction * len(targets)) <= 2
    kinds = Counter(tuple(sorted(each)) for each in targets.values())
    tested = Counter(tuple(sorted(targets[number])) for number in sides[1])
    for kind, total in kinds.items():  # the same share of each
        assert abs(tested[kind] - total * count / len(targets)) < 1


@pytest.mark.parametrize("distinct", [False, True])
def test_another_seed_chooses_other_images(distinct: bool, files: Sequence[Path]) -> None:
    rows = [ExampleRow("", "x", path, path.name, path.name if distinct else "yes") for path in files]
    chosen = {frozenset(row.name for row in divided(rows, 0.5, seed, Path("t.csv"))[1]) for seed in range(5)}
    assert len(chosen) == 5
