"""Page sizes of the zoo, padded and shaped pages, and the advice that is drawn from them."""

import math
import time
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.engine import engine_config
from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.load import load_gpu, load_model, model_names
from jenga_sim.configs.specs import LayerSpec, ModelSpec, cdiv
from jenga_sim.policies.base import GroupingContext, PageGroup
from jenga_sim.policies.carving.lcm import LCMCarving
from jenga_sim.policies.carving.single import SinglePool
from jenga_sim.policies.page_advice import better_policy, large_page_warning
from jenga_sim.policies.page_shapes import (
    content_bytes,
    expected_waste,
    is_state,
    reshaped,
    tiling_shapes,
    wasted_bytes,
)
from jenga_sim.policies.page_sizes import (
    PageSizes,
    buddy_pages,
    divisibility_chain,
    page_sizes,
    power_of_two,
)
from jenga_sim.policies.presets import GROUPINGS, PRESETS
from tests.sim.strategies import examples, layer_mixes, tiny_model, whole_entries

MIB, GIB = 1 << 20, 1 << 30
BY_KIND = ("max_page", "gcd_page", "buddy_layers", "buddy_bytes", "pad_lcm", "lcm_blocks")
SIZES = st.lists(st.integers(1, 400), min_size=1, max_size=4)


def groups_of(
    model: ModelSpec, *, grouping: str = "by_kind", tp: int = 1, block_size: int | None = None
) -> tuple[PageGroup, ...]:
    settings = {"block_size": block_size} if block_size is not None else {}
    engine = engine_config(tensor_parallel_size=tp, **settings).resolve(model, load_gpu("h100-sxm"))
    context = GroupingContext(block_size=engine.block_size, max_model_len=engine.max_model_len)
    return GROUPINGS[grouping](engine.kv_cache_specs(model), context)


def sizes_of(name: str, tp: int = 1, block_size: int | None = None) -> PageSizes:
    return page_sizes(groups_of(load_model(name), tp=tp, block_size=block_size))


def fp32_states(model: ModelSpec) -> ModelSpec:
    layers = tuple(
        replace(layer, ssm_dtype="fp32") if layer.ssm_elements else layer for layer in model.layers
    )
    return replace(model, layers=layers)


# --- the zoo -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "tp", "lcm_bytes", "times_largest"),
    [
        ("llama-3.1-8b", 1, 2 * MIB, 1),
        ("llama-3.2-11b-vision", 1, 2 * MIB, 1),
        ("llama-4-scout", 8, 288 << 10, 1),
        ("llama-4-scout", 1, 2_359_296, 1),
        ("gemma-2-27b", 1, 3_014_656, 1),
        ("gemma-3-12b", 1, 5 * MIB, 1),
        ("gemma-3-27b", 1, 65 * MIB // 2, 5),
        ("gpt-oss-20b", 1, 384 << 10, 1),
        ("gpt-oss-120b", 1, 576 << 10, 1),
        ("ministral-8b", 1, 1_769_472, 1),
        ("jamba-1.5-mini", 1, 34_865_152, 4),
        ("bamba-9b", 1, 23_918_346_240, 384),
        ("qwen3-next-80b", 1, 79_036_416, 2),
        ("qwen3.5-27b", 1, 2_463_105_024, 16),
        ("nemotron-h-56b", 1, 36_504_207_360, 40),
    ],
)
def test_large_pages_of_the_zoo(name: str, tp: int, lcm_bytes: int, times_largest: int) -> None:
    """16 tokens a block, bf16. Where layers share factors the LCM is the largest page."""
    sizes = sizes_of(name, tp, block_size=16)
    assert sizes.lcm == lcm_bytes
    assert sizes.lcm == times_largest * sizes.max


def test_gemmas_large_page_holds_26_blocks_of_full_attention_and_5_of_windows() -> None:
    sizes = sizes_of("gemma-3-27b")
    assert sizes.small == (52 * 16 * 8192, 10 * 16 * 8192)
    assert [sizes.lcm // small for small in sizes.small] == [5, 26]


@pytest.mark.parametrize(("states", "mib"), [("bf16", 75), ("fp32", 147)])
def test_qwen3_next_by_the_dtype_of_its_states(states: str, mib: int) -> None:
    model = load_model("qwen3-next-80b")
    model = fp32_states(model) if states == "fp32" else model
    assert page_sizes(groups_of(model)).lcm // MIB == mib


def test_indexer_keys_of_132_bytes_share_few_factors_with_mla() -> None:
    assert sizes_of("deepseek-v3.2", block_size=16).lcm == 12_367_872
    model = load_model("deepseek-v3.2")
    # vLLM's fp8_ds_mla cache: 656 bytes a token.
    layers = tuple(
        replace(layer, k_dim=656, dtype="fp8") if layer.kind == "mla" else layer
        for layer in model.layers
    )
    packed = page_sizes(groups_of(replace(model, layers=layers), block_size=64))
    assert packed.lcm / MIB == pytest.approx(80.6, abs=0.05)


def test_the_alternatives_for_jamba_by_hand() -> None:
    state, attention = 28 * 311_296, 4 * 16 * 4096
    sizes = sizes_of("jamba-1.5-mini")
    assert sorted(sizes.small) == [attention, state]
    assert (sizes.gcd, sizes.max) == (65_536, state)
    assert sizes.large_pad_lcm == 34 * attention
    assert 1 - state / sizes.large_pad_lcm == pytest.approx(0.022, abs=1e-4)
    # 33.25 attention pages are rounded up to 64.
    assert max(sizes.buddy_bytes) == 64 * attention
    assert 1 - state / max(sizes.buddy_bytes) == pytest.approx(0.4805, abs=1e-4)
    # Four pages of attention hold the states of seven layers, five do after padding.
    assert sizes.large_lcm_blocks == 5 * attention


@pytest.mark.parametrize(
    ("name", "padded"),
    [
        ("gemma-3-27b", 1 - 52 / 60),
        ("bamba-9b", 0.0006),
        ("qwen3-next-80b", 0.0049),
        ("qwen3.5-27b", 0.0013),
        ("nemotron-h-56b", 0.0003),
        ("gemma-3-12b", 0),
        ("llama-4-scout", 0),
    ],
)
def test_padding_before_the_lcm_costs_little_but_for_gemma(name: str, padded: float) -> None:
    sizes = sizes_of(name)
    shares = [1 - a / b for a, b in zip(sizes.small, sizes.pad_lcm, strict=True)]
    assert max(shares) == pytest.approx(padded, abs=3e-4)
    assert sizes.large_pad_lcm == math.lcm(*sizes.pad_lcm)


@pytest.mark.parametrize(
    ("name", "large", "most_waste"),
    [
        ("bamba-9b", 11 * 196_608, 0.011),
        ("gemma-3-27b", 6_815_760, 0.03),
        ("jamba-1.5-mini", 5 * MIB // 4, 0.018),
        ("nemotron-h-56b", 26 * 655_360, 0.013),
        ("qwen3-next-80b", 3 * 393_216, 0.024),
        ("qwen3.5-27b", 3_207_168, 0.017),
        ("gemma-3-12b", 5 * MIB, 0.009),
        ("gpt-oss-120b", 576 << 10, 0.009),
    ],
)
def test_shaped_blocks_keep_large_pages_small(name: str, large: int, most_waste: float) -> None:
    groups = groups_of(load_model(name))
    sizes = page_sizes(groups)
    assert sizes.large_lcm_blocks == large
    assert expected_waste(reshaped(groups, sizes.lcm_blocks)) < most_waste


@pytest.mark.parametrize("name", model_names())
def test_shaped_blocks_are_never_expected_to_waste_more(name: str) -> None:
    groups = groups_of(load_model(name))
    start = time.process_time()
    shaped = reshaped(groups, tiling_shapes(groups))
    assert time.process_time() - start < 0.5, "it is meant to take a few milliseconds"
    assert expected_waste(shaped) <= expected_waste(groups)
    assert expected_waste(shaped) <= expected_waste(groups_of(load_model(name), grouping="pad_lcm"))


# --- laws ----------------------------------------------------------------------------------------


@examples(300)
@given(SIZES)
def test_a_chain_of_pages_is_one_and_pads_least(sizes: list[int]) -> None:
    chain = divisibility_chain(sizes)
    assert all(padded >= size for padded, size in zip(chain, sizes, strict=True))
    assert min(chain) == min(sizes)
    assert math.lcm(*chain) == max(chain)
    ordered = sorted(chain)
    assert all(large % small == 0 for small, large in pairwise(ordered))
    assert len(dict(zip(sizes, chain, strict=True))) == len(set(sizes)), "equal sizes stay equal"
    greedy = [min(sizes)]
    for size in sorted(set(sizes))[1:]:
        greedy.append(cdiv(size, greedy[-1]) * greedy[-1])
    cost = sum(1 - a / b for a, b in zip(sorted(set(sizes)), greedy, strict=True))
    assert sum(1 - a / b for a, b in {*zip(sizes, chain, strict=True)}) <= cost + 1e-9


def test_a_chain_looks_beyond_the_next_multiple() -> None:
    # With 5 padded to 6, the next multiple of 2, 7 would need 12.
    assert divisibility_chain([2, 5, 7]) == (2, 8, 8)
    assert divisibility_chain([7, 15, 2, 5]) == (8, 16, 2, 8)
    assert divisibility_chain([4, 4, 8]) == (4, 4, 8)


@examples(200)
@given(SIZES)
def test_buddy_pages_are_powers_of_two_of_the_smallest(sizes: list[int]) -> None:
    pages = buddy_pages(sizes)
    for page, size in zip(pages, sizes, strict=True):
        units, rest = divmod(page, min(sizes))
        assert rest == 0
        assert units == power_of_two(units)
        assert size <= page < max(2 * size, min(sizes) + 1)


@pytest.mark.parametrize("grouping", BY_KIND)
@examples(100)
@given(layers=layer_mixes(), block_size=st.sampled_from([1, 3, 7, 16, 32]))
def test_padded_groups_are_jengas_with_other_pages(
    grouping: str, layers: tuple[LayerSpec, ...], block_size: int
) -> None:
    model = tiny_model(layers)
    block_size = whole_entries(model, block_size)
    plain = groups_of(model, block_size=block_size)
    padded = groups_of(model, grouping=grouping, block_size=block_size)
    for before, after in zip(plain, padded, strict=True):
        same = replace(before, page_bytes=after.page_bytes, pages_per_block=after.pages_per_block)
        assert after == same
        assert after.padding_bytes >= 0
    pages = sorted({group.page_bytes for group in padded})
    if grouping in ("max_page", "gcd_page"):
        assert len(pages) == 1
    if grouping == "gcd_page":
        assert not any(group.padding_bytes for group in padded)
    if grouping in ("pad_lcm", "buddy_layers", "buddy_bytes"):
        assert pages[-1] == math.lcm(*pages)
    if grouping == "lcm_blocks":
        assert expected_waste(padded) <= expected_waste(plain) + 1e-9
        for group in padded:
            assert group.contents[0].layers % group.pages_per_block == 0
            assert group.pages_per_block == 1 or is_state(group)


@examples(200)
@given(
    block=st.integers(1, 10**6),
    times=st.integers(2, 32),
    large=st.integers(1, 10**8),
    tokens=st.integers(1, 10**5),
    window=st.sampled_from([0, 0, 512]),
)
def test_larger_blocks_never_waste_less(
    block: int, times: int, large: int, tokens: int, window: int
) -> None:
    """Why the rule leaves tokens per page alone: the large page decides, not the block."""
    (group,) = groups_of(tiny_model([LayerSpec(kind="full", variant="x", kv_heads=1, k_dim=1)]))
    content = replace(group.contents[0], entry_bytes=block)
    small = replace(group, contents=(content,), window=window)
    longer = replace(small, block_size=times * small.block_size)
    large += longer.content_bytes

    def waste(each: PageGroup) -> float:
        return wasted_bytes(each, large / (large // each.content_bytes), 1, large, tokens)

    assert waste(longer) >= waste(small) * (1 - 1e-9)
    assert content_bytes(longer, tokens) == content_bytes(small, tokens)


@examples(60)
@given(
    layers=layer_mixes(),
    moves=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 9)), max_size=30),
)
def test_lcm_never_holds_more_bytes_of_small_pages_than_max_page(
    layers: tuple[LayerSpec, ...], moves: list[tuple[int, int, int]]
) -> None:
    """At equal live state: the same requests take and give the same blocks."""
    plain, padded = (groups_of(tiny_model(layers), grouping=g) for g in ("by_kind", "max_page"))
    plenty = 1000 * math.lcm(*(group.page_bytes for group in plain))
    carvings = (LCMCarving(plain, plenty), SinglePool(padded, plenty))
    held: dict[tuple[int, int], int] = {}
    for slot, index, count in moves:
        group = index % len(plain)
        if held.get((slot, group), 0) >= count:
            held[slot, group] -= count
            for carving in carvings:
                carving.give(slot, group, count)
        else:
            need = [0] * len(plain)
            need[group] = count
            held[slot, group] = held.get((slot, group), 0) + count
            assert all(carving.take(slot, need) for carving in carvings)
        in_pages = [
            carving.pool_bytes
            - sum((*(s := carving.slack(None)).internal, *s.external, s.reserved, s.free))
            for carving in carvings
        ]
        assert in_pages[0] <= in_pages[1]


# --- advice --------------------------------------------------------------------------------------


def test_bamba_is_refused_with_the_policy_that_serves_it() -> None:
    groups = groups_of(load_model("bamba-9b"))
    with pytest.raises(ConfigError) as caught:
        LCMCarving(groups, 60 * GIB)
    message = str(caught.value)
    assert "lcm(mamba2 62,287,360, full 196,608) = 23,918,346,240 bytes" in message
    assert "--policy lcm-blocks (a large page of 2,162,688 bytes, 0.0034 % of the pool" in message
    assert "expected waste 1.1 %)" in message
    serves = groups_of(load_model("bamba-9b"), grouping="lcm_blocks")
    assert LCMCarving(serves, 60 * GIB).large_bytes == 2_162_688


def test_a_large_page_above_one_percent_of_the_pool_is_warned_of() -> None:
    groups = groups_of(load_model("gemma-3-27b"))
    large = LCMCarving(groups, 2 * GIB).large_bytes
    assert large_page_warning(groups, 100 * large, {}) == []
    (text,) = large_page_warning(groups, 2 * GIB, {})
    assert "= 34,078,720 bytes, is 1.6 % of the pool, which holds 63" in text
    assert "expected to waste 4.1 % of what it holds (mean over 1,024, 8,192 and 32,768" in text
    assert "Better: --policy lcm-blocks (a large page of 6,815,760 bytes, 0.32 %" in text


def test_only_policies_that_the_pool_has_room_for_are_named() -> None:
    groups = groups_of(load_model("gemma-3-27b"))
    assert better_policy(groups, 15 * MIB) is None
    (text,) = large_page_warning(groups, 15 * MIB, {})
    assert "Better" not in text


def test_vllm_is_named_where_it_wastes_least() -> None:
    groups = groups_of(load_model("gemma-3-27b"))
    frugal = (replace(groups[0], page_bytes=groups[0].content_bytes),)
    text = better_policy(groups, 2 * GIB, {"vllm": frugal})
    assert text is not None
    assert text.startswith("--policy vllm (a page of 6,815,744 bytes")


def test_nothing_is_named_better_that_is_expected_to_waste_more() -> None:
    """lcm-blocks wastes least here, but has a large page of more than 1 %, as its users know."""
    groups, shaped = (
        groups_of(load_model("gemma-3-27b"), grouping=name) for name in ("by_kind", "lcm_blocks")
    )
    wasteful = (replace(groups[1], page_bytes=2 * groups[1].page_bytes),)
    assert expected_waste(wasteful) > expected_waste(groups) > expected_waste(shaped)
    (text,) = large_page_warning(groups, 200 * MIB, {"vllm": wasteful})
    assert "Better: --policy lcm-blocks" in text
    (text,) = large_page_warning(shaped, 200 * MIB, {"vllm": wasteful})
    assert "Better" not in text


def test_a_state_of_bamba_takes_121655_pages_of_the_common_divisor() -> None:
    groups = groups_of(load_model("bamba-9b"), grouping="gcd_page")
    pages = {group.kind: (group.page_bytes, group.pages_per_block) for group in groups}
    assert pages == {"mamba": (512, 121_655), "full": (512, 384)}
    with pytest.raises(ConfigError, match="a block takes 121,655: nothing can be served"):
        SinglePool(groups, 512 * 121_655)
    assert SinglePool(groups, 512 * 121_656).could_fit((121_655, 0))


def test_kinds_that_share_a_page_get_no_advice_by_kind() -> None:
    (group,) = groups_of(load_model("llama-3.2-11b-vision"), grouping="uniform")
    assert better_policy((group, replace(group, page_bytes=group.page_bytes + 16)), GIB) is None


@pytest.mark.parametrize("policy", ["lcm", "pad-lcm", "lcm-blocks"])
def test_policies_with_large_pages_are_those_that_are_checked(policy: str) -> None:
    assert PRESETS[policy].carving == "lcm"
