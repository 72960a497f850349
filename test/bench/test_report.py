"""A file that cannot be written is told by its name."""

from __future__ import annotations

import argparse

import pytest

from vla_ros.bench.report import write_report
from vla_ros.errors import ParameterError


@pytest.mark.parametrize("option", ["json", "plot"])
def test_a_file_that_cannot_be_written_is_named(tmp_path, option):
    files = argparse.Namespace(**{"json": None, "plot": None, option: tmp_path / "none" / "x.png"})
    with pytest.raises(ParameterError, match=r"none/x\.png cannot be written: No such file"):
        write_report(files, {}, {"time [ms]": {"plain": 1.0}})
