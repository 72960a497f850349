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
        look = self._look if self.training else self._glance
        x: Tensor = language_feats + self.proj(merge_heads(look(q, vision_feats, vision_mask)))
        x = x + self.ffn(self.norm2(x))
        return x

    def weights(self, vision_feats: Tensor, language_feats: Tensor) -> Tensor:
        """Share of its attention that each query gives each token, shape (B, heads, L, N)."""
        q = split_heads(self.query(self.norm1(language_feats)), self.num_heads)
        k = split_heads(self.key_value(vision_feats).chunk(2, dim=-1)[0], self.num_heads)
        shares: Tensor = (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).softmax(dim=-1)
        return shares

    def _look(self, q: Tensor, vision: Tensor, mask: Tensor | None) -> Tensor:
        """What the queries (B, heads, L, D / heads) see, of the same shape."""
        k, v = self.key_value(vision).chunk(2, dim=-1)
        k, v = split_heads(k, self.num_heads), split_heads(v, self.num_heads)
        return F.scaled_dot_product_attention(q, k, v, key_mask(mask))

    def _glance(self, q: Tensor, vision: Tensor, mask: Tensor | None) -> Tensor:
        """As `_look`, cheaper for an instruction's few queries and a picture's many tokens.

        q · (W_k x + b_k) = (W_kᵀ q) · x + c, and the softmax ignores c; Σ a (W_v x + b_v) =
        W_v Σ a x + b_v. So the queries are projected, and the tokens are not.
        """
        batch, heads, length, size = q.shape
        key, value = self.key_value.weight.view(2, heads, size, -1)
        query = (q @ key).flatten(1, 2)[:, None]  # (B, 1, heads * L, D)
        x = vision[:, None]
        mixed = F.scaled_dot_product_attention(query, x, x, key_mask(mask), scale=size**-0.5)
        bias = self.key_value.bias.view(2, heads, 1, size)[1]
        seen: Tensor = mixed.view(batch, heads, length, -1) @ value.transpose(1, 2) + bias
        return seen


class FusionLayer(nn.Module):
    """Queries exchange what they know (words, state), then look at the pictures."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.exchange = TransformerBlock(dim, num_heads)
        self.look = CrossModalAttention(dim, num_heads)

    def forward(
        self, vision: Tensor, queries: Tensor, mask: Tensor, wanted: int | None = None
    ) -> Tensor:
        """Fuse.

        Args:
            vision: Tokens of all cameras, shape (B, N, D).
            queries: State token, CLS, words and more, shape (B, L, D).
            mask: bool (B, L), false for padded queries.
            wanted: How many of the first queries are read afterwards; `None` for all.

        Returns:
            The queries (B, L, D), or the first `wanted` of them.
        """
        queries = self.exchange(queries, mask, wanted)
        queries = self.look(vision, queries)
        return queries

    def weights(self, vision: Tensor, queries: Tensor, mask: Tensor, wanted: int) -> Tensor:
        """Share that each of the first `wanted` queries gives each token, (B, heads, wanted, N)."""
        return self.look.weights(vision, self.exchange(queries, mask, wanted))
