"""Words and robot state look at the pictures."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vla_ros.model.blocks import (
    TransformerBlock,
    feed_forward,
    key_mask,
    merge_heads,
    split_heads,
)


class CrossModalAttention(nn.Module):
    """Language attends to vision, then feed-forward.

    The norms stand in front of each part, where the specification puts them behind: stacked
    layers then train without a careful warm-up.
    """

    def __init__(self, dim: int, num_heads: int = 8) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1 = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, dim * 2)
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.ffn = feed_forward(dim)

    def forward(
        self, vision_feats: Tensor, language_feats: Tensor, vision_mask: Tensor | None = None
    ) -> Tensor:
        """Fuse.

        Args:
            vision_feats: Keys and values, shape (B, N, D), already normalised.
            language_feats: Queries, shape (B, L, D).
            vision_mask: bool (B, N), false for tokens to ignore; `None` when all count.

        Returns:
            Queries with what they saw, shape (B, L, D).
        """
        q = split_heads(self.query(self.norm1(language_feats)), self.num_heads)
        k, v = self.key_value(vision_feats).chunk(2, dim=-1)
        k, v = split_heads(k, self.num_heads), split_heads(v, self.num_heads)
        seen = F.scaled_dot_product_attention(q, k, v, key_mask(vision_mask))
        x: Tensor = language_feats + self.proj(merge_heads(seen))
        x = x + self.ffn(self.norm2(x))
        return x


class FusionLayer(nn.Module):
    """Queries exchange what they know (words, state), then look at the pictures."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.exchange = TransformerBlock(dim, num_heads)
        self.look = CrossModalAttention(dim, num_heads)

    def forward(self, vision: Tensor, queries: Tensor, mask: Tensor) -> Tensor:
        """Return the queries (B, L, D); `mask` (B, L) is false for padded queries."""
        queries = self.exchange(queries, mask)
        queries = self.look(vision, queries)
        return queries
