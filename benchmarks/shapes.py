"""More requests at a time, and longer ones: a backlog, on eight H200, which hold all that run."""

from cases import Case, Effort, Line
from measure import simulated
from workloads import backlog

from jenga_sim import Trace

BATCHES = (16, 64, 256, 1024)
CONTEXTS = {"1k": 1 << 10, "8k": 1 << 13, "32k": 1 << 15, "128k": 1 << 17}


def _simulated(trace: Trace, effort: Effort, max_num_seqs: int) -> Line:
    return simulated(
        trace,
        effort,
        policy="lcm",
        max_num_seqs=max_num_seqs,
        enable_prefix_caching=False,
        tensor_parallel_size=8,
    )


def _batch(size: int) -> Case:
    return lambda effort: _simulated(backlog(effort.share(4_096), 500, 200), effort, size)


def _context(tokens: int) -> Case:
    prompt = tokens - tokens // 8
    return lambda effort: _simulated(backlog(effort.share(512), prompt, 200), effort, 16)


CASES = {
    **{f"batch-{size}": _batch(size) for size in BATCHES},
    **{f"context-{name}": _context(tokens) for name, tokens in CONTEXTS.items()},
}
