"""Where in a picture is what the words name?

Patches of 16 pixels hide where inside them a small object lies, and a transformer that is trained
from nothing takes long to find out. Here the words look for it on a grid of 4 pixels, and what
counts is the place they look at: the expected coordinates under their attention, as in the spatial
softmax of 1504.00702, with the instruction as the query.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STRIDE_PX = 4
_GROUPS = 8


class Pointer(nn.Module):
    """Points at places in one camera's picture.

    Args:
        image_size: Height and width of the picture, a multiple of `STRIDE_PX`.
        dim: Width D of the instruction's token.
        features: Channels F of the grid, a multiple of 8.
        points: Number P of places.
    """

    grid: Tensor

    def __init__(self, image_size: int, dim: int, features: int, points: int) -> None:
        super().__init__()
        self.points, self.features = points, features
        self.stem = nn.Sequential(
            nn.Conv2d(3, features, kernel_size=STRIDE_PX, stride=STRIDE_PX),
            nn.GroupNorm(_GROUPS, features),
            nn.GELU(),
            nn.Conv2d(features, features, kernel_size=3, padding=1),
            nn.GroupNorm(_GROUPS, features),
            nn.GELU(),
        )
        self.query = nn.Linear(dim, points * features)
        self.proj = nn.Linear(points * (2 + features), dim)
        axis = torch.linspace(-1, 1, image_size // STRIDE_PX)
        down, right = torch.meshgrid(axis, axis, indexing="ij")
        self.register_buffer("grid", torch.stack([right, down], -1).flatten(0, 1), persistent=False)

    def forward(self, image: Tensor, instruction: Tensor) -> tuple[Tensor, Tensor]:
        """Point.

        Args:
            image: float (B, 3, H, W) as `vision.to_input` makes it.
            instruction: CLS token of the text, shape (B, D).

        Returns:
            A token (B, D) of what is there and where, and the places (B, P, 2): right and down,
            -1 to 1 across the picture.
        """
        cells = self.stem(image).flatten(2)  # (B, F, N)
        query = self.query(instruction).view(-1, self.points, self.features)
        attention = (query @ cells * self.features**-0.5).softmax(dim=-1)  # (B, P, N)
        places = attention @ self.grid
        found = attention @ cells.transpose(1, 2)
        token: Tensor = self.proj(torch.cat([places, found], dim=-1).flatten(1))
        return token, places
