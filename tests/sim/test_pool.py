"""Where the bytes for caches come from: derived, given, counted in blocks, or read from a log."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jenga_sim.configs.engine import engine_config
from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.load import gpu_names, load_gpu, load_model, model_names
from jenga_sim.configs.specs import GPUSpec, KVCacheSpec, LayerSpec, ModelSpec, OverheadSpec
from jenga_sim.sim.pool import KVPool, kv_pool, vllm_block_bytes
from jenga_sim.sim.vllm_specs import vllm_specs

GIB = 1 << 30

FULL = LayerSpec(kind="full", variant="full", heads=4, kv_heads=2, k_dim=8, v_dim=8)
SLIDING = LayerSpec(
    kind="sliding_window", variant="swa", heads=4, kv_heads=2, k_dim=8, v_dim=8, window=64
)
STATE = LayerSpec(
    kind="mamba", variant="mamba2", heads=4, conv_channels=100, conv_columns=1, ssm_elements=1_000
)


def model_of(*layers: LayerSpec, weight_bytes: int = 4 * GIB) -> ModelSpec:
    return ModelSpec(
        name="small",
        source="test",
        max_model_len=4_096,
        num_layers=len(layers),
        hidden_size=1_024,
        vocab_size=32_000,
        params_total=weight_bytes // 2,
        params_active=weight_bytes // 2,
        weight_bytes=weight_bytes,
        weight_dtype="bf16",
        layers=layers,
    )


GPU = GPUSpec(
    name="card",
    source="test",
    memory_bytes=24 * GIB,
    memory_bandwidth=1e12,
    flops={"bf16": 1e14},
    link_bandwidth=1e11,
)


def pool_of(
    model: ModelSpec, *, gpu: GPUSpec = GPU, log: Path | None = None, **engine: Any
) -> KVPool:
    return kv_pool(model, gpu, engine_config(**engine).resolve(model, gpu), log)


def page_bytes(*specs: KVCacheSpec) -> int:
    return sum(spec.page_size_bytes for spec in specs)


def test_derived_pool_is_memory_times_share_less_weights_activations_and_context() -> None:
    pool = pool_of(model_of(FULL), gpu_memory_utilization=0.75)

    # 2,048 tokens x 8 hidden vectors of bf16, and the logits of 256 requests twice in fp32.
    activations = 8 * 2 * 2_048 * 1_024 + 2 * 4 * 256 * 32_000
    assert pool.bytes == 18 * GIB - 4 * GIB - activations - GIB
    assert pool.source == "derived"
    assert pool.explanation == (
        "12.91 GiB per GPU = 24.00 GiB x 0.75 - weights 4.00 GiB - activations and context "
        "1.09 GiB (estimated, +-1 GiB)"
    )


def test_an_overhead_is_given_or_the_models_or_estimated() -> None:
    observed = OverheadSpec(bytes=3 * GIB, source="a log of mine")
    plain = model_of(FULL)
    model = replace(plain, overhead=observed)
    resolved = engine_config(gpu_memory_utilization=0.75).resolve(model, GPU)

    of_file, given = (kv_pool(model, GPU, resolved, overhead=size) for size in (None, GIB))
    assert (of_file.bytes, given.bytes) == (11 * GIB, 13 * GIB)
    assert of_file.explanation.endswith("- overhead 3.00 GiB (a log of mine)")
    assert given.explanation.endswith("- overhead 1.00 GiB (given)")
    for pool in (of_file, given, kv_pool(plain, GPU, resolved)):
        assert pool.sums is not None
        assert pool.bytes == pool.sums.usable - pool.sums.weights - pool.sums.overhead
        assert set(pool.describe()) == {"bytes", "source", "explanation"}


def test_an_overhead_beside_a_given_pool_is_refused() -> None:
    model = model_of(FULL)
    resolved = engine_config(kv_cache_memory_bytes=GIB).resolve(model, GPU)
    with pytest.raises(ConfigError, match="by --kv-bytes, so --overhead would change nothing"):
        kv_pool(model, GPU, resolved, overhead=GIB)


def test_tensor_parallelism_splits_weights_and_logits_and_adds_communication() -> None:
    one, two = (pool_of(model_of(FULL), tensor_parallel_size=tp) for tp in (1, 2))

    logits = 2 * 4 * 256 * 32_000
    assert two.bytes - one.bytes == 2 * GIB + logits // 2 - GIB // 2


@pytest.mark.parametrize(
    ("setting", "value"),
    [("max_num_seqs", 512), ("max_num_batched_tokens", 8_192), ("gpu_memory_utilization", 0.9)],
)
def test_larger_steps_and_smaller_shares_leave_less(setting: str, value: Any) -> None:
    assert pool_of(model_of(FULL), **{setting: value}).bytes < pool_of(model_of(FULL)).bytes


def test_model_too_large_gets_the_sum_and_the_number_of_gpus_that_it_takes() -> None:
    model = model_of(FULL, weight_bytes=60 * GIB)

    with pytest.raises(ConfigError, match=r"small does not fit 1 x card: 24\.00 GiB x 0\.92") as e:
        pool_of(model)

    enough = next(tp for tp in range(1, 99) if fits(model, GPU, tp))
    assert enough == 4
    assert f"more GPUs (--tp {enough})" in str(e.value)


def fits(model: ModelSpec, gpu: GPUSpec, tp: int) -> bool:
    try:
        return pool_of(model, gpu=gpu, tensor_parallel_size=tp).bytes > 0
    except ConfigError:
        return False


@pytest.mark.parametrize("model_name", model_names())
def test_advice_for_a_model_too_large_is_the_fewest_gpus_that_hold_it(
    model_name: str,
) -> None:
    model = load_model(model_name)
    for gpu in map(load_gpu, gpu_names()):
        enough = next((tp for tp in range(1, 200) if fits(model, gpu, tp)), 0)
        if not enough:
            with pytest.raises(ConfigError, match="larger GPUs"):
                pool_of(model, gpu=gpu)
        if enough > 1:
            with pytest.raises(ConfigError, match=rf"more GPUs \(--tp {enough}\)"):
                pool_of(model, gpu=gpu)


def test_given_bytes_are_taken_as_they_are_whatever_the_weights() -> None:
    pool = pool_of(model_of(FULL, weight_bytes=900 * GIB), kv_cache_memory_bytes=123_456_789)

    assert (pool.bytes, pool.source) == (123_456_789, "kv-bytes")
    assert pool.describe() == {
        "bytes": 123_456_789,
        "source": "kv-bytes",
        "explanation": pool.explanation,
    }


def test_a_block_of_one_kind_of_layer_is_the_pages_of_all_layers() -> None:
    model = model_of(FULL, FULL, FULL)
    pool = pool_of(model, num_gpu_blocks_override=1_000, block_size=32)

    # 2 heads of 8 + 8 elements of bf16 for 32 tokens in 3 layers.
    assert pool.bytes == 1_000 * (2 * 16 * 2 * 32 * 3)
    assert pool.source == "num-gpu-blocks"
    assert "1,000 blocks x 6,144 bytes" in pool.explanation


def test_a_block_of_a_hybrid_model_is_one_page_of_the_shared_pool() -> None:
    # vLLM makes groups of as many layers as the rarest kind has: here 2, and 2 pages of the pool.
    model = model_of(*[FULL] * 2, *[SLIDING] * 4)
    resolved = engine_config(block_size=16).resolve(model, GPU)
    specs = vllm_specs(model, resolved, enable_prefix_caching=True)

    assert vllm_block_bytes(model, resolved) == page_bytes(*specs[:2])
    assert pool_of(model, num_gpu_blocks_override=7, block_size=16).bytes == 7 * page_bytes(
        *specs[:2]
    )


def test_a_block_of_a_model_with_states_is_aligned_as_vllm_does_at_start_up() -> None:
    model = model_of(FULL, STATE)
    resolved = engine_config(block_size=16).resolve(model, GPU)

    # 1,100 elements of bf16 take 35 tokens of 64 bytes: 48, the next multiple of 16.
    assert vllm_block_bytes(model, resolved) == 48 * 64
    plain = resolved.kv_cache_specs(model)
    assert [spec.page_size_bytes for spec in plain] == [16 * 64, 2_200]


def test_a_block_of_one_rank_shrinks_with_tensor_parallelism() -> None:
    whole, half = (
        pool_of(model_of(FULL), num_gpu_blocks_override=10, tensor_parallel_size=tp).bytes
        for tp in (1, 2)
    )

    assert whole == 2 * half


@pytest.mark.parametrize(
    ("engine", "log", "names"),
    [
        (
            {"kv_cache_memory_bytes": GIB, "num_gpu_blocks_override": 5},
            None,
            "--kv-bytes and --num-gpu-blocks",
        ),
        ({"kv_cache_memory_bytes": GIB}, Path("x.log"), "--kv-bytes and --vllm-log"),
        ({"num_gpu_blocks_override": 5}, Path("x.log"), "--num-gpu-blocks and --vllm-log"),
    ],
)
def test_two_sources_are_refused_by_name(
    engine: dict[str, Any], log: Path | None, names: str
) -> None:
    with pytest.raises(ConfigError, match=f"given twice, by {names}; keep one"):
        pool_of(model_of(FULL), log=log, **engine)


V1_LOG = """\
(APIServer pid=4021) INFO 11-20 09:58:41 [utils.py:253] non-default args: {'model': 'small'}
(EngineCore_0 pid=4188) INFO 11-20 09:59:12 [gpu_model_runner.py:3259] Model loading took \
51.0942 GiB memory and 42.117 seconds
(EngineCore_0 pid=4188) INFO 11-20 10:00:00 [gpu_worker.py:773] Available KV cache memory: 12.34 GiB
(EngineCore_0 pid=4188) INFO 11-20 10:00:01 [kv_cache_utils.py:1087] GPU KV cache size: \
123,456 tokens
(EngineCore_0 pid=4188) INFO 11-20 10:00:01 [kv_cache_utils.py:1091] Maximum concurrency for \
4,096 tokens per request: 30.14x
"""
BLOCK = 2 * 16 * 2 * 16

LOGS = {
    "available memory": (V1_LOG, int(12.34 * GIB)),
    "no prefix": ("Available KV cache memory: 7.00 GiB\n", 7 * GIB),
    "several ranks, the last counts": (
        "(Worker_TP0 pid=9) INFO 11-20 10:00:00 [gpu_worker.py:298] "
        "Available KV cache memory: 6.50 GiB\n"
        "(Worker_TP1 pid=10) INFO 11-20 10:00:00 [gpu_worker.py:298] "
        "Available KV cache memory: 6.25 GiB\n",
        int(6.25 * GIB),
    ),
    "v0 blocks": (
        "INFO 11-02 08:11:05 executor_base.py:111] # GPU blocks: 27889, # CPU blocks: 2048\n"
        "INFO 11-02 08:11:05 executor_base.py:116] Maximum concurrency for 4096 tokens: 108.94x\n",
        27_889 * BLOCK,
    ),
    "v0 with brackets": (
        "INFO 03-02 08:11:05 [executor_base.py:112] # cuda blocks: 1, # CPU blocks: 2048\n"
        "INFO 03-02 08:11:05 [executor_base.py:112] # GPU blocks: 300, # CPU blocks: 2048\n",
        300 * BLOCK,
    ),
    "num_gpu_blocks is": (
        "(EngineCore_DP0 pid=77) INFO 11-20 10:00:00 [core.py:210] num_gpu_blocks is: 2588\n",
        2_588 * BLOCK,
    ),
    "override": (
        "INFO 11-20 10:00:00 [kv_cache_utils.py:861] Overriding num_gpu_blocks=27889 with "
        "num_gpu_blocks_override=512\n",
        512 * BLOCK,
    ),
    "blocks before memory": (
        V1_LOG + "(EngineCore_0 pid=4188) DEBUG 11-20 10:00:02 [core.py:9] num_gpu_blocks is: 9\n",
        9 * BLOCK,
    ),
    "tokens only": (
        "INFO 11-20 10:00:01 [kv_cache_utils.py:634] GPU KV cache size: 123,456 tokens\n",
        123_456 * 64,
    ),
    "colours and carriage returns": (
        "\x1b[32mINFO\x1b[0m 11-20 10:00:00 Available KV cache memory: 2.00 GiB\x1b[0m\r\n",
        2 * GIB,
    ),
    "two starts in one file": (
        "Available KV cache memory: 1.00 GiB\n...\nAvailable KV cache memory: 3.00 GiB\n",
        3 * GIB,
    ),
}


@pytest.mark.parametrize("case", LOGS)
def test_pool_is_read_from_a_start_up_log(tmp_path: Path, case: str) -> None:
    text, expected = LOGS[case]
    log = tmp_path / "vllm.log"
    log.write_text(text, encoding="utf-8", newline="")

    pool = pool_of(model_of(FULL), log=log)

    assert pool.bytes == expected
    assert pool.source == "vllm-log"


def test_pool_of_a_log_says_which_line_it_took(tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    log.write_text(V1_LOG)

    assert pool_of(model_of(FULL), log=log).explanation == (
        "12.34 GiB per GPU, 'Available KV cache memory' of vllm.log (+-0.005 GiB)"
    )


def test_a_log_with_other_bytes_in_it_is_still_read(tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    log.write_bytes(b"\xff\xfe progress \xe2\x96\n" + V1_LOG.encode())

    assert pool_of(model_of(FULL), log=log).bytes == int(12.34 * GIB)


@pytest.mark.parametrize("layers", [(FULL, SLIDING), (FULL, STATE)], ids=["window", "state"])
def test_tokens_alone_do_not_size_a_model_of_several_kinds(
    tmp_path: Path, layers: tuple[LayerSpec, ...]
) -> None:
    log = tmp_path / "vllm.log"
    log.write_text("GPU KV cache size: 123,456 tokens\n")

    with pytest.raises(ConfigError, match=r"123,456 tokens.*depends on max_model_len.*--kv-bytes"):
        pool_of(model_of(*layers), log=log)


@pytest.mark.parametrize(
    "text", ["", "hello\n", "Available KV cache memory: -1.20 GiB\n", "GPU blocks: many\n"]
)
def test_a_log_without_such_a_line_says_what_was_looked_for(tmp_path: Path, text: str) -> None:
    log = tmp_path / "vllm.log"
    log.write_text(text)

    with pytest.raises(ConfigError, match=r"vllm\.log: no line with 'Available KV cache memory"):
        pool_of(model_of(FULL), log=log)


@pytest.mark.parametrize(("name", "text"), [("no.log", "No such file"), ("", "directory|Permi")])
def test_a_log_that_is_no_file_is_named(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"--vllm-log .*{text}"):
        pool_of(model_of(FULL), log=tmp_path / name)
