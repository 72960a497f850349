"""Words to numbers: a word-level vocabulary made from the training instructions. No torch here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from vla_ros.errors import InstructionError

PAD, CLS, UNK = 0, 1, 2
SPECIAL = ("<pad>", "<cls>", "<unk>")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def split_words(text: str) -> list[str]:
    """Lower-cased words of `text`; punctuation only separates."""
    return _WORD.findall(text.lower())


class Tokenizer:
    """Maps an instruction to token ids, CLS first.

    Args:
        vocabulary: Words by id; the first three are `SPECIAL`.
        max_len: Most tokens in an instruction, CLS included.
    """

    # Whether there are words that become `<unk>`.
    has_unknown = True

    def __init__(self, vocabulary: Sequence[str], max_len: int) -> None:
        self.vocabulary = tuple(vocabulary)
        self.max_len = max_len
        self._ids = {word: index for index, word in enumerate(self.vocabulary)}

    @staticmethod
    def from_texts(texts: Iterable[str], max_len: int) -> Tokenizer:
        """Build the vocabulary of all words in `texts`, in alphabetical order."""
        words = sorted({word for text in texts for word in split_words(text)})
        return Tokenizer((*SPECIAL, *words), max_len)

    def encode(self, text: str) -> NDArray[np.int64]:
        """Return the token ids of `text`, shape (L,); words nobody trained on become `<unk>`.

        Raises:
            InstructionError: `text` has more words than fit, or none that is known.
        """
        words = split_words(text)
        if len(words) + 1 > self.max_len:
            raise InstructionError(
                f"the instruction has {len(words)} words, this policy takes at most "
                f"{self.max_len - 1}: shorten it"
            )
        ids = [self._ids.get(word, UNK) for word in words]
        if all(index == UNK for index in ids):
            known = ", ".join(self.vocabulary[len(SPECIAL) :])
            raise InstructionError(f"this policy knows no word of {text!r}; it knows: {known}")
        return np.array([CLS, *ids], np.int64)


def pad(rows: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Stack token ids of different lengths, filled up with `<pad>`, shape (B, L)."""
    tokens = np.full((len(rows), max(map(len, rows))), PAD, np.int64)
    for row, ids in zip(tokens, rows, strict=True):
        row[: len(ids)] = ids
    return tokens
