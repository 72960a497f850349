"""Physics keeps pace on average, catches up after a delay, and never bursts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.sim.pacer import Pacer


def pacer(factor: float = 1.0) -> Pacer:
    target = Pacer(step_s=0.005, real_time_factor=factor, max_late_s=0.2)
    assert target.due(100.0) == [100.0]
    return target


@pytest.mark.parametrize(("factor", "steps"), [(0.5, 100), (1.0, 200), (4.0, 800)])
def test_a_second_holds_the_steps_of_the_factor(factor, steps):
    target = pacer(factor)
    done = sum(len(target.due(100.0 + tick * 0.002)) for tick in range(1, 501))
    assert done == pytest.approx(steps, abs=1)
    assert target.skipped_steps == 0


def test_the_first_call_starts_the_pace():
    target = Pacer(step_s=0.005, real_time_factor=1.0)
    assert target.due(7.0) == [7.0]
    assert target.due(7.0) == []


def test_a_short_delay_is_caught_up_a_few_steps_at_a_time():
    target = pacer()
    counts = [len(target.due(100.1 + tick * 0.01)) for tick in range(6)]
    assert counts[:2] == [8, 8]
    assert counts[-1] == 2
    assert sum(counts) == pytest.approx(30, abs=1)
    assert target.skipped_steps == 0


def test_a_long_delay_is_given_up():
    target = pacer()
    assert len(target.due(103.0)) == 8
    assert target.skipped_steps == pytest.approx(560, abs=1)


@given(st.lists(st.floats(0.0, 0.4), max_size=50))
def test_due_times_rise_and_never_lie_ahead(delays):
    target, now_s, last_s = pacer(), 100.0, 0.0
    for delay in delays:
        now_s += delay
        due = target.due(now_s)
        assert len(due) <= 8
        for time_s in due:
            assert last_s < time_s <= now_s + 1e-9
            last_s = time_s
