"""Compiled runs to be compared between processes: a digest of all that each of them recorded.

``python -m tests.sim.compiler_off NAME`` prints them for one policy, a line each. The runs are the
same in every process.
"""

import hashlib
import sys
from collections.abc import Iterator

from hypothesis import given

from tests.sim.cached_runs import LARGE, Case, cases, large_cases, outcome
from tests.sim.strategies import POLICIES, Scenario, examples, figures, replays, run_of, scenarios

UNCACHED = tuple(POLICIES)
CACHED = ("vllm", "lcm", "lcm-frugal", "lcm-blocks", "jenga")
NAMES = (*UNCACHED, *(f"cached {policy}" for policy in CACHED))


def digests(name: str) -> list[str]:
    """A line per run: its digest and the steps that it took."""
    found: list[str] = []
    if name in UNCACHED:

        @examples(6)
        @given(scenario=replays(scenarios()))
        def each(scenario: Scenario) -> None:
            run = run_of(scenario, name, fast=True)
            found.append("" if run is None else _digest(figures(run), run.recorder.num_steps))

    else:
        policy = name.removeprefix("cached ")

        @examples(3)
        @given(case=large_cases(policy) if policy in LARGE else cases())
        def each(case: Case) -> None:
            replica = case.run(fast=True)
            found.append(_digest(outcome(replica), replica.recorder.num_steps))

    each()
    return found


def _digest(recorded: dict[str, object], steps: int) -> str:
    text = "\n".join(f"{key}: {value!r}" for key, value in recorded.items())
    return f"{hashlib.sha256(text.encode()).hexdigest()} {steps}"


def lines(names: list[str]) -> Iterator[str]:
    """What the program prints."""
    for name in names:
        for digest in digests(name):
            yield f"{name}: {digest}"


if __name__ == "__main__":
    print("\n".join(lines(sys.argv[1:])))
