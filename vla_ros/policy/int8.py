"""The network with 8-bit weights on a CPU: ONNX Runtime's dynamic quantisation.

Needs the packages onnx and onnxruntime. Matrix products of pictures, fusion and state are
quantised; text is encoded once an instruction and actions are decoded from few numbers, so both
stay with torch.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

from vla_ros.model.tokenizer import CLS, UNK
from vla_ros.model.vla import VLAModel

_INPUTS, _OUTPUT = ("images", "text", "mask", "state"), "condition"
_OPSET = 17


def int8_fuse(model: VLAModel) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Export `model`, quantise it, and return what computes the condition (B, K).

    It takes pictures, text features, mask and state features, and as many threads as torch has now.
    """
    with tempfile.TemporaryDirectory(prefix="vla_ros_") as folder:
        exact, small = Path(folder) / "exact.onnx", Path(folder) / "int8.onnx"
        _export(model, exact)
        _quantize(exact, small)
        session = _session(small)

    def fuse(*inputs: Tensor) -> Tensor:
        feed = {name: value.numpy() for name, value in zip(_INPUTS, inputs, strict=True)}
        return torch.from_numpy(session.run([_OUTPUT], feed)[0])

    return fuse


class _Condition(nn.Module):
    def __init__(self, model: VLAModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, text: Tensor, mask: Tensor, state: Tensor) -> Tensor:
        return self.model.fuse(images, text, mask, state).condition


@torch.no_grad()
def _export(model: VLAModel, path: Path) -> None:
    config = model.config
    text, mask = model.encode_text(torch.tensor([[CLS, UNK]]))
    images = torch.zeros(1, len(config.cameras), 3, config.image_px, config.image_px)
    state = torch.zeros(1, config.state_features)
    rows = {name: {0: "rows"} for name in (*_INPUTS, _OUTPUT)}
    with warnings.catch_warnings():
        # The exporter that needs no package of its own is called deprecated.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Condition(model).eval(),
            (images, text, mask, state),
            str(path),
            dynamo=False,
            opset_version=_OPSET,
            input_names=list(_INPUTS),
            output_names=[_OUTPUT],
            dynamic_axes={**rows, "text": {0: "rows", 1: "words"}, "mask": {0: "rows", 1: "words"}},
        )


def _quantize(exact: Path, small: Path) -> None:
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # it advises on the root logger to prepare the model otherwise
    try:
        quantize_dynamic(
            exact,
            small,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
    finally:
        logger.setLevel(level)


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Waiting threads that spin would take control's core.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(path.read_bytes(), options, providers=providers)
