"""What is at the place that the words point at?

A pointer tells where the named object is; how it is turned is lost in its cells, and the vision
encoder's patches hold too much else. So the picture is cut out around that place and looked at
closely, as in the glimpses of 1406.6247.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

_GROUPS = 8
_SHRINKS = 4


class Glimpse(nn.Module):
    """A close look at one place in one camera's picture.

    Args:
        image_size: Height and width of the picture.
        glimpse_px: Height and width of what is cut out, a multiple of 4.
        features: Length F of what comes out, a multiple of 16.
    """

    offsets: Tensor

    def __init__(self, image_size: int, glimpse_px: int, features: int) -> None:
        super().__init__()
        cells = (glimpse_px // _SHRINKS) ** 2
        self.look = nn.Sequential(
            nn.Conv2d(3, features // 2, kernel_size=4, stride=2, padding=1),
            nn.GroupNorm(_GROUPS, features // 2),
            nn.GELU(),
            nn.Conv2d(features // 2, features, kernel_size=4, stride=2, padding=1),
            nn.GroupNorm(_GROUPS, features),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(cells * features, features),
            nn.GELU(),
        )
        self.register_buffer("offsets", pixel_offsets(image_size, glimpse_px), persistent=False)

    def forward(self, image: Tensor, place: Tensor) -> Tensor:
        """Look.

        Args:
            image: float (B, 3, H, W) as `vision.to_input` makes it.
            place: Right and down, -1 to 1 across the picture, shape (B, 2). No gradient goes back
                to it: what is seen does not teach where to look.

        Returns:
            Shape (B, F).
        """
        grid = place.detach()[:, None, None] + self.offsets
        cut = grid_sample(image, grid, padding_mode="border", align_corners=False)
        seen: Tensor = self.look(cut)
        return seen


def pixel_offsets(image_size: int, glimpse_px: int) -> Tensor:
    """From the middle of a glimpse to its pixels, right and down, shape (G, G, 2)."""
    axis = (torch.arange(glimpse_px) + 0.5 - glimpse_px / 2) * (2 / image_size)
    down, right = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([right, down], dim=-1)
