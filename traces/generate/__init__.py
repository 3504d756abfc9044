"""Traffic that was never recorded: workloads, arrivals, and random numbers that never change."""
