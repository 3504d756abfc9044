"""What a command does not need it does not import: start-up is most of a short run."""

import subprocess
import sys

import pytest

HEAVY = {"pandas", "matplotlib", "numba", "simpy", "scipy", "torch"}


def imported(*arguments: str) -> set[str]:
    code = (
        "import sys\nfrom jenga_sim.cli import main\ntry:\n    main()\n"
        "finally:\n    print(*sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split()) & HEAVY


@pytest.mark.parametrize(
    "verb", ["", "run", "trace", "trace generate", "verify", "model", "max-context", "policies"]
)
def test_help_needs_none_of_the_large_packages(verb: str) -> None:
    assert imported(*verb.split(), "--help") == set()


def test_a_run_without_files_needs_no_data_frames_and_no_pictures() -> None:
    arguments = ("--sample", "--requests", "3", "--policy", "paged", "--quiet")

    assert imported("run", *arguments) <= {"numba", "simpy", "scipy"}
