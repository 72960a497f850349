"""`make guards`: takes out one guard after another in a copy of the project and runs its tests.

Arguments are files below `vla_ros`, to try the guards of those alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from guards import GUARDS, Guard

ROOT = Path(__file__).parents[1]
_COPIED = ("vla_ros", "test", "config", "description", "pyproject.toml")


def try_out(guard: Guard, folder: Path) -> str:
    """Take out a guard in the copy at `folder` and run its tests; empty when all are red."""
    path = folder / "vla_ros" / guard.file
    text = path.read_text()
    if text.count(guard.line) != 1:
        return f"its line stands {text.count(guard.line)} times in {guard.file}, expected once"
    path.write_text(text.replace(guard.line, guard.without))
    try:
        green = [test for test in guard.tests if _is_green(test, folder)]
    finally:
        path.write_text(text)
    return f"green without it: {', '.join(green)}" if green else ""


def _is_green(test: str, folder: Path) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    command += [f"test/{test}", "--attacks", "500", "--timeout", "600"]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 1):  # neither passed nor failed: the test did not run
        raise RuntimeError(f"{test} did not run:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.returncode == 0


def main() -> int:
    """Try all; returns 1 when a guard can go unnoticed."""
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in _COPIED:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, folder / part)
        chosen = [guard for guard in GUARDS if not sys.argv[1:] or guard.file in sys.argv[1:]]
        for guard in chosen:
            problem = try_out(guard, folder)
            failures += bool(problem)
            sys.stdout.write(f"{'FAIL' if problem else 'red '}  {guard.name}  {problem}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{len(chosen)} guards taken out, {failures} unnoticed\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
