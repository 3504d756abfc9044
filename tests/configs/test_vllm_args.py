"""A pasted line means what vLLM makes of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.vllm_args import VLLMArgs, parse_vllm_args

LINE = """CUDA_VISIBLE_DEVICES=0,1 vllm serve google/gemma-3-27b-it \\
  --tensor-parallel-size 2 --max-model-len 128K --max_num_seqs=64 --kv-cache-dtype fp8_e4m3 \\
  --gpu-memory-utilization 0.92 --no-enable-prefix-caching --port 8000 --api-key 'a b' \\
  --speculative-config '{"model": "google/gemma-3-1b-it", "num_speculative_tokens": 4}'
"""


def test_a_line_is_read_as_a_shell_and_vllm_would() -> None:
    assert parse_vllm_args(LINE) == VLLMArgs(
        model="google/gemma-3-27b-it",
        settings={
            "tensor_parallel_size": 2,
            "max_model_len": 131072,
            "max_num_seqs": 64,
            "kv_cache_dtype": "fp8",
            "gpu_memory_utilization": 0.92,
            "enable_prefix_caching": False,
        },
        speculative={"model": "google/gemma-3-1b-it", "num_speculative_tokens": 4},
        ignored=("--port", "--api-key"),
    )


TP2 = {"tensor_parallel_size": 2}


@pytest.mark.parametrize(
    ("line", "model", "settings"),
    [
        ("vllm serve a/b", "a/b", {}),
        ("serve a/b -tp 8", "a/b", {"tensor_parallel_size": 8}),
        ("-tp=8", None, {"tensor_parallel_size": 8}),
        ("/usr/bin/vllm serve --model a/b", "a/b", {}),
        ("python3 -m vllm.entrypoints.openai.api_server --model a/b", "a/b", {}),
        ("--max-model-len 128k", None, {"max_model_len": 128_000}),
        ("--max-model-len auto", None, {}),
        ("--max-model-len -1", None, {}),
        ("--kv-cache-memory-bytes 20G", None, {"kv_cache_memory_bytes": 20 << 30}),
        ("--enable-prefix-caching # on", None, {"enable_prefix_caching": True}),
        ("vllm serve --tensor-parallel-size 2 a/b", "a/b", {"tensor_parallel_size": 2}),
        ("vllm serve --enable-expert-parallel a/b --port 80", "a/b", {}),
        ("vllm serve --trust_remote_code --port 80 a/b", "a/b", {}),
        ("vllm serve --no-enable-prefix-caching a/b", "a/b", {"enable_prefix_caching": False}),
        ("vllm serve --max-model-len -1 --port=80 a/b", "a/b", {}),
        ("vllm serve a/b --served-model-name c d --seed 1", "a/b", {}),
        ("vllm serve --served-model-name c d --seed 1", None, {}),
        ("vllm serve --enforce-eager -tp 2 ./folder", "./folder", {"tensor_parallel_size": 2}),
        ("vllm serve a/b --disable-prefix-caching", "a/b", {"enable_prefix_caching": False}),
        ("vllm serve a/b --kv-cache-memory 1G", "a/b", {"kv_cache_memory_bytes": 1 << 30}),
        ("docker run --gpus all -d -p 80:80 vllm/vllm-openai:latest --model a/b", "a/b", {}),
        ("docker run --name vllm -v x:y r.io/vllm/vllm-openai a/b -tp 2", "a/b", TP2),
        ("docker run vllm/vllm-openai:v1 vllm serve a/b -tp 2", "a/b", TP2),
        ("bash -c 'vllm serve a/b -tp 2 && echo done'", "a/b", TP2),
        ("A=1; vllm serve a/b -tp 2; echo done", "a/b", TP2),
        ("", None, {}),
    ],
)
def test_spellings(line: str, model: str | None, settings: dict[str, object]) -> None:
    read = parse_vllm_args(line)
    assert (read.model, read.settings) == (model, settings)


def test_what_changes_the_figures_is_told_apart_from_what_does_not() -> None:
    read = parse_vllm_args("vllm serve a/b -dcp 2 --cpu-offload-gb=8 --port 80")
    assert (read.not_modelled, read.ignored) == (("-dcp", "--cpu-offload-gb"), ("--port",))
    assert read.notes() == [
        "--vllm-args: -dcp, --cpu-offload-gb change the figures and are not modelled",
        "--vllm-args: not used here: --port",
    ]
    (note,) = parse_vllm_args("--decode-context-parallel-size 2").notes()
    assert note.endswith("--decode-context-parallel-size changes the figures and is not modelled")


def test_switches_beside_the_engine() -> None:
    read = parse_vllm_args("-pp 2 -dp 4 --enable-expert-parallel --disable-hybrid-kv-cache-manager")
    assert (read.pipeline_parallel_size, read.data_parallel_size) == (2, 4)
    assert (read.expert_parallel, read.no_hybrid) == (True, True)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("--max-model-len lots", "no whole number"),
        ("--speculative-config {model}", "is no JSON"),
        ("--speculative-config 5", "must be a mapping"),
        ("--api-key 'a", "check the quotes"),
        ("--max-num-seqs", "expected one argument"),
        ("--gpu-memory-utilization high", "invalid float value"),
    ],
)
def test_what_cannot_be_read_is_told(line: str, reason: str) -> None:
    with pytest.raises(ConfigError, match="--vllm-args") as caught:
        parse_vllm_args(line)
    assert reason in str(caught.value)


@given(line=st.text(st.sampled_from("vllm serve-=_tp 128Kk\\\n'\"{}max"), max_size=60))
def test_any_line_is_read_or_refused(line: str) -> None:
    try:
        parse_vllm_args(line)
    except ConfigError as error:
        text = str(error)
    else:
        text = "--vllm-args"
    assert text.startswith("--vllm-args")
