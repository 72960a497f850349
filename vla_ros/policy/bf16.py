"""The network on a GPU with matrix products in bf16, compiled for shapes that stay the same."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from vla_ros.model.vla import VLAModel

# Texts are padded to a multiple: each length is compiled for itself, which takes a minute.
_TEXT_TOKENS = 64


def bf16_fuse(
    model: VLAModel, device_type: str = "cuda"
) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """What computes the condition (B, K) in fp32 from products in bf16; compiles when first called.

    It takes pictures, text features, mask and state features. Rows of several robots at once are
    computed without compiling: how many there are changes from one time to the next.

    Args:
        model: On a device of that type.
        device_type: `cuda`; a CPU does the same, only slower than without.
    """

    def fuse(images: Tensor, text: Tensor, mask: Tensor, state: Tensor) -> Tensor:
        with torch.autocast(device_type, dtype=torch.bfloat16):
            return model.fuse(images, text, mask, state).condition.float()

    compiled = torch.compile(fuse, dynamic=False)

    def fuse_alike(images: Tensor, text: Tensor, mask: Tensor, state: Tensor) -> Tensor:
        if len(images) > 1:
            return fuse(images, text, mask, state)
        missing = -text.shape[1] % _TEXT_TOKENS
        text, mask = pad(text, (0, 0, 0, missing)), pad(mask, (0, missing))
        condition: Tensor = compiled(images, text, mask, state)
        return condition

    return fuse_alike
