"""Test images that the base model was trained on: recognised by their content, whatever they are called."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from PIL import Image
from rich.console import Console

from twelve import config as configuration
from twelve.data import image_digests as digests_of
from twelve.data.image_digests import image_digests
from twelve.data.table_origin import TableOrigin
from twelve.errors import CheckpointError
from twelve.formats.data_root import DRAWN, DataRoot
from twelve.model.processor import TwelveProcessor
from twelve.report.write import write_report
from twelve.runs.base_images import BaseImages, OfTask
from twelve.runs.evaluate import evaluate_run
from twelve.runs.push import assemble
from twelve.runs.train import train
from twelve.types.trained_images import BYTES, TrainedImages, sound

TRAIN, TEST = range(8), range(8, 12)
UNCOMPARED = "not compared with these sets: the images that the base model,"


def world(root: Path, name: str, seed: int) -> Path:
    """A data root with images of one's own, no two alike, and questions about them."""
    rng = np.random.default_rng(seed)
    (root / "images" / name).mkdir(parents=True)
    for number in (*TRAIN, *TEST):
        pixels = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "images" / name / f"{number}.png")
    write_questions(root, name, "train.jsonl", TRAIN)
    write_questions(root, name, "test.jsonl", TEST)
    tiny.write_regions(root / "regions", {f"{name}/{number}": number for number in (*TRAIN, *TEST)})
    (root / "tokenizer").mkdir()
    (root / "tokenizer" / "vocab.txt").write_text("\n".join(tiny.WORDS) + "\n")
    return root


def write_questions(root: Path, name: str, file: str, numbers: range | list[int]) -> None:
    lines: list[dict[str, Any]] = [
        {"text": "what is it", "image": f"{name}/{number}", "target": tiny.COLOURS[tiny.colour_of(number)]}
        for number in numbers
    ]
    tiny.write_lines(root / file, lines)


def trained(root: Path, name: str, run: Path, init: Path | None = None) -> tuple[Path, str]:
    """A run on a world, and what its training said."""
    mine = {"kind": "answer", "train": "train.jsonl", "test_split": "test.jsonl", "images": name, "batch_size": 4}
    tree = tiny.tree(root, run, sources={}, tasks={name: mine | {"max_text": 12}})
    tree["training"] |= {"iterations": 2, "eval_every": 2, "save_every": 2}
    if init is not None:
        tree["model"] = {"init": str(init)}
    said = io.StringIO()
    train(configuration.parse(tree), console=Console(file=said, width=10_000))
    return run, said.getvalue()


def evaluated(run: Path, *settings: str) -> str:
    """What an evaluation said."""
    said = io.StringIO()
    evaluate_run(run, settings=settings, console=Console(file=said, width=10_000))
    return said.getvalue()


def recorded(run: Path) -> TrainedImages | None:
    return TwelveProcessor.from_pretrained(run / "model").trained_images


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in ``run`` on the world in ``root``."""
    folder = tmp_path_factory.mktemp("base")
    trained(world(folder / "root", "mine", 0), "mine", folder / "run")
    return folder


def validated(run: Path) -> set[str]:
    return set(json.loads((run / "validation_images.json").read_text())["validation"])


def test_a_run_records_the_images_that_it_trained_on(base: Path) -> None:
    found = recorded(base / "run")
    kept = {f"mine/{number}" for number in TRAIN} - validated(base / "run")
    digests = image_digests(sorted(kept), DataRoot(base / "root"), {})
    assert found == TrainedImages(frozenset(content for content, _ in digests.values())) and len(found.digests) == 6
    assert not any(of_id for _, of_id in digests.values())  # in another data root, mine/1 is another image


def test_a_test_image_that_the_run_was_trained_on_is_told_whatever_it_is_called(base: Path, tmp_path: Path) -> None:
    """As after a table has been divided anew: by its content."""
    root, run = tmp_path / "root", tmp_path / "run"
    shutil.copytree(base / "root", root)
    shutil.copytree(base / "run", run)
    assert "trained on" not in evaluated(run, f"data={root}")
    known = [number for number in TRAIN if f"mine/{number}" not in validated(run)]
    for number, theirs in ((9, known[0]), (11, known[1])):
        shutil.copy(root / "images" / "mine" / f"{theirs}.png", root / "images" / "mine" / f"{number}.png")
    told = "the model was trained on 2 of test.jsonl's 4 images, so this is not a test score"
    assert f"warning: mine: {told}\n" in evaluated(run, f"data={root}")
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace(str(base / "root"), str(root)))
    evaluated(run)
    page = write_report(run).read_text()
    assert "It was trained on 2 test images of mine. So its score is not a test score." in page


def copy(base: Path, root: Path, into: dict[int, int]) -> None:
    """Overwrite images of ``root`` by copies of training images of the base model: number there -> in the base."""
    for number, theirs in into.items():
        shutil.copy(base / "root" / "images" / "mine" / f"{theirs}.png", root / "images" / "yours" / f"{number}.png")


def test_a_copy_under_another_name_is_found_and_the_remedy_works(base: Path, tmp_path: Path) -> None:
    root = world(tmp_path / "root", "yours", 1)
    known = [number for number in TRAIN if f"mine/{number}" not in validated(base / "run")]
    copy(base, root, {9: known[0], 11: known[1], 3: known[2]})  # 3 is trained on again
    run, said = trained(root, "yours", tmp_path / "run", base / "run")
    warning = (
        "warning: 2 of 4 test images of yours were used to train the base model: the score may be too high; remove "
        f"the lines of 11.png, 9.png in {root / 'test.jsonl'}, then train anew: --set run=ANOTHER\n"
    )
    assert warning in said and UNCOMPARED not in said
    found = json.loads((run / "data.json").read_text())["base_images"]
    seen = ["yours/11", "yours/9"]
    assert found == {"complete": True, "tasks": {"yours": {"images": 4, "compared": 4, "seen": seen}}}
    page = write_report(run).read_text()
    assert "2 of 4 test images of yours were used to train the base model" in page and "not compared" not in page
    assert "yours/11, yours/9" in page
    told = "of 4 test images of yours were used to train the base model: the score may be too high"
    assert f"\nwarning: 2 {told}\n" in evaluated(run)
    assert f"2 {told}." in write_report(run).read_text() and f"2 {told}." in (run / "model/README.md").read_text()
    assert "base model" not in evaluated(run, f"data={base / 'root'}", "tasks.yours.images=mine")
    write_questions(root, "yours", "test.jsonl", [8, 10, 11])
    assert "warning: 1 of 3 test images of yours was used" in evaluated(run, "evaluation.resamples=100")
    write_questions(root, "yours", "test.jsonl", [8, 10])
    assert "base model" not in evaluated(run, "evaluation.resamples=100")
    again, said = trained(root, "yours", tmp_path / "again", base / "run")
    assert "none of the test images was used to train the base model (compared: 2 of yours)\n" in said
    assert "warning: 2 of" not in said and UNCOMPARED not in said
    assert "one of the test images was used to train the base model" in write_report(again).read_text()


def test_the_remedy_for_files_made_from_a_table_edits_the_table(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Converting the table again would refuse an edited test.jsonl."""
    root = world(tmp_path / "root", "yours", 1)
    known = [number for number in TRAIN if f"mine/{number}" not in validated(base / "run")]
    copy(base, root, {9: known[0]})
    origin = TableOrigin(["twelve", "data", "table", "my.csv", "--update"], {"test.jsonl": "my.csv"}, {}, [])
    monkeypatch.setattr("twelve.data.table_origin.of_split", lambda root, split: origin)
    _, said = trained(root, "yours", tmp_path / "run", base / "run")
    anew = "then train anew: --set run=ANOTHER"
    assert f"; remove the lines of 9.png in my.csv, run: twelve data table my.csv --update, {anew}\n" in said


def test_all_of_many(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twelve.runs.base_images.NAMED", 1)
    root = world(tmp_path / "root", "yours", 1)
    known = [number for number in TRAIN if f"mine/{number}" not in validated(base / "run")]
    copy(base, root, dict(zip(TEST, known, strict=False)))
    run, said = trained(root, "yours", tmp_path / "run", base / "run")
    listed = f"10.png and 3 more, listed in {run / 'data.json'}, in {root / 'test.jsonl'}, then train anew"
    assert "4 of 4 test images of yours were used" in said and f"; replace the lines of {listed}" in said


def test_a_dataset_whose_images_are_known_by_their_ids(tmp_path: Path) -> None:
    """The remedy, a new model, works."""
    first, second = tiny.make(tmp_path / "first", 24, 4), tiny.make(tmp_path / "second", 8, 4)

    def run_of(root: Path, name: str, *settings: str) -> str:
        tree = tiny.tree(root, tmp_path / name)
        tree["tasks"] = {"vqa": tree["tasks"]["vqa"]}
        tree["training"] |= {"iterations": 2, "eval_every": 2, "save_every": 2}
        said, file = io.StringIO(), tmp_path / f"{name}.yaml"
        file.write_text(json.dumps(tree))
        train(configuration.load(file, settings), console=Console(file=said, width=10_000))
        return said.getvalue()

    assert "base model" not in run_of(first, "base")
    said = run_of(second, "run", f"init={tmp_path / 'base'}")
    told = re.search(r"warning: \d of 4 test images .* used to train the base model: .* new one: (.*)", said)
    assert told is not None and told[1] == "--set model.init=null --set run=ANOTHER", said
    run = str(tmp_path / "another")
    assert "base model" not in run_of(second, "run", f"init={tmp_path / 'base'}", "init=null", f"run={run}")


def test_other_images_of_the_same_name_are_not_found_and_a_third_run_inherits(base: Path, tmp_path: Path) -> None:
    root = world(tmp_path / "root", "mine", 2)
    run, said = trained(root, "mine", tmp_path / "run", base / "run")
    assert "none of the test images was used to train the base model (compared: 4 of mine)\n" in said
    first, second = recorded(base / "run"), recorded(run)
    assert first and second and first.digests < second.digests and len(second.digests) == 12 and second.complete
    assemble(run, tmp_path / "pushed", "owner/model")
    assert TwelveProcessor.from_pretrained(tmp_path / "pushed").trained_images == second
    third = world(tmp_path / "third", "yours", 3)
    copy(base, third, {number: theirs for number, theirs in zip(TEST, range(4), strict=True)})
    _, said = trained(third, "yours", tmp_path / "last", tmp_path / "pushed")
    count = sum(f"mine/{number}" not in validated(base / "run") for number in range(4))
    assert f"warning: {count} of 4 test images of yours w" in said


def test_a_base_model_without_a_record(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base / "run" / "model", tmp_path / "older")
    file = tmp_path / "older" / "processor_config.json"
    tree = json.loads(file.read_text())
    del tree["trained_images"]
    file.write_text(json.dumps(tree))
    root = world(tmp_path / "root", "yours", 4)
    run, said = trained(root, "yours", tmp_path / "run", tmp_path / "older")
    assert f"{UNCOMPARED} {tmp_path / 'older'}, was trained on\n" in said
    assert "base_images" not in json.loads((run / "data.json").read_text())
    assert "; the images that the base model was trained on were not compared." in write_report(run).read_text()
    found = recorded(run)
    assert found and not found.complete and len(found.digests) == 6
    _, said = trained(base / "root", "mine", tmp_path / "next", run)
    more = "; not all training images of the base model are recorded with their content: there may be more\n"
    assert f"none of the test images was used to train the base model (compared: 4 of mine){more}" in said


def test_no_files_at_all(base: Path, tmp_path: Path) -> None:
    """Of images of one's own, whose ids say nothing."""
    root = world(tmp_path / "root", "yours", 5)
    shutil.rmtree(root / "images")
    run, said = trained(root, "yours", tmp_path / "run", base / "run")
    assert UNCOMPARED in said
    found = recorded(run)
    assert found and not found.complete and found.digests == recorded(base / "run").digests  # type: ignore[union-attr]


def test_public_images_are_known_by_their_ids_also_in_another_source(tmp_path: Path) -> None:
    found = image_digests(["coco/1", "vg/7", "coco/2"], DataRoot(tmp_path), {"vg/7": "coco/1"})
    assert found["coco/1"] == found["vg/7"] != found["coco/2"] and all(not content for content, _ in found.values())
    (tmp_path / DRAWN).write_text("{}")  # two microworlds have other images with the same ids
    assert set(image_digests(["coco/1", "vg/7"], DataRoot(tmp_path), {}).values()) == {(b"", b"")}


def test_files_that_have_not_changed_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWELVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests_of, "MANY", 2)
    root = world(tmp_path / "root", "mine", 6)
    images = [f"mine/{number}" for number in TRAIN]
    before = image_digests(images, DataRoot(root), {})
    with monkeypatch.context() as patched:
        patched.setattr(digests_of, "content_digest", None)
        assert image_digests(images, DataRoot(root), {}) == before
    (root / "images" / "mine" / "3.png").write_bytes(b"other")
    after = image_digests(images, DataRoot(root), {})
    assert {image for image in images if before[image] != after[image]} == {"mine/3"}


DIGESTS = [bytes([number] * BYTES) for number in range(1, 4)]


def packed(digests: list[bytes]) -> str:
    return base64.b64encode(b"".join(digests)).decode()


@pytest.mark.parametrize(
    "damaged",
    [
        [],
        {"digests": packed(DIGESTS)},
        {"digests": packed(DIGESTS), "complete": 1},
        {"digests": packed(DIGESTS), "complete": True, "more": 1},
        {"digests": [1, 2], "complete": True},
        {"digests": packed(DIGESTS)[:-4], "complete": True},
        {"digests": packed(DIGESTS)[:-1], "complete": True},
        {"digests": packed(DIGESTS)[:-1] + "é", "complete": True},
        {"digests": packed(DIGESTS)[:-1] + "\n", "complete": True},
        {"digests": packed(DIGESTS[::-1]), "complete": True},
        {"digests": packed([DIGESTS[0]] * 2), "complete": True},
    ],
)
def test_a_damaged_record_is_refused(base: Path, tmp_path: Path, damaged: object) -> None:
    assert not sound(damaged)
    shutil.copytree(base / "run" / "model", tmp_path / "model")
    file = tmp_path / "model" / "processor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"trained_images": damaged}))
    problem = rf"{re.escape(str(file))}: trained_images must hold digests of training images -> use the file saved with"
    with pytest.raises(CheckpointError, match=problem):
        TwelveProcessor.from_pretrained(tmp_path / "model")


def test_more_images_than_a_folder_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = TrainedImages(frozenset(DIGESTS))
    assert sound(whole.to_tree()) and TrainedImages.from_tree(whole.to_tree()) == whole
    monkeypatch.setattr("twelve.types.trained_images.MOST", 2)
    assert not sound({"digests": packed(DIGESTS), "complete": True})
    assert whole.to_tree() == {"digests": "", "complete": False}


def found(*tasks: tuple[int, int, int], complete: bool = True) -> dict[str, str]:
    each = {f"t{n}": OfTask(images, compared, ["x"] * seen) for n, (images, compared, seen) in enumerate(tasks)}
    return BaseImages(complete, each).sentences({"t0": "One"})


def test_sentences() -> None:
    one = "1 of 9 test images of One was used to train the base model: the score may be too high"
    more = "not all training images of the base model are recorded with their content: there may be more"
    assert found((10, 9, 1)) == {"t0": one} and found((10, 9, 1), complete=False) == {"t0": one, "": more}
    none = "none of the test images was used to train the base model (compared: 9 of 1,000 of One, 5 of t1)"
    assert found((1000, 9, 0), (5, 5, 0)) == {"": none}
    assert found((9, 9, 1), (5, 5, 2)).keys() == {"t0", "t1"}
