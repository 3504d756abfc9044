"""A draft brings its caches and weights; a pipeline parts layers without losing any."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.load import load_model, model_names
from jenga_sim.configs.pairs import with_draft, with_mtp, without_draft_model
from jenga_sim.configs.pipeline import pipeline_stages, stage_layers
from jenga_sim.configs.specs import DraftSpec, ModelSpec


def growth(model: ModelSpec) -> int:
    """Bytes that one more token takes, windows not yet full."""
    return sum(layer.entry_bytes() for layer in model.layers if layer.role == "kv")


def test_a_draft_model_shares_the_pool_of_its_target() -> None:
    target, draft = load_model("llama-3.1-70b"), load_model("llama-3.1-8b")
    pair = with_draft(target, draft, 4)
    assert (growth(target), growth(draft), growth(pair)) == (327_680, 131_072, 458_752)
    assert pair.weight_bytes == target.weight_bytes + draft.weight_bytes
    assert {layer.variant for layer in pair.layers} == {"full", "draft.full"}
    assert [layer.block for layer in pair.layers] == list(range(80 + 32))
    assert pair.max_model_len == target.max_model_len


def test_states_of_the_target_keep_a_column_per_proposed_token() -> None:
    target = load_model("qwen3-next-80b")
    pair = with_draft(target, load_model("llama-3.1-8b"), 3)
    plain, speculative = (model.kv_cache_specs(block_size=16)[0] for model in (target, pair))
    assert speculative.state_bytes - plain.state_bytes == 3 * 8192 * 2
    assert (plain.num_speculative_blocks, speculative.num_speculative_blocks) == (0, 3)


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("jamba-1.5-mini", 0),
        ("bamba-9b", 3),
        ("qwen3-next-80b", 3),
        ("kimi-linear-48b", 3),
        ("lfm2.5-vl-1.6b", 3),
        ("minimax-text-01", 0),
    ],
)
def test_which_convolutions_keep_columns_for_proposed_tokens(name: str, columns: int) -> None:
    """Those of Mamba-2, GDN, KDA and short convolutions; Mamba-1 has none, lightning no columns."""
    target = load_model(name)
    layer = next(each for each in target.layers if each.role == "state")
    plain, drafted = (layer.state_sizes(num_speculative_tokens=count) for count in (0, 3))
    assert drafted[0] * (layer.conv_columns or 1) == plain[0] * (layer.conv_columns + columns)
    assert drafted[1] == plain[1]
    speculative = without_draft_model(target, 3).kv_cache_specs(block_size=16)
    assert {spec.num_speculative_blocks for spec in speculative if spec.is_state} == {3}


def test_a_pair_of_which_one_is_of_unknown_size_is_of_unknown_size() -> None:
    """Else the pool would be as large as if that one weighed nothing."""
    target, draft = load_model("llama-3.1-8b"), load_model("llama-3.1-8b-eagle3")
    unknown = {"params_total": 0, "params_active": 0, "weight_bytes": 0}

    for pair in (
        with_draft(replace(target, **unknown), draft, 2),
        with_draft(target, replace(draft, **unknown), 2),
    ):
        stages = [stage.model for stage in pipeline_stages(pair, 2)]
        for model in (pair, *stages):
            assert (model.params_total, model.params_active, model.weight_bytes) == (0, 0, 0)


def test_own_draft_layers_are_caches_like_others() -> None:
    target = load_model("deepseek-v3")
    mla = replace(target.layers[-1], block=0)
    pair = with_mtp(replace(target, draft_layers=(mla,)), 1)
    assert growth(pair) - growth(target) == 1152
    assert (pair.num_layers, pair.layers[-1].block) == (62, 61)


def test_the_draft_layer_of_qwen3_next_is_a_full_one() -> None:
    """Its file does not name the layer; vLLM's Qwen3NextMTP has one by default."""
    target = load_model("qwen3-next-80b")
    pair = with_mtp(target, 2)
    assert (pair.layers[-1].variant, pair.num_layers) == ("draft.full", 49)
    assert growth(pair) - growth(target) == growth(target) // 12


def test_a_model_without_draft_layers_says_so() -> None:
    with pytest.raises(ConfigError, match=r"llama-3\.1-8b has no draft layers"):
        with_mtp(load_model("llama-3.1-8b"), 1)
    with pytest.raises(ConfigError, match="num_speculative_tokens: 0 must be 1 or more"):
        with_draft(load_model("llama-3.1-70b"), load_model("llama-3.1-8b"), 0)


@pytest.mark.parametrize(
    ("layers", "stages", "counts"),
    [
        (8, 4, [2, 2, 2, 2]),
        (9, 4, [2, 2, 3, 2]),
        (10, 4, [2, 3, 3, 2]),
        (11, 4, [3, 3, 3, 2]),
        (61, 2, [31, 30]),
        (5, 1, [5]),
    ],
)
def test_layers_are_dealt_out_as_in_vllm(layers: int, stages: int, counts: list[int]) -> None:
    assert [len(deal) for deal in stage_layers(layers, stages)] == counts


@given(name=st.sampled_from(model_names()), stages=st.integers(1, 16))
def test_stages_have_every_cache_once(name: str, stages: int) -> None:
    model = load_model(name)
    if stages > model.num_layers:
        with pytest.raises(ConfigError, match="cannot share"):
            pipeline_stages(model, stages)
        return
    parts = pipeline_stages(replace(model, shared_layers=()), stages)
    assert sum((part.model.layers for part in parts), ()) == model.layers
    assert sum(part.model.num_layers for part in parts) == model.num_layers
    # A tied table stands at both ends.
    table = model.vocab_size * model.hidden_size * model.weight_bytes / model.params_total
    extra = sum(part.model.weight_bytes for part in parts) - model.weight_bytes
    assert -stages * model.num_layers <= extra <= table + 1


def test_a_draft_is_whole_on_the_last_stage() -> None:
    """VLLM deals out the 36 layers of the target and puts the drafter on the last rank."""
    target, draft = load_model("qwen3-8b"), load_model("qwen3-8b-dflash")
    first, last = pipeline_stages(with_draft(target, draft, 2), 2)
    assert (first.first, first.last, last.first, last.last) == (0, 17, 18, 40)
    assert (len(first.model.layers), len(last.model.layers)) == (18, 18 + draft.num_layers)
    alone = pipeline_stages(target, 2)
    assert first.model.weight_bytes == alone[0].model.weight_bytes
    assert last.model.weight_bytes == alone[1].model.weight_bytes + draft.weight_bytes
    assert last.model.params_total == alone[1].model.params_total + draft.params_total


def test_own_draft_layers_are_on_the_last_stage_too() -> None:
    pair = with_mtp(load_model("glm-4.5"), 1)
    assert (pair.num_layers, pair.draft) == (93, DraftSpec(num_layers=1))
    parts = pipeline_stages(pair, 2)
    assert [part.model.num_layers for part in parts] == [46, 47]
    with pytest.raises(ConfigError, match="93 stages cannot share the 92 layers"):
        pipeline_stages(pair, 93)


def test_stages_of_a_model_of_unknown_size_are_of_unknown_size() -> None:
    unknown = replace(load_model("llama-3.1-8b"), params_total=0, params_active=0, weight_bytes=0)
    parts = pipeline_stages(unknown, 2)
    assert [(part.model.weight_bytes, part.model.num_layers) for part in parts] == [(0, 16)] * 2


def test_a_pipeline_cannot_part_a_cache_from_its_reader() -> None:
    model = load_model("llama-3.1-8b")
    shared = replace(model, layers=model.layers[:20], shared_layers=((31, 19),))
    with pytest.raises(ConfigError, match=r"layer 31 of .* is parted from layer 19"):
        pipeline_stages(shared, 4)
