"""`python -m vla_ros`: the same as the `vla` command."""

import sys

from vla_ros.cli import main

if __name__ == "__main__":
    sys.exit(main())
