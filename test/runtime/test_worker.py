"""Workers: one observation at a time, errors as values, nothing that blocks."""

from __future__ import annotations

import time

import numpy as np
import pytest

from vla_ros.datatypes import ActionChunk, Observation, RobotState
from vla_ros.errors import InstructionError
from vla_ros.runtime import InlineWorker, ThreadWorker, WorkerError


def observation(epoch=0, middle=0.0):
    state = RobotState(
        position_rad=np.full(7, middle), velocity_rad_s=np.zeros(7), gripper_open=1.0, stamp_s=1.0
    )
    return Observation(frames={}, state=state, instruction="x", epoch=epoch, stamp_s=1.0)


def answer(worker, timeout_s=10.0):
    end_s = time.monotonic() + timeout_s
    while (result := worker.poll(0.0)) is None:
        assert time.monotonic() < end_s, "the worker gave no answer"
        time.sleep(0.001)
    return result


@pytest.fixture
def thread_worker(policy):
    worker = ThreadWorker(policy)
    yield worker
    worker.close()


def test_inline_gives_the_result_out_once_its_latency_is_over(policy):
    worker = InlineWorker(policy, latency_s=0.05)
    assert worker.request(observation(), 1.0)
    assert not worker.request(observation(), 1.01)
    assert worker.poll(1.04) is None
    assert isinstance(worker.poll(1.05), ActionChunk)
    assert worker.poll(1.06) is None
    assert worker.request(observation(), 1.07)


def test_inline_reset_drops_the_result_and_resets_the_policy_before_the_next(policy):
    worker = InlineWorker(policy)
    worker.request(observation(), 1.0)
    worker.reset()
    assert worker.poll(9.0) is None
    assert worker.request(observation(), 1.0)
    assert policy.resets == 1


def test_an_exception_becomes_an_error_with_its_traceback(policy, caplog):
    policy.actions = MemoryError("no room")
    worker = InlineWorker(policy)
    worker.request(observation(), 1.0)
    error = worker.poll(1.0)
    assert isinstance(error, WorkerError)
    assert error.message == "MemoryError: no room"
    assert "in infer" in error.traceback
    assert "in infer" in caplog.text


def test_a_refused_instruction_is_told_from_a_failure(policy, caplog):
    policy.actions = InstructionError("too many words")
    worker = InlineWorker(policy)
    worker.request(observation(), 1.0)
    error = worker.poll(1.0)
    assert error.refuses_instruction
    assert error.message == "too many words"
    assert not caplog.text


def test_an_answer_that_is_no_chunk_is_an_error(policy):
    policy.infer = lambda observation, prefix: None
    worker = InlineWorker(policy)
    worker.request(observation(), 1.0)
    assert "gave a NoneType; valid: an ActionChunk" in worker.poll(1.0).message


def test_the_thread_answers_one_request_after_another(thread_worker, policy):
    for epoch in range(3):
        assert thread_worker.request(observation(epoch), 0.0)
        assert answer(thread_worker).epoch == epoch
    assert len(policy.seen) == 3


def test_the_thread_survives_exceptions(thread_worker, policy):
    policy.actions = ValueError("bad weights")
    thread_worker.request(observation(), 0.0)
    assert answer(thread_worker).message == "ValueError: bad weights"
    policy.actions = None
    thread_worker.request(observation(), 0.0)
    assert isinstance(answer(thread_worker), ActionChunk)


def test_a_busy_thread_refuses_and_poll_does_not_wait(hanging_policy):
    worker = ThreadWorker(hanging_policy)
    assert worker.request(observation(), 0.0)
    assert hanging_policy.entered.wait(10)
    assert not worker.request(observation(), 0.0)
    begin_s = time.monotonic()
    assert worker.poll(0.0) is None
    assert time.monotonic() - begin_s < 0.1
    hanging_policy.let_go.set()
    assert isinstance(answer(worker), ActionChunk)
    worker.close()


def test_what_comes_back_after_a_reset_is_dropped(hanging_policy):
    worker = ThreadWorker(hanging_policy)
    worker.request(observation(epoch=1), 0.0)
    assert hanging_policy.entered.wait(10)
    worker.reset()
    assert not worker.request(observation(epoch=2), 0.0), "the thread is still computing"
    hanging_policy.let_go.set()
    end_s = time.monotonic() + 10
    while not worker.request(observation(epoch=2), 0.0):
        assert time.monotonic() < end_s
        time.sleep(0.001)
    assert answer(worker).epoch == 2
    assert hanging_policy.resets == 1
    worker.close()


def test_close_returns_soon_though_the_policy_hangs(hanging_policy):
    worker = ThreadWorker(hanging_policy)
    worker.request(observation(), 0.0)
    assert hanging_policy.entered.wait(10)
    begin_s = time.monotonic()
    worker.close()
    assert time.monotonic() - begin_s < 0.5
