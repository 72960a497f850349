"""`python -m vla_ros`: the same as the `vla` command."""

import sys

from vla_ros.cli import run_process

if __name__ == "__main__":
    sys.exit(run_process())
