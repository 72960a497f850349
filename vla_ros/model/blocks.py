"""Parts every encoder is built of. `B` batch, `N` tokens, `D` width."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Multi-head self-attention over (B, N, D)."""

    def __init__(self, dim: int, num_heads: int = 8) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, dim * 3)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None = None, queries: int | None = None) -> Tensor:
        """Attend.

        Args:
            x: Tokens, shape (B, N, D).
            mask: bool (B, N), false for padding; `None` when every token counts.
            queries: How many of the first tokens look at the others; `None` for all.
        """
        q, k, v = self._all(x) if queries is None else self._first(x, queries)
        mixed: Tensor = self.proj(
            merge_heads(F.scaled_dot_product_attention(q, k, v, key_mask(mask)))
        )
        return mixed

    def _all(self, x: Tensor) -> tuple[Tensor, ...]:
        # Contiguous: on a CPU the kernel and its gradient are quicker by more than the copy costs.
        parts: tuple[Tensor, ...] = self.views(self.qkv(x)).contiguous().unbind()
        return parts

    def views(self, qkv: Tensor) -> Tensor:
        """Queries, keys, values (3, B, heads, N, D / heads) in what `qkv` gives, (B, N, 3 D)."""
        split = qkv.view(*qkv.shape[:2], 3, self.num_heads, -1)  # (B, N, 3, heads, D / heads)
        return split.permute(2, 0, 3, 1, 4)

    def _first(self, x: Tensor, queries: int) -> tuple[Tensor, ...]:
        """Queries of the first tokens alone, keys and values of all."""
        dim = x.shape[-1]
        weight, bias = self.qkv.weight, self.qkv.bias
        q = F.linear(x[:, :queries], weight[:dim], bias[:dim])
        k, v = F.linear(x, weight[dim:], bias[dim:]).chunk(2, dim=-1)
        heads = self.num_heads
        return split_heads(q, heads), split_heads(k, heads), split_heads(v, heads)


class TransformerBlock(nn.Module):
    """Pre-norm transformer block: attention and feed-forward, each with a residual."""

    def __init__(self, dim: int, num_heads: int = 8) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = SelfAttention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.ffn = feed_forward(dim)

    def forward(self, x: Tensor, mask: Tensor | None = None, queries: int | None = None) -> Tensor:
        """Return (B, N, D), or the first `queries` tokens of it; both as in `SelfAttention`."""
        x = x[:, :queries] + self.attn(self.norm1(x), mask, queries)
        x = x + self.ffn(self.norm2(x))
        return x


def feed_forward(dim: int) -> nn.Sequential:
    """Two linear layers, four times wider in between."""
    return nn.Sequential(nn.Linear(dim, dim * 4), nn.GELU(), nn.Linear(dim * 4, dim))


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """(B, N, D) to (B, heads, N, D / heads)."""
    return x.view(*x.shape[:-1], num_heads, -1).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, heads, N, D / heads) to (B, N, D)."""
    return x.transpose(1, 2).flatten(2)


def key_mask(mask: Tensor | None) -> Tensor | None:
    """(B, N) over keys to (B, 1, 1, N), the same for every head and query."""
    return None if mask is None else mask[:, None, None, :]


def init_weights(module: nn.Module) -> None:
    """Xavier weights and zero biases; pass it to `Module.apply`.

    The usual normal of 0.02 fits a width of 768; at 128 it starts with attention that is nearly
    uniform, and words found their object later.
    """
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.xavier_uniform_(module.weight.flatten(1))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
