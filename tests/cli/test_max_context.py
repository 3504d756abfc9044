"""``jenga-sim max-context``: the longest request per policy, and the arithmetic behind it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from jenga_sim.policies.presets import PRESETS

Jenga = Callable[..., CompletedProcess[str]]
SCOUT = ("max-context", "--model", "llama-4-scout", "--tp", "8")


def figures(done: CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def rows(done: CompletedProcess[str]) -> dict[str, list[str]]:
    assert done.returncode == 0, done.stderr
    cells = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("| ")]
    return {name.strip(): [cell.strip() for cell in row] for name, *row in cells}


def test_the_arithmetic_is_written_out_and_adds_up(jenga: Jenga) -> None:
    done = jenga(*SCOUT, "--gpu", "h200-sxm", "--gpu-memory-utilization", "0.9")
    assert done.stdout.isascii()
    assert done.stderr == ""
    top = "\n".join(done.stdout.splitlines()[1:6])
    numbers = [int(number.replace(",", "")) for number in re.findall(r"  (\d[\d,]+)  ", top)]
    memory, usable, weights, overhead, pool = numbers
    assert (memory, usable) == (143_771 << 20, int((143_771 << 20) * 0.9))
    assert (weights, overhead) == (217_283_587_072 // 8, 18_000_000_000)
    assert pool == usable - weights - overhead
    assert "observed with vLLM in 2025" in done.stdout
    assert "10,485,760 positions in the config" in done.stdout
    table = rows(done)
    assert list(table) == ["policy", *PRESETS]
    assert table["vllm"] == ["6,144", "452,984,832", "14,659,136", "140%", "10,485,760"]
    assert table["paged"] == ["24,576", "0", "3,683,200", "35%", "3,683,200"]


@pytest.mark.parametrize(
    ("gpu", "uniform", "hybrid"), [("h200-sxm", 3.7e6, 14.7e6), ("h100-sxm", 1.3e6, 5.2e6)]
)
def test_published_lengths_come_out(jenga: Jenga, gpu: str, uniform: float, hybrid: float) -> None:
    found = figures(jenga(*SCOUT, "--gpu", gpu, "--format", "json"))
    longest = {each["policy"]: each for each in found["policies"]}
    assert longest["paged"]["tokens"] == pytest.approx(uniform, rel=0.12)
    for name in ("vllm", "lcm", "lcm-frugal", "ideal"):
        assert longest[name]["tokens"] == pytest.approx(hybrid, rel=0.12)
        assert longest["paged"]["token_bytes"] == 4 * longest[name]["token_bytes"]
    assert found["kv_pool"]["derivation"]["overhead"] == 18_000_000_000
    assert (found["num_gpus"], found["model_positions"]) == (8, 10_485_760)


def test_an_overhead_of_ones_own_replaces_the_models(jenga: Jenga) -> None:
    chosen = ("--gpu", "h200-sxm", "--policy", "vllm", "--policy", "lcm", "--format", "json")
    before, after = (figures(jenga(*SCOUT, *chosen, *more)) for more in ((), ("--overhead", "8GB")))
    assert after["kv_pool"]["bytes"] - before["kv_pool"]["bytes"] == 10 * 10**9
    assert after["kv_pool"]["derivation"]["overhead_source"] == "given"
    assert [each["policy"] for each in after["policies"]] == ["vllm", "lcm"]
    assert after["policies"][0]["tokens"] - before["policies"][0]["tokens"] == pytest.approx(
        10**10 / 6144, rel=1e-3
    )


def test_a_given_pool_and_length_are_named(jenga: Jenga) -> None:
    done = jenga(
        *("max-context", "--model", "gpt-oss-120b", "--kv-bytes", "18GiB", "--policy", "paged"),
        *("--max-model-len", "50000"),
    )
    assert rows(done)["paged"] == ["73,728", "0", "262,128", "200%", "50,000"]
    assert "131,072 positions in the config, 50,000 by --max-model-len" in done.stdout
    assert re.search(r"pool of a GPU +19,327,352,832 +18\.00 GiB per GPU, given", done.stdout)
    assert "using the default --gpu h100-sxm" in done.stderr


def test_a_length_beyond_the_positions_is_told(jenga: Jenga) -> None:
    """VLLM refuses it, whatever the pool holds; longrope may go beyond its default length."""
    call = ("max-context", "--policy", "vllm", "--gpu", "h100-sxm")
    done = jenga(*call, "--model", "llama-3.1-8b", "--max-model-len", "300000")
    text = "max_model_len 300,000 is beyond the model's 131,072 positions; vLLM 0.33 refuses it"
    assert text in " ".join(done.stdout.split())
    phi = ("--model", "phi-4-mini", "--format", "json", "--max-model-len")
    found = [figures(jenga(*call, *phi, length))["warnings"] for length in ("131072", "131073")]
    assert [len(each) for each in found] == [0, 1]


def test_a_policy_that_serves_nothing_says_so_among_the_others(jenga: Jenga) -> None:
    call = ("max-context", "--model", "bamba-9b", "--policy", "lcm", "--policy", "ideal")
    done = jenga(*call)
    assert rows(done)["lcm"] == ["-"] * 5
    text = " ".join(done.stdout.split())
    assert "lcm serves nothing: the large page is lcm(mamba2 62,287,360, full 196,608)" in text
    lcm, ideal = figures(jenga(*call, "--format", "json"))["policies"]
    assert lcm["refused"].startswith("the large page is lcm(")
    assert lcm["tokens"] == 0
    assert ideal["refused"] is None


def test_windows_alone_have_no_limit(jenga: Jenga, tmp_path: Path) -> None:
    path = tmp_path / "windows.yaml"
    path.write_text(
        "name: windows\nsource: made up\nmax_model_len: 4096\nnum_layers: 2\nhidden_size: 64\n"
        "vocab_size: 1000\nparams: {total: 2000, active: 1000}\n"
        "weights: {dtype: bf16, bytes: 4000}\n"
        "kinds:\n  swa: {kind: sliding_window, heads: 4, kv_heads: 2, head_dim: 16, window: 128}\n"
        "layers:\n  - {repeat: 2, pattern: [swa]}\n"
    )
    call = ("max-context", "--model", path, "--policy", "vllm")
    assert rows(jenga(*call))["vllm"][2:] == ["no limit", "", "4,096"]
    assert figures(jenga(*call, "--format", "json"))["policies"][0]["tokens"] is None


WRONG = {
    "flag": (["--overhed", "3GB"], "Did you mean '--overhead'"),
    "policy flag": (["--polcy", "lcm"], "Did you mean '--policy'"),
    "policy": (["--policy", "lmc"], "unknown policy 'lmc'. Did you mean 'lcm'"),
    "model": (["--model", "llama-4-scot"], "did you mean 'llama-4-scout'"),
    "gpu": (["--gpu", "h200"], "did you mean 'h200-sxm'"),
    "size": (["--overhead", "3XB"], "'3XB' is not a size; write 18GiB"),
    "overhead of a given pool": (
        ["--overhead", "3GB", "--kv-bytes", "9GiB"],
        "given by --kv-bytes, so --overhead would change nothing",
    ),
    "too few gpus": (["--tp", "1"], "does not fit 1 x h100-sxm"),
    "nothing left": (["--overhead", "900GB"], "overhead 838.19 GiB (given) leaves nothing"),
    "caching": (["--enable-prefix-caching"], "No such option"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_line_ends_with_2_and_the_way_out(jenga: Jenga, case: str) -> None:
    arguments, text = WRONG[case]
    done = jenga(*SCOUT, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert text in " ".join(done.stderr.split())
