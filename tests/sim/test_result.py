"""The files of a run: complete, alike on every machine, and never half written."""

import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.image import imread

import jenga_sim
from jenga_sim import ConfigError, Trace
from jenga_sim.sim import plots
from jenga_sim.sim.engine import Hooks, Replica
from jenga_sim.sim.gaps import Gaps
from jenga_sim.sim.result import Result
from jenga_sim.sim.run import make_replica, make_result, prepare
from jenga_sim.sim.usage import PARTS

FILES = {
    "summary.json",
    "requests.csv",
    "steps.csv",
    "config.resolved.yaml",
    "provenance.json",
    "memory.png",
    "batch.png",
}
POLICIES = ("paged", "vllm", "static", "lcm", "ideal")
ALL_PARTS = {*PARTS, "reserved", "free"}
MS = 1_000_000


def busy_trace(offset_ms: int = 0) -> Trace:
    """Forty requests in ten seconds, so many that some wait and some are preempted."""
    rng = np.random.default_rng(1)
    arrival = np.sort(rng.integers(0, 10_000, 40)) * MS + offset_ms * MS
    return Trace.from_columns(
        arrival, rng.integers(1, 1_500, 40), rng.integers(1, 300, 40), name="busy"
    )


def run(policy: str = "vllm", trace: Trace | None = None, **settings: Any) -> Result:
    settings = {"kv_cache_memory_bytes": 5 << 28} | settings
    return jenga_sim.run(trace or busy_trace(), policy=policy, **settings)


@pytest.fixture(scope="module")
def result() -> Result:
    return run()


@pytest.fixture(scope="module")
def folder(result: Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return result.save(tmp_path_factory.mktemp("run"))


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of all files that must not depend on when, where or under which seed they were made."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "provenance.json"}


def test_all_files_are_written_and_nothing_else(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == FILES


def test_a_folder_is_made_with_its_parents(result: Result, tmp_path: Path) -> None:
    target = result.save(str(tmp_path / "a" / "b"))

    assert target == tmp_path / "a" / "b"
    assert {path.name for path in target.iterdir()} == FILES


@pytest.mark.parametrize("name", ["memory.png", "batch.png"])
def test_pictures_open_and_are_neither_empty_nor_huge(folder: Path, name: str) -> None:
    pixels = imread(folder / name)
    height, width, _ = pixels.shape

    assert 800 <= width <= 2_000
    assert 400 <= height <= 1_200
    assert len(np.unique(pixels.reshape(width * height, -1), axis=0)) > 20
    assert (folder / name).stat().st_size < 1_000_000


def test_summary_has_the_keys_of_vllm_bench_serve(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text())

    counts = ("num_prompts", "completed", "failed", "total_input_tokens", "total_output_tokens")
    assert all(isinstance(summary[key], int) for key in counts)
    rates = ("duration", "request_throughput", "output_throughput", "total_token_throughput")
    latencies = [
        f"{figure}_{name}_ms"
        for figure in ("mean", "median", "std", "p99")
        for name in ("ttft", "tpot", "itl", "e2el")
    ]
    for key in (*rates, *latencies):
        assert isinstance(summary[key], float), key
        assert summary[key] > 0, key
    assert isinstance(summary["batch_size"]["mean"], float)


def test_summary_is_strict_json_and_no_wall_clock_is_in_it(folder: Path) -> None:
    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is no JSON")

    text = (folder / "summary.json").read_text()

    assert json.loads(text, parse_constant=refuse) == json.loads(text)
    for name in FILES - {"provenance.json", "memory.png", "batch.png"}:
        assert "created_at" not in (folder / name).read_text()
    assert "created_at" in json.loads((folder / "provenance.json").read_text())


@pytest.mark.parametrize("policy", POLICIES)
def test_memory_parts_sum_to_the_pool_and_kinds_sum_to_the_parts(policy: str) -> None:
    summary = run(policy).summary

    memory, by_kind = summary["memory"], summary["memory_by_kind"]
    assert set(memory) == ALL_PARTS
    assert math.fsum(memory.values()) == pytest.approx(1, abs=1e-9)
    assert all(0 <= share <= 1 for share in memory.values())
    assert set(by_kind) == {"full", "swa(1024)"}
    for part in PARTS:
        of_kinds = math.fsum(parts[part] for parts in by_kind.values())
        assert of_kinds == pytest.approx(memory[part], abs=1e-9)
    wasted = sum(memory[part] for part in ("dead", "padding", "internal", "external"))
    held = wasted + memory["needed"] + memory["cached"]
    assert summary["waste"] == pytest.approx(wasted / held)


def test_requests_table_agrees_with_the_summary(result: Result, folder: Path) -> None:
    summary, table = result.summary, pd.read_csv(folder / "requests.csv")

    done = table[table["status"] == "finished"]
    assert len(table) == summary["num_prompts"] == 40
    assert len(done) == summary["completed"] > 0
    assert summary["num_preemptions"] == table["preemptions"].sum() > 0
    assert summary["total_input_tokens"] == done["input_tokens"].sum()
    assert summary["total_output_tokens"] == done["output_tokens"].sum()
    assert summary["recomputed_tokens"] == table["recomputed_tokens"].sum()
    for name in ("ttft", "tpot", "e2el"):
        values = done[f"{name}_ms"].dropna()
        assert summary[f"mean_{name}_ms"] == pytest.approx(values.mean())
        assert summary[f"p99_{name}_ms"] == pytest.approx(np.percentile(values, 99))
    assert summary["duration"] == pytest.approx(
        ((done["arrival_ms"] + done["e2el_ms"]).max() - table["arrival_ms"].min()) / 1e3
    )


def test_every_request_waits_then_starts_then_ends(result: Result) -> None:
    table = result.requests

    assert (table["queue_ms"] >= 0).all()
    assert (table["queue_ms"] < table["ttft_ms"]).all()
    assert (table["ttft_ms"] <= table["e2el_ms"]).all()
    assert table["queue_ms"].max() > 0
    one_token = table["output_tokens"] == 1
    assert table["tpot_ms"].isna().equals(one_token)


def test_steps_table_fills_the_pool_in_every_row(result: Result, folder: Path) -> None:
    steps = pd.read_csv(folder / "steps.csv")

    pool = result.summary["kv_pool"]["bytes"]
    assert (steps[[*ALL_PARTS]].sum(axis=1) == pool).all()
    for part in PARTS:
        kinds = [name for name in steps.columns if name.startswith(f"{part}:")]
        assert len(kinds) == 2
        assert (steps[kinds].sum(axis=1) == steps[part]).all()
    assert (steps["served"] <= steps["running"]).all()
    assert (steps["prefill_tokens"] <= steps["tokens"]).all()
    assert steps["start_ms"].is_monotonic_increasing


def test_steps_table_stays_small_in_a_long_run() -> None:
    trace = Trace.from_columns([0] * 4, [10] * 4, [12_000] * 4)

    result = jenga_sim.run(trace, model="llama-3.1-8b")

    assert result.summary["num_steps"] == 12_000
    assert 1_000 < len(result.steps) <= 4_100
    gaps = result.steps["step"].diff().dropna()
    assert gaps.nunique() == 1


def test_idle_time_in_the_steps_table_stands_before_the_step_that_ends_it() -> None:
    count = 5_000
    trace = Trace.from_columns([i * 10**9 for i in range(count)], [10] * count, [1] * count)

    result = jenga_sim.run(trace, model="llama-3.1-8b")

    steps = result.steps
    assert result.summary["num_steps"] == count
    assert 1_000 < len(steps) <= 4_100
    idle, busy = steps[steps["served"] == 0], steps[steps["served"] > 0]
    assert set(idle["step"]) == set(busy["step"]) - {0}
    both = idle.merge(busy, on="step")
    assert np.allclose(both["start_ms_x"] + both["duration_ms_x"], both["start_ms_y"])
    assert (both["start_ms_y"] == both["step"] * 1e3).all()


def test_config_is_enough_to_run_again(result: Result, folder: Path) -> None:
    config = yaml.safe_load((folder / "config.resolved.yaml").read_text())

    assert config["model"] == "gemma-3-27b"
    assert config["engine"]["max_num_batched_tokens"] == 8192
    assert config["engine"]["block_size"] == 16
    assert config["policy"]["grouping"] == "vllm"
    again = jenga_sim.run(
        busy_trace(),
        model=config["model"],
        gpu=config["gpu"],
        policy=config["policy"]["name"],
        **config["engine"],
    )
    assert again.summary == result.summary
    assert again.config == result.config


def test_provenance_names_sources_versions_and_digests(folder: Path) -> None:
    provenance = json.loads((folder / "provenance.json").read_text())

    assert provenance["versions"]["jenga-sim"] == jenga_sim.__version__
    assert {"python", "numpy", "pandas", "simpy"} <= set(provenance["versions"])
    assert len(provenance["config_sha256"]) == 64
    assert "config.json" in provenance["model_source"]


def test_provenance_has_the_digest_of_the_trace_file(tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "trace.jsonl"
    path.write_text('{"timestamp": 0, "input_length": 9, "output_length": 2}\n')

    result = jenga_sim.run(path)

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert result.provenance["trace_sha256"] == result.config["trace"]["sha256"] == digest


def test_two_runs_write_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    assert contents(run().save(tmp_path)) == contents(folder)


@pytest.mark.parametrize("policy", POLICIES)
def test_compiled_runs_and_single_steps_have_the_same_result(policy: str) -> None:
    fast, single = run(policy, fast=True), run(policy, fast=False, check=True)

    assert fast.summary == single.summary
    assert fast.config == single.config
    assert fast.requests.equals(single.requests)
    assert fast.steps.equals(single.steps)


@pytest.mark.parametrize(("limit", "warned"), [(1 << 18, False), (8, True)])
def test_percentiles_of_gaps_that_were_rounded_come_with_a_warning(
    limit: int, warned: bool
) -> None:
    setup = prepare(busy_trace(), model="gemma-3-27b", gpu="h100-sxm", policy="paged")
    replica = make_replica(setup)
    replica.recorder.gaps = Gaps(limit)
    replica.run()

    summary = make_result(setup, replica).summary

    said = [text for text in summary["warnings"] if "percentiles of ITL are known to" in text]
    assert len(said) == warned
    assert summary["mean_itl_ms"] == run("paged", kv_cache_memory_bytes=None).summary["mean_itl_ms"]


def test_the_seed_of_hashes_changes_no_byte(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    keys = ("timestamp", "input_length", "output_length")
    rows = [dict(zip(keys, (50 * i, 900 + 31 * i, 40 + i), strict=True)) for i in range(40)]
    trace.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for seed in ("0", "1"):
        command = [sys.executable, "-m", "jenga_sim", "run", str(trace), "--quiet"]
        command += ["--policy", "lcm", "--kv-bytes", "2GiB", "--out", str(tmp_path / seed)]
        subprocess.run(
            command,
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True,
            stdout=subprocess.DEVNULL,
        )

    assert contents(tmp_path / "0") == contents(tmp_path / "1")
    assert set(contents(tmp_path / "0")) == FILES - {"provenance.json"}


UNIX_MS = 1_763_000_000_123


def test_a_trace_in_unix_time_has_the_figures_of_one_that_starts_at_zero(tmp_path: Path) -> None:
    zero, unix = run(), run(trace=busy_trace(UNIX_MS))

    assert unix.summary == zero.summary
    moments = ["arrival_ms"]
    assert unix.requests.drop(columns=moments).equals(zero.requests.drop(columns=moments))
    assert (unix.requests["arrival_ms"] - zero.requests["arrival_ms"] == UNIX_MS).all()
    starts = unix.steps["start_ms"] - zero.steps["start_ms"]
    assert np.allclose(starts, UNIX_MS, rtol=0, atol=1e-3)
    ours, theirs = contents(unix.save(tmp_path / "unix")), contents(zero.save(tmp_path / "zero"))
    assert ours["memory.png"] == theirs["memory.png"]
    assert ours["batch.png"] == theirs["batch.png"]


def test_tables_of_a_trace_in_unix_time_keep_its_milliseconds(tmp_path: Path) -> None:
    folder = run(trace=busy_trace(UNIX_MS)).save(tmp_path)

    with (folder / "requests.csv").open() as file:
        arrivals = [float(row["arrival_ms"]) for row in csv.DictReader(file)]
    with (folder / "steps.csv").open() as file:
        starts = [float(row["start_ms"]) for row in csv.DictReader(file)]

    assert arrivals == [UNIX_MS + ns / MS for ns in busy_trace().arrival_ns.tolist()]
    assert len(set(starts)) == len(starts)
    assert starts[0] == arrivals[0]


@pytest.mark.parametrize("drawing", ["memory_over_time", "batch_over_time"])
def test_an_error_while_writing_leaves_the_folder_as_it_was(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawing: str
) -> None:
    def broken(*_: object) -> None:
        raise OSError("no space left")

    (tmp_path / "summary.json").write_text("of another run")
    monkeypatch.setattr(plots, drawing, broken)

    with pytest.raises(OSError, match="no space left"):
        result.save(tmp_path)

    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"summary.json": "of another run"}


def test_what_cannot_be_json_is_refused_before_any_file_is_there(
    result: Result, tmp_path: Path
) -> None:
    broken = Result(
        summary=result.summary | {"bad": math.nan},
        request_table=result.request_table,
        step_table=result.step_table,
        config=result.config,
        provenance=result.provenance,
    )

    with pytest.raises(ValueError, match="JSON compliant"):
        broken.save(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_not_touched(result: Result, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")

    with pytest.raises(OSError, match="out"):
        result.save(tmp_path / "out")

    assert (tmp_path / "out").read_text() == "mine"


def test_files_can_be_read_by_others_like_any_new_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("")
    usual = (tmp_path / "new").stat().st_mode

    assert {path.stat().st_mode for path in folder.iterdir()} == {usual}


def test_an_interrupted_run_is_marked_everywhere_and_its_figures_hold(tmp_path: Path) -> None:
    calls = 0

    def count(replica: Replica) -> None:
        nonlocal calls
        calls += 1

    hooks = Hooks(after_step=count, should_stop=lambda: calls >= 200)
    result = run(hooks=hooks, fast=False, async_scheduling=False)

    summary = result.summary
    assert result.complete is summary["complete"] is False
    assert summary["num_steps"] == 200
    assert summary["unfinished"] > 0
    assert summary["completed"] + summary["unfinished"] == 40
    assert math.fsum(summary["memory"].values()) == pytest.approx(1, abs=1e-9)
    assert {"finished", "running", "pending"} <= set(result.requests["status"])
    assert {path.name for path in result.save(tmp_path).iterdir()} == FILES


def test_a_run_stopped_before_its_first_step_has_no_figures_but_all_files(tmp_path: Path) -> None:
    result = run(hooks=Hooks(should_stop=lambda: True))

    assert result.summary["unfinished"] == 40
    assert result.summary["mean_ttft_ms"] is None
    assert {path.name for path in result.save(tmp_path).iterdir()} == FILES


def test_a_retention_that_does_not_exist_is_refused() -> None:
    policy = jenga_sim.Policy(name="x", grouping="vllm", carving="single", retention="dens")

    with pytest.raises(ConfigError, match=r"policy\.retention: 'dens' is none of none, dense"):
        jenga_sim.run(busy_trace(), policy=policy)
