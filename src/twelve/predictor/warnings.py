"""Warnings that a result may be meaningless, because the input is unlike the training data.

A model answers any question, with a confidence that does not show that the input is unknown. So every result has
warnings, which are sentences with a code: in Python (``result.warnings``, and printed), as JSON, on stderr and on the
page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from string import punctuation
from typing import TYPE_CHECKING
from unicodedata import category

from twelve.model.known_words import normalised, split
from twelve.outputs.parts.warned import Warned, WarningCode, some
from twelve.predictor.spellings import OTHER_SPELLINGS

if TYPE_CHECKING:
    from twelve.model.processor import TwelveProcessor
    from twelve.predictor.measured import TaskStanding
    from twelve.predictor.questions import Question
    from twelve.types.regions import Regions

FOREIGN = Warned("unusual_image", "the image may be unlike the training images, so the result may be meaningless")
"""It says "may", because the limits are such that up to 1 in 100 images like the training images exceed one of them
(:data:`twelve.model.familiarity.BEYOND`)."""
NO_REGION = Warned("no_regions", "no box was found in the image, so the model sees only the feature of the whole image")
SIDES = ("left image: ", "right image: ")
"""What a warning of one of two images begins with."""
UNKNOWN_WORDS = "the training texts hardly contain these words, so the result may be meaningless"
FEW_SHARED = "few words of this text occur in the task's training texts, so the result may be meaningless"
OTHER_SPELLING = "words are read as the training texts spell them"
LEFT_OUT = "this task was not part of the last training, so the model may have forgotten it"


def of_regions(processor: TwelveProcessor, regions: Regions) -> tuple[Warned, ...]:
    """The warnings of an image with these regions."""
    if not len(regions.boxes):
        return (NO_REGION,)
    familiar = processor.familiar
    if familiar is None or regions.features is None:
        return ()
    from twelve.types.half_precision import as_tensor

    return () if familiar.knows(as_tensor(regions.features[: processor.max_regions]).float().numpy()) else (FOREIGN,)


def of_text(processor: TwelveProcessor, texts: Iterable[str]) -> tuple[Warned, ...]:
    """A warning that names the unknown words of a text, or of its parts together, and one that names words of which
    the model reads another spelling."""
    unknown, other = dict[str, None](), dict[str, None]()
    for text in texts:
        read = respelt(processor, text)
        unknown |= dict.fromkeys(word for word, known in words_of(processor, read) if not known)
        pairs = zip(text.split(), read.split(), strict=True)
        other |= dict.fromkeys(f"{_bare(one)} as {_bare(another)}" for one, another in pairs if one != another)
    found: list[tuple[WarningCode, str, Iterable[str]]] = [
        ("other_spelling", OTHER_SPELLING, other),
        ("unknown_words", UNKNOWN_WORDS, unknown),
    ]
    return tuple(Warned(code, f"{warning}: {some(words)}") for code, warning, words in found if words)


def respelt(processor: TwelveProcessor, text: str) -> str:
    """The text as the model reads it: an unknown word that has another spelling (color, colour), which the model knows,
    has that one."""

    def known(word: str) -> bool:
        return all(each for _, each in words_of(processor, word))

    def read(match: re.Match[str]) -> str:
        word = match[0]
        other = OTHER_SPELLINGS.get(word.lower())
        if other is None or known(word) or not known(other):
            return word
        return other.capitalize() if word[0].isupper() else other

    return re.sub(r"[A-Za-z]+", read, text)


def _bare(word: str) -> str:
    return word.strip(punctuation)


def of_length(processor: TwelveProcessor, task: str, text: str) -> tuple[Warned, ...]:
    """A warning if a text, in the model's form, has more word pieces than a task keeps; the rest is not read. None if
    the text is a usual training text of the task, and the part that is cut decided nothing in training."""
    ids = processor.tokenizer.encode(text, add_special_tokens=False).ids
    pieces, most = len(ids), processor.max_text[task] - 2  # [CLS] and [SEP]
    if pieces <= most:
        return ()
    usual = processor.own_texts.get(task, ()) if task in processor.same_cut else ()
    if any(processor.tokenizer.encode(each, add_special_tokens=False).ids == ids for each in usual):
        return ()
    told = (
        f"the text has {pieces:,} word pieces, the model reads {most:,} of them, so the rest cannot change the result: "
        f"shorten the text, or train with a larger tasks.{task}.max_text ({pieces + 2:,} for this text)"
    )
    return (Warned("long_text", told),)


def words_of(processor: TwelveProcessor, text: str) -> list[tuple[str, bool]]:
    """The words of a text without punctuation, and whether the model knows each; unknown symbols such as pictograms
    count as words.

    A word is known if the training texts contain it (:mod:`twelve.model.known_words`). If they were not recorded, it
    is unknown if it, or a part of it, has no word piece, or if at least a third of its characters are single word
    pieces: the word was too rare when the tokenizer was built.
    """
    encoded = processor.tokenizer.encode(text, add_special_tokens=False)
    unknown, found, record = processor.special["[UNK]"], list[tuple[str, bool]](), processor.known_words
    pieces = zip(encoded.word_ids, encoded.ids, encoded.offsets, strict=True)
    for _, group in groupby(pieces, key=lambda piece: piece[0]):
        own = list(group)
        word = text[own[0][2][0] : own[-1][2][1]]
        pictograms = any(category(mark)[0] == "S" for mark in word) and any(piece == unknown for _, piece, _ in own)
        if not pictograms and not any(mark.isalnum() for mark in word):
            continue
        recorded = record.knows(normalised(processor.tokenizer, word).strip()) if record is not None else None
        if recorded is not None:
            found.append((word, recorded))
            continue
        alone = sum(end - start == 1 for _, _, (start, end) in own)
        spelt = len(own) > 1 and 3 * alone >= len(word)
        found.append((word, not spelt and all(piece != unknown for _, piece, _ in own)))
    return found


def of_task(processor: TwelveProcessor, task: str) -> tuple[Warned, ...]:
    """The warning of a task that a later run has not trained."""
    return (Warned("left_out_task", f"{task}: {LEFT_OUT}"),) if task in processor.left_out else ()


def of_standing(task: str, standing: TaskStanding) -> tuple[Warned, ...]:
    """The warning of a task whose stored evaluation does not show that it is better than every baseline."""
    if standing.doubt is None:
        return ()
    return (Warned("doubtful_task", f"{task}: {standing.doubt[0].lower()}{standing.doubt[1:].removesuffix('.')}"),)


def of_shared_words(processor: TwelveProcessor, task: str, text: str) -> tuple[Warned, ...]:
    """A warning if more than half of a text's words, of at least three, do not occur in the training texts of a task of
    one's own. The model may know these words from other tasks."""
    if (own := processor.own_words.get(task)) is None:
        return ()
    read = split(processor.tokenizer, respelt(processor, text))
    shared = [word in own for word in read if any(mark.isalnum() for mark in word)]
    few = len(shared) >= 3 and 2 * sum(shared) < len(shared)
    return (Warned("unusual_text", f"{task}: {FEW_SHARED}"),) if few else ()


def of_question(processor: TwelveProcessor, question: Question) -> tuple[Warned, ...]:
    """The warnings of a question: those of its images (of two, with the side), of its text, and of its task."""
    texts = [asked for asked, _ in question.turns] if question.turns else [question.text]
    sides = SIDES if len(question.scenes) == 2 else ("",)
    seen = zip(sides, question.scenes, strict=True)
    found = [warning.after(side) for side, scene in seen for warning in scene.warnings]
    length = of_length(processor, question.task, respelt(processor, question.model_text))
    shared = of_shared_words(processor, question.task, " ".join(texts))
    return (*found, *of_text(processor, texts), *shared, *length, *of_task(processor, question.task))


def of_an_image(warning: Warned) -> bool:
    """Whether a warning of :func:`of_question` is about an image, not about the question."""
    return warning.code in (FOREIGN.code, NO_REGION.code)


def of_captions(processor: TwelveProcessor, task: str, captions: Sequence[str]) -> tuple[Warned, ...]:
    """The warnings of the captions of a search, each with its caption, and of the task."""
    found: list[Warned] = []
    for caption in captions:
        own = (*of_text(processor, [caption]), *of_length(processor, task, caption))
        own += of_shared_words(processor, task, caption)
        found += [warning.after(f"{caption}: ") for warning in own]
    return (*found, *of_task(processor, task))
