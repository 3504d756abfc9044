"""The trace that other simulators were measured with, under every policy; nothing is cached.

10,000 requests at 8 per second on one H200, at most 256 at a time; about 40 run. ``python`` is a
policy in plain Python.
"""

from pathlib import Path

from cases import Case, Effort, Line
from measure import simulated
from workloads import chat

from jenga_sim.policies.presets import PRESETS

REQUESTS = 10_000
PYTHON = f"{Path(__file__).parent / 'counting.py'}:Counting"


def _case(policy: str) -> Case:
    def case(effort: Effort) -> Line:
        trace = chat(effort.share(REQUESTS))
        return simulated(
            trace, effort, policy=policy, max_num_seqs=256, enable_prefix_caching=False
        )

    return case


CASES = {name: _case(name) for name in PRESETS} | {"python": _case(PYTHON)}
