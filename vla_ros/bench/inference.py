"""Time the policy's network against the specification's model written plainly.

`python -m vla_ros bench inference [--threads N] [--rounds N] [--json FILE] [--plot FILE]`

Preset `base`, one camera, an instruction padded to 77 tokens, fp32, the same weights. Ours encodes
the text once an instruction and without its padding, fuses attention, and computes in the last
fusion layer only what is read of it. A round times each of them once, and a large matrix product,
whose best time is the machine's peak; what counts is each one's best round.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vla_ros.bench.plain_model import PlainVLAModel, plain_weights
from vla_ros.bench.report import add_output_arguments, machine, print_table, write_report
from vla_ros.errors import ParameterError
from vla_ros.model.config import PRESETS, preset
from vla_ros.model.tokenizer import PAD
from vla_ros.model.vla import VLAModel

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
    if not (arguments.rounds >= 1 and 0 <= arguments.threads <= 256):
        problem = (
            f"--rounds is {arguments.rounds}, --threads {arguments.threads}; valid: --rounds 1 or "
            "more, --threads 0 to 256"
        )
        raise ParameterError("bench inference", [problem])
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    ways = ways_to_plan(arguments.preset)
    difference = largest_difference(ways)
    report = measure(ways, arguments.rounds) | {
        **machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "preset": arguments.preset,
        "largest_difference": difference,
    }
    _show(report)
    bars = {"time [ms]": report["times_ms"], "time / plain": report["ratios"]}
    write_report(arguments, report, bars)
    if difference > _SAME:
        sys.stderr.write(f"the outputs differ by {difference:.2g}, limit {_SAME:g}\n")
    return int(difference > _SAME)


def ways_to_plan(name: str) -> Ways:
    """The same plan computed plainly and our way."""
    model, inputs = _untrained(name, cameras=("front",), tokens=_TEXT_TOKENS)
    plain = plain_twin(model)
    text = model.encode_text(inputs.tokens)
    return {
        "plain": lambda: plain(*inputs),
        "exact": lambda: model.act(inputs.images, *text, inputs.state),
    }


def plain_twin(model: VLAModel) -> PlainVLAModel:
    """The plain model with the weights of `model`, which it shares."""
    with torch.device("meta"):
        plain = PlainVLAModel(model.config).eval()
    plain.load_state_dict(plain_weights(model.state_dict()), assign=True)
    return plain


def measure(ways: Ways, rounds: int) -> dict[str, Any]:
    """Times, ratios, the share of the peak that `exact` reaches, and the rate of `small`."""
    square = torch.rand(_GEMM, _GEMM)
    small, inputs = _untrained("small", cameras=("front", "wrist"), tokens=_WORDS)
    text = small.encode_text(inputs.tokens)
    beside: Ways = {
        "gemm": lambda: square @ square,
        "small": lambda: small.act(inputs.images, *text, inputs.state),
    }
    best_s = best_times_s({**ways, **beside}, rounds)
    peak = 2 * _GEMM**3 / best_s["gemm"]
    return {
        "times_ms": {name: round(1e3 * best_s[name], 3) for name in ways},
        "ratios": {name: round(best_s[name] / best_s["plain"], 4) for name in ways},
        "gemm_gflop_s": round(peak / 1e9, 1),
        "gemm_share": round(flops_of(ways["exact"]) / best_s["exact"] / peak, 4),
        "small_hz": round(1 / best_s["small"], 1),
    }


def best_times_s(ways: Ways, rounds: int) -> dict[str, float]:
    """The shortest time of each, taken in turn so that other load meets all alike."""
    for way in ways.values():
        way()
    taken_s: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            begin_s = time.perf_counter()
            way()
            taken_s[name].append(time.perf_counter() - begin_s)
    return {name: min(times_s) for name, times_s in taken_s.items()}


def flops_of(way: Callable[[], Tensor]) -> int:
    """Floating-point operations of its matrix products, those inside attention included."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        way()
    return int(counter.get_total_flops())


def largest_difference(ways: Ways) -> float:
    """How far any output is from the plain one."""
    wanted = ways["plain"]()
    return max((way() - wanted).abs().max().item() for way in ways.values())


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
    print_table(f"one plan, preset {report['preset']}, {report['threads']} threads, fp32:", rows)
    print(f"largest difference of the outputs: {report['largest_difference']:.1e}")
    print(
        f"exact reaches {report['gemm_share']:.2f} of the machine's GEMM peak "
        f"({report['gemm_gflop_s']:.0f} GFLOP/s, {_GEMM}x{_GEMM})"
    )
    print(f"preset small, two cameras: {report['small_hz']:.1f} Hz")
