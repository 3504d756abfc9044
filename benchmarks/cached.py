"""The same trace with hash ids and a prefix cache: eight system prompts of 128 tokens.

``full`` is the pool of one H100, which the cache fills, so that pages are evicted.
"""

from cases import Case, Effort, Line
from measure import simulated
from workloads import chat, with_prompts

REQUESTS = 10_000


def _case(policy: str, gpu: str = "h200-sxm") -> Case:
    def case(effort: Effort) -> Line:
        trace = with_prompts(chat(effort.share(REQUESTS)))
        return simulated(
            trace, effort, gpu=gpu, policy=policy, max_num_seqs=256, enable_prefix_caching=True
        )

    return case


CASES = {
    **{name: _case(name) for name in ("vllm", "lcm", "lcm-frugal")},
    **{f"full-{name}": _case(name, "h100-sxm") for name in ("vllm", "lcm")},
}
