"""Laws of the byte arithmetic that hold for any model and any degree of tensor parallelism."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.load import load_model, model_names
from jenga_sim.configs.specs import DTYPE_BYTES, Kind, LayerSpec

CACHE_DTYPES = st.sampled_from(["bf16", "fp16", "fp32", "fp8", "int8"])
RANKS = st.integers(1, 64)


@st.composite
def attention_layers(draw: st.DrawFn) -> LayerSpec:
    kinds: list[Kind] = ["full", "cross", "mla", "indexer"]
    kind = draw(st.sampled_from(kinds))
    replicated = kind in ("mla", "indexer")
    return LayerSpec(
        kind=kind,
        variant="any",
        kv_heads=1 if replicated else draw(st.integers(1, 128)),
        k_dim=draw(st.integers(1, 1024)),
        v_dim=draw(st.integers(0, 1024)),
        dtype=draw(st.none() | CACHE_DTYPES),
        replicated=replicated,
    )


@st.composite
def state_layers(draw: st.DrawFn) -> LayerSpec:
    kinds: list[Kind] = ["mamba", "linear"]
    return LayerSpec(
        kind=draw(st.sampled_from(kinds)),
        variant="any",
        conv_channels=draw(st.integers(0, 10**6)),
        conv_groups=draw(st.integers(0, 16)),
        conv_group_channels=draw(st.integers(0, 1000)),
        conv_columns=draw(st.integers(0, 4)),
        conv_dtype=draw(CACHE_DTYPES),
        ssm_elements=draw(st.integers(0, 10**8)),
        ssm_dtype=draw(CACHE_DTYPES),
    )


@given(layer=attention_layers() | state_layers(), tp=RANKS, kv_dtype=CACHE_DTYPES)
def test_tensor_parallelism_loses_no_byte(layer: LayerSpec, tp: int, kv_dtype: str) -> None:
    whole = layer.kv_cache_spec(block_size=16, tp=1, kv_dtype=kv_dtype)
    rank = layer.kv_cache_spec(block_size=16, tp=tp, kv_dtype=kv_dtype)
    assert tp * rank.content_bytes >= whole.content_bytes >= rank.content_bytes >= 0


@given(layer=attention_layers(), tp=RANKS)
def test_what_is_replicated_is_whole_on_every_rank(layer: LayerSpec, tp: int) -> None:
    whole = layer.kv_cache_spec(block_size=16, tp=1)
    rank = layer.kv_cache_spec(block_size=16, tp=tp)
    if layer.replicated:
        assert rank == whole


@given(name=st.sampled_from(model_names()), tp=RANKS, block_size=st.integers(1, 1024))
def test_a_shipped_model_keeps_something_on_every_rank(name: str, tp: int, block_size: int) -> None:
    for spec in load_model(name).kv_cache_specs(block_size=block_size, tp=tp):
        assert 0 < spec.content_bytes == spec.page_size_bytes


@pytest.mark.parametrize("name", model_names())
def test_a_usual_degree_of_tensor_parallelism_splits_without_rest(name: str) -> None:
    model = load_model(name)
    whole = model.kv_cache_specs(block_size=16)
    for tp in (1, 2):
        split = model.kv_cache_specs(block_size=16, tp=tp)
        for layer, one, rank in zip(model.layers, whole, split, strict=True):
            # A single KV head stands on every rank.
            ranks = 1 if layer.replicated else min(tp, layer.kv_heads or tp)
            # Ranks that share one Mamba-2 group have a copy of it each.
            copies = (-layer.conv_groups) % tp * layer.conv_group_channels
            repeated = copies * layer.conv_columns * DTYPE_BYTES[layer.conv_dtype]
            assert rank.content_bytes * ranks == one.content_bytes + repeated
