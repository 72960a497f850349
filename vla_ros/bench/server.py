"""Time the policy server: its round trip without a policy, and many robots at once.

`python -m vla_ros bench server [--seconds S] [--clients 1,4,16] [--json FILE] [--plot FILE]`

The baseline is a bare websocket server that gets and gives the same bytes and looks at none of
them. Server and clients are processes of their own, on the loopback of this machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from vla_ros.bench.report import add_output_arguments, machine, print_table, write_report
from vla_ros.bench.server_load import SPEC, Served, measure
from vla_ros.datatypes import FloatArray
from vla_ros.errors import ParameterError

_MOST_CLIENTS = 256
_PASS_MS, _ROW_MS = 20.0, 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--seconds", type=float, default=3.0, help="how long to ask in each measurement")
    add("--clients", default="1,4,16", help="how many robots ask at once, with commas between")
    add("--pass-ms", type=float, default=_PASS_MS, help="time of a pass of the pretended policy")
    add("--row-ms", type=float, default=_ROW_MS, help="and for each observation in it")
    add_output_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print and write; returns the exit status."""
    counts = _clients(arguments)
    seconds, rows = arguments.seconds, {}
    echo = _summary(measure(Served(is_echo=True), 1, seconds), seconds)
    ours = _summary(measure(Served(), 1, seconds), seconds)
    ratios = {"round_trip_p50": ours["p50_ms"] / echo["p50_ms"]}
    for count in counts:
        for name, max_batch in (("one by one", 1), ("in batches", 16)):
            served = Served(
                max_batch=max_batch,
                pass_s=arguments.pass_ms / 1e3,
                row_s=arguments.row_ms / 1e3,
            )
            rows[f"{count} {name}"] = _summary(measure(served, count, seconds), seconds)
        alone, batched = rows[f"{count} one by one"], rows[f"{count} in batches"]
        ratios[f"batched_throughput_{count}"] = batched["per_s"] / alone["per_s"]
        ratios[f"batched_p99_{count}"] = batched["p99_ms"] / alone["p99_ms"]
    ratios = {name: round(ratio, 3) for name, ratio in ratios.items()}
    cameras = " and ".join(f"{c.height_px} x {c.width_px}" for c in SPEC.cameras)
    print_table(
        f"round trip of an observation with cameras of {cameras}, no policy:",
        {
            "bare websocket, same bytes": _line(echo),
            "vla_ros server and client": f"{_line(ours)}, {ratios['round_trip_p50']:.2f} of bare",
        },
    )
    policy = f"{arguments.pass_ms:g} ms a pass + {arguments.row_ms:g} ms an observation"
    lines = {f"{name.replace(' ', ' clients, ', 1)}": _line(row) for name, row in rows.items()}
    print_table(f"a policy of {policy}:", lines)
    report = {**machine(), "echo": echo, "round_trip": ours, "clients": rows, "ratios": ratios}
    bars = {
        "round trip p50 [ms]": {"bare": echo["p50_ms"], "vla_ros": ours["p50_ms"]},
        "observations a second": {name: row["per_s"] for name, row in rows.items()},
        "round trip p99 [ms]": {name: row["p99_ms"] for name, row in rows.items()},
    }
    write_report(arguments, report, bars)
    return 0


def _clients(arguments: argparse.Namespace) -> list[int]:
    """Check the options.

    Raises:
        ParameterError: With all that are wrong.
    """
    words, problems = arguments.clients.split(","), []
    if not all(word.isdecimal() and 1 <= int(word) <= _MOST_CLIENTS for word in words):
        problems.append(
            f"--clients: got {arguments.clients!r}; valid: numbers from 1 to {_MOST_CLIENTS} with "
            "commas between"
        )
    for name in ("seconds", "pass_ms", "row_ms"):
        value = getattr(arguments, name)
        if not 0 < value <= 1000:
            problems.append(f"--{name.replace('_', '-')}: got {value:g}; valid: above 0, to 1000")
    if problems:
        raise ParameterError("bench server", problems)
    return [int(word) for word in words]


def _summary(by_client: Sequence[FloatArray], seconds: float) -> dict[str, float]:
    """Percentiles of all clients' round trips, and answers a second."""
    took_ms = np.concatenate(by_client) * 1e3
    p50, p99 = np.percentile(took_ms, [50, 99])
    per_s = len(took_ms) / seconds
    return {"p50_ms": round(p50, 3), "p99_ms": round(p99, 3), "per_s": round(per_s, 1)}


def _line(row: dict[str, float]) -> str:
    return f"p50 {row['p50_ms']:.2f} ms, p99 {row['p99_ms']:.2f} ms, {row['per_s']:.0f} a second"
