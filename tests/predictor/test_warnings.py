"""What is asked of a model that does not know such images or words is answered with a warning, and nothing else is."""

from __future__ import annotations

import base64
import copy
import csv
import io
import json
import pickle
import re
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tiny_model
from PIL import Image
from typer.testing import CliRunner

import twelve
from twelve.cli import app
from twelve.errors import CheckpointError, InputError
from twelve.microworld.draw import draw
from twelve.microworld.scene import sample_scene
from twelve.model.bert_tokenizer import SPECIAL, wordpieces
from twelve.model.familiarity import BEYOND, LEAST, familiarity_of
from twelve.model.known_words import FEW, words_in
from twelve.outputs.parts.warned import CODES, HARMLESS, Warned
from twelve.predictor import Predictor, Scene
from twelve.predictor.measured import TaskStanding
from twelve.predictor.warnings import (
    FEW_SHARED,
    FOREIGN,
    LEFT_OUT,
    NO_REGION,
    OTHER_SPELLING,
    UNKNOWN_WORDS,
    of_text,
    words_of,
)
from twelve.types.half_precision import as_tensor

KNOWN = "what colour is the ball ?"
RARE = f"{UNKNOWN_WORDS}: "
UNKNOWN = "which breed is that puppy?"


def test_a_word_is_known_by_its_pieces() -> None:
    processor = twelve.TwelveProcessor(
        wordpieces(
            [*SPECIAL, *("the", "is", "car", "phone", "do", "4", "c", "d", ".", ","), *(f"##{a}" for a in "2agopets")]
        )
    )
    found = dict(words_of(processor, "The car's phones, is THE carpet. dog dogs 42 zebra ?"))
    assert found == {
        "The": True,
        "car": True,
        "s": False,  # no piece at all
        "phones": True,  # one letter of six alone
        "is": True,
        "THE": True,
        "carpet": False,  # spelt: three of six letters alone
        "dog": False,  # one of three
        "dogs": False,
        "42": False,
        "zebra": False,
    }


def test_known_words_give_no_warning(scene: Scene) -> None:
    for found in (scene.answer(KNOWN), scene.locate("the red ball"), scene.entails("the ball is red")):
        assert found.warnings == () and "warning" not in str(found) and found.to_dict()["warnings"] == []


def test_unknown_words_are_named_in_every_answer(model: Predictor, scene: Scene) -> None:
    boxes = [(5, 5, 40, 40), (50, 20, 90, 60)]
    for found in (
        scene.answer(UNKNOWN),
        scene.locate("puppies"),
        scene.entails("kittens sleep"),
        scene.choose("which puppy?", boxes),
        scene.guess([("puppy?", "no"), ("lizard?", "no")], boxes),
        model.verify(scene, scene, "zebras graze"),
    ):
        assert len(found.warnings) == 1 and RARE in found.warnings[0]
        assert str(found) == f"{found.line}\nwarning: {found.warnings[0]}"
        assert json.loads(found.to_json())["warnings"] == [{"code": "unknown_words", "text": found.warnings[0]}]
    matched = model.match([scene], [KNOWN, "zebras graze"])
    assert [warning.partition(":")[0] for warning in matched.warnings] == ["zebras graze"]
    assert json.loads(matched.to_json())["warnings"] == [{"code": "unknown_words", "text": matched.warnings[0]}]
    assert str(matched).endswith(f"\nwarning: {matched.warnings[0]}")


def test_one_unknown_word_is_enough(scene: Scene) -> None:
    (warning,) = scene.locate("the red ball is a giraffe").warnings
    assert warning == f"{RARE}giraffe"


def test_a_known_spelling_is_read_for_an_unknown_one(folder: Path) -> None:
    model = twelve.load(folder)
    model.processor.known_words = words_in(
        model.processor.tokenizer, [["what colour is the gray ball ? is it at a theater or theatre ?"] * FEW]
    )
    read = partial(of_text, model.processor)
    assert read(["what Color, is the ball?"]) == (f"{OTHER_SPELLING}: Color as Colour",)
    assert read(["colour grey", "grey giraffe"]) == (f"{OTHER_SPELLING}: grey as gray", f"{RARE}giraffe")
    assert read(["what is the center ?"]) == (f"{RARE}center",)  # nor is centre known
    assert not read(["what colour is the theatre ? the theater ? gray ?"])
    scene = model.scene(Image.new("RGB", (64, 48)))
    for there, here in (("what color is it?", "what colour is it?"), ("a grey ball", "a gray ball")):
        other, same = scene.answer(there), scene.answer(here)
        assert other.confidence == same.confidence and other.text == there != same.text
        assert (model.match([scene], there).logits == model.match([scene], here).logits).all()
        matched = model.match([scene], there)
        assert matched.warnings[-1].startswith(f"{there}: {OTHER_SPELLING}: ")
        for found in (other, matched):  # printed, and in a notebook
            note = f"note: {found.warnings[-1]}"
            assert str(found).endswith(f"\n{note}") and f">{note}</div>" in found._repr_html_()
            assert "warning: " not in str(found) + found._repr_html_()


def test_words_of_the_training_texts_are_known_and_no_others(folder: Path, tmp_path: Path) -> None:
    processor = twelve.load(folder).processor
    seldom = ["the giraffe is red"] + ["The Ball is red, or blue?"] * FEW
    base = words_in(processor.tokenizer, [seldom])
    assert base.words >= {"the", "ball", "is", "blue"} and "giraffe" not in base.words  # once in a thousand texts
    processor.known_words = base
    assert of_text(processor, ["the BALL is blue"]) == ()
    assert of_text(processor, ["is the cup alive?"]) == (f"{RARE}cup, alive",)  # a cup has a word piece of its own
    # A model that is trained further also knows the words of the new texts, however few these are.
    own = words_in(processor.tokenizer, [["is anything here alive?"]])
    processor.known_words = own.joined(base)
    processor.save_pretrained(tmp_path)
    kept = twelve.TwelveProcessor.from_pretrained(tmp_path)
    assert kept.known_words == own.joined(base) and kept.known_words.complete
    assert of_text(kept, ["is anything here alive?", "the ball"]) == ()
    assert of_text(kept, ["the cup"]) == (f"{RARE}cup",)
    # Where the words of the first training were not recorded, its tokenizer tells.
    kept.known_words = own.joined(None)
    assert of_text(kept, ["is anything here alive?", "the ball"]) == ()
    assert of_text(kept, ["the giraffe"]) == (f"{RARE}giraffe",)


def test_pictograms_are_words_that_no_model_knows(scene: Scene) -> None:
    for text in ("\U0001f642", "\U0001f642\U0001f642 ?", "\u2665 ball"):
        assert [warning.rpartition(": ")[2] for warning in scene.answer(text).warnings] == [text.split()[0]]
    assert scene.answer(f"{KNOWN} \u2026 !").warnings == ()  # punctuation is none, known or not


def test_a_text_that_is_cut_says_so(model: Predictor, scene: Scene) -> None:
    """The rest of it is not read: the opposite at its end would be answered in the same way."""
    whole, longer = "ball " * 14, "ball " * 15
    cut = (
        "the text has 15 word pieces, the model reads 14 of them, so the rest cannot change the result: shorten the "
        "text, or train with a larger tasks.{}.max_text (17 for this text)"
    )
    assert scene.entails(whole).warnings == () and scene.entails(longer).warnings == (cut.format("snli_ve"),)
    assert model.verify(scene, scene, longer).warnings == (cut.format("nlvr2"),)
    assert model.match([scene], [whole, longer]).warnings == (f"{longer}: {cut.format('coco')}",)
    turns = scene.guess([("ball ball ball", "no")] * 5, [(5, 5, 40, 40)]).warnings
    assert len(turns) == 1 and "the model reads 14 of them" in turns[0]


def test_a_training_text_whose_cut_part_decides_nothing_does_not(
    model: Predictor, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, other = "Ball " * 15, "ball " * 16
    monkeypatch.setattr(model.processor, "own_texts", {"snli_ve": [KNOWN, asked.strip()], "coco": [asked]})
    assert [warning.code for warning in scene.entails(asked).warnings] == ["long_text"]  # what is cut may decide
    monkeypatch.setattr(model.processor, "same_cut", ("snli_ve",))
    assert scene.entails(asked).warnings == scene.entails(asked.lower()).warnings == ()
    assert [warning.code for warning in scene.entails(other).warnings] == ["long_text"]
    assert [warning.code for warning in model.match([scene], asked).warnings] == ["long_text"]  # of another task


def test_a_task_that_the_last_run_left_out_says_so(
    model: Predictor, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model.processor, "left_out", ("vqa", "coco"))
    assert scene.answer(KNOWN).warnings == (f"vqa: {LEFT_OUT}",)
    assert f"coco: {LEFT_OUT}" in model.match([scene], KNOWN).warnings
    assert not scene.locate("the ball").warnings


def test_a_search_of_a_task_that_is_not_above_a_baseline_says_so(image: Image.Image, tmp_path: Path) -> None:
    model = twelve.load(tiny_model.make(tmp_path / "model", contrast=16))
    scene = model.scene(image)
    told = "On its 16 test examples, this task scored 6.2: worse than the chance baseline (choosing at random: 9.0)."
    model.standings = {"coco": TaskStanding(doubt=told)}
    found = model.match([scene], KNOWN)
    assert found.warnings[-1] == f"coco: on{told[2:-1]}" and found.warnings[-1].code == "doubtful_task"
    assert not found.reliable and found.to_dict()["warnings"][-1]["code"] == "doubtful_task"
    assert scene.answer(KNOWN).warnings == ()  # another task
    # With the contrast head's logit, the ranking is not what the tests of the task measure.
    assert model.match([scene], KNOWN, contrast_weight=1.0).warnings == ()


def test_a_question_unlike_those_of_a_task_of_ones_own_says_so(
    model: Predictor, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model.processor, "known_words", words_in(model.processor.tokenizer, [[KNOWN, "can i ride it"]]))
    words = {"mine": ["could", "i", "ride", "on", "something", "here", "?"]}
    monkeypatch.setattr(model.processor, "own_words", words)
    assert scene.answer(KNOWN).warnings == ()  # nothing is recorded of a dataset's task
    words |= {task: words["mine"] for task in ("vqa", "guesswhat", "coco")}
    assert scene.answer(KNOWN).warnings == (f"vqa: {FEW_SHARED}",)  # although the model knows the words
    boxes = [(5, 5, 40, 40), (50, 20, 90, 60)]
    assert scene.guess([("the ball ?", "no"), ("the ball ?", "no")], boxes).warnings == (f"guesswhat: {FEW_SHARED}",)
    assert f"{KNOWN}: coco: {FEW_SHARED}" in model.match([scene], KNOWN).warnings
    for paraphrase in ("Can I RIDE it?", "is it something, here ?", "could I ride what colour?"):  # half, at least
        assert FEW_SHARED not in str(scene.answer(paraphrase).warnings), paraphrase
    for other in ("ride what is it ? ? ?", "what colour is something here ?"):  # marks are no words
        assert FEW_SHARED in str(scene.answer(other).warnings), other
    assert scene.answer("the ball ? ?").warnings == ()  # two words tell little


def test_the_words_of_tasks_of_ones_own_are_kept_with_the_model(folder: Path, tmp_path: Path) -> None:
    processor = twelve.TwelveProcessor.from_pretrained(folder)
    file = tmp_path / "processor_config.json"
    assert processor.own_words == {}
    processor.save_pretrained(tmp_path)
    tree = json.loads(file.read_text())
    assert "own_words" not in tree  # as in earlier folders
    processor.own_words = {"vqa": frozenset({"is", "été", "?"}), "coco": frozenset()}
    processor.save_pretrained(tmp_path)
    assert twelve.TwelveProcessor.from_pretrained(tmp_path).own_words == processor.own_words
    for hostile in (None, "vqa", ["vqa"], {"vqa": ["is"]}, {"vqa": None}, {"vqa": {"is": 1}}, {"other": "is"}):
        file.write_text(json.dumps(tree | {"own_words": hostile}))
        with pytest.raises(CheckpointError, match="own_words must be a mapping of tasks of the model to words"):
            twelve.TwelveProcessor.from_pretrained(tmp_path)


def test_a_text_of_megabytes_is_refused(model: Predictor, scene: Scene) -> None:
    with pytest.raises(InputError, match="expected at most 100,000 characters, found 1,000,000"):
        scene.answer("ball " * 200_000)


def test_an_image_without_regions_says_so(model: Predictor, scene: Scene) -> None:
    blank = model.scene(Image.new("RGB", (160, 128), "white"), name="blank")
    assert blank.warnings[-1:] == (NO_REGION,) and NO_REGION not in scene.warnings
    assert NO_REGION in blank.answer(KNOWN).warnings
    assert f"right image: {NO_REGION}" in model.verify(scene, blank, KNOWN).warnings
    assert f"blank: {NO_REGION}" in model.match([scene, blank], [KNOWN]).warnings


@pytest.fixture(scope="module")
def knowing(folder: Path) -> Predictor:
    """The model, having learnt what drawings of the microworld have in common."""
    model = twelve.load(folder)
    rng = np.random.default_rng(7)
    drawn = [model.extractor.extract(draw(sample_scene(rng), seed=seed)) for seed in range(LEAST)]
    seen = {str(n): as_tensor(one.features).float().numpy() for n, one in enumerate(drawn) if one.features is not None}
    model.processor.familiar = familiarity_of(list(seen), seen.__getitem__)
    assert model.processor.familiar is not None
    return model


def foreign(count: int) -> list[Image.Image]:
    """Noise of several grains, and gradients: what photographs have and drawings lack."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(count):
        grain = (4, 8, 16, 32)[number % 4]
        noise = Image.fromarray(rng.integers(0, 256, (grain * 4 // 5, grain, 3), dtype=np.uint8))
        found.append(noise.resize((160, 128), Image.Resampling.BICUBIC))
    return found


def test_images_unlike_the_training_images_are_told(knowing: Predictor) -> None:
    rng = np.random.default_rng(11)
    own = [FOREIGN in knowing.scene(draw(sample_scene(rng), seed=seed)).warnings for seed in range(1000, 1200)]
    assert np.mean(own) < 0.02
    assert 0 < BEYOND < 0.01 and "may be unlike" in FOREIGN  # by design, a few of its own images are told too
    assert np.mean([FOREIGN in knowing.scene(image).warnings for image in foreign(60)]) > 0.95
    scene = knowing.scene(foreign(1)[0], name="noise")
    assert FOREIGN in scene.answer(KNOWN).warnings and f"noise: {FOREIGN}" in knowing.match([scene], KNOWN).warnings
    assert FOREIGN in knowing.scene(scene.regions).warnings


@pytest.mark.realdata
def test_photographs_are_unlike_drawings(knowing: Predictor, realdata: Path) -> None:
    photographs = sorted((realdata / "images" / "flickr30k").iterdir())[::60]
    assert len(photographs) > 50
    assert np.mean([FOREIGN in knowing.scene(one).warnings for one in photographs]) > 0.95


def test_the_command_warns_on_stderr_once_and_in_json(folder: Path, image: Image.Image, tmp_path: Path) -> None:
    file = tmp_path / "one.png"
    image.save(file)
    image.save(tmp_path / "two.png")
    words = ["predict", str(folder), "--image", str(tmp_path), "--ask", UNKNOWN, "--ask", UNKNOWN, "--ask", KNOWN]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, said.output
    note, *lines = said.stderr.splitlines()
    assert note.startswith("note: ")
    assert len(lines) == 1 and lines[0].startswith(f"warning: {UNKNOWN}: ") and "breed" in lines[0]
    lines = said.stdout.splitlines()
    assert [line.endswith("; see the warning") for line in lines] == [True, True, False] * 2
    as_json = [json.loads(line) for line in CliRunner().invoke(app, [*words, "--json"]).stdout.splitlines()]
    assert [len(tree["warnings"]) for tree in as_json] == [1, 1, 0, 1, 1, 0]
    matched = CliRunner().invoke(app, ["match", str(folder), "zebras graze", "--images", str(file)])
    assert matched.stderr.startswith(f"{note}\nwarning: zebras graze: ") and "warning" not in matched.stdout


def test_another_spelling_that_is_read_right_is_only_a_note(folder: Path, image: Image.Image, tmp_path: Path) -> None:
    model = shutil.copytree(folder, tmp_path / "model")
    processor = twelve.load(folder).processor
    processor.known_words = words_in(processor.tokenizer, [["what colour is it?"] * FEW])
    processor.save_pretrained(model)
    image.save(tmp_path / "one.png")
    words = ["--image", str(tmp_path / "one.png"), "--ask", "what color is it?"]
    said = CliRunner().invoke(app, ["predict", str(model), *words])
    assert said.exit_code == 0 and "see the warning" not in said.stdout
    note = f"note: what color is it?: {OTHER_SPELLING}: color as colour"
    assert said.stderr.splitlines()[1:] == [note]
    said = CliRunner().invoke(app, ["match", str(model), "what color is it?", "--images", words[1]])
    assert note in said.stderr.splitlines() and "warning" not in said.stderr


def test_the_command_tells_of_an_image_unlike_the_training_images(
    knowing: Predictor, folder: Path, image: Image.Image, tmp_path: Path
) -> None:
    model = shutil.copytree(folder, tmp_path / "model")
    knowing.processor.save_pretrained(model)
    own, other = tmp_path / "own.png", tmp_path / "other.png"
    image.save(own)
    foreign(1)[0].save(other)
    words = ["predict", str(model), "--image", str(own), "--image", str(other), "--ask", KNOWN]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0 and said.stderr == f"note: {knowing.note}\nwarning: {other}: {FOREIGN}\n"
    as_json = [json.loads(line) for line in CliRunner().invoke(app, [*words, "--json"]).stdout.splitlines()]
    assert [tree["warnings"] for tree in as_json] == [[], [FOREIGN.to_dict()]]
    (tmp_path / "many").mkdir()
    for number in range(4):
        shutil.copy(other, tmp_path / "many" / f"{number}.png")
    said = CliRunner().invoke(app, ["predict", str(model), "--image", str(tmp_path / "many"), "--ask", KNOWN])
    assert said.stderr.splitlines()[-1] == f"warning: 1 more image: {FOREIGN}" and len(said.stderr.splitlines()) == 5


def test_the_service_sends_them(model: Predictor, image: Image.Image) -> None:
    testclient = pytest.importorskip("fastapi.testclient", reason="fastapi is not installed (extra web)")
    from twelve.web.app import create_app

    file = io.BytesIO()
    Image.new("RGB", (160, 128), "white").save(file, "PNG")
    blank = {"base64": base64.b64encode(file.getvalue()).decode()}
    with testclient.TestClient(create_app(model), base_url="http://127.0.0.1:8012") as client:
        answered = client.post("/api/v1/answer", json={"image": blank, "question": UNKNOWN}).json()
        matched = client.post("/api/v1/match", json={"images": [blank], "captions": [KNOWN]}).json()
    assert NO_REGION.to_dict() in answered["warnings"] and "breed" in answered["warnings"][-1]["text"]
    assert NO_REGION.after("0: ").to_dict() in matched["warnings"]


def test_python_the_command_its_table_and_the_service_give_the_same_codes(
    model: Predictor, folder: Path, image: Image.Image, tmp_path: Path
) -> None:
    testclient = pytest.importorskip("fastapi.testclient", reason="fastapi is not installed (extra web)")
    from twelve.web.app import create_app

    file, out = tmp_path / "blank.png", tmp_path / "out.csv"
    Image.new("RGB", (160, 128), "white").save(file, "PNG")
    words = ["predict", str(folder), "--image", str(file), "--ask", UNKNOWN]
    (found,) = [json.loads(line) for line in CliRunner().invoke(app, [*words, "--json"]).stdout.splitlines()]
    assert CliRunner().invoke(app, [*words, "--out", str(out)]).exit_code == 0
    with out.open(newline="", encoding="utf-8") as table:
        (row,) = csv.DictReader(table)
    blank = {"base64": base64.b64encode(file.read_bytes()).decode()}
    with testclient.TestClient(create_app(model), base_url="http://127.0.0.1:8012") as client:
        told = client.post("/api/v1/answer", json={"image": blank, "question": UNKNOWN}).json()
        asked = {"method": "answer", "text": UNKNOWN, "images": [blank]}
        by_name = client.post("/api/v1/ask", json=asked).json()
        depends = client.post("/api/v1/depends", json={"image": blank, "text": UNKNOWN}).json()
        matched = client.post("/api/v1/match", json={"images": [blank], "captions": [UNKNOWN]}).json()
        listed = client.get("/openapi.json").json()["components"]["schemas"]["WarningReply"]
    assert listed["properties"]["code"]["enum"] == [*CODES]
    here = model.scene(file).answer(UNKNOWN)
    codes = [warning.code for warning in here.warnings]
    assert codes == ["no_regions", "unknown_words"] and not here.reliable
    for reply in (found, told, by_name, depends, matched):
        assert [each["code"] for each in reply["warnings"]] == codes and reply["reliable"] is False
    assert (row["codes"], row["reliable"]) == (" ".join(codes), "false")


@pytest.mark.parametrize("code", CODES)
def test_a_score_is_reliable_unless_a_warning_says_otherwise(scene: Scene, code: str) -> None:
    found = scene.answer(KNOWN)
    assert found.reliable and found.to_dict()["reliable"] is True
    doubted = replace(found, warnings=(Warned(code, "it is odd"),))  # type: ignore[arg-type]
    assert doubted.reliable is (code in HARMLESS) is doubted.to_dict()["reliable"]


def test_a_warning_is_a_text_that_keeps_its_code() -> None:
    warning = FOREIGN.after("left image: ")
    for same in (warning, copy.deepcopy(warning), pickle.loads(pickle.dumps(warning))):
        assert same == f"left image: {FOREIGN}" and same.code == "unusual_image"


def test_the_documentation_the_page_and_the_description_list_every_code() -> None:
    docs = Path(__file__).parents[2] / "docs"
    for page in ("http-api.md", "confidence.md"):
        rows = re.findall(r"^\| `(\w+)` \| (true|false) \|", (docs / page).read_text(encoding="utf-8"), re.MULTILINE)
        assert rows == [(code, str(code in HARMLESS).lower()) for code in CODES], page
    form = Path(twelve.__file__).parent / "web" / "static" / "form.js"
    (harmless,) = re.findall(r"^const HARMLESS = (\[.*\]);$", form.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(json.loads(harmless)) == HARMLESS
