"""Transformer blocks with weights laid out for the processor: the same numbers, sooner."""

from __future__ import annotations

import copy
from pathlib import Path

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


def prefers_mkl() -> bool:
    """Whether packed products are computed sooner by MKL than by oneDNN: on Intel's processors.

    Measured with 197 rows, in GFLOP/s: 152 against 132 on an Intel core with AVX-512. On others MKL
    uses half of what they have: without packing, 102 against 210 on a Zen 4 core.
    """
    try:
        is_intel = "GenuineIntel" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    built = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    return bool(is_intel and built and hasattr(torch.ops.mkl, "_mkl_linear"))


class MklLinear(nn.Module):
    """`nn.Linear` computed by MKL on a CPU, without gradients.

    Weights are packed once, for a number of rows; any other number is computed, too, only later.
    """

    def __init__(self, linear: nn.Linear, rows: int) -> None:
        super().__init__()
        self._weight, self._bias = linear.weight.detach(), linear.bias.detach()
        self._packed = torch.ops.mkl._mkl_reorder_linear_weight(self._weight, rows)
        self._rows = rows

    def forward(self, x: Tensor) -> Tensor:
        """The layer's product."""
        result: Tensor = torch.ops.mkl._mkl_linear(
            x, self._packed, self._weight, self._bias, self._rows
        )
        return result

    def gelu(self, x: Tensor) -> Tensor:
        """The exact GELU of the product."""
        # In place: what was just computed is in the cache, another tensor's memory is not.
        result: Tensor = torch.ops.aten.gelu_(self(x))
        return result

    def plus(self, x: Tensor, residual: Tensor) -> Tensor:
        """The product and `residual`, which has its shape."""
        result: Tensor = self(x).add_(residual)
        return result


class PackedLinear(nn.Module):
    """`nn.Linear` computed by oneDNN on a CPU, without gradients.

    Weights are packed once, at the start. What follows the product is computed while its numbers
    are in the cache. These operators, and those of `MklLinear`, are the ones that `torch.compile`
    uses with frozen weights; a compiler is not needed for them alone.
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
    """A `TransformerBlock` of packed layers, every token counting and looking.

    Args:
        block: What is packed.
        rows: Number N of tokens to pack for, with MKL; `None` packs with oneDNN.
    """

    def __init__(self, block: TransformerBlock, rows: int | None = None) -> None:
        super().__init__()
        self.norm1, self.norm2 = block.norm1, block.norm2
        self._attn: SelfAttention = block.attn

        def pack(linear: nn.Linear) -> MklLinear | PackedLinear:
            return PackedLinear(linear) if rows is None else MklLinear(linear, rows)

        self._qkv, self._proj = pack(block.attn.qkv), pack(block.attn.proj)
        linears = [part for part in block.ffn if isinstance(part, nn.Linear)]
        self._wider, self._narrower = map(pack, linears)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        # Not made contiguous first, as in training: without gradients the copy costs more.
        q, k, v = self._attn.views(self._qkv(self.norm1(x))).unbind()
        x = self._proj.plus(merge_heads(F.scaled_dot_product_attention(q, k, v)), x)
        return self._narrower.plus(self._wider.gelu(self.norm2(x)), x)


def packed(model: VLAModel, *, with_mkl: bool = False) -> VLAModel:
    """A model that shares the weights of `model`, with picture encoders and fusion packed.

    Of the fusion, layers whose weights are used in parts are left as they are.

    Args:
        model: On a CPU.
        with_mkl: Pack the picture encoders with MKL, for one picture at a time.
    """
    rows = 1 + (model.config.image_px // model.config.patch_px) ** 2 if with_mkl else None
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    twin = copy.deepcopy(model, shared)
    for module in list(twin.vision_encoders.modules()):
        for name, child in module.named_children():
            if isinstance(child, TransformerBlock):
                setattr(module, name, PackedBlock(child, rows))
    for module in list(twin.fusion.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Linear) and name not in _USED_IN_PARTS:
                setattr(module, name, PackedLinear(child))
    return twin
