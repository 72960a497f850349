"""Where in a picture is what the words name?

Patches of 16 pixels hide where inside them a small object lies, and a transformer that is trained
from nothing takes long to find out. Here the words look for it on a grid of 4 pixels, and what
counts is the place they look at: the expected coordinates under their attention, as in the spatial
softmax of 1504.00702, with the instruction as the query.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

STRIDE_PX = 4
_GROUPS = 8
# A place is one cell of hundreds: with the usual scale of attention the softmax stays too flat.
_SHARPNESS = 4.0


class Pointed(NamedTuple):
    """Where the words point in the pictures of one camera.

    Attributes:
        token: What is there and where, shape (B, D).
        places: Shape (B, P, 2): right and down, -1 to 1 across the picture.
        named: Log-probability over the N cells of the first place, which is taught to be that of
            the named object, shape (B, N).
    """

    token: Tensor
    places: Tensor
    named: Tensor


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
        self.register_buffer("grid", cell_centers(image_size // STRIDE_PX), persistent=False)

    def forward(self, image: Tensor, instruction: Tensor) -> Pointed:
        """Point.

        Args:
            image: float (B, 3, H, W) as `vision.to_input` makes it.
            instruction: CLS token of the text, shape (B, D).
        """
        cells = self.stem(image).flatten(2)  # (B, F, N)
        query = self.query(instruction).view(-1, self.points, self.features)
        logits = query @ cells * (_SHARPNESS * self.features**-0.5)  # (B, P, N)
        attention = logits.softmax(dim=-1)
        places = attention @ self.grid
        found = attention @ cells.transpose(1, 2)
        token: Tensor = self.proj(torch.cat([places, found], dim=-1).flatten(1))
        return Pointed(token=token, places=places, named=logits[:, 0].log_softmax(dim=-1))


def cell_centers(cells: int) -> Tensor:
    """Centres of a grid's cells, row by row, right and down, -1 to 1, shape (cells², 2)."""
    axis = (torch.arange(cells) + 0.5) * (2 / cells) - 1
    down, right = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([right, down], -1).flatten(0, 1)
