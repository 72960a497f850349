"""Pictures to tokens: a vision transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vla_ros.model.blocks import TransformerBlock


class VisionEncoder(nn.Module):
    """ViT for one camera: patches, CLS, learned positions, transformer blocks."""

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 16,
        dim: int = 768,
        num_heads: int = 12,
        depth: int = 12,
    ) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, dim, kernel_size=patch_size, stride=patch_size)
        num_patches = (image_size // patch_size) ** 2
        self.pos_embed = nn.Parameter(torch.randn(1, num_patches + 1, dim) * 0.02)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.blocks = nn.ModuleList([TransformerBlock(dim, num_heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, N + 1, D), CLS first, for images (B, 3, H, W) as `to_input` makes them."""
        x = self.patch_embed(x).flatten(2).transpose(1, 2)  # (B, N, D)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return x


def to_input(pixels: Tensor) -> Tensor:
    """uint8 (..., H, W, 3) in [0, 255] to float (..., 3, H, W) in [-1, 1], as the encoder takes."""
    planes = pixels.movedim(-1, -3)
    return planes.to(torch.float32, memory_format=torch.contiguous_format).mul_(2 / 255).sub_(1)
