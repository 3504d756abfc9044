"""``jenga-sim model groups``: a model or a case in, vLLM's groups and figures out."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

Jenga = Callable[..., CompletedProcess[str]]
SCOUT: dict[str, Any] = {
    "name": "scout",
    "layers": [
        {
            "repeat": 12,
            "pattern": [
                {
                    "kind": "chunked_local",
                    "kv_heads": 1,
                    "head_size": 128,
                    "chunk": 8192,
                },
                {"kind": "full", "kv_heads": 1, "head_size": 128},
            ],
        }
    ],
    "requests": [],
    "block_size": 16,
    "kv_bytes": 1 << 30,
    "max_model_len": 20_000,
}


@pytest.fixture
def write_case(tmp_path: Path) -> Callable[..., Path]:
    """Write the case above with some keys replaced."""

    def write(**changes: Any) -> Path:
        path = tmp_path / "case.json"
        path.write_text(json.dumps({**SCOUT, **changes}), encoding="utf-8")
        return path

    return write


def message(text: str) -> str:
    return " ".join(text.split())


def test_the_table_has_a_row_for_each_shape_of_group(jenga: Jenga) -> None:
    done = jenga("model", "groups", "gemma-3-27b", "--kv-cache-memory", "40GiB")
    assert done.returncode == 0
    assert done.stdout.isascii()
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ") and "Spec" in line]
    assert [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows] == [
        ["SlidingWindowSpec", "4", "9", "16", "1,179,648", "10.00"],
        ["SlidingWindowSpec", "2", "8", "16", "1,048,576", "20.00"],
        ["FullAttentionSpec", "1", "10", "16", "1,310,720", "0.00"],
    ]
    text = message(done.stdout)
    assert "gemma-3-27b: 7 KV cache groups" in text
    assert "32,768 blocks of 1,310,720 bytes" in text
    assert "concurrency 2.23 requests of 131,072 tokens" in text
    assert "capacity is that number x max_model_len" in text
    assert "using the default --gpu h100-sxm" in done.stderr


def test_brackets_of_a_type_are_printed(jenga: Jenga) -> None:
    done = jenga("model", "groups", "deepseek-v3.2", "--gpu", "h200-sxm", "--tp", "8")
    assert "| Uniform[MLAAttentionSpec] |" in done.stdout
    assert "1 KV cache group\n" in done.stdout


def test_json_has_the_figures_of_a_recording_and_the_layers(
    jenga: Jenga, write_case: Callable[..., Path]
) -> None:
    done = jenga("model", "groups", write_case(), "--format", "json")
    assert done.returncode == 0
    assert done.stderr == ""
    figures = json.loads(done.stdout)
    assert list(figures) == [
        "num_blocks",
        "bytes_per_block",
        "scheduler_block_size",
        "hash_block_size",
        "groups",
        "capacity_tokens",
        "max_concurrency",
        "kv_bytes",
        "max_model_len",
    ]
    assert figures["groups"] == [
        {
            "type": name,
            "layers": 12,
            "block_size": 16,
            "used_bytes": 98304,
            "block_bytes": 98304,
            "waste_frac": 0.0,
            "kind": kind,
            "layer_indices": list(range(first, 24, 2)),
        }
        for name, kind, first in (
            ("ChunkedLocalAttentionSpec", "chunked_local", 0),
            ("FullAttentionSpec", "full", 1),
        )
    ]
    assert figures["num_blocks"] == (1 << 30) // 98304
    # A chunk and a step of 8,192 tokens each, and all 20,000 tokens, in blocks of 16.
    assert figures["max_concurrency"] == round(figures["num_blocks"] / (1024 + 1250), 4)


CHANGES: list[tuple[list[str], Callable[[Any], bool]]] = [
    (["--no-hybrid"], lambda f: f["groups"][0]["layers"] == 62 and len(f["groups"]) == 1),
    (["--tp", "8"], lambda f: f["bytes_per_block"] == 1310720 // 8),
    (["--block-size", "32"], lambda f: f["scheduler_block_size"] == 32),
    (["--kv-cache-dtype", "fp8"], lambda f: f["bytes_per_block"] == 1310720 // 2),
    (["--max-model-len", "1000"], lambda f: f["max_model_len"] == 1000),
    (["--max-num-batched-tokens", "2048"], lambda f: f["max_concurrency"] > 6),
    (["--async-scheduling"], lambda f: f["max_concurrency"] < 5),
    (["--kv-cache-layout", "BHLNC"], lambda f: len(f["groups"]) == 7),
]


@pytest.mark.parametrize(("flags", "change"), CHANGES, ids=[flags[0] for flags, _ in CHANGES])
def test_settings_of_the_engine_count(
    jenga: Jenga, flags: list[str], change: Callable[[Any], bool]
) -> None:
    common = ("--kv-cache-memory-bytes", "80GiB", "--format", "json")
    done = jenga("model", "groups", "gemma-3-27b", *common, *flags)
    assert done.returncode == 0, done.stderr
    assert change(json.loads(done.stdout))


def test_states_may_have_another_dtype(jenga: Jenga) -> None:
    common = ("model", "groups", "qwen3-next-80b", "--kv-bytes", "40GiB", "--format", "json")
    given = json.loads(jenga(*common, "--mamba-ssm-cache-dtype", "float32").stdout)
    assert given["groups"][0]["block_size"] == 1088


def test_without_prefix_caching_a_state_stands_for_the_whole_request(jenga: Jenga) -> None:
    common = ("model", "groups", "qwen3-next-80b", "--kv-bytes", "40GiB", "--format", "json")
    on = json.loads(jenga(*common, "--enable-prefix-caching").stdout)
    off = json.loads(jenga(*common, "--no-enable-prefix-caching").stdout)
    assert json.loads(jenga(*common).stdout) == on, "on is vLLM's default"
    assert on["hash_block_size"] == on["groups"][0]["block_size"] == 576
    assert off["groups"][0]["block_size"] == off["max_model_len"] == 262144
    assert off["max_concurrency"] > on["max_concurrency"]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "kind": (
        {"layers": [{"kind": "fulll"}]},
        r"layers\.0\.kind: Input should be 'full', 'sliding_window'",
    ),
    "layout": ({"kv_cache_layout": "XYZ"}, "kv_cache_layout: Input should be 'LBNHC'"),
    "window": (
        {"layers": [{"kind": "sliding_window"}]},
        r"layers\.0: a sliding_window layer needs 'window'",
    ),
    "window of vectors": (
        {"layers": [{"kind": "mla_window"}]},
        r"layers\.0: a mla_window layer needs 'window'",
    ),
    "entries of no latent": (
        {"layers": [{"kind": "full", "tokens_per_entry": 4}]},
        r"layers\.0: tokens_per_entry: only entries of mla",
    ),
    "part of an entry": (
        {"layers": [{"kind": "mla", "block_size": 6, "tokens_per_entry": 4}]},
        r"block_size: 6 tokens of layer 0 end within an entry of 4",
    ),
    "chunk": (
        {"layers": [{"repeat": 2, "pattern": [{"kind": "chunked_local"}]}]},
        r"layers\.0\.pattern\.0: a chunked_local layer needs 'chunk'",
    ),
    "shapes": (
        {"layers": [{"kind": "mamba", "shapes": [[3]], "dtypes": []}]},
        r"layers\.0: a mamba layer needs 'shapes' and as many 'dtypes'",
    ),
    "state dtype": (
        {"layers": [{"kind": "mamba", "shapes": [[3]], "dtypes": ["f32"]}]},
        r"layers\.0\.dtypes\.0: Input should be 'bf16'",
    ),
    "padding": (
        {
            "layers": [
                {"kind": "mamba", "shapes": [[9]], "dtypes": ["fp32"], "page_size_padded": 35}
            ]
        },
        "page_size_padded: 35 is below the 36 bytes",
    ),
    "no layers": ({"layers": []}, "the model caches nothing"),
    "no list": ({"layers": "full"}, "layers: Input should be a valid list"),
    "no pool": ({"kv_bytes": 98304}, "kv_bytes of a case"),
    "small pool": ({"kv_bytes": 98304 * 100}, "lower max_model_len: up to 784 fits"),
    "unknown key": ({"blocksize": 3}, "blocksize: Extra inputs are not permitted"),
}


@pytest.mark.parametrize("name", WRONG)
def test_2_for_a_wrong_case_names_file_and_key(
    jenga: Jenga, write_case: Callable[..., Path], name: str
) -> None:
    changes, expected = WRONG[name]
    path = write_case(**changes)
    done = jenga("model", "groups", path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"{path}: " in done.stderr
    assert re.search(expected, message(done.stderr)), done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["gema-3-27b"], "unknown model 'gema-3-27b'"),
        (["no.json"], "no.json: cannot read the case"),
        (["gemma-3-27b", "--gpu", "h100"], "unknown GPU 'h100'"),
        (["gemma-3-27b", "--tp", "3"], "3 ranks cannot share 32 attention heads"),
        (["gemma-3-27b", "--kv-bytes", "1GiB"], "lower max_model_len: up to 1,856 fits"),
        (["gemma-3-27b", "--kv-cache-layout", "LB"], "'LB' is not one of"),
        (["bamba-9b", "--no-hybrid"], "Failed to promote local KV cache specs"),
        (["deepseek-v3.2", "--kv-bytes", "1TiB", "--kv-cache-layout", "LHBNC"], "cannot express"),
        ([], "Missing argument"),
    ],
)
def test_2_for_a_wrong_call(jenga: Jenga, arguments: list[str], expected: str) -> None:
    done = jenga("model", "groups", *arguments)
    assert done.returncode == 2
    assert expected in message(done.stderr)


def test_2_for_settings_beside_a_case(jenga: Jenga, write_case: Callable[..., Path]) -> None:
    done = jenga("model", "groups", write_case(), "-tp", "2", "--no-hybrid")
    assert done.returncode == 2
    assert "a case brings its own settings; leave out" in message(done.stderr)
    assert "--tensor-parallel-size" in done.stderr
