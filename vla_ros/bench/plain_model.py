"""The specification's model written plainly: the baseline of `bench inference`.

Each part is as the specification's sketch has it, made batch-first and given the parts it lacks
(padding mask, state encoder, stacked fusion), so that it computes what `VLAModel` without pointers
computes, with the same weights. Nothing is saved: all of it runs every time, for every token, with
attention weights written out.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vla_ros.model.blocks import feed_forward
from vla_ros.model.config import ModelConfig
from vla_ros.model.tokenizer import PAD
from vla_ros.model.vla import build_decoder


class SelfAttention(nn.Module):
    """Multi-head self-attention, its weights written out."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads, self.scale = num_heads, (dim // num_heads) ** -0.5
        self.qkv = nn.Linear(dim, dim * 3)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend over (B, N, D); `mask` (B, N) is false for padding."""
        batch, tokens, dim = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, dim // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-2, -1)) * self.scale
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None, :], -torch.inf)
        x = (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(batch, tokens, dim)
        x = self.proj(x)
        return x


class TransformerBlock(nn.Module):
    """The block that the sketch uses and does not give."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = SelfAttention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.ffn = feed_forward(dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        x = x + self.attn(self.norm1(x), mask)
        x = x + self.ffn(self.norm2(x))
        return x


class VisionEncoder(nn.Module):
    """Encode images to feature vectors."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, patch = config.width, config.patch_px
        self.patch_embed = nn.Conv2d(3, dim, kernel_size=patch, stride=patch)
        self.pos_embed = nn.Parameter(torch.zeros(1, (config.image_px // patch) ** 2 + 1, dim))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.blocks = nn.ModuleList(
            [TransformerBlock(dim, config.heads) for _ in range(config.vision_blocks)]
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, N + 1, D)."""
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return x


class LanguageEncoder(nn.Module):
    """Encode text instructions."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.token_embed = nn.Embedding(config.vocab_size, config.width)
        self.pos_embed = nn.Parameter(torch.zeros(1, config.max_len, config.width))
        self.blocks = nn.ModuleList(
            [TransformerBlock(config.width, config.heads) for _ in range(config.language_blocks)]
        )
        self.norm = nn.LayerNorm(config.width)

    def forward(self, token_ids: Tensor, mask: Tensor) -> Tensor:
        """(B, L) to (B, L, D)."""
        x: Tensor = self.token_embed(token_ids) + self.pos_embed[:, : token_ids.shape[1]]
        for block in self.blocks:
            x = block(x, mask)
        x = self.norm(x)
        return x


class CrossModalAttention(nn.Module):
    """Fuse vision and language features: language attends to vision."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.cross_attn = nn.MultiheadAttention(dim, num_heads, batch_first=True)
        self.ffn = feed_forward(dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, vision_feats: Tensor, language_feats: Tensor) -> Tensor:
        """(B, N, D) and (B, L, D) to (B, L, D)."""
        attn_out, _ = self.cross_attn(
            query=self.norm1(language_feats), key=vision_feats, value=vision_feats
        )
        x: Tensor = language_feats + attn_out
        x = x + self.ffn(self.norm2(x))
        return x


class FusionLayer(nn.Module):
    """Words and state exchange what they know, then look at the pictures."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.exchange = TransformerBlock(dim, num_heads)
        self.look = CrossModalAttention(dim, num_heads)

    def forward(self, vision: Tensor, queries: Tensor, mask: Tensor) -> Tensor:
        """(B, N, D) and (B, L, D) to (B, L, D)."""
        queries = self.look(vision, self.exchange(queries, mask))
        return queries


class PlainVLAModel(nn.Module):
    """`VLAModel` without pointers, without any saving."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, heads = config.width, config.heads
        self.vision_encoders = nn.ModuleList([VisionEncoder(config) for _ in config.cameras])
        self.language_encoder = LanguageEncoder(config)
        self.robot_encoder = nn.Sequential(
            nn.Linear(config.state_features, dim), nn.GELU(), nn.Linear(dim, dim)
        )
        self.fusion = nn.ModuleList([FusionLayer(dim, heads) for _ in range(config.fusion_layers)])
        self.norm = nn.LayerNorm(dim)
        self.action_decoder = build_decoder(config)

    def forward(self, images: Tensor, tokens: Tensor, state: Tensor) -> Tensor:
        """The chunk (B, T, A); arguments as of `VLAModel`."""
        mask = tokens != PAD
        seen = [encode(images[:, i]) for i, encode in enumerate(self.vision_encoders)]
        vision, words = torch.cat(seen, dim=1), self.language_encoder(tokens, mask)
        queries = torch.cat([self.robot_encoder(state)[:, None], words], dim=1)
        mask = torch.cat([mask.new_ones(len(mask), 1), mask], dim=1)
        for layer in self.fusion:
            queries = layer(vision, queries, mask)
        queries = self.norm(queries)
        heads = [queries[:, 1], queries[:, 0], *(tokens[:, 0] for tokens in seen)]
        chunk: Tensor = self.action_decoder(torch.cat(heads, dim=-1))
        return chunk


def plain_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a `VLAModel` under the names of `PlainVLAModel`."""
    plain = {}
    for name, value in weights.items():
        layer, is_look, part = name.partition(".look.")
        if is_look and part.startswith("key_value."):
            continue
        if is_look and part.startswith("query."):
            kind = part.removeprefix("query.")
            both = [value, weights[f"{layer}.look.key_value.{kind}"]]
            plain[f"{layer}.look.cross_attn.in_proj_{kind}"] = torch.cat(both)
        elif is_look and part.startswith("proj."):
            plain[f"{layer}.look.cross_attn.out_{part}"] = value
        else:
            plain[name] = value
    return plain
