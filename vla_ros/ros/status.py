"""What the node says about itself: `~/status` every tick, `/diagnostics` once a second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from vla_ros.datatypes import Status
from vla_ros.ros.inputs import TopicCount
from vla_ros.ros.session import Session
from vla_ros.ros.ticker import TickTime
from vla_ros.runtime import Tick

_WEIGHTS, _DIGITS = "weights_sha256", 12
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def level_of(status: Status) -> bytes:
    """Diagnostics level: OK while following the policy, WARN while waiting or holding."""
    if status is Status.RUNNING:
        return OK
    return ERROR if status.is_fault else WARN


def tick_status(name: str, session: Session, tick: Tick, when: TickTime) -> DiagnosticStatus:
    """The message of one tick: `message` is the reason, `values[0]` the status by name."""
    chunk_s, inference_s = tick.chunk_start_s, tick.inference_s
    image_s = session.image_age_s(when.now_s)
    values = {
        "status": tick.status.value,
        "stamp_s": f"{when.now_s:.9f}",
        "epoch": str(tick.epoch),
        "mode": session.parameters.mode,
        "policy": policy_word(session),
        _WEIGHTS: weights_word(session),
        "chunk_age_ms": "" if chunk_s is None else _ms(when.now_s - chunk_s),
        "image_to_command_ms": "" if image_s is None else _ms(image_s),
        "inference_ms": "" if inference_s is None else _ms(inference_s),
    }
    apart = session.divergence.last
    if apart is not None:
        values["plan_divergence_rad"] = f"{apart.joint_rad:.4f}"
        values["plan_divergence_mm"] = f"{apart.tip_m * 1e3:.1f}"
    ages = {f"{name}_age_ms": _ms(age_s) for name, age_s in tick.ages_s.items()}
    counters = {f.name: str(getattr(tick.counters, f.name)) for f in fields(tick.counters)}
    return _message(
        f"{name}: control loop",
        level_of(tick.status),
        tick.reason or tick.status.value,
        session.robot.robot,
        values | ages | counters,
    )


def weights_word(session: Session) -> str:
    """Which weights plan: the first digits of their SHA-256; empty while that is not known."""
    return session.weights_sha256()[:_DIGITS]


def policy_word(session: Session) -> str:
    """`loading`, `ready` or `failed`."""
    if session.worker.error:
        return "failed"
    return "ready" if session.worker.is_ready else "loading"


def idle_status(name: str, state: str) -> DiagnosticStatus:
    """The control loop of a node that is not active."""
    return _message(f"{name}: control loop", OK, state, "", {})


def policy_status(name: str, session: Session) -> DiagnosticStatus:
    """How loading the policy went."""
    word, worker = policy_word(session), session.worker
    level = {"failed": ERROR, "loading": WARN, "ready": OK}[word]
    parameters = session.parameters
    values = {name: getattr(parameters, name) for name in ("policy", "device", "checkpoint")}
    values[_WEIGHTS] = weights_word(session)
    if worker.load_s is not None:
        values["load_s"] = f"{worker.load_s:.2f}"
    return _message(f"{name}: policy", level, worker.error or word, session.robot.robot, values)


def timing_status(name: str, session: Session, late_s: float, step_s: float) -> DiagnosticStatus:
    """Worst tick of the last period: its delay and how long its step took."""
    values = {"worst_late_ms": _ms(late_s), "worst_step_ms": _ms(step_s)}
    limit_s = session.robot.tick_s
    slow = max(late_s, step_s) > limit_s
    message = f"a tick was late or long by more than {_ms(limit_s)} ms" if slow else "in time"
    return _message(f"{name}: timing", WARN if slow else OK, message, session.robot.robot, values)


def topics_status(name: str, session: Session, period_s: float) -> DiagnosticStatus:
    """Rates of the inputs, messages refused, listeners of the outputs, QoS mismatches.

    Args:
        name: Name of the node.
        session: What is configured.
        period_s: Time since the last call.
    """
    mismatches = session.qos.problems(session.inputs.unconnected() | session.sink.unconnected())
    problems = [f"{topic}: {text}" for topic, text in mismatches.items()]
    warnings, values = _inputs(session.inputs.counts, period_s)
    for topic, listeners in session.sink.listeners().items():
        values[topic] = f"{listeners} listener(s)"
        if listeners == 0:
            warnings.append(f"{topic}: nobody listens to our commands")
    for topic, rivals in session.sink.rivals().items():
        if rivals:
            warnings.append(f"{topic}: {', '.join(rivals)} commands there too")
    level = ERROR if problems else WARN if warnings else OK
    message = "; ".join([*problems, *warnings]) or "all topics are alive"
    return _message(f"{name}: topics", level, message, session.robot.robot, values)


def _inputs(counts: Mapping[str, TopicCount], period_s: float) -> tuple[list[str], dict[str, str]]:
    warnings, values = [], {}
    for topic, count in counts.items():
        taken, refused = count.take_new()
        values[topic] = f"{taken / period_s:.1f} Hz, {count.refused} refused"
        if refused:
            warnings.append(f"{topic}: {refused} dropped: {count.last_reason}")
    return warnings, values


def _message(
    name: str, level: bytes, message: str, hardware_id: str, values: Mapping[str, str]
) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(
        name=name, level=level, message=message, hardware_id=hardware_id, values=pairs
    )


def _ms(duration_s: float) -> str:
    return f"{duration_s * 1e3:.2f}"
