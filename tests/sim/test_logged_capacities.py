"""Block sizes and capacities that users of vLLM found in their logs.

A model that is not shipped is written down as the two layers that decide: its largest state and its
attention, from the published config. Where the log does not name every setting, all that fit are
listed: the figure then does not tell them apart.
"""

import math
from dataclasses import dataclass
from itertools import product

import pytest

from jenga_sim.configs.engine import GIB, engine_config
from jenga_sim.configs.load import load_gpu, load_model
from jenga_sim.configs.pairs import with_draft
from jenga_sim.configs.specs import KVCacheSpec, LayerSpec, ModelSpec
from jenga_sim.policies.grouping.vllm import align_hybrid_block_size
from jenga_sim.sim.capacity import Limits, blocks_per_request
from jenga_sim.sim.startup import Startup, startup_of_model
from jenga_sim.sim.vllm_specs import vllm_specs

TOKENS_OF_A_BLOCK = 16
"""vLLM's default; MLA raises it to 128 beside states."""


def attention(kv_heads: int, dim: int) -> LayerSpec:
    return LayerSpec(kind="full", variant="full", heads=64, kv_heads=kv_heads, k_dim=dim, v_dim=dim)


def mla(latent: int) -> LayerSpec:
    return LayerSpec(kind="mla", variant="mla", heads=64, kv_heads=1, k_dim=latent, replicated=True)


def mamba2(heads: int, head_dim: int, state: int, groups: int) -> LayerSpec:
    """Three columns of ``heads * head_dim`` channels and of B and C of every group."""
    return LayerSpec(
        kind="mamba",
        variant="mamba2",
        heads=heads,
        conv_channels=heads * head_dim,
        conv_groups=groups,
        conv_group_channels=2 * state,
        conv_columns=3,
        ssm_elements=heads * head_dim * state,
    )


def delta(key_heads: int, value_heads: int, dim: int = 128) -> LayerSpec:
    """Gated delta net, or KDA: three columns of queries, keys and values; a matrix per head."""
    return LayerSpec(
        kind="linear",
        variant="delta",
        heads=value_heads,
        conv_channels=(2 * key_heads + value_heads) * dim,
        conv_columns=3,
        ssm_elements=value_heads * dim * dim,
    )


@dataclass(frozen=True, kw_only=True)
class Log:
    """What an engine was started with, and the block that it logged."""

    block: int
    state: LayerSpec
    attention: LayerSpec
    ssm_dtype: str = "bf16"
    kv_dtype: str = "bf16"
    tp: int = 1
    drafts: int = 0
    """Draft tokens: columns more in the convolution."""

    def specs(self) -> tuple[KVCacheSpec, ...]:
        return ModelSpec(
            name="two layers",
            source="none",
            max_model_len=131072,
            num_layers=2,
            hidden_size=1,
            vocab_size=1,
            params_total=1,
            params_active=1,
            weight_bytes=1,
            weight_dtype="bf16",
            layers=(self.state, self.attention),
            num_speculative_tokens=self.drafts,
        ).kv_cache_specs(
            block_size=TOKENS_OF_A_BLOCK,
            tp=self.tp,
            kv_dtype=self.kv_dtype,
            ssm_dtype=self.ssm_dtype,
        )

    def chosen(self) -> int:
        """The block that attention gets here; the state's page is then as large."""
        state, attention = align_hybrid_block_size(self.specs(), TOKENS_OF_A_BLOCK)
        assert state.page_size_bytes == attention.page_size_bytes
        assert state.page_size_bytes >= state.state_bytes
        return attention.block_size


LOGS = {
    # "Setting attention block size to 528 tokens", padded by 0.76 %: vllm-project/vllm#37467, on
    # two GPUs.
    "Qwen3.5, 0.76 % of padding, TP 2": Log(
        block=528, state=delta(16, 32), attention=attention(4, 256), ssm_dtype="fp32", tp=2
    ),
    "Granite-4.0-H-Small": Log(
        block=528, state=mamba2(128, 64, 128, 1), attention=attention(8, 128)
    ),
    "Granite-4.0-H-Micro": Log(block=528, state=mamba2(64, 64, 128, 1), attention=attention(8, 64)),
    "Nemotron-H-8B": Log(block=528, state=mamba2(128, 64, 128, 8), attention=attention(8, 128)),
    "Qwen3-Next-80B": Log(block=544, state=delta(16, 32), attention=attention(2, 256)),
    "Qwen3-Next-80B, fp32 states": Log(
        block=1056, state=delta(16, 32), attention=attention(2, 256), ssm_dtype="fp32"
    ),
    "Qwen3.5-35B-A3B": Log(
        block=1056, state=delta(16, 32), attention=attention(2, 256), ssm_dtype="fp32"
    ),
    # 34 KDA layers of 64 heads, NoPE latents of 512 elements. Blocks of 1,152 tokens at TP 4:
    # LMCache/LMCache#5042. Of 2,304 with fp8 latents and 7 draft tokens: 1CatAI/1Cat-vLLM#456.
    "GLM-5.3-Flash, TP 4": Log(
        block=1152, state=delta(64, 64), attention=mla(512), ssm_dtype="fp32", tp=4
    ),
    "GLM-5.3-Flash, TP 4, fp8, 7 drafts": Log(
        block=2304,
        state=delta(64, 64),
        attention=mla(512),
        ssm_dtype="fp32",
        kv_dtype="fp8",
        tp=4,
        drafts=7,
    ),
}


@pytest.mark.parametrize("name", LOGS)
def test_attention_blocks_beside_states_are_those_of_the_logs(name: str) -> None:
    assert LOGS[name].chosen() == LOGS[name].block


def test_the_padding_of_the_528_tokens_is_that_of_the_log() -> None:
    state, _ = align_hybrid_block_size(
        LOGS["Qwen3.5, 0.76 % of padding, TP 2"].specs(), TOKENS_OF_A_BLOCK
    )
    assert round(100 * (state.page_size_bytes / state.state_bytes - 1), 2) == 0.76


@pytest.mark.parametrize(
    ("dtype", "block"), [("auto", 544), ("bfloat16", 544), ("float16", 544), ("float32", 1056)]
)
@pytest.mark.parametrize(
    ("gpu", "caching"), [("h200-sxm", False), ("a100-sxm-80gb", True), ("a100-sxm-80gb", False)]
)
def test_the_flag_for_the_dtype_of_states_moves_the_block(
    dtype: str, block: int, gpu: str, caching: bool
) -> None:
    """``--mamba-ssm-cache-dtype`` on the shipped Qwen3-Next."""
    assert block_of_qwen3_next(gpu, caching, mamba_ssm_cache_dtype=dtype) == block


@pytest.mark.parametrize("gpu", ["h100-sxm", "h200-sxm", "b200-sxm", "rtx-pro-6000"])
@pytest.mark.parametrize(("dtype", "block"), [("auto", 576), ("float32", 1088)])
def test_where_flashinfer_exports_states_blocks_are_a_multiple_of_its_64_tokens(
    gpu: str, dtype: str, block: int
) -> None:
    """New in vLLM 0.33: users' logs of 544 and 1,056 tokens on such GPUs are of older versions."""
    assert block_of_qwen3_next(gpu, caching=True, mamba_ssm_cache_dtype=dtype) == block


def block_of_qwen3_next(gpu: str, caching: bool, **settings: str) -> int:
    model = load_model("qwen3-next-80b")
    engine = engine_config(**settings, tensor_parallel_size=1).resolve(model, load_gpu(gpu))
    specs = vllm_specs(model, engine, enable_prefix_caching=caching)
    (block,) = {spec.block_size for spec in specs if not spec.is_state}
    return block


# --- 7,808 tokens --------------------------------------------------------------------------------

KDA = delta(64, 64)
BYTES_OF_A_TOKEN = {
    512: "fp8, 512 elements",
    528: "fp8 in groups with a scale each",
    576: "fp8, 512 elements and 64 rotary ones",
    656: "fp8_ds_mla",
    1024: "bf16",
    288: "NVFP4: 256 bytes and 32 of scales; or 576 bytes over two ranks of context",
    352: "NVFP4 with 64 rotary elements in bf16",
}


def test_where_blocks_of_7808_tokens_may_come_from() -> None:
    """vllm-project/vllm#54458: GLM-5.3-Flash on two GPUs (TP 2, DCP 2), with draft tokens.

    7,808 = 61 x 128. What is known of the issue names neither the cache's dtype nor the number
    of draft tokens. With half the heads and 512 bytes a token, as vLLM 0.33 computes for fp8,
    blocks have 4,352 tokens, and up to 4,736 with 8 drafts. That engine must have counted 278 to
    308 bytes a token, or the state of all heads.
    """
    fits: set[tuple[int, int, int]] = set()
    for tp, size, drafts in product((1, 2), BYTES_OF_A_TOKEN, range(9)):
        conv, ssm = KDA.state_sizes(tp=tp, ssm_dtype="fp32", num_speculative_tokens=drafts)
        if 128 * math.ceil((conv + ssm) / (128 * size)) == 7808:
            fits.add((tp, size, drafts))
    assert fits == {(2, 288, 2), (2, 288, 3), (1, 576, 2), (1, 576, 3)}
    # The same arithmetic as that of align_hybrid_block_size, which knows no 288 bytes.
    for tp, size, drafts in fits:
        log = Log(
            block=7808,
            state=KDA,
            attention=mla(size),
            ssm_dtype="fp32",
            kv_dtype="fp8",
            tp=tp,
            drafts=drafts,
        )
        assert log.chosen() == log.block


# --- capacity ------------------------------------------------------------------------------------


def test_tokens_of_gpt_oss_120b_are_those_of_the_log_if_every_layer_keeps_all() -> None:
    """5.38 GiB and 78,384 tokens (hf-mem, thread #60): 73,728 bytes a token, in blocks of 16.

    The memory is rounded to 0.01 GiB: the tokens lie within what that leaves open.
    """
    model = load_model("gpt-oss-120b")
    per_token = sum(spec.bytes_of(1) for spec in model.kv_cache_specs(block_size=16))
    assert per_token == 73_728

    def tokens(gib: float) -> int:
        return int(gib * GIB) // (16 * per_token) * 16

    assert tokens(5.375) <= 78_384 <= tokens(5.385)
    assert 78_384 % 16 == 0
    assert abs(tokens(5.38) - 78_384) <= 0.001 * 78_384


def test_a_request_of_deepseek_v4_holds_as_many_blocks_as_the_log_says() -> None:
    """vllm-project/vllm#44376: 30,000 tokens need 6.66 GiB, and 5.44 GiB hold 13,528 (fp8, TP 2).

    That vLLM, 0.22, made every block as large as 22 times all three pages of full attention, 5 %
    larger than 0.33 does. The number of blocks is that of 0.33: nearly all are compressors' blocks
    of 4 and 8 tokens, for the 16,384 tokens of one step of the offline engine.
    """
    model, gpu = load_model("deepseek-v4-flash"), load_gpu("h200-sxm")
    engine = engine_config(kv_cache_memory_bytes=20 * GIB, tensor_parallel_size=2)
    groups = startup_of_model(model, gpu, engine.resolve(model, gpu)).groups
    pages = {spec.kind: spec.page_size_bytes for spec in groups[2].specs if spec.kind == "indexer"}
    pages |= {spec.variant: spec.page_size_bytes for spec in groups[2].specs if spec.kind == "mla"}
    block = 22 * sum(pages.values())
    assert block == 22 * (37_440 + 8_640 + 1_728)

    def needed(length: int) -> float:
        limits = Limits(kv_bytes=0, max_model_len=length, max_num_batched_tokens=16_384)
        return sum(blocks_per_request(group, limits) for group in groups) * block / GIB

    assert round(needed(30_000), 2) == 6.66
    assert round(needed(13_528), 2) == 5.44
    assert needed(13_528) < needed(13_529)


@pytest.mark.parametrize(
    ("name", "tp", "states"), [("nemotron-3-super-120b", 8, 3), ("jamba-1.5-mini", 2, 2)]
)
def test_a_state_that_is_exported_in_mid_prefill_takes_a_block_more(
    name: str, tp: int, states: int
) -> None:
    """``MambaSpec.max_memory_usage_bytes`` of vLLM 0.33: two blocks, and one for the checkpoint."""
    model, gpu = load_model(name), load_gpu("h100-sxm")
    engine = engine_config(tensor_parallel_size=tp, kv_cache_memory_bytes=40 * GIB)
    cached, plain = (
        startup_of_model(model, gpu, engine.resolve(model, gpu), enable_prefix_caching=caching)
        for caching in (True, False)
    )

    def blocks(startup: Startup) -> set[int]:
        groups = [group for group in startup.groups if group.first.is_state]
        return {blocks_per_request(group, startup.limits) for group in groups}

    assert blocks(cached) == {states}
    assert blocks(plain) == {1}


def test_a_drafts_larger_entries_do_not_shrink_the_targets_blocks() -> None:
    """vLLM sizes the block by the target alone; states are then padded to the draft's pages."""
    target, draft = load_model("nemotron-3-nano-30b"), load_model("llama-3.1-8b-eagle3")
    engine = engine_config(kv_cache_memory_bytes=40 * GIB)
    pair, gpu = with_draft(target, draft, 3), load_gpu("h100-sxm")
    startup = startup_of_model(pair, gpu, engine.resolve(pair, gpu))

    assert {spec.entry_bytes for spec in startup.groups[-1].specs} == {4096}
    assert startup.groups[-1].block_size == 2128
    assert startup.capacity.bytes_per_block == 2128 * 4096
