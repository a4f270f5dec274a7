"""One meaning a word, one word a thing: words that were given up stay out of code, keys, names of files and pages.

What may still hold one stands in :data:`ALLOWED`, with the reason.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GIVEN_UP = {
    "picture": "image",
    "floor": "baseline",
    "ceiling": "upper bound",
    "carve": "val_fraction, hold back",
    "look_every": "eval_every",
    "look_examples": "eval_examples",
    "recompute": "gradient_checkpointing",
    "report_split": "test_split",
    "looker": "feature extractor",
    "told apart": "significant",
    "in place of": "instead of",
    "stood still": "stopped",
    r"\brests\b": "stopped",
    r"\blook(ed|s)?\b(?=\(| = |\"|: list)": "Predictor.scene, validation",
}
"""Word -> what is said instead."""
_WORD = re.compile("|".join(GIVEN_UP), re.IGNORECASE)
ALLOWED: tuple[tuple[str, str, str], ...] = (
    ("tests/goldens/*", ".*", "recordings of the original programs"),
    ("tests/test_words.py", ".*", "names the words"),
    ("docs/renamed.md", ".*", "tells what was renamed"),
    ("src/twelve/renamed.py", ".*", "tells what was renamed"),
    ("CHANGELOG.md", ".*", "tells what was renamed"),
    ("*", r"\b(math|np|numpy|torch|Math|position)\.floor\b", "the function"),
    ("src/twelve/microworld/writers/*", r'"[^"]*picture[^"]*\?"', "questions as people ask them"),
    ("src/twelve/cli/usage.py", '"--pictures?"', "options that people try"),
    ("tests/test_usage.py", "--picture", "options that people try"),
    ("tests/microworld/*", r'"[^"]*picture[^"]*"', "questions as people ask them"),
    ("src/twelve/tasks/guesswhat.py", r'"picture(_id)?"', "a field of the dataset"),
    ("tests/tasks/*", r'"picture(_id)?"', "a field of the dataset"),
    ("*", r"\brecomputed\b", "computed again"),
    ("examples/quickstart-model/tokenizer.json", ".*", "word pieces of the microworld's texts"),
    ("src/twelve/microworld/writers/captions.py", r"\brests {", "captions as people write them"),
)
"""(files, what in them, why)."""


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git checkout")
    return list(filter(None, listed.stdout.decode().split("\0")))


def found_in(name: str, text: str) -> list[str]:
    """Lines of a file, and its name, with a word that was given up."""
    for files, what, _ in ALLOWED:
        if Path(name).match(files) or (files.endswith("/*") and name.startswith(files[:-1])):
            text = re.sub(what, "", text)
            name = "" if what == ".*" else name
    lines = [(0, name), *enumerate(text.splitlines(), 1)]
    return [f"{name}:{number}: {line.strip()[:120]}" for number, line in lines if _WORD.search(line)]


def test_words_that_were_given_up_stay_out() -> None:
    found = []
    for name in tracked():
        path = ROOT / name
        if path.is_file():
            try:
                found += found_in(name, path.read_text(encoding="utf-8"))
            except UnicodeDecodeError:
                continue
    assert not found, "\n".join(found[:50])


SEVERAL = {
    "Attention": "a layer; the attention of a result",
    "Case": "of two kinds of recordings",
    "Comparison": "of extractions; of a study's arms",
    "Contrast": "a head; of a study",
    "Event": "of a schedule; of a study's results",
    "Gallery": "of retrieval files; of a report",
    "History": "of a report; of a study",
    "Need": "of positions in a stream; of memory",
    "Part": "of a run's description; of a drawn thing; of a run with extensions",
    "Phrase": "of a metric; of annotation files",
    "Ranking": "an output; of result files",
    "Recorded": "of a study's results; of a recording",
    "RegionFile": "a kind of task with files of its own; a file of a store",
    "Result": "of a question; of a study",
    "Run": "of a report; of a recording",
    "Sample": "of the page; of an exported model",
    "Sentence": "of result files; of annotation files",
    "Step": "of a recording; of a program; of a study; of what a report advises",
    "Trace": "of a forward pass; of a recording",
}
"""Names of several classes, no two of which are used in one file -> what they are."""


def test_a_class_name_means_one_thing() -> None:
    places: dict[str, list[str]] = {}
    for name in tracked():
        if name.startswith("src/") and name.endswith(".py") and (ROOT / name).is_file():
            for found in re.findall(r"^class ([A-Z]\w+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE):
                places.setdefault(found, []).append(name)
    several = {name: files for name, files in places.items() if len(files) > 1}
    assert set(several) == set(SEVERAL), several


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("src/twelve/data/check.py", "def pictures() -> None: ..."),
        ("docs/data.md", "A floor is beaten."),
        ("src/twelve/evaluation/floors.py", ""),
        ("src/twelve/settings.py", "    look_every: int"),
        ("src/twelve/predictor/predictor.py", "    def look(self, image: ImageLike) -> Scene:"),
        ("docs/predict.md", 'scene = model.look("boat.jpg")'),
    ],
)
def test_a_word_that_was_given_up_is_seen(name: str, text: str) -> None:
    assert found_in(name, text)


def test_the_glossary_defines_a_term_once() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^\| ([^|]+?) \|", text, re.MULTILINE)
    assert len(terms) > 50 and {term for term in terms if terms.count(term) > 1} == {"term"}  # the heads of the tables


def test_the_marks_of_differences_are_explained_on_each_page_that_has_them() -> None:
    root = Path(__file__).parents[1]
    pages = {path.name: path.read_text(encoding="utf-8") for path in (root / "docs").rglob("*.md")}
    found = [(name, mark) for name, text in pages.items() for mark in "†‡§" if mark in text]
    assert found
    for name, mark in found:
        assert re.search(rf"{mark}\W{{0,3}}\s(marks|means|of a)|\bwith {mark}", pages[name]), f"{name}: what is {mark}?"
