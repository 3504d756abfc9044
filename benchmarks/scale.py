"""The same process for longer: what a request costs, and what memory it takes."""

from cases import Case, Effort, Line
from measure import simulated
from workloads import chat

SIZES = {"1k": 1_000, "10k": 10_000, "100k": 100_000, "1M": 1_000_000}


def _case(requests: int) -> Case:
    def case(effort: Effort) -> Line:
        once = Effort(effort.quick, min(effort.repeat, max(1, 300_000 // requests)))
        trace = chat(effort.share(requests))
        return simulated(trace, once, policy="lcm", max_num_seqs=256, enable_prefix_caching=False)

    return case


CASES = {name: _case(requests) for name, requests in SIZES.items()}
