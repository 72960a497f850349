"""The soak itself for some seconds, and what its report calls out of bounds."""

from __future__ import annotations

import json
import math
import mmap
import os
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
from process_meter import ProcessMeter, Sample
from processes import write_policy_python
from soak import Soak, main
from soak_faults import FAULTS
from soak_report import Kind, Report
from soak_stage import SoakStage

from vla_ros.datatypes import Status

KINDS = ["camera silent", "joint states not a number", "emergency stop", "instruction refused"]


def test_a_soak_of_seconds_injects_reacts_and_reports(tmp_path, capsys):
    numbers = tmp_path / "soak.json"
    python = write_policy_python(tmp_path)  # without torch, which takes long to import
    options = ["--minutes", "0.05", "--seed", "1", "--policy-python", str(python)]
    options += ["--camera-rate-hz", "5.0"]  # beside other tests, on two cores
    options += ["--out", str(tmp_path), "--json", str(numbers), "--faults", *KINDS]
    assert main(options) == 0, capsys.readouterr().out
    found = json.loads(numbers.read_text())
    assert found["injected"] >= 1
    told = [kind for kind in found["kinds"].values() if kind["injected"]]
    assert all(len(kind["reactions_s"]) == kind["injected"] for kind in told)
    assert found["commands"] > 10
    assert found["ticks"]["running"] > 10
    assert "passed" in capsys.readouterr().out


GOOD = Report(
    seed=1,
    duration_s=3600.0,
    kinds={"camera silent": Kind(bound_s=0.5, injected=2, reactions_s=[0.4, 0.6])},
    memory_growth_mb_h=0.4,
    commands=1000,
    travel_rad=30.0,
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kinds": {"a": Kind(bound_s=0.5, injected=1, reactions_s=[1.6])}}, "too late"),
        ({"kinds": {"a": Kind(bound_s=0.5, injected=1, missed=1)}}, "too late"),
        ({"kinds": {"a": Kind(bound_s=0.5, injected=1, locks_s=[5.0])}}, "5.0 s for a lock"),
        ({"kinds": {}}, "no fault was injected"),
        ({"memory_growth_mb_h": 5.1}, "memory grows by 5.1 MB"),
        ({"memory_growth_mb_h": math.nan}, "memory grows"),
        ({"descriptors_gained": 1}, "1 more file descriptors"),
        ({"threads_gained": 2}, "2 more threads"),
        ({"exceptions": 1}, "1 unhandled exception"),
        ({"exceeded": {"step": 3}, "examples": ["step in command 4"]}, "step in command 4"),
        ({"travel_rad": 0.0}, "the arm did not move"),
        ({"ended": "vla_node ended with status 1"}, "ended with status 1"),
    ],
)
def test_whatever_is_out_of_bounds_fails_the_soak(changes, words):
    assert not GOOD.problems()
    problems = replace(GOOD, **changes).problems()
    assert len(problems) == 1
    assert words in problems[0]
    assert "FAILED" in replace(GOOD, **changes).summary()


@pytest.mark.parametrize(
    ("heard_s", "lock_s"),
    [([0.01, 0.02, 3.02, 3.03], 3.0), ([1.2, 1.21], 1.2), ([0.01, 0.3, 0.9], 0.0), ([], 0.0)],
)
def test_only_a_silence_as_long_as_a_lock_counts_as_one(tmp_path, heard_s, lock_s):
    stage = SoakStage(tmp_path, 20.0)
    stage.relay = SimpleNamespace(heard=[(100.0 + at_s, "running", "") for at_s in heard_s])
    stage.vla = SimpleNamespace(pid=os.getpid())
    assert Soak(stage, KINDS, seed=0)._lock_s(100.0) == pytest.approx(lock_s)


@pytest.mark.parametrize(
    ("told", "is_overtaken"),
    [
        (["running", "fault_wild_actions", "fault_wild_actions"], True),
        (["running", "fault_wild_actions", "hold_stale_state"], True),
        (["running", "hold_stale_state", "fault_wild_actions"], False),
        (["running", "hold_stale_state"], False),
        ([], False),
    ],
)
def test_a_fault_that_was_latched_first_has_overtaken_the_injected_one(
    tmp_path, told, is_overtaken
):
    stage = SoakStage(tmp_path, 20.0)
    stage.relay = SimpleNamespace(heard=[(0.0, status, "") for status in told])
    stage.vla = SimpleNamespace(pid=os.getpid())
    soak = Soak(stage, KINDS, seed=0)
    assert soak._is_overtaken(FAULTS["robot frozen"]) == is_overtaken


def test_the_memory_of_a_short_soak_is_told_and_not_judged():
    short = replace(GOOD, duration_s=60.0, memory_growth_mb_h=500.0)
    assert not short.problems()
    assert "+500.0 MB an hour (not judged below 10 minutes)" in short.summary()


def test_every_fault_names_statuses_that_exist():
    names = {status.value for status in Status}
    assert names >= {status for fault in FAULTS.values() for status in fault.statuses}


def test_the_meter_sees_memory_descriptors_and_threads():
    meter = ProcessMeter(os.getpid())
    stop, held, threads = threading.Event(), [], []
    for look in range(16):
        if look >= 8:
            # Fresh pages, written to: a bytearray may be given memory that is held already.
            pages = mmap.mmap(-1, 2**22)
            pages.write(b"x" * len(pages))
            held.append((os.open("/dev/null", os.O_RDONLY), pages))
            threads.append(threading.Thread(target=stop.wait))
            threads[-1].start()
        meter.look(60.0 * look)
    stop.set()
    for thread in threads:
        thread.join()
    for descriptor, pages in held:
        os.close(descriptor)
        pages.close()
    assert meter.gained("descriptors") >= 4
    assert meter.gained("threads") >= 4
    assert meter.growth_mb_h() > 20.0


def test_growth_is_a_line_through_what_has_settled():
    meter = ProcessMeter(os.getpid())
    for minute in range(60):
        memory_mb = 100.0 + (0 if minute < 10 else 50.0) + 3.0 * minute / 60
        sample = Sample(time_s=60.0 * minute, memory_mb=memory_mb, descriptors=9, threads=4)
        meter.samples.append(sample)
    assert meter.growth_mb_h() == pytest.approx(3.0)
    assert meter.gained("descriptors") == 0
