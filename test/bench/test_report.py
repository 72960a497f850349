"""A file that cannot be written is told by its name."""

from __future__ import annotations

import argparse

import pytest

from vla_ros.bench.report import write_report
from vla_ros.errors import ParameterError


@pytest.mark.parametrize("option", ["json", "plot"])
def test_a_file_that_cannot_be_written_is_named(tmp_path, option):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "x.png"  # which `output_file` would have refused at the start
    files = argparse.Namespace(**{"json": None, "plot": None, option: path})
    with pytest.raises(ParameterError, match=r"file cannot be written: File exists"):
        write_report(files, {}, {"time [ms]": {"plain": 1.0}})
