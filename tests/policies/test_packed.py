"""Packed groups of block-outermost layouts, by hand."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.specs import KVCacheSpec
from jenga_sim.policies.base import GroupingContext
from jenga_sim.policies.grouping.layer_groups import LayerGroup, mergeable, uniform_type
from jenga_sim.policies.grouping.layout import block_outermost, check_layout
from jenga_sim.policies.grouping.packed import approximate_gcd, packed_groups
from jenga_sim.policies.grouping.vllm import vllm, vllm_layer_groups, vllm_nohybrid

Shape = list[tuple[int, int]]


def layer(kind: Any, size: int, window: int = 0, **other: Any) -> KVCacheSpec:
    return KVCacheSpec(
        kind=kind,
        variant=kind,
        block_size=16,
        entry_bytes=0 if kind == "mamba" else size,
        state_bytes=16 * size if kind == "mamba" else 0,
        window=window,
        shape=(2, size),
        **other,
    )


def numbered(*runs: tuple[int, KVCacheSpec]) -> list[KVCacheSpec]:
    specs = [spec for count, spec in runs for _ in range(count)]
    return [replace(spec, layer=index) for index, spec in enumerate(specs)]


def shapes(groups: Sequence[LayerGroup]) -> list[tuple[str, int]]:
    return [(group.type_name, len(group.specs)) for group in groups]


BLNHC = GroupingContext(block_size=16, max_model_len=1000, kv_cache_layout="BLNHC")


def test_full_layers_of_two_sizes_share_a_group_without_padding() -> None:
    specs = numbered((3, layer("full", 10)), (2, layer("full", 7)), (2, layer("mamba", 20)))
    groups = packed_groups(specs)
    assert shapes(groups) == [("Uniform[FullAttentionSpec]", 5), ("Uniform[MambaSpec]", 2)]
    assert groups[0].page_bytes == 16 * (3 * 10 + 2 * 7)


def test_states_are_spread_over_as_many_groups_as_blocks_of_the_others_need() -> None:
    specs = numbered((2, layer("full", 10)), (7, layer("mamba", 6)))
    groups = packed_groups(specs)
    # A block of 20 x 16 bytes holds three states: three groups of 3, 2 and 2.
    assert [len(group.specs) for group in groups] == [2, 3, 2, 2]
    assert [spec.layer for spec in groups[1].specs] == [2, 5, 8]


def test_windows_are_spread_like_states_if_no_pattern_mixes_sizes() -> None:
    groups = packed_groups(numbered((4, layer("full", 3)), (6, layer("sliding_window", 5, 64))))
    assert [len(group.specs) for group in groups] == [4, 2, 2, 2]


def test_a_balanced_pattern_stays_together_and_sets_the_groups_of_the_others() -> None:
    pair = (layer("mla", 9), layer("mla", 2))
    specs = numbered(*[(1, spec) for _ in range(3) for spec in pair], (6, layer("full", 9, 0)))
    full_first = packed_groups(specs)
    assert shapes(full_first) == [("Uniform[MLAAttentionSpec]", 12)], "one uniform type: one group"
    windows = numbered(
        *[(1, spec) for _ in range(3) for spec in pair], (6, layer("sliding_window", 9, 64))
    )
    assert shapes(packed_groups(windows)) == [
        ("Uniform[MLAAttentionSpec]", 6),
        ("Uniform[SlidingWindowSpec]", 3),
        ("Uniform[SlidingWindowSpec]", 3),
    ]


def test_windows_of_two_sizes_in_unequal_numbers_lose_layers_as_in_vllm() -> None:
    specs = numbered(
        (3, layer("full", 8)),
        (4, layer("sliding_window", 8, 64)),
        (2, layer("sliding_window", 4, 64)),
    )
    with pytest.raises(ConfigError) as caught:
        vllm_layer_groups(specs, BLNHC)
    expected = "['layers.5.sliding_window', 'layers.6.sliding_window']"
    assert f'"AssertionError: KV cache groups miss layers: {expected}."' in str(caught.value)
    assert [len(g.specs) for g in vllm_layer_groups(specs, replace_layout("LBNHC"))] == [
        2,
        1,
        2,
        2,
        2,
    ]


def test_a_group_that_no_pattern_is_left_for_is_refused() -> None:
    specs = numbered(
        (1, layer("full", 8)),
        (9, layer("sliding_window", 8, 64)),
        (1, layer("sliding_window", 4, 64)),
    )
    with pytest.raises(ConfigError, match=r"StopIteration.*leaves a group empty"):
        packed_groups(specs)


def replace_layout(layout: Any) -> GroupingContext:
    return replace(BLNHC, kv_cache_layout=layout)


@pytest.mark.parametrize(
    ("values", "lowest", "expected"),
    [([6, 9], 1, 3), ([6, 9], 4, 9), ([5], 7, 7), ([4, 8, 12], 1, 4), ([7], 1, 7), ([5, 6], 1, 1)],
)
def test_the_divisor_pads_least_and_is_as_large_as_can_be(
    values: list[int], lowest: int, expected: int
) -> None:
    def padding(divisor: int) -> int:
        return sum(-value % divisor for value in values)

    found = approximate_gcd(values, lowest)
    assert found == expected
    for divisor in range(lowest, max(values) + 1):
        assert (padding(divisor), -divisor) >= (padding(found), -found)


@pytest.mark.parametrize(
    ("layout", "outermost", "mixed", "padded"),
    [
        ("LBNHC", False, True, True),
        ("LBHNC", False, True, True),
        ("LHBNC", False, False, False),
        ("BLNHC", True, True, True),
        ("BLHNC", True, True, True),
        ("BHLNC", True, False, False),
    ],
)
def test_what_each_layout_can_express(
    layout: Any, outermost: bool, mixed: bool, padded: bool
) -> None:
    assert block_outermost(layout) is outermost
    one_mixed = [LayerGroup((layer("full", 8), layer("full", 4)), uniform_type=True)]
    one_padded = [LayerGroup((replace(layer("full", 8), page_size_padded=500),))]
    for groups, allowed in ((one_mixed, mixed), (one_padded, padded)):
        if allowed:
            check_layout(layout, groups)
        else:
            with pytest.raises(ConfigError, match=r"limit of vLLM"):
                check_layout(layout, groups)
    check_layout(layout, [LayerGroup((layer("full", 8),))])


def test_several_groups_of_unequal_pages_need_the_blocks_outermost() -> None:
    groups = [LayerGroup((layer("full", 8),)), LayerGroup((layer("full", 4),))]
    check_layout("BLNHC", groups)
    with pytest.raises(ConfigError, match=r"mixed page sizes \(\[64, 128\]\)"):
        check_layout("LBNHC", groups)


def test_promoted_windows_of_one_size_merge_with_full_attention_and_others_do_not() -> None:
    full = layer("full", 8)
    short, long = (replace(layer("sliding_window", 8, n), keeps_all=True) for n in (64, 128))
    chunk = replace(layer("chunked_local", 8, 64), keeps_all=True)
    assert mergeable([full, short, full])
    assert not mergeable([short, long])
    assert not mergeable([short, chunk])
    assert uniform_type([full, short, long, chunk])
    assert not mergeable([layer("mla", 8), full])
    assert not mergeable([layer("mla", 8), layer("indexer", 8)])


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        (
            numbered((1, layer("full", 8)), (1, layer("mamba", 8))),
            "Failed to promote local KV cache specs to one unified type",
        ),
        (
            numbered((1, layer("sliding_window", 8, 64)), (1, layer("sliding_window", 8, 32))),
            "Failed to promote local KV cache specs to one unified type",
        ),
        (
            numbered(
                (1, layer("full", 8)),
                (1, layer("sliding_window", 8, 64)),
                (1, layer("sliding_window", 8, 32)),
            ),
            "must have the same window size",
        ),
    ],
)
def test_the_hybrid_manager_cannot_be_off_for_some_mixes(
    specs: list[KVCacheSpec], words: str
) -> None:
    context = replace_layout("LBNHC")
    with pytest.raises(ConfigError, match=words):
        vllm_layer_groups(specs, context, hybrid=False)
    assert vllm_nohybrid(specs, context), "the policy of that name promotes what it can"


def test_two_windows_beside_latents_may_be_promoted() -> None:
    specs = numbered(
        (1, layer("mla", 8)),
        (1, layer("sliding_window", 8, 64)),
        (1, layer("sliding_window", 8, 32)),
    )
    (only,) = vllm_layer_groups(specs, replace_layout("LBNHC"), hybrid=False)
    assert only.type_name == "Uniform[MLAAttentionSpec]"


def test_a_padded_attention_page_cannot_be_scaled() -> None:
    small = replace(layer("full", 4), page_size_padded=100)
    specs = numbered((1, layer("sliding_window", 25, 64)), (1, small))
    with pytest.raises(ConfigError, match=r"layers\.1\.full has a page padded to 100 bytes"):
        vllm_layer_groups(specs, replace_layout("LBNHC"))


def test_pages_of_packed_groups_have_the_bytes_of_the_largest() -> None:
    specs = numbered((2, layer("full", 10)), (7, layer("mamba", 6)))
    groups = vllm(specs, BLNHC)
    assert [(g.page_bytes, g.padding_bytes) for g in groups] == [
        (320, 0),
        (320, 320 - 3 * 96),
        (320, 320 - 2 * 96),
        (320, 320 - 2 * 96),
    ]
