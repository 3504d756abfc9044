"""The engine: scheduler, block tables, latency, accounting, results."""
