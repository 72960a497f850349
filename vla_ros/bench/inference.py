"""Time the policy's network against the specification's model written plainly.

`python -m vla_ros bench inference [--threads N] [--rounds N] [--json FILE] [--plot FILE]`

Preset `base`, one camera, an instruction padded to 77 tokens, fp32 weights, the same in all.
`exact` encodes the text once an instruction and without its padding, fuses what it can, and
computes in the last fusion layer only what is read of it; `int8` is that with 8-bit weights;
`lerobot_act` is LeRobot's ACT with a picture of 480 x 640, where lerobot is installed. A round
times each of them once, and large matrix products, as many as have about the operations of a plan,
by the quicker of torch's two libraries: the machine's peak. What counts is the median of the
rounds, of a ratio that of the ratios in each. On a machine with other load a short thing finds a
quiet moment sooner than a long one, so plan and products must last alike. Each is timed right after
an untimed one, as a policy computes plan after plan: with the weights in the cache that fit there.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cosine_similarity
from torch.utils.flop_counter import FlopCounterMode

from vla_ros.bench.plain_model import PlainVLAModel, plain_weights
from vla_ros.bench.report import add_output_arguments, machine, print_table, write_report
from vla_ros.datatypes import FloatArray
from vla_ros.errors import ParameterError
from vla_ros.model.config import PRESETS, preset
from vla_ros.model.packed import PackedLinear
from vla_ros.model.tokenizer import PAD
from vla_ros.model.vla import VLAModel
from vla_ros.option_ranges import FROM_1, out_of_range
from vla_ros.policy.fast_path import Fuse, choose_fuse

_TEXT_TOKENS, _WORDS = 77, 12
_STATE_FEATURES, _ACTION_DIM = 17, 8
_GEMM = 2048
_SAME = 1e-4

Ways = Mapping[str, Callable[[], Tensor]]


class Inputs(NamedTuple):
    """Pictures (1, C, 3, H, W), tokens (1, L) and state features (1, F)."""

    images: Tensor
    tokens: Tensor
    state: Tensor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--preset", choices=PRESETS, default="base", help="size of the model")
    parser.add_argument("--rounds", type=int, default=10, help="how often to time each of them")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves it to torch")
    add_output_arguments(parser)


@torch.inference_mode()
def run(arguments: argparse.Namespace) -> int:
    """Measure, print and write; returns the exit status, 1 when the outputs differ."""
    if problems := out_of_range(arguments, {"rounds": FROM_1, "threads": (0, 256)}):
        raise ParameterError("bench inference", problems)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    model, inputs = _untrained(arguments.preset, cameras=("front",), tokens=_TEXT_TOKENS)
    ways = ways_to_plan(model, inputs)
    beside = lerobots_act()
    report = {
        **machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "preset": arguments.preset,
        **measure({**ways, **beside}, flops_of(model, inputs), arguments.rounds),
        **compare(ways),
    }
    _show(report)
    bars = {"time [ms]": report["times_ms"], "time / plain": report["ratios"]}
    write_report(arguments, report, bars)
    difference = report["largest_difference"]
    if difference > _SAME:
        sys.stderr.write(f"the exact output is off by {difference:.2g}, limit {_SAME:g}\n")
    return int(difference > _SAME)


def ways_to_plan(model: VLAModel, inputs: Inputs) -> Ways:
    """The same plan computed plainly and our ways; int8 where its packages are installed."""
    plain = plain_twin(model)
    text, mask = model.encode_text(inputs.tokens)

    def decoded(fuse: Fuse) -> Callable[[], Tensor]:
        return lambda: model.action_decoder(fuse(inputs.images, text, mask, inputs.state))

    exact = choose_fuse(model, torch.device("cpu"), "exact")
    ways = {"plain": lambda: plain(*inputs), "exact": decoded(exact)}
    try:
        from vla_ros.policy.int8 import int8_fuse
    except ModuleNotFoundError as error:
        print(f"int8 is left out: {error.name} is missing (pip install onnx onnxruntime)")
        return ways
    return {**ways, "int8": decoded(int8_fuse(model))}


def lerobots_act() -> Ways:
    """LeRobot's ACT, where it is installed: another network, so its output is not compared."""
    try:
        from vla_ros.bench.lerobot_act import lerobot_act
    except ModuleNotFoundError as error:
        print(f"LeRobot's ACT is left out: {error.name} is missing (pip install lerobot)")
        return {}
    return {"lerobot_act": lerobot_act(_ACTION_DIM)}


def plain_twin(model: VLAModel) -> PlainVLAModel:
    """The plain model with the weights of `model`, which it shares."""
    with torch.device("meta"):
        plain = PlainVLAModel(model.config).eval()
    plain.load_state_dict(plain_weights(model.state_dict()), assign=True)
    return plain


def measure(ways: Ways, flops: int, rounds: int) -> dict[str, Any]:
    """Times, ratios, the share of the peak that `exact` reaches, and the rate of `small`.

    Args:
        ways: What to time.
        flops: Floating-point operations of the exact way.
        rounds: How often to time each.
    """
    square = torch.rand(_GEMM, _GEMM)
    product = PackedLinear(nn.Linear(_GEMM, _GEMM))
    products = max(1, round(flops / (2 * _GEMM**3)))
    small, inputs = _untrained("small", cameras=("front", "wrist"), tokens=_WORDS)
    text = small.encode_text(inputs.tokens)
    # The peak is what the quicker of the two libraries that torch has reaches.
    beside: Ways = {
        "gemm": _repeated(lambda: square @ square, products),
        "packed_gemm": _repeated(lambda: product(square), products),
        "small": lambda: small.act(inputs.images, *text, inputs.state),
    }
    taken_s = times_s({**ways, **beside}, rounds)
    peak = products * 2 * _GEMM**3 / np.minimum(taken_s["gemm"], taken_s["packed_gemm"])
    return {
        "times_ms": {name: _median(1e3 * taken_s[name], 3) for name in ways},
        "ratios": {name: _median(taken_s[name] / taken_s["plain"], 4) for name in ways},
        "gemm_gflop_s": _median(peak / 1e9, 1),
        "gemm_share": _median(flops / taken_s["exact"] / peak, 4),
        "small_hz": _median(1 / taken_s["small"], 1),
    }


def _median(values: FloatArray, digits: int) -> float:
    return round(float(np.median(values)), digits)


def _repeated(compute: Callable[[], Tensor], times: int) -> Callable[[], Tensor]:
    def all_of_them() -> Tensor:
        for _ in range(times - 1):
            compute()
        return compute()

    return all_of_them


def compare(ways: Ways) -> dict[str, float]:
    """How far the exact output is from the plain one, and the cosine of int8's to it."""
    outputs = {name: way().flatten() for name, way in ways.items()}
    plain = outputs["plain"]
    found = {"largest_difference": (outputs["exact"] - plain).abs().max().item()}
    if "int8" in outputs:
        found["int8_cosine"] = cosine_similarity(outputs["int8"], plain, dim=0).item()
    return found


def times_s(ways: Ways, rounds: int) -> dict[str, FloatArray]:
    """The times of each, one a round, taken in turn so that other load meets all alike."""
    for way in ways.values():
        way()
    taken_s: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            way()
            begin_s = time.perf_counter()
            way()
            taken_s[name].append(time.perf_counter() - begin_s)
    return {name: np.array(values) for name, values in taken_s.items()}


def flops_of(model: VLAModel, inputs: Inputs) -> int:
    """Floating-point operations in the matrix products of a plan, those of attention included."""
    text = model.encode_text(inputs.tokens)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model.act(inputs.images, *text, inputs.state)
    return int(counter.get_total_flops())


def _untrained(name: str, cameras: tuple[str, ...], tokens: int) -> tuple[VLAModel, Inputs]:
    """A model with first weights, and inputs of `_WORDS` words padded to `tokens`."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"state_features": _STATE_FEATURES, "action_dim": _ACTION_DIM}
    sizes |= {"max_len": max(tokens, _TEXT_TOKENS)} if name != "base" else {}
    # The specification has no pointers, so the plain model has none to compare.
    sizes |= {"points": 0} if tokens > _WORDS else {}
    config = preset(name, cameras=cameras, **sizes)
    words = torch.full((1, tokens), PAD)
    words[:, :_WORDS] = torch.randint(1, config.vocab_size, (1, _WORDS))
    images = torch.rand(1, len(cameras), 3, config.image_px, config.image_px) * 2 - 1
    state = torch.randn(1, _STATE_FEATURES)
    return VLAModel(config).eval(), Inputs(images=images, tokens=words, state=state)


def _show(report: Mapping[str, Any]) -> None:
    times_ms, ratios = report["times_ms"], report["ratios"]
    rows = {
        name: f"{times_ms[name]:9.2f} ms  {ratios[name]:.3f} of the plain time" for name in ratios
    }
    print_table(f"one plan, preset {report['preset']}, {report['threads']} threads:", rows)
    print(f"largest difference of the exact output: {report['largest_difference']:.1e}")
    if "int8_cosine" in report:
        print(f"cosine of the int8 output to the plain one: {report['int8_cosine']:.6f}")
    print(
        f"exact reaches {report['gemm_share']:.2f} of the machine's GEMM peak "
        f"({report['gemm_gflop_s']:.0f} GFLOP/s, {_GEMM}x{_GEMM})"
    )
    print(f"preset small, two cameras: {report['small_hz']:.1f} Hz")
