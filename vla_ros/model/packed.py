"""Transformer blocks with weights laid out for the processor: the same numbers, sooner."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vla_ros.model.blocks import SelfAttention, TransformerBlock, merge_heads
from vla_ros.model.vla import VLAModel

_USED_IN_PARTS = ("qkv", "key_value")


def can_pack() -> bool:
    """Whether this build of torch has oneDNN, and with it the operators used here."""
    built: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return built and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class PackedLinear(nn.Module):
    """`nn.Linear` computed by oneDNN on a CPU, without gradients.

    torch leaves fp32 products to MKL, which uses half of what a processor that is not Intel's has:
    measured on a Zen 4 core, 102 GFLOP/s against 210. Weights are packed once, at the start. What
    follows the product is computed while its numbers are in the cache. The operators are those
    that `torch.compile` uses with frozen weights; a compiler is not needed for them alone.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())
        self._bias = linear.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """The layer's product."""
        return self._pointwise(x, "none", "")

    def gelu(self, x: Tensor) -> Tensor:
        """The exact GELU of the product."""
        return self._pointwise(x, "gelu", "none")

    def plus(self, x: Tensor, residual: Tensor) -> Tensor:
        """The product and `residual`, which has its shape."""
        result: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
            x, residual, self._weight, self._bias, "add"
        )
        return result

    def _pointwise(self, x: Tensor, name: str, algorithm: str) -> Tensor:
        result: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self._weight, self._bias, name, [], algorithm
        )
        return result


class PackedBlock(nn.Module):
    """A `TransformerBlock` of packed layers, every token counting and looking."""

    def __init__(self, block: TransformerBlock) -> None:
        super().__init__()
        self.norm1, self.norm2 = block.norm1, block.norm2
        self._attn: SelfAttention = block.attn
        self._qkv, self._proj = PackedLinear(block.attn.qkv), PackedLinear(block.attn.proj)
        linears = [part for part in block.ffn if isinstance(part, nn.Linear)]
        self._wider, self._narrower = map(PackedLinear, linears)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        q, k, v = self._attn.split(self._qkv(self.norm1(x)))
        x = self._proj.plus(merge_heads(F.scaled_dot_product_attention(q, k, v)), x)
        return self._narrower.plus(self._wider.gelu(self.norm2(x)), x)


def packed(model: VLAModel) -> VLAModel:
    """A model that shares the weights of `model`, with picture encoders and fusion packed.

    Of the fusion, layers whose weights are used in parts are left as they are.
    """
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    twin = copy.deepcopy(model, shared)
    for module in list(twin.vision_encoders.modules()):
        for name, child in module.named_children():
            if isinstance(child, TransformerBlock):
                setattr(module, name, PackedBlock(child))
    for module in list(twin.fusion.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Linear) and name not in _USED_IN_PARTS:
                setattr(module, name, PackedLinear(child))
    return twin
