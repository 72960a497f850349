#!/bin/sh
# Print the first Python of a version this package runs on, 3.11 to 3.13; PYTHON=… comes first.
for python in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
    # A name on the PATH proves nothing: version managers put shims there that run no Python.
    if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
        echo "$python"
        exit 0
    fi
done
echo "No Python 3.11, 3.12 or 3.13 found (python3 is $(python3 --version 2>/dev/null || echo missing))." >&2
echo "Install one, or name it: make PYTHON=/path/to/python3.12 demo" >&2
exit 1
