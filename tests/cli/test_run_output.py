"""What a run prints and writes: for people, for programs, and nothing else."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from jenga_sim.cli import progress
from jenga_sim.policies import first_call

Jenga = Callable[..., CompletedProcess[str]]
Golden = Callable[[str, str], None]
WriteTrace = Callable[..., Path]

FILES = {
    "summary.json",
    "requests.csv",
    "steps.csv",
    "config.resolved.yaml",
    "provenance.json",
    "memory.png",
    "batch.png",
}


def summary_of(jenga: Jenga, *arguments: str | Path) -> dict[str, Any]:
    done = jenga("run", *arguments, "--format", "json", "-q")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def without(summary: dict[str, Any], *keys: str) -> dict[str, Any]:
    assert set(keys) <= set(summary)
    return {name: value for name, value in summary.items() if name not in keys}


@pytest.mark.parametrize("policy", ["lcm", "paged"])
def test_table_of_the_sample(jenga: Jenga, golden: Golden, policy: str) -> None:
    done = jenga("run", "--sample", "--policy", policy)

    golden(f"sample-{policy}", done.stdout)
    golden(f"sample-{policy}-notes", done.stderr)


def test_json_of_the_sample(jenga: Jenga, golden: Golden) -> None:
    done = jenga("run", "--sample", "--policy", "vllm", "--format", "json", "--quiet")

    golden("sample-vllm-json", done.stdout)
    assert json.loads(done.stdout)["completed"] == 600


def test_list_of_policies(jenga: Jenga, golden: Golden) -> None:
    golden("policies", jenga("policies").stdout)


def test_policies_as_json_name_all_their_choices(jenga: Jenga) -> None:
    listed = json.loads(jenga("policies", "--format", "json").stdout)

    assert {"paged", "vllm", "lcm", "ideal"} <= {policy["name"] for policy in listed}
    for policy in listed:
        assert {"grouping", "carving", "scheduler", "retention"} <= set(policy)


def test_json_is_what_the_file_holds(jenga: Jenga, chat: Path, tmp_path: Path) -> None:
    done = jenga("run", chat, "--format", "json", "--out", tmp_path / "out")

    assert done.stdout == (tmp_path / "out" / "summary.json").read_text(encoding="utf-8")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES


def test_notes_name_what_was_assumed_and_quiet_drops_nothing_else(
    jenga: Jenga, chat: Path, tmp_path: Path
) -> None:
    loud = jenga("run", chat, "--gpu", "h200-sxm", "--out", tmp_path / "a")
    quiet = jenga("run", chat, "--gpu", "h200-sxm", "--out", tmp_path / "b", "-q")

    notes = loud.stderr.splitlines()
    assert notes[0] == "note: using the default --model gemma-3-27b, --policy lcm"
    assert any(line.startswith("note: KV pool: ") for line in notes)
    assert notes[-1] == f"wrote {tmp_path / 'a'}/"
    assert quiet.stderr == ""
    assert quiet.stdout == loud.stdout
    for name in FILES - {"provenance.json"}:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_table_of_a_run_in_which_nothing_could_be_served(
    jenga: Jenga, chat: Path, tmp_path: Path
) -> None:
    done = jenga("run", chat, "--max-model-len", "10", "--out", tmp_path / "out")

    assert done.returncode == 0
    assert "0 done, 6 rejected (6 max_model_len)" in done.stdout
    assert "nan" not in done.stdout.lower()
    ttft = next(line for line in done.stdout.splitlines() if "TTFT" in line)
    assert ttft.count(" - ") == 4
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES


def test_lines_out_of_order_are_sorted_and_it_is_said(
    jenga: Jenga, write_trace: WriteTrace
) -> None:
    rows = [(40.0 * i, 300 + 170 * i, 5 + 3 * i) for i in range(8)]
    shuffled = write_trace([rows[i] for i in (3, 0, 7, 1, 2, 6, 5, 4)], "a/trace.jsonl")
    sorted_ = write_trace(rows, "b/trace.jsonl")

    known, said = summary_of(jenga, shuffled, "--sort"), summary_of(jenga, shuffled)
    expected = summary_of(jenga, sorted_)
    assert known == expected
    late = [warning for warning in said["warnings"] if warning not in expected["warnings"]]
    assert len(late) == 1
    assert late[0].startswith("6 requests of the trace stood behind later ones: it was sorted")


def test_skipped_lines_are_counted_and_said_and_change_nothing_else(
    jenga: Jenga, write_trace: WriteTrace
) -> None:
    rows: list[Any] = [(40.0 * i, 300 + 170 * i, 5 + 3 * i) for i in range(8)]
    broken = {"timestamp": 100, "input_length": 0, "output_length": 4}
    damaged = write_trace([*rows[:3], broken, *rows[3:], broken], "a/trace.jsonl")
    clean = write_trace(rows, "b/trace.jsonl")

    skipped = summary_of(jenga, damaged, "--on-bad-line", "skip")
    note = jenga("run", damaged, "--on-bad-line", "skip").stderr

    assert skipped["skipped_lines"] == 2
    assert any("2 bad lines" in warning for warning in skipped["warnings"])
    assert "note: 2 bad lines of the trace were skipped" in note
    expected = summary_of(jenga, clean)
    assert expected["skipped_lines"] == 0
    differ = ("skipped_lines", "warnings")
    assert without(skipped, *differ) == without(expected, *differ)


def test_a_compressed_trace_is_the_same_trace(jenga: Jenga, chat: Path) -> None:
    packed = chat.with_name("trace.jsonl.gz")
    packed.write_bytes(gzip.compress(chat.read_bytes()))

    assert without(summary_of(jenga, packed), "trace") == without(summary_of(jenga, chat), "trace")


def test_a_trace_of_one_request(jenga: Jenga, write_trace: WriteTrace) -> None:
    summary = summary_of(jenga, write_trace([(632, 100, 10)]))

    assert summary["completed"] == 1
    assert summary["mean_ttft_ms"] == summary["p99_ttft_ms"]
    assert summary["std_ttft_ms"] == 0
    assert summary["duration"] * 1e3 == pytest.approx(summary["mean_e2el_ms"])
    assert summary["batch_size"] == {"mean": 1, "p50": 1, "p95": 1, "max": 1}


def test_requests_that_arrive_together_are_all_served(
    jenga: Jenga, write_trace: WriteTrace
) -> None:
    summary = summary_of(jenga, write_trace([(5, 100, 10)] * 40))

    assert summary["completed"] == 40
    assert summary["batch_size"]["max"] == 40


def test_a_request_as_long_as_the_model_allows(jenga: Jenga, write_trace: WriteTrace) -> None:
    summary = summary_of(jenga, write_trace([(0, 131_000, 72), (0, 131_001, 72)]))

    assert summary["completed"] == 1
    assert summary["total_input_tokens"] == 131_000
    assert summary["total_output_tokens"] == 72
    assert summary["rejected_by"] == {"max_model_len": 1}


@pytest.mark.parametrize("flag", ["--block-size=7", "--block-size=1", "--block-size=256"])
@pytest.mark.parametrize("policy", ["lcm", "paged", "vllm", "static", "ideal"])
def test_any_block_size_serves_the_same_requests(
    jenga: Jenga, chat: Path, flag: str, policy: str
) -> None:
    summary = summary_of(jenga, chat, flag, "--policy", policy, "--check")

    assert summary["completed"] == 6
    assert sum(summary["memory"].values()) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("section", ["flag", "--set"])
def test_a_setting_is_the_same_as_flag_and_through_set(
    jenga: Jenga, chat: Path, section: str
) -> None:
    given = ["--max-num-seqs", "2"] if section == "flag" else ["--set", "engine.max_num_seqs=2"]

    assert summary_of(jenga, chat, *given)["batch_size"]["max"] == 2
    assert summary_of(jenga, chat)["batch_size"]["max"] > 2


def test_a_policy_rebuilt_by_choices_gives_the_figures_of_the_preset(
    jenga: Jenga, chat: Path
) -> None:
    new = ["grouping=uniform", "carving=single", "retention=none"]
    choices = [word for choice in new for word in ("--set", f"policy.{choice}")]

    rebuilt = summary_of(jenga, chat, "--policy", "lcm", *choices)
    preset = summary_of(jenga, chat, "--policy", "paged")

    assert without(rebuilt, "policy") == without(preset, "policy")


def test_step_by_step_prints_what_a_compiled_run_prints(jenga: Jenga, chat: Path) -> None:
    assert jenga("run", chat, "--no-fast").stdout == jenga("run", chat, "--fast").stdout


MARK = first_call._mark


def many_decodes(count: int = 900, output: int = 12) -> Iterable[tuple[float, int, int]]:
    return ((30.0 * i, 200, output) for i in range(count))


def test_progress_is_on_standard_error_and_only_if_wanted(
    jenga: Jenga, write_trace: WriteTrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0)
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0)
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    trace = write_trace(many_decodes())

    loud = jenga("run", trace, "--no-fast")
    quiet = jenga("run", trace, "--no-fast", "-q")

    lines = [line for line in loud.stderr.splitlines() if "s simulated" in line]
    assert len(lines) >= 2
    assert all(" of 900 requests, " in line for line in lines)
    assert quiet.stderr == ""
    assert quiet.stdout == loud.stdout


def test_progress_bar_of_a_terminal_leaves_the_table_alone(
    jenga: Jenga, write_trace: WriteTrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = write_trace(many_decodes())
    expected = jenga("run", trace, "--no-fast", "-q").stdout
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0)
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    done = jenga("run", trace, "--no-fast")

    assert "/900 requests" in done.stderr
    assert done.stdout == expected


def test_only_the_first_run_of_its_kind_says_that_it_compiles(
    jenga: Jenga, chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_call, "_mark", MARK)
    monkeypatch.setattr("numba.core.config.DISABLE_JIT", 0)
    monkeypatch.setattr(first_call, "cache_folder", lambda: tmp_path)

    def notes(*arguments: str) -> list[str]:
        monkeypatch.setattr(first_call, "_known", set[str]())
        done = jenga("run", chat, "--policy", "static", *arguments)
        return [line for line in done.stderr.splitlines() if "compiling" in line]

    assert notes() == ["note: compiling the engine for this kind of run, once: 10 to 20 s"]
    assert notes() == []
    assert notes("--scheduling-policy", "priority", "--quiet") == []


def test_a_run_gives_the_interrupt_key_back(jenga: Jenga, chat: Path) -> None:
    def mine(*_: object) -> None: ...

    before = signal.signal(signal.SIGINT, mine)
    try:
        assert jenga("run", chat, "-q").returncode == 0
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)


def test_files_are_there_although_the_reader_of_the_table_went_away(
    chat: Path, tmp_path: Path
) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "jenga_sim", "run", chat, "-q", "--out", tmp_path / "out"],
            stdout=write,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(write)

    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert b"Traceback" not in done.stderr


WATCHED_POLICY = """\
import os
import time

from jenga_sim.policies.carving.single import SinglePool


class Watched(SinglePool):
    calls = 0

    def take(self, slot, need):
        self.calls += 1
        if self.calls == 300:
            open("started", "w").close()
        return super().take(slot, need)


class Sleeping(SinglePool):
    def take(self, slot, need):
        open("started", "w").close()
        time.sleep(60)
        return super().take(slot, need)
"""

posix = pytest.mark.skipif(os.name == "nt", reason="SIGINT is sent as on POSIX")


class LongRun:
    """A run that lasts longer than anybody waits, in a folder of its own, once it is under way."""

    def __init__(self, folder: Path, policy: str) -> None:
        (folder / "mine.py").write_text(WATCHED_POLICY)
        self._marker = folder / "started"
        command = [sys.executable, "-m", "jenga_sim", "run", "trace.jsonl", "--no-fast"]
        command += ["--policy", f"mine.py:{policy}", "--out", "out", "--format", "json"]
        self.process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait_until_started(self) -> None:
        deadline = time.monotonic() + 60
        while not self._marker.exists():
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < deadline, "the run did not start"
            time.sleep(0.02)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> CompletedProcess[str]:
        try:
            out, err = self.process.communicate(timeout=60)
        finally:
            self.process.kill()
        return CompletedProcess([], self.process.returncode, out, err)


def test_an_interrupted_run_says_so_above_its_table(
    jenga: Jenga, write_trace: WriteTrace, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        "import signal\n"
        "from jenga_sim.policies.carving.single import SinglePool\n"
        "class Interrupting(SinglePool):\n"
        "    def free(self, slot):\n"
        "        if slot == 3:\n"
        "            signal.raise_signal(signal.SIGINT)\n"
        "        return super().free(slot)\n"
    )
    # One after the other; the run looks up every 4,096 steps.
    trace = write_trace((100_000.0 * i, 300, 900) for i in range(9))

    done = jenga("run", trace, "--policy", f"{tmp_path / 'mine.py'}:Interrupting")

    assert done.returncode == 130
    title = done.stdout.partition("requests ")[0].split()
    assert title[-1] == "(interrupted)"
    assert "4 done, 0 rejected, 0 preempted (0 times), 5 unfinished" in done.stdout
    assert done.stderr.endswith("interrupted: the figures cover what was done\n")


@posix
def test_130_after_ctrl_c_and_what_was_done_is_written(
    write_trace: WriteTrace, tmp_path: Path
) -> None:
    write_trace((10.0 * i, 300, 900) for i in range(3_000))
    run = LongRun(tmp_path, "Watched")
    run.wait_until_started()

    run.interrupt()
    done = run.end()

    assert done.returncode == 130
    assert "interrupted" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    text = (tmp_path / "out" / "summary.json").read_text(encoding="utf-8")
    assert text == done.stdout
    summary = json.loads(text)
    assert summary["complete"] is False
    assert summary["unfinished"] > 0
    assert summary["num_steps"] > 0
    assert summary["completed"] + summary["unfinished"] + summary["rejected"] == 3_000
    assert sum(summary["memory"].values()) == pytest.approx(1, abs=1e-9)
    assert len((tmp_path / "out" / "requests.csv").read_text().splitlines()) == 3_001


@posix
def test_130_at_once_after_a_second_ctrl_c_and_no_files(
    write_trace: WriteTrace, tmp_path: Path
) -> None:
    write_trace([(0, 300, 900)])
    run = LongRun(tmp_path, "Sleeping")
    run.wait_until_started()

    run.interrupt()
    time.sleep(0.3)
    assert run.process.poll() is None, "the first one waits for the end of the step"
    run.interrupt()
    done = run.end()

    assert done.returncode == 130
    assert done.stderr.endswith("interrupted\n")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_second_run_replaces_the_files_of_the_first(
    jenga: Jenga, chat: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    jenga("run", chat, "--policy", "paged", "--out", out, "-q")
    (out / "mine.txt").write_text("mine")
    jenga("run", chat, "--policy", "lcm", "--out", out, "-q")

    assert json.loads((out / "summary.json").read_text())["policy"] == "lcm"
    assert {path.name for path in out.iterdir()} == FILES | {"mine.txt"}
