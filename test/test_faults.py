"""The table of faults is whole, bound to tests that exist, and docs/faults.md shows it."""

from __future__ import annotations

import re
from pathlib import Path

from fault_table import DOCUMENT, document, times_of, without_times
from faults import FAULTS, bindings
from guards import GUARDS

ROOT = Path(__file__).parents[1]


def test_there_are_thirty_rows_and_each_is_injected_by_a_test():
    assert list(FAULTS) == list(range(1, 31))
    assert {binding.row for binding in bindings()} == set(FAULTS)


def test_the_document_is_what_the_marks_say_but_for_the_times():
    text = DOCUMENT.read_text()
    assert without_times(text) == without_times(document({})), "run `make faults`"


def test_every_row_whose_tests_have_a_bound_has_a_measured_time():
    times = times_of(DOCUMENT.read_text())
    assert set(times) == set(FAULTS)
    bounded = {binding.row for binding in bindings() if binding.bound_s is not None}
    assert {row for row, time in times.items() if re.fullmatch(r"\d+\.\d{3} s", time)} == bounded


def test_every_guard_and_the_tests_named_for_it_are_there():
    for guard in GUARDS:
        assert (ROOT / "vla_ros" / guard.file).read_text().count(guard.line) == 1, guard.name
        for name in guard.tests:
            path, _, function = name.partition("::")
            assert f"def {function}(" in (ROOT / "test" / path).read_text(), name
