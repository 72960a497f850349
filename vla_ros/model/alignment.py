"""Pictures and words in one space: projection heads that only training has."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_DIM = 128


class AlignmentHeads(nn.Module):
    """Projects what was seen and what was said for `losses.contrastive_loss`.

    Args:
        cameras: Number C of cameras.
        dim: Width D of their and the text's CLS tokens.
    """

    def __init__(self, cameras: int, dim: int) -> None:
        super().__init__()
        self.vision = nn.Linear(cameras * dim, _DIM)
        self.language = nn.Linear(dim, _DIM)

    def forward(self, seen: Sequence[Tensor], said: Tensor) -> tuple[Tensor, Tensor]:
        """Project both.

        Args:
            seen: CLS of each camera's picture, shape (B, D) each.
            said: CLS of the instruction, shape (B, D).

        Returns:
            Features of pictures and of words, shape (B, 128) each.
        """
        return self.vision(torch.cat(list(seen), dim=-1)), self.language(said)
