"""Linear layers with weights laid out for the processor: the same numbers, sooner."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from vla_ros.model.vla import VLAModel


class PackedLinear(nn.Module):
    """`nn.Linear` computed by oneDNN on a CPU.

    torch leaves fp32 products to MKL, which uses half of what a processor that is not Intel's has:
    measured on a Zen 4 core, 102 GFLOP/s against 210. Weights are packed once, at the start.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self._weight = linear.weight.detach().to_mkldnn()
        self._bias = linear.bias.detach().to_mkldnn()

    def forward(self, x: Tensor) -> Tensor:
        """As the layer it was made of, without gradients."""
        product = torch._C._nn.mkldnn_linear(x.to_mkldnn(), self._weight, self._bias)
        dense: Tensor = product.to_dense()
        return dense


def packed(model: VLAModel) -> VLAModel:
    """A model that shares the weights of `model`, with the layers of its picture encoders packed.

    They are nine tenths of the work; the others are used in parts, or for a few tokens.
    """
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    twin = copy.deepcopy(model, shared)
    for module in list(twin.vision_encoders.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Linear):
                setattr(module, name, PackedLinear(child))
    return twin
