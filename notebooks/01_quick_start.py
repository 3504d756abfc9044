# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Quick start
#
# We replay ten minutes of chat traffic against Gemma 3 27B on one H100, and look at where the memory
# of the GPU goes. The trace comes with the package: 600 requests, some of which open with a long
# document. Nothing here needs a GPU; the step times are calculated.

# %%
# %matplotlib inline
import matplotlib.pyplot as plt
import pandas as pd

from jenga_sim import read_trace, run, sample_path
from jenga_sim.sim.plots import batch_figure, memory_figure

trace = read_trace(sample_path())
pd.DataFrame(
    {"input_tokens": trace.input_tokens, "output_tokens": trace.output_tokens}
).describe(percentiles=[0.5, 0.95]).round()

# %% [markdown]
# ## One run
#
# 52 of Gemma's 62 layers attend to the last 1,024 tokens only. `paged` does not know that: it keeps
# every token in every layer, as the first paged allocators did.

# %%
paged = run(trace, model="gemma-3-27b", gpu="h100-sxm", policy="paged")
print(paged.summary["kv_pool"]["explanation"])
print(f"{paged.summary['completed']} requests done, {paged.summary['rejected']} rejected")
print(f"waste: {paged.summary['waste']:.1%} of the bytes held")

# %%
memory_figure(paged)

# %% [markdown]
# Red is memory that running requests hold although nothing in it will be read again: tokens that
# have left the windows. The rejected requests would each need more than the whole pool. While the
# pool is full, the others wait:

# %%
batch_figure(paged)

# %% [markdown]
# ## Three policies on the same trace
#
# - `paged`: every layer keeps every token.
# - `vllm`: the groups of equal pages of vLLM 0.33, which give back what leaves a window and pad what
#   does not fit.
# - `lcm`: Jenga's two-level allocator.
#
# Only `vllm` has a prefix cache. It is off here, so that all three compute the same.

# %%
results = {"paged": paged} | {
    name: run(
        trace, model="gemma-3-27b", gpu="h100-sxm", policy=name, enable_prefix_caching=False
    )
    for name in ("vllm", "lcm")
}
parts = ["needed", "dead", "padding", "internal", "external", "reserved", "free"]
memory = pd.DataFrame({name: r.summary["memory"] for name, r in results.items()}).T[parts]
(100 * memory).round(2)

# %%
colors = ["#1f4e79", "#c0392b", "#e67e22", "#f1c40f", "#8e44ad", "#7f8c8d", "#ecf0f1"]
axes = (100 * memory).plot.barh(stacked=True, color=colors, figsize=(10, 2.8))
axes.invert_yaxis()
axes.set_xlabel("% of the KV pool, mean over time")
axes.set_xlim(0, 100)
axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
plt.show()

# %% [markdown]
# Less memory wasted means that more requests are served at once, so they wait less. Here the load
# is light for `vllm` and `lcm`; only `paged` cannot keep up.

# %%
columns = {
    "completed": "done",
    "rejected": "rejected",
    "num_preemptions": "preemptions",
    "median_ttft_ms": "TTFT p50, ms",
    "p99_ttft_ms": "TTFT p99, ms",
    "median_tpot_ms": "TPOT p50, ms",
    "waste": "waste",
}
pd.DataFrame({name: r.summary for name, r in results.items()}).T[list(columns)].rename(
    columns=columns
).astype(float).round(3)

# %% [markdown]
# ## Requests one by one
#
# `Result.requests` has a row per request. What did the slowest ones have in common?

# %%
lcm = results["lcm"].requests
lcm[["queue_ms", "ttft_ms", "tpot_ms", "e2el_ms"]].quantile([0.5, 0.9, 0.95, 0.99]).round(1)

# %%
lcm.nlargest(5, "ttft_ms")[
    ["request_id", "arrival_ms", "input_tokens", "output_tokens", "queue_ms", "ttft_ms"]
].round(1)

# %% [markdown]
# Either they open with a long document, which takes seconds to compute, or they arrived behind one
# and waited.
#
# `Result.save(folder)` writes all of this as CSV, JSON and PNG files. Your own trace, model, GPU and
# policy go the same way: `run("trace.jsonl", model="./model.yaml", policy="./mine.py:MyCarving")`.
