"""Faster ways to the same condition, each held against plain PyTorch before it is trusted."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from vla_ros.errors import ParameterError
from vla_ros.model.packed import can_pack, packed, prefers_mkl
from vla_ros.model.vla import VLAModel
from vla_ros.policy.bf16 import bf16_fuse
from vla_ros.policy_protocol import PRECISIONS

Fuse = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Pictures, text features, mask and state features to the decoder's condition (B, K)."""

# Largest difference of a normalised action, whose standard deviation is 1.
_BOUNDS = {"exact": 1e-4, "bf16": 0.1, "int8": 0.1}
_MADE_FOR = {"bf16": "cuda", "int8": "cpu"}
# Preset `small`, of width 128, gained nothing: 10 ms a plan either way.
_WORTH_PACKING = 512

_log = logging.getLogger(__name__)


def choose_fuse(model: VLAModel, device: torch.device, precision: str) -> Fuse:
    """The way to compute on `device`.

    Raises:
        ParameterError: The precision is unknown, or not for this device.
        ModuleNotFoundError: int8 needs onnx and onnxruntime.
    """
    plain = plain_fuse(model)
    if precision not in PRECISIONS:
        problem = f"precision {precision!r} is unknown; valid: {', '.join(PRECISIONS)}"
        raise ParameterError("policy", [problem])
    made_for = _MADE_FOR.get(precision, device.type)
    if device.type != made_for:
        problem = f"precision {precision!r} is for {made_for}, device is '{device}'; use 'exact'"
        raise ParameterError("policy", [problem])
    if precision == "bf16":
        return CheckedFuse(model, bf16_fuse(model), plain, precision)
    if precision == "int8":
        # Here, not above: the packages are an option.
        from vla_ros.policy.int8 import int8_fuse

        return CheckedFuse(model, int8_fuse(model), plain, precision)
    if device.type == "cpu" and model.config.width >= _WORTH_PACKING and can_pack():
        fast = plain_fuse(packed(model, with_mkl=prefers_mkl()))
        return CheckedFuse(model, fast, plain, precision)
    return plain


def plain_fuse(model: VLAModel) -> Fuse:
    """The model as it is."""
    return lambda *inputs: model.fuse(*inputs).condition


class CheckedFuse:
    """Computes the fast way, unless it differs from the plain one on the first observation."""

    def __init__(self, model: VLAModel, fast: Fuse, plain: Fuse, precision: str) -> None:
        """Args: precision: Says how large a difference is accepted, and goes into the log."""
        self._decode = model.action_decoder
        self._fast, self._plain = fast, plain
        self._precision, self._bound = precision, _BOUNDS[precision]
        self._chosen: Fuse | None = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The condition; the first call computes both ways."""
        if self._chosen is None:
            self._chosen = self._choose(*inputs)
        return self._chosen(*inputs)

    def warm_up(self, *inputs: Tensor) -> None:
        """Compute the fast way for nothing: what it has to prepare, it prepares now."""
        try:
            self._fast(*inputs)
        except Exception:  # the edge, as below
            self._chosen = self._give_up()

    def _choose(self, *inputs: Tensor) -> Fuse:
        wanted = self._decode(self._plain(*inputs))
        try:
            difference = (self._decode(self._fast(*inputs)) - wanted).abs().max().item()
        except Exception:  # the edge: whatever is wrong with the fast way, the plain one works
            return self._give_up()
        if difference <= self._bound:  # not so for NaN
            return self._fast
        _log.error(
            "inference %r is off by %.3g standard deviations of an action on the first "
            "observation, limit %g; plain PyTorch computes instead, slower",
            self._precision,
            difference,
            self._bound,
        )
        return self._plain

    def _give_up(self) -> Fuse:
        _log.exception("inference %r fails; plain PyTorch computes instead", self._precision)
        return self._plain
