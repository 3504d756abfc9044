"""Engine settings: vLLM's names and defaults, and a message that names the key if one is wrong."""

from dataclasses import fields, replace
from typing import Any

import pytest

from jenga_sim.configs.engine import EngineConfig, ResolvedEngine, engine_config
from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.load import load_gpu, load_model
from jenga_sim.configs.specs import ModelSpec

LLAMA, DEEPSEEK = load_model("llama-3.1-8b"), load_model("deepseek-v3")
H100, L4 = load_gpu("h100-sxm"), load_gpu("l4")

WRONG = {
    "tensor_parallel_size": [0, -1, 1.5, "2", True, None],
    "kv_cache_memory_bytes": [0, -5, 1e9, "18GiB", False],
    "num_gpu_blocks_override": [0, -1, 2.0, "9"],
    "block_size": [0, -16, 16.0, "16", True],
    "max_model_len": [0, -1, 4096.0, "4096"],
    "max_num_seqs": [0, -1, 2.5, "64"],
    "max_num_batched_tokens": [0, -1, 8192.0, "8192"],
    "gpu_memory_utilization": [0, -0.1, 1.01, float("nan"), float("inf"), "0.9", None],
    "watermark": [-0.01, 1, 1.5, float("nan"), float("inf"), "0.1", None],
    "long_prefill_token_threshold": [-1, float("nan"), "100", None],
    "step_overhead_us": [-1, float("nan"), float("inf"), "126"],
    "request_overhead_us": [-1, float("-inf"), "4", None],
    "scheduling_policy": ["sjf", "FCFS", "", None, 1],
    "kv_cache_dtype": ["int4", "FP8", "", None, 8],
    "mamba_ssm_cache_dtype": ["fp32", "float8", "", None, 4],
    "scheduler_reserve_full_isl": ["maybe", 1, 0, None],
    "enable_chunked_prefill": ["no", 1, None],
    "async_scheduling": ["on", 2, None],
    "enable_prefix_caching": ["on", 2],
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_refused_by_the_name_of_its_key(name: str) -> None:
    for value in WRONG[name]:
        with pytest.raises(ConfigError, match=rf"^engine\.{name}: ") as caught:
            engine_config(**{name: value})

        assert repr(value) in str(caught.value)


def test_every_setting_is_checked() -> None:
    assert set(WRONG) == {field.name for field in fields(EngineConfig)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gpu_memory_utilization", 1),
        ("watermark", 0),
        ("watermark", 0.999),
        ("long_prefill_token_threshold", 0),
        ("step_overhead_us", 0),
        ("block_size", 7),
        ("kv_cache_dtype", "fp8"),
        ("scheduling_policy", "priority"),
        ("scheduler_reserve_full_isl", False),
    ],
)
def test_a_value_at_the_border_is_accepted(name: str, value: Any) -> None:
    assert getattr(engine_config(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("max_num_seq", "max_num_seqs"),
        ("max_num_batch_tokens", "max_num_batched_tokens"),
        ("gpu_memory_utilisation", "gpu_memory_utilization"),
        ("blocksize", "block_size"),
    ],
)
def test_an_unknown_setting_suggests_the_one_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"^engine\.{name}: unknown setting\. Did you mean '{meant}'\?$"
    ):
        engine_config(**{name: 1})


def test_an_unknown_setting_like_no_other_lists_all() -> None:
    with pytest.raises(ConfigError, match=r"engine\.zzz: unknown setting\. Known: ") as caught:
        engine_config(zzz=1)

    assert all(field.name in str(caught.value) for field in fields(EngineConfig))


@pytest.mark.parametrize(
    ("gpu", "seqs", "tokens"),
    [
        ("h100-sxm", 1024, 8192),
        ("h200-sxm", 1024, 8192),
        ("rtx-pro-6000", 1024, 8192),
        ("b200-sxm", 1024, 16384),
        ("a100-sxm-80gb", 256, 2048),
        ("l40s", 256, 2048),
        ("l4", 256, 2048),
        ("rtx-4090", 256, 2048),
    ],
)
def test_defaults_of_a_step_follow_the_gpu_as_in_vllm(gpu: str, seqs: int, tokens: int) -> None:
    resolved = EngineConfig().resolve(LLAMA, load_gpu(gpu))

    assert (resolved.max_num_seqs, resolved.max_num_batched_tokens) == (seqs, tokens)


def test_defaults_follow_the_model() -> None:
    llama, deepseek = (EngineConfig().resolve(model, H100) for model in (LLAMA, DEEPSEEK))

    assert (llama.block_size, deepseek.block_size) == (16, 16)
    assert (llama.max_model_len, deepseek.max_model_len) == (131_072, 163_840)


@pytest.mark.parametrize(
    ("gpu", "bf16", "fp8"),
    [("a100-sxm-80gb", 16, 16), ("h100-sxm", 16, 64), ("b200-sxm", 32, 32), ("l4", 16, 16)],
)
def test_blocks_of_latents_are_what_the_first_kernel_of_the_gpu_takes(
    gpu: str, bf16: int, fp8: int
) -> None:
    """FlashAttention and Triton 16, FlashMLA 64, FlashInfer 32; an indexer always wants 64."""

    def block(model: ModelSpec, dtype: str) -> int:
        engine = engine_config(kv_cache_dtype=dtype, tensor_parallel_size=8)
        return engine.resolve(model, load_gpu(gpu)).block_size

    assert [block(DEEPSEEK, dtype) for dtype in ("bf16", "fp8")] == [bf16, fp8]
    assert block(load_model("deepseek-v3.2"), "bf16") == 64


@pytest.mark.parametrize(
    ("gpu", "dtype", "latent"),
    [
        ("h100-sxm", "auto", 1152),
        ("h100-sxm", "fp8", 656),
        ("b200-sxm", "auto", 1152),
        ("b200-sxm", "fp8", 576),
        ("rtx-pro-6000", "auto", 656),
        ("rtx-pro-6000", "fp8", 656),
        ("rtx-pro-6000", "bf16", 1152),
    ],
)
def test_latents_beside_an_indexer_are_stored_as_the_kernel_of_the_gpu_wants_them(
    gpu: str, dtype: str, latent: int
) -> None:
    """Packed with scales and bf16 rotary elements, or not (vLLM 0.33, ``mla_attention.py``)."""
    model = load_model("deepseek-v3.2")
    engine = engine_config(kv_cache_dtype=dtype).resolve(model, load_gpu(gpu))

    sizes = {spec.kind: spec.entry_bytes for spec in engine.kv_cache_specs(model)}
    assert sizes == {"mla": latent, "indexer": 132}


def test_a_gpu_of_unknown_generation_gets_the_blocks_of_flashmla() -> None:
    unknown = replace(H100, compute_capability=None)

    assert EngineConfig().resolve(DEEPSEEK, unknown).block_size == 64


def test_only_kernels_that_can_export_states_in_mid_prefill_do() -> None:
    """Mamba-2 everywhere; gated delta nets with FlashInfer, on Hopper and Blackwell."""

    def alignments(model_name: str, gpu: str) -> set[int]:
        model = load_model(model_name)
        specs = EngineConfig().resolve(model, load_gpu(gpu)).kv_cache_specs(model)
        return {spec.checkpoint_alignment for spec in specs if spec.is_state}

    assert alignments("bamba-9b", "l4") == alignments("bamba-9b", "h100-sxm") == {1}
    assert alignments("qwen3-next-80b", "h100-sxm") == {64}
    assert alignments("qwen3-next-80b", "a100-sxm-80gb") == {0}
    assert alignments("jamba-1.5-mini", "h100-sxm") == {0}


def test_what_is_given_is_kept() -> None:
    given = EngineConfig(
        max_num_seqs=7, max_num_batched_tokens=70, block_size=5, max_model_len=100, watermark=0.1
    )

    resolved = given.resolve(DEEPSEEK, H100)

    assert resolved.config == given
    assert (resolved.max_num_seqs, resolved.max_num_batched_tokens) == (7, 70)
    assert (resolved.block_size, resolved.max_model_len, resolved.tp) == (5, 100, 1)


def test_resolving_fills_the_gaps_and_nothing_else() -> None:
    config = EngineConfig(watermark=0.25)
    resolved = config.resolve(LLAMA, H100)

    assert resolved.config == replace(
        config, max_model_len=131_072, max_num_seqs=1024, max_num_batched_tokens=8192, block_size=16
    )
    assert config.max_num_seqs is None


def test_default_budget_is_no_more_than_all_sequences_together_can_hold() -> None:
    resolved = EngineConfig(max_model_len=100, max_num_seqs=8).resolve(LLAMA, H100)

    assert resolved.max_num_batched_tokens == 800


def test_default_number_of_sequences_is_no_more_than_the_budget() -> None:
    assert EngineConfig(max_num_batched_tokens=50).resolve(LLAMA, H100).max_num_seqs == 50


def test_without_chunked_prefill_the_default_budget_holds_the_longest_prompt() -> None:
    config = EngineConfig(enable_chunked_prefill=False)

    assert config.resolve(LLAMA, L4).max_num_batched_tokens == 131_072


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            {"max_num_batched_tokens": 10, "max_num_seqs": 20},
            r"max_num_batched_tokens: 10 is below max_num_seqs = 20",
        ),
        (
            {"enable_chunked_prefill": False, "max_num_batched_tokens": 4096},
            r"max_num_batched_tokens: 4096 is below max_model_len = 131072",
        ),
        ({"tensor_parallel_size": 3}, r"tensor_parallel_size: 3 ranks cannot share 32 attention"),
        ({"tensor_parallel_size": 64}, r"tensor_parallel_size: 64 ranks .* use a divisor of 32"),
    ],
)
def test_settings_that_contradict_each_other_or_the_model(
    settings: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=rf"^engine\.{text}"):
        engine_config(**settings).resolve(LLAMA, H100)


@pytest.mark.parametrize("tp", [1, 2, 4, 8, 16, 32])
def test_more_ranks_than_kv_heads_are_fine_if_they_divide_the_query_heads(tp: int) -> None:
    assert EngineConfig(tensor_parallel_size=tp).resolve(LLAMA, H100).tp == tp


def test_kv_heads_are_split_or_repeated_evenly() -> None:
    """As vLLM's QKVParallelLinear asserts: 10 ranks could share 40 heads, but not 8 KV heads."""
    model = load_model("llama-4-maverick")

    for tp in (1, 2, 4, 8, 40):
        assert EngineConfig(tensor_parallel_size=tp).resolve(model, H100).tp == tp
    for tp in (5, 10, 20):
        with pytest.raises(ConfigError, match=f"{tp} ranks can neither share nor repeat 8 KV"):
            EngineConfig(tensor_parallel_size=tp).resolve(model, H100)


def test_states_may_be_split_unevenly_but_not_the_attention_beside_them() -> None:
    model = load_model("bamba-9b")

    with pytest.raises(ConfigError, match="32 attention heads of bamba-9b"):
        EngineConfig(tensor_parallel_size=3).resolve(model, H100)


def test_an_engine_with_gaps_is_not_resolved() -> None:
    with pytest.raises(ConfigError, match=r"engine\.max_model_len: not set; call .*resolve"):
        ResolvedEngine(EngineConfig())


def test_cache_dtype_auto_is_that_of_the_models() -> None:
    model = load_model("llama-3.1-8b")
    packed = replace(model, kv_cache_dtype="fp8")

    def entry(model: ModelSpec, **settings: str) -> int:
        engine = engine_config(**settings).resolve(model, H100)
        return engine.kv_cache_specs(model)[0].entry_bytes

    assert entry(model) == 2 * 8 * 128 * 2
    assert entry(model, kv_cache_dtype="fp8") == entry(packed) == 2 * 8 * 128
    assert entry(packed, kv_cache_dtype="bf16") == entry(model)


def test_the_dtype_of_states_is_the_models_unless_it_is_given() -> None:
    model = load_model("qwen3-next-80b")

    def sizes(**settings: str) -> tuple[int, ...]:
        engine = engine_config(**settings).resolve(model, H100)
        return engine.kv_cache_specs(model)[0].state_sizes

    assert sizes() == sizes(mamba_ssm_cache_dtype="bfloat16") == (8192 * 3 * 2, 524288 * 2)
    # The convolution keeps the dtype of the model.
    assert sizes(mamba_ssm_cache_dtype="float32") == (8192 * 3 * 2, 524288 * 4)


def test_blocks_end_with_entries() -> None:
    model = load_model("deepseek-v4-flash")

    assert EngineConfig().resolve(model, H100).block_size == 256
    assert EngineConfig(block_size=384).resolve(model, H100).block_size == 384
    with pytest.raises(ConfigError, match=r"block_size: 192 .* up to 128 tokens; .* such as 256"):
        EngineConfig(block_size=192).resolve(model, H100)
