"""Words to the numbers of the pretrained sentence encoder. It is loaded when it is first used."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.errors import InstructionError
from vla_ros.model.tokenizer import Tokenizer


class SentenceTokenizer(Tokenizer):
    """Maps an instruction to word pieces, [CLS] first and [SEP] last; no word is unknown.

    Args:
        max_len: Most tokens in an instruction, both included.
    """

    has_unknown = False

    def __init__(self, max_len: int) -> None:
        self.max_len = max_len

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:  # type: ignore[override]
        """The word pieces by id."""
        pieces = self._pretrained
        return tuple(pieces.convert_ids_to_tokens(range(len(pieces))))

    def encode(self, text: str) -> NDArray[np.int64]:
        """Return the token ids of `text`, shape (L,).

        Raises:
            InstructionError: `text` has more word pieces than fit.
            ParameterError: The encoder's packages are missing.
        """
        ids = self._pretrained(text)["input_ids"]
        if len(ids) > self.max_len:
            raise InstructionError(
                f"the instruction has {len(ids) - 2} word pieces, this policy takes at most "
                f"{self.max_len - 2}: shorten it"
            )
        return np.array(ids, np.int64)

    @cached_property
    def _pretrained(self) -> Any:
        from vla_ros.model.sentence import pretrained

        return pretrained().tokenizer
