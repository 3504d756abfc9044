"""Layers that keep a state: Mamba, gated delta rules, lightning attention, convolutions."""

from dataclasses import dataclass
from typing import Literal

from ..keys import Keys
from .blocks import hidden_of
from .tensors import Flag, Tensors, inside, linear, norm, on, vector


def _convolution(name: str, channels: int, kernel: int, *, bias: bool) -> list[Tensors]:
    found = [vector("state", name, channels, 1, kernel)]
    return [*found, vector("state", f"{name}.bias", channels)] if bias else found


@dataclass(frozen=True, kw_only=True)
class Mamba1:
    """``MambaMixer``, ``FalconMambaMixer``, ``JambaMambaMixer``: the last norms its inputs."""

    path: str = "mixer"
    keys: str = ""
    """What stands before the names of the keys: ``mamba_`` in Jamba."""
    normed: bool = False

    def tensors(self, text: Keys) -> list[Tensors]:
        """Weights of one layer."""
        hidden = hidden_of(text)
        if self.keys:
            inner = text.integer("mamba_expand") * hidden
            state, kernel = text.integer("mamba_d_state"), text.integer("mamba_d_conv")
            rank = text.raw("mamba_dt_rank")
            conv_bias, bias = text.flag("mamba_conv_bias"), text.flag("mamba_proj_bias")
        else:
            inner = text.optional_integer("intermediate_size", "d_inner")
            inner = inner or text.integer("expand") * hidden
            state, kernel = text.integer("state_size"), text.integer("conv_kernel", "d_conv")
            rank = text.raw("time_step_rank")
            conv_bias, bias = text.flag("use_conv_bias"), text.flag("use_bias")
        key = "mamba_dt_rank" if self.keys else "time_step_rank"
        rank = -(-hidden // 16) if rank in (None, "auto") else text.integer(key)
        found = [vector("state", "A_log", inner, state), vector("state", "D", inner)]
        found += _convolution("conv1d", inner, kernel, bias=conv_bias)
        found += linear("state", "in_proj", 2 * inner, hidden, bias=bias)
        found += linear("state", "x_proj", rank + 2 * state, inner)
        found += linear("state", "dt_proj", inner, rank, bias=True)
        found += linear("state", "out_proj", hidden, inner, bias=bias)
        if self.normed:
            sizes = {"dt_layernorm": rank, "b_layernorm": state, "c_layernorm": state}
            found += [tensor for name, size in sizes.items() for tensor in norm(name, size)]
        return inside(self.path, found)


@dataclass(frozen=True, kw_only=True)
class Mamba2:
    """``Mamba2Mixer`` and those of Bamba, Falcon-H1, Granite-4, Nemotron-H and Zamba2.

    Attributes:
        inner: Whether the features are those of its ``heads``, or the width ``expand``-ed.
        normed: Whether its output is normed.
        bias: Key for biases of the projections.
        out_bias: Key for that of the output where it has one of its own.
    """

    path: str = "mamba"
    inner: Literal["heads", "expand"] = "expand"
    normed: Flag = True
    bias: str = "mamba_proj_bias"
    out_bias: str = ""

    def tensors(self, text: Keys) -> list[Tensors]:
        """Weights of one layer."""
        hidden = hidden_of(text)
        heads = text.integer("mamba_n_heads", "mamba_num_heads", "n_mamba_heads", "num_heads")
        inner = self._inner(text, heads)
        groups = text.integer("mamba_n_groups", "mamba_ngroups", "n_groups", default=1)
        state = text.integer("mamba_d_state", "ssm_state_size", "state_size")
        kernel = text.integer("mamba_d_conv", "conv_kernel")
        channels = inner + 2 * groups * state
        bias = text.flag(self.bias, "add_bias_linear")
        found = [vector("state", name, heads) for name in ("dt_bias", "A_log", "D")]
        conv_bias = text.flag("mamba_conv_bias", "use_conv_bias", default=True)
        found += _convolution("conv1d", channels, kernel, bias=conv_bias)
        found += linear("state", "in_proj", inner + channels + heads, hidden, bias=bias)
        if on(text, self.normed):
            found += norm("norm", inner)
        out_bias = text.flag(self.out_bias) if self.out_bias else bias
        found += linear("state", "out_proj", hidden, inner, bias=out_bias)
        return inside(self.path, found)

    def _inner(self, text: Keys, heads: int) -> int:
        if self.inner == "heads":
            return heads * text.integer("mamba_head_dim", "mamba_d_head", "head_dim")
        own = text.optional_integer("mamba_d_ssm")
        return own or int(text.number("mamba_expand", "expand") * hidden_of(text))


@dataclass(frozen=True, kw_only=True)
class GatedDelta:
    """``Qwen3NextGatedDeltaNet``, and ``Qwen3_5GatedDeltaNet`` with its inputs apart."""

    apart: bool = False

    def tensors(self, text: Keys) -> list[Tensors]:
        """Weights of one layer."""
        hidden = hidden_of(text)
        k_heads, v_heads = (text.integer(f"linear_num_{x}_heads") for x in ("key", "value"))
        k_dim, v_dim = (text.integer(f"linear_{x}_head_dim") for x in ("key", "value"))
        keys, values = k_heads * k_dim, v_heads * v_dim
        found = [vector("state", "dt_bias", v_heads), vector("state", "A_log", v_heads)]
        kernel = text.integer("linear_conv_kernel_dim")
        found += _convolution("conv1d", 2 * keys + values, kernel, bias=False)
        sizes = {"in_proj_qkvz": 2 * keys + 2 * values, "in_proj_ba": 2 * v_heads}
        if self.apart:
            sizes = {"in_proj_qkv": 2 * keys + values, "in_proj_z": values}
            sizes |= {"in_proj_b": v_heads, "in_proj_a": v_heads}
        for name, size in sizes.items():
            found += linear("state", name, size, hidden)
        found += norm("norm", v_dim)
        found += linear("state", "out_proj", hidden, values)
        return inside("linear_attn", found)


@dataclass(frozen=True, kw_only=True)
class DeltaAttention:
    """KDA: ``KimiDeltaAttention``, and with full gates those of Kimi-K3 and Ling-3."""

    full_forget: bool = False
    full_gate: Flag = False

    def sized(self, text: Keys, heads: int, dim: int, kernel: int) -> list[Tensors]:
        """Weights of one layer."""
        hidden, inner = hidden_of(text), heads * dim
        found: list[Tensors] = []
        for name in ("q", "k", "v"):
            found += linear("state", f"{name}_proj", inner, hidden)
            found += _convolution(f"{name}_conv1d", inner, kernel, bias=False)
        found += [vector("state", "dt_bias", inner), vector("state", "A_log", heads)]
        found += _low_rank("f", hidden, dim, inner, full=self.full_forget)
        found += linear("state", "b_proj", heads, hidden)
        found += _low_rank("g", hidden, dim, inner, full=on(text, self.full_gate))
        found += norm("o_norm", dim)
        found += linear("state", "o_proj", hidden, inner)
        return inside("self_attn", found)


def _low_rank(name: str, hidden: int, dim: int, inner: int, *, full: bool) -> list[Tensors]:
    if full:
        return linear("state", f"{name}_proj", inner, hidden)
    first = linear("state", f"{name}_a_proj", dim, hidden)
    return [*first, *linear("state", f"{name}_b_proj", inner, dim)]


def lightning(text: Keys, heads: int, dim: int) -> list[Tensors]:
    """``MiniMaxLightningAttention``."""
    hidden, inner = hidden_of(text), heads * dim
    found = norm("norm", inner)
    found += linear("state", "qkv_proj", 3 * inner, hidden)
    found += linear("state", "out_proj", hidden, inner)
    found += linear("state", "output_gate", inner, hidden)
    return inside("self_attn", found)


def short_convolution(text: Keys) -> list[Tensors]:
    """``Lfm2ShortConv``."""
    hidden, bias = hidden_of(text), text.flag("conv_bias")
    found = _convolution("conv", hidden, text.integer("conv_L_cache"), bias=bias)
    found += linear("state", "in_proj", 3 * hidden, hidden, bias=bias)
    found += linear("state", "out_proj", hidden, hidden, bias=bias)
    return inside("conv", found)


def recurrent_unit(text: Keys) -> list[Tensors]:
    """``RecurrentGemmaRecurrentBlock``."""
    hidden, heads = hidden_of(text), text.integer("num_attention_heads")
    width = text.optional_integer("lru_width") or hidden
    found = linear("state", "linear_y", width, hidden, bias=True)
    found += linear("state", "linear_x", width, hidden, bias=True)
    found += linear("state", "linear_out", hidden, width, bias=True)
    found += _convolution("conv_1d", width, text.integer("conv1d_width"), bias=True)
    found.append(vector("state", "rg_lru.recurrent_param", width))
    for name in ("input_gate", "recurrent_gate"):
        found.append(
            vector("state", f"rg_lru.{name}_weight", heads, width // heads, width // heads)
        )
        found.append(vector("state", f"rg_lru.{name}_bias", heads, width // heads))
    return inside("temporal_block", found)


def rwkv5(text: Keys) -> list[Tensors]:
    """Time and channel mixing of RWKV-5.2, after the code that ships with its checkpoints."""
    hidden = hidden_of(text)
    inner = text.optional_integer("attention_hidden_size") or hidden
    feed = text.optional_integer("intermediate_size") or int(hidden * 3.5) // 32 * 32
    mixer = [vector("state", f"time_mix_{name}", hidden) for name in ("key", "value", "gate")]
    mixer.append(vector("state", "time_mix_receptance", hidden))
    mixer += [vector("state", name, inner) for name in ("time_decay", "time_faaaa")]
    for name in ("key", "value", "receptance", "gate"):
        mixer += linear("state", name, inner, hidden)
    mixer += linear("state", "output", hidden, inner) + norm("ln_x", inner, bias=True)
    channels = [vector("mlp", f"time_mix_{name}", hidden) for name in ("key", "receptance")]
    channels += linear("mlp", "key", feed, hidden) + linear("mlp", "value", hidden, feed)
    channels += linear("mlp", "receptance", hidden, hidden)
    return [*inside("attention", mixer), *inside("feed_forward", channels)]
