"""Groupings share out all layers, and agree with what vLLM 0.33 and Jenga's paper say of models."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.engine import engine_config
from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.load import load_gpu, load_model, model_names
from jenga_sim.configs.specs import KVCacheSpec, LayerSpec, ModelSpec
from jenga_sim.policies.base import GroupingContext, PageGroup
from jenga_sim.policies.carving.lcm import LCMCarving
from jenga_sim.policies.grouping.contents import label_of
from jenga_sim.policies.presets import GROUPINGS
from jenga_sim.sim.vllm_specs import vllm_specs
from tests.sim.strategies import examples, layer_mixes, tiny_model, whole_entries

GIB = 1 << 30
KV_GROUPS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "golden" / "vllm" / "kv_cache_groups.golden.json").read_text()
)


def group(
    model: ModelSpec, grouping: str, *, tp: int = 1, block_size: int | None = None
) -> tuple[tuple[KVCacheSpec, ...], tuple[PageGroup, ...]]:
    settings = {"tensor_parallel_size": tp}
    if block_size is not None:
        settings["block_size"] = block_size
    engine = engine_config(**settings).resolve(model, load_gpu("h100-sxm"))
    if grouping.startswith("vllm"):
        specs = vllm_specs(model, engine, enable_prefix_caching=False)
    else:
        specs = engine.kv_cache_specs(model)
    context = GroupingContext(block_size=engine.block_size, max_model_len=engine.max_model_len)
    return specs, GROUPINGS[grouping](specs, context)


def check_shared_out(specs: tuple[KVCacheSpec, ...], groups: tuple[PageGroup, ...]) -> None:
    """Every layer, and with it every byte, is in exactly one group."""
    places = sorted(place for each in groups for place in each.layers)
    assert places == list(range(len(specs)))
    for each in groups:
        members = [specs[place] for place in each.layers]
        assert sum(content.layers for content in each.contents) == len(members)
        for content in each.contents:
            same = [spec for spec in members if label_of(spec) == content.label]
            assert content.layers == len(same)
            assert content.entry_bytes == sum(spec.entry_bytes for spec in same)
            assert content.state_bytes == sum(spec.state_bytes for spec in same)
        assert each.page_bytes > 0
        assert each.padding_bytes >= 0
        assert each.page_bytes * each.pages_per_block >= each.content_bytes


def check_every_tensor_is_shared_out(
    specs: tuple[KVCacheSpec, ...], groups: tuple[PageGroup, ...]
) -> None:
    """Every tensor of a state is in exactly one group, among others of its size."""
    shared = [
        (layer, each.page_bytes / len(each.layers)) for each in groups for layer in each.layers
    ]
    sizes = {spec.layer: spec.state_sizes or (spec.content_bytes,) for spec in specs}
    assert sorted(shared) == sorted((layer, size) for layer in sizes for size in sizes[layer])
    assert not any(each.padding_bytes for each in groups)


def check_all(grouping: str, specs: tuple[KVCacheSpec, ...], groups: tuple[PageGroup, ...]) -> None:
    by_tensor = grouping == "by_property"
    (check_every_tensor_is_shared_out if by_tensor else check_shared_out)(specs, groups)


@pytest.mark.parametrize("grouping", GROUPINGS)
@examples(150)
@given(
    layers=layer_mixes(), block_size=st.sampled_from([1, 3, 7, 16, 32]), length=st.integers(1, 400)
)
def test_every_layers_bytes_are_in_exactly_one_group(
    grouping: str, layers: tuple[LayerSpec, ...], block_size: int, length: int
) -> None:
    try:
        model = tiny_model(layers, length)
        blocks = whole_entries(model, block_size)
        specs, groups = group(model, grouping, block_size=blocks)
    except ConfigError as error:
        if "MLA pages cannot be padded" in str(error):
            return
        raise
    check_all(grouping, specs, groups)
    if grouping.startswith("vllm"):
        assert len({each.page_bytes for each in groups}) == 1, "vLLM's pages are of one size"
    if grouping == "uniform":
        assert len({each.page_bytes for each in groups}) == 1
        assert len(groups) <= 2
        assert not any(each.padding_bytes for each in groups[:1])
    if grouping.startswith("by_kind"):
        assert not any(each.padding_bytes for each in groups), "a page of one kind is not padded"
        assert all(len(each.contents) == 1 for each in groups)
    if grouping == "by_kind_exact":
        contents = [(each, each.contents[0]) for each in groups]
        entries = [(each, one) for each, one in contents if not one.state_bytes]
        assert all(each.block_size == one.tokens_per_entry for each, one in entries)
        assert all(each.page_bytes == one.entry_bytes for each, one in entries)


@pytest.mark.parametrize("model", model_names())
@pytest.mark.parametrize("grouping", GROUPINGS)
def test_every_model_of_the_zoo_can_be_grouped(model: str, grouping: str) -> None:
    check_all(grouping, *group(load_model(model), grouping))


@pytest.mark.parametrize(
    ("model", "tp", "mib"),
    [
        ("gemma-3-27b", 1, 32.5),
        ("gemma-3-12b", 1, 5.0),
        ("llama-4-scout", 8, 0.28125),
        ("jamba-1.5-mini", 1, 33.25),
    ],
)
def test_large_pages_have_the_size_that_the_lcm_gives(model: str, tp: int, mib: float) -> None:
    _, groups = group(load_model(model), "by_kind", tp=tp)
    assert LCMCarving(groups, 60 * GIB).large_bytes == int(mib * 2**20)


def test_jambas_large_page_by_hand() -> None:
    _, groups = group(load_model("jamba-1.5-mini"), "by_kind")
    conv, ssm = 2 * 8192 * 3, 2 * 8192 * 16
    state = 28 * (conv + ssm)
    attention = 16 * 4096 * 4  # a block of 16 tokens, 4 KiB a token, 4 layers
    assert conv + ssm == 311_296
    assert {each.kind: each.page_bytes for each in groups} == {"mamba": state, "full": attention}
    assert math.lcm(state, attention) == int(33.25 * 2**20)


@pytest.mark.parametrize(("columns", "times", "mib"), [(3, 84, 21), (4, 28, 7)])
def test_jambas_large_page_where_tensors_have_pages_of_their_own(
    columns: int, times: int, mib: int
) -> None:
    """84 blocks as the paper has it; 28 in the artifact, whose convolutions keep a column more."""
    model = load_model("jamba-1.5-mini")
    layers = tuple(
        replace(layer, conv_columns=columns) if layer.conv_columns else layer
        for layer in model.layers
    )
    _, groups = group(replace(model, layers=layers), "by_property")
    sizes = {each.kind: each.page_bytes for each in groups}
    large = LCMCarving(groups, 60 * GIB).large_bytes
    assert large == mib << 20 == times * sizes["full"]


def test_bambas_large_page_is_no_use_and_the_error_says_why() -> None:
    _, groups = group(load_model("bamba-9b"), "by_kind")
    with pytest.raises(ConfigError) as caught:
        LCMCarving(groups, 60 * GIB)
    message = str(caught.value)
    assert "lcm(mamba2 62,287,360, full 196,608) = 23,918,346,240 bytes" in message
    assert "64,424,509,440 bytes holds 2" in message


def fp32_states(model: ModelSpec) -> ModelSpec:
    layers = tuple(
        replace(layer, ssm_dtype="fp32") if layer.ssm_elements else layer for layer in model.layers
    )
    return replace(model, layers=layers)


def packed_mla(model: ModelSpec) -> ModelSpec:
    """vLLM's fp8_ds_mla cache: 656 bytes a token."""
    layers = tuple(
        replace(layer, k_dim=656, dtype="fp8") if layer.kind == "mla" else layer
        for layer in model.layers
    )
    return replace(model, layers=layers)


@pytest.mark.parametrize(
    ("recorded", "name", "tp", "grouping"),
    [
        ("Llama-3.1-8B", "llama-3.1-8b", 1, "vllm"),
        ("Gemma-2-27B (46L, SW 4096 1:1, ctx 8192)", "gemma-2-27b", 1, "vllm"),
        ("Gemma-3-12B (48L)", "gemma-3-12b", 1, "vllm"),
        ("Gemma-3-27B (62L)", "gemma-3-27b", 1, "vllm"),
        ("Gemma-3-27B hybrid off", "gemma-3-27b", 1, "vllm_nohybrid"),
        ("gpt-oss-20b (24L, SW128 1:1)", "gpt-oss-20b", 1, "vllm"),
        ("gpt-oss-120b (36L)", "gpt-oss-120b", 1, "vllm"),
        ("Llama-4-Scout TP8 rank (48L, chunk 8192 3:1)", "llama-4-scout", 8, "vllm"),
        ("Llama-4-Scout TP8 hybrid off", "llama-4-scout", 8, "vllm_nohybrid"),
        ("Jamba-1.5-Mini bf16 state, APC off", "jamba-1.5-mini", 1, "vllm"),
        ("Jamba-1.5-Mini fp32 ssm, APC off", "jamba-1.5-mini", 1, "vllm"),
        ("Bamba-9B (29 mamba2 + 3 attn), APC off", "bamba-9b", 1, "vllm"),
        ("Qwen3-Next-80B TP1 fp32 ssm, APC off", "qwen3-next-80b", 1, "vllm"),
        ("DeepSeek-V3 bf16 MLA 576", "deepseek-v3", 1, "vllm"),
        ("DeepSeek-V3.2 (61 MLA fp8 656B + 61 indexer 132B)", "deepseek-v3.2", 1, "vllm"),
    ],
)
def test_groups_are_those_that_vllm_made(recorded: str, name: str, tp: int, grouping: str) -> None:
    golden = KV_GROUPS[f"{recorded} | LBNHC"]
    model = replace(load_model(name), max_model_len=golden["max_model_len"])
    model = fp32_states(model) if "fp32 ssm" in recorded else model
    model = packed_mla(model) if "656B" in recorded else model
    blocks = {"block_size": 64} if name == "deepseek-v3" else {}  # as it was recorded
    _, groups = group(model, grouping, tp=tp, **blocks)
    ours = [(len(g.layers), g.block_size, g.content_bytes, g.page_bytes) for g in groups]
    theirs = [
        (g["layers"], g["block_size"], g["used_bytes"], g["block_bytes"]) for g in golden["groups"]
    ]
    assert ours == theirs
    padding = [g.padding_bytes / g.page_bytes for g in groups]
    assert padding == pytest.approx([g["waste_frac"] for g in golden["groups"]], abs=1e-4)
    page = groups[0].page_bytes
    assert (golden["kv_bytes"] // page, page) == (golden["num_blocks"], golden["bytes_per_block"])


def test_ministrals_windows_make_three_groups_beside_full_attention() -> None:
    _, groups = group(load_model("ministral-8b"), "vllm")
    assert sorted((g.kind, len(g.layers), g.padding_bytes) for g in groups) == [
        ("full", 9, 0),
        *[("sliding_window", 9, 0)] * 3,
    ]


def test_uniform_keeps_encoder_tokens_in_every_layers_page() -> None:
    _, (only,) = group(load_model("llama-3.2-11b-vision"), "uniform")
    assert (only.source, only.kind, only.page_bytes) == ("all", "full", 16 * 40 * 4096)


def test_uniform_spreads_states_over_pages_of_the_attention() -> None:
    _, (attention, states) = group(load_model("bamba-9b"), "uniform")
    assert attention.page_bytes == states.page_bytes == 16 * 3 * 4096
    assert states.pages_per_block == math.ceil(62_287_360 / (16 * 3 * 4096))


def test_the_hybrid_manager_off_keeps_windows_in_full_but_still_tells_them_apart() -> None:
    _, (only,) = group(load_model("gemma-3-27b"), "vllm_nohybrid")
    assert (only.kind, only.window) == ("full", 0)
    assert {content.label: content.window for content in only.contents} == {
        "swa(1024)": 1024,
        "full": 0,
    }
