"""Laws of the start-up figures, and a few of them by hand."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.specs import KVCacheSpec
from jenga_sim.policies.base import GroupingContext, KVCacheLayout
from jenga_sim.policies.grouping.layer_groups import LayerGroup, bytes_per_block
from jenga_sim.policies.grouping.vllm import to_page_groups, vllm_layer_groups
from jenga_sim.sim.capacity import (
    Limits,
    block_sizes,
    blocks_per_request,
    capacity,
    longest_model_len,
)
from tests.sim.strategies import examples

LAYOUTS: tuple[KVCacheLayout, ...] = ("LBNHC", "LBHNC", "LHBNC", "BLNHC", "BLHNC", "BHLNC")


def attention(kind: Any = "full", size: int = 100, block: int = 16, window: int = 0) -> KVCacheSpec:
    return KVCacheSpec(
        kind=kind,
        variant=kind,
        block_size=block,
        entry_bytes=size,
        window=window,
        shape=(1, size, "fp8"),
    )


def mamba(size: int = 1000, block: int = 4096, **other: Any) -> KVCacheSpec:
    return KVCacheSpec(
        kind="mamba", variant="mamba", block_size=block, state_bytes=size, shape=(size,), **other
    )


@st.composite
def layers(draw: st.DrawFn) -> list[KVCacheSpec]:
    """Some kinds of layers, in any order and number."""
    kinds = draw(
        st.lists(
            st.one_of(
                st.builds(
                    attention,
                    st.sampled_from(["full", "mla"]),
                    st.sampled_from([64, 96, 128, 256]),
                    st.sampled_from([16, 16, 32]),
                ),
                st.builds(
                    attention,
                    st.sampled_from(["sliding_window", "chunked_local"]),
                    st.sampled_from([64, 96, 128]),
                    st.just(16),
                    st.sampled_from([100, 1024]),
                ),
                st.builds(
                    mamba,
                    st.sampled_from([500, 9000]),
                    st.sampled_from([16, 48, 4096]),
                    mamba_cache_mode=st.sampled_from(["none", "align"]),
                    num_speculative_blocks=st.integers(0, 2),
                ),
            ),
            min_size=1,
            max_size=4,
        )
    )
    drawn = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=24))
    return [replace(spec, layer=index) for index, spec in enumerate(drawn)]


LIMITS = st.builds(
    Limits,
    kv_bytes=st.integers(10**5, 10**9),
    max_model_len=st.integers(1, 20_000),
    max_num_batched_tokens=st.integers(1, 10_000),
    concurrent_batches=st.integers(1, 2),
    enable_prefix_caching=st.booleans(),
    mamba_cache_mode=st.sampled_from(["none", "align"]),
)


def grouped(specs: list[KVCacheSpec], layout: KVCacheLayout, hybrid: bool) -> list[LayerGroup]:
    """The groups; draws that vLLM refuses are dropped."""
    context = GroupingContext(block_size=16, max_model_len=20_000, kv_cache_layout=layout)
    try:
        return vllm_layer_groups(specs, context, hybrid=hybrid)
    except ConfigError:
        assume(False)
        raise


@examples(200)
@given(specs=layers(), layout=st.sampled_from(LAYOUTS), hybrid=st.booleans())
def test_every_layer_is_in_exactly_one_group_of_equal_pages(
    specs: list[KVCacheSpec], layout: KVCacheLayout, hybrid: bool
) -> None:
    groups = grouped(specs, layout, hybrid)
    assert sorted(spec.layer for group in groups for spec in group.specs) == list(range(len(specs)))
    pages = to_page_groups(groups)
    assert {page.page_bytes for page in pages} == {bytes_per_block(groups)}
    for group, page in zip(groups, pages, strict=True):
        assert len({spec.block_size for spec in group.specs}) == 1
        assert group.content_bytes <= group.page_bytes <= bytes_per_block(groups)
        assert page.content_bytes == group.content_bytes
    for group in groups:
        for spec in group.specs:
            before = specs[spec.layer]
            assert (spec.kind, spec.window, spec.shape) == (
                before.kind,
                before.window,
                before.shape,
            )
            assert spec.page_size_bytes >= before.page_size_bytes


@examples(200)
@given(specs=layers(), layout=st.sampled_from(LAYOUTS), limits=LIMITS)
def test_the_figures_fit_the_pool(
    specs: list[KVCacheSpec], layout: KVCacheLayout, limits: Limits
) -> None:
    groups = grouped(specs, layout, True)
    try:
        figures = capacity(groups, limits)
    except ConfigError:
        assert longest_model_len(groups, limits) < limits.max_model_len
        return
    used = figures.num_blocks * figures.bytes_per_block
    assert used <= limits.kv_bytes < used + figures.bytes_per_block
    assert figures.max_concurrency >= 1
    assert figures.capacity_tokens == int(figures.max_concurrency * limits.max_model_len)
    assert figures.scheduler_block_size % figures.hash_block_size == 0
    for group in groups:
        assert figures.scheduler_block_size % group.block_size == 0
    more = capacity(groups, replace(limits, kv_bytes=2 * limits.kv_bytes))
    assert more.max_concurrency >= 2 * figures.max_concurrency


@examples(200)
@given(specs=layers(), limits=LIMITS)
def test_the_longest_length_fits_and_one_more_does_not(
    specs: list[KVCacheSpec], limits: Limits
) -> None:
    groups = grouped(specs, "LBNHC", True)
    longest = longest_model_len(groups, limits)
    if longest:
        capacity(groups, replace(limits, max_model_len=longest))
    if longest < limits.max_model_len:
        with pytest.raises(ConfigError):
            capacity(groups, replace(limits, max_model_len=longest + 1))


def one(spec: KVCacheSpec) -> LayerGroup:
    return LayerGroup((spec,))


def test_blocks_of_a_request_by_hand() -> None:
    limits = Limits(kv_bytes=1, max_model_len=10_000, max_num_batched_tokens=2_000)
    assert blocks_per_request(one(attention()), limits) == 625
    sliding = one(attention("sliding_window", window=1_000))
    assert blocks_per_request(sliding, limits) == 188 + 1, "2,999 tokens, begun within a block"
    chunked = one(attention("chunked_local", window=1_000))
    assert blocks_per_request(chunked, limits) == 188
    assert blocks_per_request(one(attention("cross")), limits) == 125
    twice = replace(limits, concurrent_batches=2)
    assert blocks_per_request(sliding, twice) == 313 + 1, "4,999 tokens with two batches in flight"
    short = replace(limits, max_model_len=160)
    assert [blocks_per_request(group, short) for group in (sliding, chunked)] == [11, 10]


def test_states_take_one_block_or_two_and_those_of_speculation() -> None:
    limits = Limits(kv_bytes=1, max_model_len=10_000, max_num_batched_tokens=2_000)
    align = replace(limits, mamba_cache_mode="align")
    plain, speculative = one(mamba()), one(mamba(num_speculative_blocks=3))
    assert [blocks_per_request(plain, each) for each in (limits, align)] == [1, 2]
    assert [blocks_per_request(speculative, each) for each in (limits, align)] == [4, 5]


def test_hashes_use_the_gcd_unless_states_or_a_single_group_forbid_it() -> None:
    limits = Limits(kv_bytes=1, max_model_len=10_000, max_num_batched_tokens=2_000)
    off = replace(limits, enable_prefix_caching=False)
    two = [one(attention(block=32)), one(attention(block=48))]
    assert block_sizes(two, limits) == (96, 16)
    assert block_sizes(two, off) == (96, 96)
    assert block_sizes(two[:1], limits) == (32, 32)
    whole = one(mamba(block=4096))
    assert block_sizes([two[0], whole], limits) == (4096, 4096)
    aligned = one(mamba(block=64, mamba_cache_mode="align"))
    assert block_sizes([two[0], aligned], limits) == (64, 32)
    assert block_sizes([*two, aligned], limits) == (192, 16)


def test_a_pool_that_is_too_small_is_refused_with_what_would_fit() -> None:
    groups = [one(attention(size=10))]
    limits = Limits(kv_bytes=160, max_model_len=100, max_num_batched_tokens=50)
    with pytest.raises(ConfigError, match="No available memory for the cache blocks"):
        capacity(groups, limits)
    with pytest.raises(ConfigError, match=r"seq len \(100\).*up to 48 fits"):
        capacity(groups, replace(limits, kv_bytes=4 * 160))
    windows = [one(attention("sliding_window", size=10, window=30))]
    with pytest.raises(ConfigError, match="use more GPUs"):
        capacity(windows, replace(limits, kv_bytes=320))
