"""Instructions to token ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.errors import InstructionError
from vla_ros.model.tokenizer import CLS, PAD, UNK, Tokenizer, pad

TOKENIZER = Tokenizer.from_texts(["Push the red block to the left mark.", "open the drawer"], 10)


def test_case_and_punctuation_do_not_matter() -> None:
    plain = TOKENIZER.encode("push the red block").tolist()
    assert TOKENIZER.encode("  PUSH, the RED block!! ").tolist() == plain
    assert plain[0] == CLS
    assert UNK not in plain


def test_an_unknown_word_keeps_its_place() -> None:
    ids = TOKENIZER.encode("push the turquoise block").tolist()
    assert ids[3] == UNK
    assert ids.count(UNK) == 1


def test_the_vocabulary_does_not_depend_on_the_order_of_texts() -> None:
    texts = ["push the red block", "open the drawer", "pick it up"]
    vocabularies = {Tokenizer.from_texts(t, 10).vocabulary for t in (texts, texts[::-1])}
    assert len(vocabularies) == 1


def test_too_many_words_are_counted() -> None:
    assert len(TOKENIZER.encode("red " * 9)) == 10
    with pytest.raises(InstructionError, match="has 10 words, this policy takes at most 9"):
        TOKENIZER.encode("red " * 10)


@pytest.mark.parametrize("text", ["", "!?", "bonjour le monde"])
def test_an_instruction_without_a_known_word_is_refused(text: str) -> None:
    with pytest.raises(InstructionError, match="knows no word of .*; it knows: block, drawer"):
        TOKENIZER.encode(text)


@given(st.text(max_size=200))
def test_any_text_is_encoded_or_refused(text: str) -> None:
    try:
        ids = TOKENIZER.encode(text)
    except InstructionError:
        return
    assert ids[0] == CLS
    assert 1 < len(ids) <= 10
    assert ids.max() < len(TOKENIZER.vocabulary)


def test_pad_fills_up_behind() -> None:
    rows = [TOKENIZER.encode("red"), TOKENIZER.encode("red block")]
    assert pad(rows)[0, 2] == PAD
    assert pad(rows)[1].tolist() == rows[1].tolist()
