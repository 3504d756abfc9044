"""The sample trace under every policy, with a prefix cache where the policy has one."""

from cases import Case, Effort, Line
from measure import simulated

from jenga_sim import read_trace, sample_path
from jenga_sim.policies.presets import PRESETS


def _case(policy: str) -> Case:
    def case(effort: Effort) -> Line:
        trace = read_trace(sample_path())
        return simulated(
            trace.head(effort.share(len(trace))), effort, gpu="h100-sxm", policy=policy
        )

    return case


CASES = {name: _case(name) for name in PRESETS}
