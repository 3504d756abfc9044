"""How fast the simulator is: the sample trace under every policy, one JSON line each.

CPU seconds of one process, best of ``--repeat`` runs; reading the trace and start-up do not count.
Compare lines of one machine only.
"""

import argparse
import json
import time

from jenga_sim import read_trace, sample_path
from jenga_sim.policies.presets import PRESETS
from jenga_sim.sim.run import prepare, simulate


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policy", nargs="*", choices=sorted(PRESETS), default=list(PRESETS))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--model", default="gemma-3-27b")
    parser.add_argument("--gpu", default="h100-sxm")
    arguments = parser.parse_args()
    trace = read_trace(sample_path())
    for policy in arguments.policy:
        best = float("inf")
        steps = 0
        for _ in range(max(1, arguments.repeat)):
            setup = prepare(trace, model=arguments.model, gpu=arguments.gpu, policy=policy)
            started = time.process_time()
            result = simulate(setup)
            best = min(best, time.process_time() - started)
            steps = result.summary["num_steps"]
        figures = {
            "name": f"sample/{arguments.model}/{policy}",
            "cpu_seconds": round(best, 3),
            "requests_per_cpu_second": round(len(trace) / best, 1),
            "steps_per_cpu_second": round(steps / best, 1),
        }
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
