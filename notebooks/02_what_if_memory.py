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
# # What if: memory without a trace
#
# Which models gain from an allocator that knows their layers, at which context lengths, on which
# GPUs? No trace and no GPU are needed: everything below is computed from the model files, in
# seconds.
#
# How far to trust it:
#
# - *What a request needs and holds* is exact for these policies: bytes follow from the layers.
# - *How many requests fit* depends on the KV pool as well. Weights and GPU memory are known; what an
#   engine keeps beside them is estimated to +-1 GiB a GPU.
# - Requests are alike and decode steadily; no prefix is cached. Step times do not appear.
# - Bytes are those of one GPU, that is of one tensor-parallel rank.

# %%
# %matplotlib inline
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from jenga_sim import (
    cache_types,
    gpu_names,
    load_gpu,
    load_model,
    max_context,
    model_card,
    model_names,
    with_draft,
)

GIB, MIB = 2**30, 2**20
COLORS = {  # Okabe and Ito's, which colour-blind people can tell apart
    "paged": "#D55E00",
    "max-page": "#CC79A7",
    "vllm": "#0072B2",
    "lcm": "#009E73",
    "pad-lcm": "#E69F00",
    "lcm-blocks": "#56B4E9",
}
GREY = "#8a8a8a"
SHADES = plt.get_cmap("cividis", 16)
plt.rcParams.update(
    {
        "figure.dpi": 80,
        "figure.constrained_layout.use": True,
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e6e6e6",
        "legend.frameon": False,
    }
)

H100 = load_gpu("h100-sxm")
B200 = load_gpu("b200-sxm")  # eight hold every packaged model
DRAFTS = ("-eagle3", "-dflash", "-dspark")
ZOO = {name: load_model(name) for name in model_names() if not name.endswith(DRAFTS)}
print(f"{len(ZOO)} models; {len(gpu_names())} GPUs: {', '.join(gpu_names())}")


def tokens_text(tokens):
    """1k, 128k, 1M."""
    for size, unit in ((2**20, "M"), (1024, "k")):
        if tokens >= size:
            return f"{tokens / size:.3g}{unit}"
    return str(tokens)


# %% [markdown]
# ## One model, one question
#
# What does one request hold? Gemma 3 27B on two H100, from a thousand to a million tokens. Of its
# layers most attend to the last 1,024 tokens only:

# %%
for kind in cache_types(ZOO["gemma-3-27b"]):
    print(f"{kind.layers} layers {kind.label}: {kind.bf16_bytes:,} bytes per token and layer")

# %%
lengths = [2**power for power in range(10, 21)]
gemma = model_card(
    ZOO["gemma-3-27b"],
    H100,
    lengths=lengths,
    policies=("paged", "max-page", "vllm", "lcm"),
    settings={"tensor_parallel_size": 2},
)
pool = gemma.deployment.pool
print(pool.explanation)

fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.9))
left.axhline(pool.bytes / GIB, color=GREY, linestyle=":")
left.text(1024, pool.bytes / GIB * 1.1, "KV pool of one GPU", color=GREY)
for policy in gemma.deployment.policies:
    style = {"color": COLORS[policy.name], "label": policy.name, "marker": "o", "markersize": 4}
    left.plot(lengths, [at.held_bytes / GIB for at in policy.at], **style)
    right.plot(lengths, [100 * at.waste for at in policy.at], **style)
needed = [at.needed_bytes / GIB for at in gemma.deployment.policies[0].at]
left.plot(lengths, needed, color="black", linestyle="--", label="needed")
left.set(xscale="log", yscale="log", ylabel="held by one request, GiB a GPU")
right.set(xscale="log", ylim=(-3, 100), ylabel="waste, % of what the request holds")
for axes in (left, right):
    axes.set_xticks(lengths[::2], [tokens_text(tokens) for tokens in lengths[::2]])
    axes.minorticks_off()
    axes.set_xlabel("tokens of the request")
    axes.axvline(gemma.model.max_model_len, color=GREY, linewidth=0.8)
right.text(gemma.model.max_model_len * 1.1, 46, "positions\nof the model", color=GREY)
left.legend(loc="lower right")
plt.show()

# %% [markdown]
# Under `paged` every layer keeps every token; `max-page` gives windows back, but pads each page to
# the largest. Both waste four fifths of a long request. `vllm` and `lcm` stay beside what is needed
# (the dashed line is on top of them): what they add is a few pages per request, which only short ones
# notice. Where a curve meets the dotted line, one request fills the pool. With room for the chunks of
# its prompt that is at

# %%
for policy in gemma.deployment.policies:
    print(f"{policy.name:9} {policy.longest:>9,} tokens")

# %% [markdown]
# ## The zoo
#
# What would uniform paging waste with each model? The bars are requests of 32k tokens, or of as many
# as the model has positions (in brackets); the dots are 128k.


# %%
def family(model):
    """Why uniform paging wastes memory with this model."""
    types = cache_types(model)
    if any(kind.tokens_per_entry > 1 for kind in types):
        return "compressed"
    if any(kind.role == "cross" for kind in types):
        return "cross attention"
    if any(kind.variant == "chunk" for kind in types):
        return "chunks"
    if any(kind.window and kind.role == "kv" for kind in types):
        return "windows"
    if any(kind.role == "state" for kind in types):
        return "states"
    return "every layer keeps every token"


def paged_waste(model, tokens):
    """Waste of one request, as a share; the GPU has no influence."""
    if tokens > model.max_model_len:
        return np.nan
    card = model_card(model, B200, lengths=(tokens,), policies=("paged",))
    return card.deployment.policies[0].at[0].waste


zoo = pd.DataFrame(
    {
        "family": {name: family(model) for name, model in ZOO.items()},
        "tokens": {name: min(model.max_model_len, 32768) for name, model in ZOO.items()},
        "long": {name: paged_waste(model, 131072) for name, model in ZOO.items()},
    }
)
zoo["waste"] = [paged_waste(ZOO[name], row.tokens) for name, row in zoo.iterrows()]
zoo["most"] = zoo[["waste", "long"]].max(axis=1)
zoo.groupby("family").agg(
    models=("most", "size"), waste_from=("most", "min"), waste_to=("most", "max")
).round(3)

# %%
hues = {
    "compressed": "#CC79A7",
    "windows": "#0072B2",
    "chunks": "#E69F00",
    "cross attention": "#009E73",
}
shown = zoo[zoo.most > 0.01].sort_values(["waste", "long"])
fig, axes = plt.subplots(figsize=(9.5, 6.8))
rows = np.arange(len(shown))
axes.barh(rows, 100 * shown.waste, color=[hues[name] for name in shown.family], height=0.7)
axes.plot(100 * shown.long, rows, "o", color="black", markersize=4, label="128k tokens")
for name, hue in hues.items():
    axes.barh(0, 0, color=hue, label=name)
labels = [
    name if row.tokens == 32768 else f"{name} ({tokens_text(row.tokens)})"
    for name, row in shown.iterrows()
]
axes.set_yticks(rows, labels)
axes.set(xlim=(0, 100), xlabel="waste of uniform paging, % of what one request holds")
axes.margins(y=0.01)
axes.grid(visible=False, axis="y")
axes.legend(loc="lower right")
plt.show()
print(f"{len(shown)} of {len(zoo)} models; the others waste 1 % or less")

# %% [markdown]
# The caches say why. Uniform paging keeps every token in the windowed layers too, which need nothing
# beyond their window. So in the long run the waste is their share of a token's bytes:

# %%
names = ["gemma-3-27b", "gpt-oss-120b", "llama-4-scout", "ministral-8b", "llama-3.1-8b"]
names += ["qwen3-32b", "deepseek-v3", "qwen3.5-27b"]
rows = {}
for name in names:
    types = cache_types(ZOO[name])
    growing = [kind for kind in types if kind.role != "state"]
    windowed = sum(kind.layers * kind.bf16_bytes for kind in growing if kind.window)
    rows[name] = {
        "caches": ", ".join(f"{kind.layers} {kind.label}" for kind in types),
        "windowed": windowed / sum(kind.layers * kind.bf16_bytes for kind in growing),
        "waste at 128k": zoo.long[name],
    }
pd.DataFrame(rows).T.fillna("too long")

# %% [markdown]
# Llama 3.1, Qwen3 and DeepSeek V3 have one kind of layer that keeps everything: no allocator can gain
# anything. Models with recurrent states waste nothing here either, as a state does not grow. Their
# trouble is the size of pages, below. The cross-attention layers of Llama 3.2 Vision hold images, and
# uniform paging reserves them for text. No engine serves DeepSeek V4 by keeping every token's
# compressor state: its bars only say that uniform paging is no answer.

# %% [markdown]
# ## How many requests at once, on which GPU
#
# Requests of 32k tokens under `vllm`, on the fewest GPUs of 1, 2, 4 and 8 that leave a tenth of their
# usable memory for caches. Only memory is asked: whether an engine has kernels for a model on a GPU
# is not.

# %%
TOKENS = 32768
served = ["llama-3.1-8b", "qwen3-32b", "llama-3.1-70b", "gpt-oss-20b", "gpt-oss-120b"]
served += ["gemma-3-12b", "gemma-3-27b", "gemma-4-31b", "ministral-8b", "llama-4-scout"]
served += ["nemotron-3-nano-30b", "granite-4.0-h-small", "qwen3.5-27b", "qwen3-next-80b"]
served += ["jamba-1.5-mini", "deepseek-v4-flash", "deepseek-v3.2"]
gpus = sorted((load_gpu(name) for name in gpu_names()), key=lambda gpu: gpu.memory_bytes)


def at_once(policy):
    """Requests at once; 0 where the policy refuses the model."""
    return policy.at[0].concurrency if policy.at else 0


cards = {
    (name, gpu.name): model_card(
        ZOO[name], gpu, lengths=(TOKENS,), policies=("paged", "vllm", "lcm", "ideal")
    ).deployment
    for name in served
    for gpu in gpus
}
fit = {key: at for key, at in cards.items() if at.pool is not None and at.engine.tp in (1, 2, 4, 8)}
share = np.full((len(served), len(gpus)), np.nan)
fig, axes = plt.subplots(figsize=(9.5, 6.2))
for i, name in enumerate(served):
    for j, gpu in enumerate(gpus):
        if (name, gpu.name) not in fit:
            axes.text(j, i, "-", ha="center", va="center", color=GREY)
            continue
        found = fit[name, gpu.name]
        count, tp = at_once(found.policies[1]), found.engine.tp
        share[i, j] = max(count / tp, 0.1)
        text = f"{count:,}" if tp == 1 else f"{count:,} on {tp}"
        dark = share[i, j] < 8
        axes.text(j, i, text, ha="center", va="center", color="white" if dark else "black")
image = axes.imshow(share, cmap=SHADES, norm="log", aspect="auto", vmin=0.3, vmax=300)
axes.set_xticks(
    range(len(gpus)),
    [f"{gpu.name.replace('-sxm', '')}\n{gpu.memory_bytes / GIB:.0f} GiB" for gpu in gpus],
)
axes.set_yticks(range(len(served)), served)
axes.tick_params(length=0, labelsize=9)
axes.grid(visible=False)
axes.set_title("requests of 32k tokens at once under vllm, and on how many GPUs", loc="left")
fig.colorbar(image, label="requests per GPU", pad=0.01, extend="min")
plt.show()

# %%
for name in served:
    missing = [gpu.name for gpu in gpus if (name, gpu.name) not in fit]
    if missing:
        print(f"{name} does not fit 8 of: {', '.join(missing)}")
for (name, gpu_name), found in fit.items():
    if not at_once(found.policies[1]):
        print(
            f"{name} on {found.engine.tp} x {gpu_name}: weights fit, but no request of 32k; "
            f"longest {found.policies[1].longest:,} tokens"
        )

# %% [markdown]
# How wrong may that be? The pool is the uncertain part. The same with a GiB more and less on one H100:

# %%
rows = {}
for name in ("llama-3.1-8b", "qwen3-32b", "gemma-3-27b", "gpt-oss-120b", "nemotron-3-nano-30b"):
    found = cards[name, "h100-sxm"]
    estimate = found.pool.sums.overhead
    rows[name] = {"pool, GiB": f"{found.pool.bytes / GIB:.1f}"}
    for error in (-1, 0, 1):
        other = model_card(
            ZOO[name],
            H100,
            lengths=(TOKENS,),
            policies=("vllm",),
            overhead=estimate - error * GIB,
            settings={"tensor_parallel_size": found.engine.tp},
        ).deployment
        rows[name][f"{error:+d} GiB" if error else "as estimated"] = at_once(other.policies[0])
pd.DataFrame(rows).T

# %% [markdown]
# *Longest* counts what a prompt holds while it is computed. Two chunks of `max_num_batched_tokens`
# are in flight, and a windowed layer keeps them beside its window. So for a large model on one GPU
# the chunk decides what is the longest prompt:

# %%
rows = {}
for chunk in (8192, 4096, 2048):
    found = model_card(
        ZOO["gemma-4-31b"],
        H100,
        lengths=(TOKENS,),
        policies=("vllm",),
        settings={"tensor_parallel_size": 1, "max_num_batched_tokens": chunk},
    )
    policy = found.deployment.policies[0]
    rows[chunk] = {
        "pool, GiB": f"{found.deployment.pool.bytes / GIB:.1f}",
        "longest": f"{policy.longest:,}",
        "32k at once": at_once(policy),
    }
pd.DataFrame(rows).T.rename_axis("max_num_batched_tokens, gemma-4-31b on one H100")

# %% [markdown]
# The same requests on H100, policy by policy:

# %%
fig, axes = plt.subplots(figsize=(9.5, 5))
markers = {"paged": "s", "vllm": "o", "lcm": "D"}
listed = [name for name in served if (name, "h100-sxm") in fit]
for i, name in enumerate(listed):
    found = {policy.name: policy for policy in fit[name, "h100-sxm"].policies}
    counts = {key: 0 if found[key].refused else at_once(found[key]) for key in markers}
    drawn = [max(count, 0.5) for count in counts.values()]
    axes.plot([min(drawn), max(drawn)], [i, i], color="#c8c8c8", zorder=1)
    for key, marker in markers.items():
        size = {"paged": 75, "vllm": 48, "lcm": 16}[key]
        axes.scatter(max(counts[key], 0.5), i, s=size, marker=marker, color=COLORS[key], zorder=2)
for key, marker in markers.items():
    axes.scatter([], [], marker=marker, color=COLORS[key], label=key)
axes.set_yticks(range(len(listed)), [f"{n} on {fit[n, 'h100-sxm'].engine.tp}" for n in listed])
axes.invert_yaxis()
axes.set(xscale="log", xlabel="requests of 32k tokens at once, on so many H100")
axes.set_xticks([0.5, 1, 3, 10, 30, 100, 300], ["none", "1", "3", "10", "30", "100", "300"])
axes.minorticks_off()
fig.legend(loc="outside upper center", ncols=3)
plt.show()

# %% [markdown]
# Windows and chunks gain two to seven times from either hybrid allocator, where requests are longer
# than they are (Ministral's windows have 32k tokens). Where all layers are alike the three marks coincide.
# Where states meet attention `lcm` falls behind even `paged`, and with Granite and DeepSeek V4 it
# serves nothing: the next section says why.

# %% [markdown]
# ## Where the LCM explodes
#
# `lcm` divides the pool into large pages of the least common multiple of all page sizes. Two alike
# sizes have a small one; a state of odd size beside a block of attention has a huge one. The models
# whose LCM is more than their largest page, and Gemma 3 27B with Gemma 3 1B as its draft. Pages and
# pools are those of one GPU, on the fewest H100 that leave room for caches:

# %%
pair = with_draft(ZOO["gemma-3-27b"], ZOO["gemma-3-1b"], 4)
shapes = ("lcm", "lcm-frugal", "pad-lcm", "lcm-blocks", "vllm", "ideal")
deployed = {
    name: model_card(model, H100, lengths=(min(8192, model.max_model_len),), policies=shapes)
    for name, model in {**ZOO, "gemma-3-27b + 1b": pair}.items()
}
ratio = pd.Series(
    {
        name: card.deployment.pages.sizes.lcm / card.deployment.pages.sizes.max
        for name, card in deployed.items()
    }
).sort_values(kind="stable")
exploding = ratio[ratio > 1]
print(f"{len(exploding)} of {len(ratio)}; the others have one page size, or sizes that divide")

fig, (left, right) = plt.subplots(
    1, 2, figsize=(9.5, 8.2), sharey=True, gridspec_kw={"width_ratios": [2, 1]}
)
sizes_of = {
    "largest page": (lambda sizes: sizes.max, "|", "black"),
    "LCM": (lambda sizes: sizes.lcm, "D", COLORS["lcm"]),
    "large page of pad-lcm": (lambda sizes: sizes.large_pad_lcm, "o", COLORS["pad-lcm"]),
    "large page of lcm-blocks": (lambda sizes: sizes.large_lcm_blocks, "s", COLORS["lcm-blocks"]),
}
places = np.arange(len(exploding))
plans = [deployed[name].deployment for name in exploding.index]
for label, (size, marker, color) in sizes_of.items():
    values = [size(plan.pages.sizes) for plan in plans]
    style = {"s": 90, "linewidths": 2} if marker == "|" else {"s": 24}
    left.scatter(values, places, marker=marker, color=color, label=label, zorder=3, **style)
left.hlines(
    places,
    [plan.pages.sizes.max for plan in plans],
    [plan.pages.sizes.lcm for plan in plans],
    color="#b5d9cd",
)
left.scatter(
    [plan.pool.bytes for plan in plans], places, marker="x", s=24, color=GREY, label="KV pool"
)
left.set(xscale="log", xlabel="bytes of one GPU")
units = {2**10: "1 KiB", 2**20: "1 MiB", 2**30: "1 GiB", 2**40: "1 TiB"}
left.set_xticks(list(units), list(units.values()))
left.minorticks_off()
left.set_yticks(places, exploding.index)
left.tick_params(axis="y", labelsize=9)
left.margins(y=0.02)
fig.legend(loc="outside upper center", ncols=5, fontsize=9, handletextpad=0.2)
views = [plan.vllm for plan in plans]
right.barh(places, [view.block_size for view in views], color=COLORS["vllm"], height=0.6)
for place, view in zip(places, views, strict=True):
    right.text(view.block_size * 1.1, place, f"{view.block_size:,}", va="center", fontsize=8)
right.set(xscale="log", xlim=(8, 16000), xlabel="tokens of vLLM's attention block")
right.set_xticks([16, 64, 256, 1024, 4096], ["16", "64", "256", "1,024", "4,096"])
right.minorticks_off()
plt.show()

# %% [markdown]
# Rows are sorted by LCM / largest page, the length of the green line. Where the LCM comes near the grey
# cross nothing can be served. `pad-lcm` pads pages into a chain of multiples, so that the largest is
# the large page; `lcm-blocks` spreads a state over several small ones. vLLM has no large pages: it
# makes the blocks of attention longer until one is as large as a state, which is why prefixes hit only
# every few hundred or thousand tokens there.
#
# With two page sizes, LCM / largest is the smaller one divided by the GCD of both: every factor that
# the state lacks counts.

# %%
rows = {}
for name in exploding.index[::-1]:
    pages = deployed[name].deployment.pages
    rows[name] = {
        "GPUs": deployed[name].deployment.engine.tp,
        "pages of one GPU, bytes": ", ".join(
            f"{size:,}" for size in sorted(set(pages.sizes.small))
        ),
        "GCD": f"{pages.sizes.gcd:,}",
        "LCM / largest": f"{ratio[name]:,.0f}",
    }
chosen = ["deepseek-v4-pro", "deepseek-v4-flash", "bamba-9b", "granite-4.0-h-small"]
chosen += ["gemma-3-27b + 1b", "nemotron-h-56b", "nemotron-3-nano-30b", "falcon-h1-7b"]
chosen += ["qwen3.5-27b", "gemma-3-27b"]
with pd.option_context("display.max_colwidth", None):
    display(pd.DataFrame(rows).T.loc[chosen])

# %% [markdown]
# What it costs: requests of 8k tokens at once (or of the model's positions, in brackets), as a share of
# what byte-exact memory would serve. Crosses are pools too small for a large page of each kind.

# %%
shown = [*chosen, "glm-5.2", "qwen3-next-80b", "jamba-1.5-mini"]
served_share = {}
for name in shown:
    counts = {
        policy.name: np.nan if policy.refused else policy.at[0].concurrency
        for policy in deployed[name].deployment.policies
    }
    served_share[name] = {key: 100 * counts[key] / counts["ideal"] for key in shapes[:-1]}
share = pd.DataFrame(served_share).T
fig, axes = plt.subplots(figsize=(9, 4.6))
image = axes.imshow(share, cmap=SHADES, aspect="auto", vmin=0, vmax=100)
for i, name in enumerate(share.index):
    for j, policy in enumerate(share.columns):
        value = share.loc[name, policy]
        if np.isnan(value):
            axes.text(j, i, "x", ha="center", va="center", color="black", weight="bold")
            continue
        color = "white" if value < 50 else "black"
        axes.text(j, i, f"{value:.0f}", ha="center", va="center", color=color)
axes.set_xticks(range(len(share.columns)), share.columns)
axes.set_yticks(
    range(len(share)),
    [
        f"{name} ({tokens_text(deployed[name].lengths[0])})"
        if deployed[name].lengths[0] < 8192
        else name
        for name in share.index
    ],
)
axes.tick_params(length=0)
axes.grid(visible=False)
fig.colorbar(image, label="requests at once, % of ideal", pad=0.01)
plt.show()

# %% [markdown]
# `lcm-frugal` fills the large pages of others before it takes a new one, which repairs much as long as
# a few of them fit. `lcm-blocks` and `vllm` change the shape of pages instead, and never fail:

# %%
share.fillna(0).agg(["min", "median"]).round(1)

# %% [markdown]
# ## States and slots
#
# vLLM keeps one block per sequence for a recurrent state, and wants as many blocks as `max_num_seqs`
# when it captures CUDA graphs: 1,024 by default on large GPUs. The state's data type
# (`mamba_ssm_cache_dtype`) decides how many there are. Both types, on the fewest H100 that fit:

# %%
stateful = [
    name for name, model in ZOO.items() if any(kind.ssm_state for kind in cache_types(model))
]
slots = {}
for name in stateful:
    for dtype in ("float32", "bfloat16"):
        found = model_card(
            ZOO[name],
            H100,
            lengths=(min(8192, ZOO[name].max_model_len),),
            policies=("vllm",),
            settings={"mamba_ssm_cache_dtype": dtype},
        ).deployment
        kinds = {kind.ssm_dtype for kind in cache_types(ZOO[name])} - {None}
        slots[name, dtype] = {
            "tp": found.engine.tp,
            "slots": found.vllm.state_slots,
            "at once": found.policies[0].at[0].concurrency,
            "max_num_seqs": found.engine.max_num_seqs,
            "default": ", ".join(sorted(kinds)),
        }
slots = pd.DataFrame(slots).T
order = slots.xs("float32", level=1).sort_values("slots", kind="stable").index
styles = {"float32": ("o", COLORS["paged"]), "bfloat16": ("s", COLORS["vllm"])}
fig, panels = plt.subplots(1, 2, figsize=(9.5, 5.6), sharey=True)
for axes, column in zip(panels, ("slots", "at once"), strict=True):
    for dtype, (marker, color) in styles.items():
        values = slots.xs(dtype, level=1).loc[order, column].astype(float)
        axes.scatter(
            values, range(len(order)), marker=marker, color=color, s=26, label=f"{dtype} states"
        )
    both = slots[column].astype(float).unstack().loc[order]
    axes.hlines(range(len(order)), both.min(axis=1), both.max(axis=1), color="#c8c8c8", zorder=0)
    axes.set_xscale("log")
(most,) = set(slots.max_num_seqs)
panels[0].axvline(most, color=GREY, linestyle=":")
panels[0].text(most * 1.15, 1.5, f"max_num_seqs, {most:,}", color=GREY, va="center")
panels[0].set_xlabel("blocks for states (slots)")
panels[1].set_xlabel("requests of 8k tokens at once, vllm")
panels[0].set_yticks(
    range(len(order)),
    [f"{n} on {slots.tp[n, 'float32']} ({slots.default[n, 'float32']})" for n in order],
)
panels[0].margins(y=0.02)
handles, texts = panels[1].get_legend_handles_labels()
fig.legend(handles, texts, loc="outside upper center", ncols=2)
plt.show()

# %%
short = slots[slots.slots < slots.max_num_seqs].rename(columns={"tp": "GPUs"})
print(f"{len(short)} of {len(slots)} combinations have fewer slots than max_num_seqs")
short

# %% [markdown]
# In brackets is what the model's file asks for, in the table under *default*. Slots halve with fp32
# because a block is as large as a state. Requests of 8k tokens lose less, as attention is part of what
# they hold; Falcon Mamba and RWKV have nothing but states and lose half. Where slots are short, `--max-num-seqs` must be lowered to their number.

# %% [markdown]
# ## The longest context
#
# Llama 4 Scout on eight GPUs, at 0.9 of their memory. Jenga (SOSP 2025) published 1.3 and 5.2 million
# tokens on H100, 3.7 and 14.7 million on H200. The model file holds one figure that was chosen to meet
# them: 18 GB on each GPU beside weights and caches. So H100 and H200 show that one figure explains
# four; B200 is a forecast with the same overhead.

# %%
PUBLISHED = {"h100-sxm": (1.3, 5.2), "h200-sxm": (3.7, 14.7)}  # uniform, hybrid; millions
boxes = ("h100-sxm", "h200-sxm", "b200-sxm")
scout = {
    name: max_context(
        "llama-4-scout",
        name,
        ("paged", "vllm", "lcm"),
        tensor_parallel_size=8,
        gpu_memory_utilization=0.9,
    )
    for name in boxes
}
fig, axes = plt.subplots(figsize=(9.5, 3.6))
for j, policy in enumerate(("paged", "vllm", "lcm")):
    values = [scout[name].longest[j].tokens / 1e6 for name in boxes]
    bars = axes.bar(
        np.arange(3) + 0.26 * (j - 1), values, width=0.24, color=COLORS[policy], label=policy
    )
    axes.bar_label(bars, fmt="%.2f", padding=2, fontsize=9)
for i, name in enumerate(boxes):
    uniform, hybrid = PUBLISHED.get(name, (None, None))
    if uniform:
        style = {"color": "black", "linewidth": 2}
        axes.hlines(uniform, i - 0.4, i - 0.12, **style)
        axes.hlines(hybrid, i - 0.14, i + 0.4, **style)
axes.plot([], [], color="black", linewidth=2, label="published (Jenga, SOSP 2025)")
positions = ZOO["llama-4-scout"].max_model_len / 1e6
axes.axhline(positions, color=GREY, linestyle=":")
axes.text(-0.45, positions + 0.35, "positions of the model", color=GREY, fontsize=9)
axes.set_xticks(range(3), [f"8 x {name}" for name in boxes])
axes.set(ylabel="longest request, million tokens")
axes.grid(visible=False, axis="x")
axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %%
pd.DataFrame(
    {
        name: {
            "pool, GiB a GPU": found.pool.bytes / GIB,
            "overhead, GB": found.pool.sums.overhead / 1e9,
            "paged, bytes a token": found.longest[0].token_bytes,
            "vllm, bytes a token": found.longest[1].token_bytes,
            "vllm, chunks in MiB": found.longest[1].bounded_bytes / MIB,
            "tokens of a step": found.engine.max_num_batched_tokens,
        }
        for name, found in scout.items()
    }
).round(2)

# %%
for name, millions in PUBLISHED.items():
    for answer, published in zip(scout[name].longest[:2], millions, strict=True):
        off = answer.tokens / 1e6 / published - 1
        print(f"{name} {answer.policy}: {off:+.1%} of the published {published} million")

# %% [markdown]
# Beyond the model's positions nothing can be served, whatever the memory holds.

# %% [markdown]
# ## A model of your own
#
# A `config.json` as on Hugging Face is enough. Suppose you design a model of 48 layers, a window of
# 4,096 tokens in most of them. How many layers should see everything?

# %%
LAYERS = 48


def config(full):
    """A model of Qwen3's shape with so many full layers, spread evenly."""
    kinds = [
        "full_attention" if (i + 1) * full // LAYERS > i * full // LAYERS else "sliding_attention"
        for i in range(LAYERS)
    ]
    return {
        "model_type": "qwen3",
        "architectures": ["Qwen3ForCausalLM"],
        "torch_dtype": "bfloat16",
        "num_hidden_layers": LAYERS,
        "hidden_size": 5120,
        "intermediate_size": 17408,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151936,
        "tie_word_embeddings": False,
        "max_position_embeddings": 262144,
        "use_sliding_window": True,
        "sliding_window": 4096,
        "layer_types": kinds,
    }


designs = {}
with TemporaryDirectory() as folder:
    for full in range(LAYERS + 1):
        path = Path(folder, f"ours-{full}-full", "config.json")
        path.parent.mkdir()
        path.write_text(json.dumps(config(full)))
        designs[full] = model_card(
            load_model(path),
            H100,
            lengths=(32768, 131072),
            policies=("paged", "vllm", "lcm", "ideal"),
            settings={"tensor_parallel_size": 1},
        )
ours = designs[8]
print(f"{ours.model.name}: {ours.model.params_total / 1e9:.1f} B parameters")
for kind in ours.types:
    print(f"  {kind.layers} layers {kind.label}: {kind.bf16_bytes:,} bytes per token and layer")

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.7))
for j, policy in enumerate(("paged", "vllm", "lcm")):
    at = [card.deployment.policies[j].at for card in designs.values()]
    style = {"color": COLORS[policy], "label": policy, "linewidth": {"vllm": 3}.get(policy, 1.5)}
    left.plot(list(designs), [each[0].concurrency for each in at], **style)
    right.plot(list(designs), [100 * each[0].waste for each in at], **style)
left.set(ylabel="requests of 32k tokens on one H100", ylim=(0, None))
right.set(ylabel="waste at 32k tokens, %", ylim=(-3, 100))
for axes in (left, right):
    axes.set_xlabel(f"layers of {LAYERS} that see every token")
    axes.set_xticks(range(0, LAYERS + 1, 8))
left.legend()
plt.show()
losses = {full: card.deployment.policies[1].at[0].waste for full, card in designs.items()}
for full in sorted(losses, key=losses.get)[-3:]:
    print(f"vllm wastes {losses[full]:.1%} with {full} full layers and {LAYERS - full} windows")

# %% [markdown]
# While most layers are full, halving them nearly doubles the batch; later the windows dominate. `vllm`
# packs layers into groups of one size and fills up what is left over: numbers of which one divides the
# other cost nothing, and a bad pair costs a quarter of the memory. So count the layers with the
# allocator in mind.
#
# The same questions from the command line: `jenga-sim model show`, `jenga-sim model diff`,
# `jenga-sim max-context`. For what a real mix of requests does with the pool, over time and with
# prefixes cached, replay a trace: see the quick start.
