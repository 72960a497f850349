"""Instructions to tokens: a transformer over words."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vla_ros.model.blocks import TransformerBlock
from vla_ros.model.tokenizer import PAD, UNK


class LanguageEncoder(nn.Module):
    """Word embeddings, learned positions, transformer blocks; token 0 is CLS."""

    # In place of a word that is hidden.
    unknown_id = UNK

    def __init__(
        self,
        vocab_size: int = 50_000,
        dim: int = 768,
        max_len: int = 512,
        num_heads: int = 12,
        depth: int = 12,
    ) -> None:
        super().__init__()
        self.token_embed = nn.Embedding(vocab_size, dim)
        self.pos_embed = nn.Parameter(torch.randn(1, max_len, dim) * 0.02)
        self.blocks = nn.ModuleList([TransformerBlock(dim, num_heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim)

    def forward(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Encode token ids, int64 (B, L), with L at most `max_len`.

        Returns:
            Features (B, L, D), and the mask (B, L), true where there is a word.
        """
        mask = token_ids != PAD
        x = self.token_embed(token_ids) + self.pos_embed[:, : token_ids.shape[1]]
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x), mask
