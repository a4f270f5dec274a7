"""A tokenizer made from the training texts."""

from __future__ import annotations

from twelve.model.processor import TwelveProcessor
from twelve.model.wordpieces import tokenizer_from

TEXTS = ["a red kite flies over two boats", "What colour is the kite?", "two red boats", "a kite over a boat"] * 3


def test_frequent_words_are_whole_and_others_fall_into_pieces() -> None:
    processor = TwelveProcessor(tokenizer_from(TEXTS))
    assert processor.tokens(processor.tokenize(["A red KITE"], 10)[0]) == ["[CLS]", "a", "red", "kite", "[SEP]"]
    pieces = processor.tokens(processor.tokenize(["floats"], 10)[0])
    assert "[UNK]" not in pieces and len(pieces) > 3  # never seen whole
    assert processor.tokens(processor.tokenize(["zebra"], 10)[0]) == ["[CLS]", "[UNK]", "[SEP]"]  # z was never seen


def test_the_same_texts_give_the_same_pieces_in_any_order() -> None:
    ours, others = tokenizer_from(TEXTS), tokenizer_from(reversed(TEXTS))
    assert ours.to_str() == others.to_str() == tokenizer_from(TEXTS).to_str()


def test_size_is_a_limit() -> None:
    assert tokenizer_from(TEXTS, size=40).get_vocab_size() <= 40
