"""The kernels that are timed: which columns a measurement has, and what work one of them is.

An op has *tags* (words: another dtype is another table), a *shape* (what a model fixes) and one or
two *axes* (what changes from step to step). Work is floating-point operations and bytes of memory,
as the algorithm needs them; how far a GPU is from its data sheet is for the prior to say.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Columns = Mapping[str, FloatArray]
"""Numbers of some kernels, by column, all of one length."""
Tags = Mapping[str, str]

BYTES = {
    "bf16": 2.0,
    "fp8": 1.0,
    "fp8_block": 1.0,
    "int4": 0.5,
    "mxfp4": 0.5,
    "nvfp4": 0.5625,
}
"""Of a weight or cache entry; nvfp4 has a scale of one byte for sixteen."""
COMPUTED_IN = {"fp8_block": "fp8", "int4": "bf16", "mxfp4": "bf16", "nvfp4": "mxfp4"}
"""The dtype whose peak counts; the others are their own. Four-bit weights beside bf16
activations are expanded first."""

NO_WINDOW = float(1 << 20)
"""Tokens."""


class Work(NamedTuple):
    """What kernels have to do at least."""

    flops: FloatArray
    moved_bytes: FloatArray


@dataclass(frozen=True)
class Op:
    """A kind of kernel."""

    name: str
    tags: tuple[str, ...]
    shape: tuple[str, ...]
    axes: tuple[str, ...]
    """One or two; of two, the outer one first."""
    work: Callable[[Columns, Tags], Work]
    extra: tuple[str, ...] = ()
    """Columns that only the prior knows; 0 in measurements that lack them."""

    @property
    def inner(self) -> str:
        """The last axis."""
        return self.axes[-1]

    @property
    def outer(self) -> str:
        """The first of two axes; empty where there is one."""
        return self.axes[0] if len(self.axes) > 1 else ""

    @property
    def columns(self) -> tuple[str, ...]:
        """All numbers of a measurement but the time."""
        return (*self.shape, *self.axes)

    def shapes(self, columns: Columns) -> FloatArray:
        """Where the shape of each row lies among others, shape (rows, columns of the shape).

        No window is a very long one.
        """
        places = [np.asarray(columns[name], dtype=float) for name in self.shape]
        if "window" in self.shape:
            window = self.shape.index("window")
            places[window] = np.where(places[window] > 0, places[window], NO_WINDOW)
        return np.column_stack(places)


def _gemm(c: Columns, tags: Tags) -> Work:
    m, n, k = c["m"], c["n"], c["k"]
    size = BYTES[tags["dtype"]]
    return Work(2 * m * n * k, (n * k + m * k) * size + 2 * m * n)


def window_of(c: Columns) -> FloatArray:
    """Tokens that a query sees, infinity where there is no window."""
    return np.where(c["window"] > 0, c["window"], np.inf)


def _attention_decode(c: Columns, tags: Tags) -> Work:
    """One query token per request; caches of all of them are ``kv_len`` long."""
    read = c["batch"] * np.minimum(c["kv_len"], window_of(c))
    head_dim, cached = c["head_dim"], BYTES[tags["kv_dtype"]]
    moved = 2 * read * c["kv_heads"] * head_dim * cached + 4 * c["batch"] * c["heads"] * head_dim
    return Work(4 * c["heads"] * head_dim * read, moved)


def causal_pairs(end: FloatArray, window: FloatArray) -> FloatArray:
    """(query, key) pairs of the first ``end`` tokens."""
    inside = np.minimum(end, window)
    outside = np.where(end > inside, (end - inside) * np.minimum(window, end), 0.0)
    return inside * (inside + 1) / 2 + outside


def _attention_prefill(c: Columns, tags: Tags) -> Work:
    """``batch`` chunks of ``q_len`` tokens, each behind ``prefix`` tokens that are cached."""
    new, prefix, window = c["q_len"], c["prefix"], window_of(c)
    pairs = causal_pairs(prefix + new, window) - causal_pairs(prefix, window)
    head_dim, cached = c["head_dim"], BYTES[tags["kv_dtype"]]
    queries = 4 * new * c["heads"] * head_dim
    entries = 2 * (new + np.minimum(prefix, window)) * c["kv_heads"] * head_dim * cached
    flops = 4 * c["heads"] * head_dim * pairs * c["batch"]
    return Work(flops, c["batch"] * (queries + entries))


def _moe(c: Columns, tags: Tags) -> Work:
    """Routed experts of one rank: gate, up and down projection of every (token, expert) pair."""
    pairs = c["tokens"] * c["top_k"] / c["ep"]
    local = c["experts"] / c["ep"]
    # Experts that some token chose, were all equally likely.
    chosen = 1 - (1 - 1 / c["experts"]) ** (c["tokens"] * c["top_k"])
    active = np.maximum(local * chosen, 1.0)
    inner = c["inner"] / c["tp"]
    weights = active * 3 * c["hidden"] * inner * BYTES[tags["dtype"]]
    return Work(6 * pairs * c["hidden"] * inner, weights + 4 * pairs * c["hidden"])


def _delta_rule(c: Columns) -> FloatArray:
    return c["v_heads"] * c["head_dim"] ** 2


def _gdn_prefill(c: Columns, tags: Tags) -> Work:
    """Gated delta rule over chunks; states are fp32."""
    tokens = c["batch"] * c["q_len"]
    rows = tokens * (2 * c["k_heads"] + 2 * c["v_heads"]) * c["head_dim"] * 2
    return Work(6 * tokens * _delta_rule(c), rows + 8 * c["batch"] * _delta_rule(c))


def _gdn_decode(c: Columns, tags: Tags) -> Work:
    """One token per request: every state is read and written."""
    state = c["batch"] * _delta_rule(c)
    return Work(6 * state, 8 * state)


def _conv(channels: FloatArray, tokens: FloatArray) -> Work:
    """A causal convolution over four tokens, bf16 in and out."""
    return Work(8 * tokens * channels, 4 * tokens * channels)


def _channels(c: Columns) -> FloatArray:
    return (2 * c["k_heads"] + c["v_heads"]) * c["head_dim"]


def _conv_prefill(c: Columns, tags: Tags) -> Work:
    return _conv(_channels(c), c["batch"] * c["q_len"])


def _conv_decode(c: Columns, tags: Tags) -> Work:
    return _conv(_channels(c), c["batch"])


def _encoder_attention(c: Columns, tags: Tags) -> Work:
    """Every token of an image sees every other."""
    tokens, width = c["batch"] * c["q_len"], c["heads"] * c["head_dim"]
    return Work(4 * tokens * c["q_len"] * width, 8 * tokens * width)


def _between_gpus(c: Columns, tags: Tags) -> Work:
    """Bytes that each of ``world`` ranks sends; the prior's bandwidth is that of the links."""
    twice = 2.0 if tags["collective"] == "all_reduce" else 1.0
    sent = twice * (c["world"] - 1) / c["world"] * c["bytes"]
    return Work(np.zeros_like(sent), sent)


ATTENTION = ("heads", "kv_heads", "head_dim", "window")
DELTA = ("k_heads", "v_heads", "head_dim")
EXPERTS = ("hidden", "inner", "top_k", "experts", "tp", "ep")

OPS: dict[str, Op] = {
    op.name: op
    for op in (
        Op("gemm", ("dtype",), ("n", "k"), ("m",), _gemm),
        Op("attention_decode", ("kv_dtype",), ATTENTION, ("batch", "kv_len"), _attention_decode),
        Op(
            "attention_prefill",
            ("kv_dtype",),
            ATTENTION,
            ("batch", "q_len"),
            _attention_prefill,
            extra=("prefix",),
        ),
        Op("moe", ("dtype", "routing"), EXPERTS, ("tokens",), _moe),
        Op("gdn_prefill", (), DELTA, ("batch", "q_len"), _gdn_prefill),
        Op("gdn_decode", (), DELTA, ("batch",), _gdn_decode),
        Op("conv_prefill", (), DELTA, ("batch", "q_len"), _conv_prefill),
        Op("conv_decode", (), DELTA, ("batch",), _conv_decode),
        Op("encoder_attention", (), ("heads", "head_dim"), ("batch", "q_len"), _encoder_attention),
        Op("collective", ("collective", "library"), ("world",), ("bytes",), _between_gpus),
    )
}
"""By name."""
