"""Law 9: the compiled engine records the same with numba's compiler and without."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.compiler_off import NAMES

ROOT = Path(__file__).parents[2]


def printed(name: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.sim.compiler_off", name],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", NAMES)
def test_plain_python_records_what_compiled_code_does(name: str) -> None:
    plain = printed(name, NUMBA_DISABLE_JIT="1")
    assert plain == printed(name, NUMBA_DISABLE_JIT="0")
    steps = [int(line.split()[-1]) for line in plain if not line.endswith(": ")]
    assert sum(steps) >= 50
