"""Tables in the form of aiconfigurator-core, and what becomes of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from jenga_sim.cli import cli
from jenga_sim.sim.kernels.profile import load_profile
from jenga_sim.sim.kernels.residuals import Evidence

Rows = Sequence[Mapping[str, object]]


def save(data: Path, name: str, rows: Rows) -> None:
    file = data / "h100_sxm" / f"{name}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    common = {"framework": "VLLM", "device": "NVIDIA H100 80GB HBM3"}
    pd.DataFrame([common | dict(row) for row in rows]).to_parquet(file)


def gemms(factor: float) -> Rows:
    return [
        {"gemm_dtype": dtype, "m": m, "n": n, "k": 1024, "latency": factor * (0.01 + m * n / 1e9)}
        for dtype in ("bfloat16", "fp8", "int8_wo")
        for m in (1, 64, 4096)
        for n in (512, 2048)
    ]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "systems"
    save(folder, "gemm/vllm/0.9.1/gemm_perf", gemms(2.0))
    save(folder, "gemm/vllm/0.24.0/gemm_perf", gemms(1.0))
    attention = {"num_heads": 8, "num_key_value_heads": 2, "head_dim": 64}
    decode = attention | {"kv_cache_dtype": "fp8", "isl": 1, "window_size": 128}
    save(
        folder,
        "attention/vllm/0.24.0/generation_attention_perf",
        [decode | {"batch_size": 4, "step": step, "latency": 0.02} for step in (15, 1023)],
    )
    prefill = attention | {"kv_cache_dtype": "bfloat16", "batch_size": 2}
    save(
        folder,
        "attention/vllm/0.24.0/context_attention_perf",
        [prefill | {"isl": 512, "step": step, "latency": 0.1} for step in (0, 64)],
    )
    moe = {"hidden_size": 64, "inter_size": 32, "topk": 2, "num_experts": 8, "moe_tp_size": 1}
    save(
        folder,
        "moe/vllm/0.24.0/moe_perf",
        [
            moe
            | {
                "moe_dtype": "w4a16_mxfp4",
                "moe_ep_size": 2,
                "num_tokens": 16,
                "distribution": "balanced",
                "kernel_source": kernel,
                "latency": latency,
            }
            for kernel, latency in (("one", 0.03), ("another", 0.05))
        ],
    )
    save(
        folder,
        "comm/nccl/2.23/nccl_perf",
        [
            {"nccl_dtype": dtype, "op_name": op, "num_gpus": 8, "message_size": 1 << 20,
             "latency": 0.05}
            for dtype in ("half", "int8")
            for op in ("all_reduce", "alltoall")
        ],
    )  # fmt: skip
    return folder


def ran(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["calibrate", *map(str, arguments)])


@pytest.fixture
def imported(data: Path, tmp_path: Path) -> Path:
    out = tmp_path / "out"
    result = ran("import", "aiconfigurator", "--data", data, "--out", out)
    assert result.exit_code == 0, result.output
    assert "measurements of NVIDIA H100 80GB HBM3 written to" in result.stderr
    assert "fitting gemm bf16\n" in result.stderr
    return out


def test_the_newest_version_counts_in_microseconds(imported: Path) -> None:
    profile = load_profile(imported)
    assert profile.about.software["gemm/vllm"] == "0.24.0"
    us, evidence = profile.table("gemm", dtype="bf16").us(
        {name: np.array([value]) for name, value in {"m": 64.0, "n": 2048.0, "k": 1024.0}.items()}
    )
    assert us[0] == pytest.approx(10 + 64 * 2048 / 1e6, rel=1e-3)
    assert evidence.tolist() == [Evidence.MEASURED]


def test_a_dtype_that_we_do_not_know_is_left_out(imported: Path) -> None:
    found = [table.tags["dtype"] for table in load_profile(imported).measurements("gemm")]
    assert found == ["bf16", "fp8"]


def test_a_decode_step_reads_its_own_token_too(imported: Path) -> None:
    (found,) = load_profile(imported).measurements("attention_decode")
    assert found.tags == {"kv_dtype": "fp8"}
    assert found.columns["kv_len"].tolist() == [16, 1024]
    assert found.columns["window"].tolist() == [128, 128]


def test_an_old_table_has_no_windows_and_chunks_behind_a_prefix_are_left_out(
    imported: Path,
) -> None:
    (found,) = load_profile(imported).measurements("attention_prefill")
    assert found.columns["q_len"].tolist() == [512]
    assert found.columns["window"].tolist() == [0]


def test_two_kernels_for_the_same_experts_count_as_their_median(imported: Path) -> None:
    (found,) = load_profile(imported).measurements("moe")
    assert found.tags == {"dtype": "mxfp4", "routing": "balanced"}
    assert found.us.tolist() == [40]


def test_collectives_have_one_dtype(imported: Path) -> None:
    found = load_profile(imported).measurements("collective")
    names = [(table.tags["collective"], table.tags["library"]) for table in found]
    assert names == [("all_reduce", "nccl"), ("all_to_all", "nccl")]


def test_a_profile_can_be_shown(imported: Path) -> None:
    result = ran("show", f"{imported}/")
    assert result.exit_code == 0
    assert "h100-sxm-vllm: NVIDIA H100 80GB HBM3" in result.stdout
    assert "| gemm bf16" in result.stdout
    assert "h100-sxm\n" in ran("show").stdout


def test_a_system_a_backend_or_a_sheet_that_is_not_there_is_named(
    data: Path, tmp_path: Path
) -> None:
    common = ("import", "aiconfigurator", "--data", data, "--out", tmp_path / "none")
    wrong = ran(*common, "--system", "h10_sxm", "--gpu", "h100-sxm")
    assert "--system: no 'h10_sxm'" in str(wrong.exception)
    assert "h100_sxm" in str(wrong.exception)
    assert "no 'trtllm'" in str(ran(*common, "--backend", "trtllm").exception)
    assert "no data sheet is known for b300_sxm" in ran(*common, "--system", "b300_sxm").output
    assert not (tmp_path / "none").exists()
