"""Every way to call it wrong ends in its own exit code and one message that says what to do."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from jenga_sim.cli import VERBS

Jenga = Callable[..., CompletedProcess[str]]
WriteTrace = Callable[..., Path]


def message(text: str) -> str:
    """The text on one line, its wrapping undone."""
    return " ".join(text.split())


def test_0_when_a_run_is_done(jenga: Jenga, chat: Path) -> None:
    done = jenga("run", chat)

    assert done.returncode == 0
    assert "6 done, 0 rejected" in done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_0_for_help_of_every_verb(jenga: Jenga, verb: str) -> None:
    done = jenga(verb, "--help")

    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: jenga-sim {verb} ")


def test_0_for_the_help_that_names_every_verb_and_exit_code(jenga: Jenga) -> None:
    done = jenga("-h")

    assert done.returncode == 0
    for text in (*VERBS, "0 done", "2 configuration", "3 trace", "4 verify", "130 interrupted"):
        assert text in message(done.stdout)


def test_help_of_run_shows_each_example_on_its_own_line(jenga: Jenga) -> None:
    lines = [line.strip() for line in jenga("run", "--help").stdout.splitlines()]

    assert "jenga-sim run trace.jsonl --policy lcm" in lines
    assert "jenga-sim run --sample --policy paged --format json" in lines
    assert "TPOT        (E2E - TTFT) / (output tokens - 1), per request" in lines


def test_0_for_the_version(jenga: Jenga) -> None:
    from jenga_sim import __version__

    assert jenga("--version").stdout == f"jenga-sim, version {__version__}\n"


CONFIGURATION = {
    "no trace": ([], "give either TRACE or --sample"),
    "two traces": (["TRACE", "--sample"], "give either TRACE or --sample"),
    "model": (["TRACE", "--model", "gema-3-27b"], "unknown model 'gema-3-27b'.*'gemma-3-27b'"),
    "model file": (["TRACE", "--model", "./no.yaml"], r"no\.yaml"),
    "gpu": (["TRACE", "--gpu", "h100"], "unknown GPU 'h100'.*did you mean 'h100-sxm'"),
    "policy": (["TRACE", "--policy", "lmc"], "unknown policy 'lmc'.*Did you mean 'lcm'.*paged"),
    "flag": (["TRACE", "--polcy", "lcm"], "No such option '?--polcy'?.*--policy"),
    "flag without value": (["TRACE", "--max-num-seqs"], "--max-num-seqs"),
    "no integer": (["TRACE", "--block-size", "big"], "--block-size.*'big' is not a valid integer"),
    "no size": (["TRACE", "--kv-bytes", "18XB"], "--kv-bytes.*'18XB' is not a size; write 18GiB"),
    "no bytes": (["TRACE", "--kv-bytes", "0"], "'0' is no positive number of bytes"),
    "out of range": (
        ["TRACE", "--gpu-memory-utilization", "1.5"],
        r"engine\.gpu_memory_utilization: 1\.5 must be in \(0, 1\]",
    ),
    "not a number": (["TRACE", "--watermark", "nan"], r"engine\.watermark: nan must be"),
    "zero GPUs": (["TRACE", "--tp", "0"], r"engine\.tensor_parallel_size: 0 must be a positive"),
    "budget": (
        ["TRACE", "--max-num-batched-tokens", "10", "--max-num-seqs", "20"],
        r"engine\.max_num_batched_tokens: 10 is below max_num_seqs = 20",
    ),
    "format": (["TRACE", "--format", "xml"], "'xml' is not one of 'table', 'json'"),
    "pool twice": (
        ["TRACE", "--kv-bytes", "1GiB", "--num-gpu-blocks", "100"],
        "given twice, by --kv-bytes and --num-gpu-blocks",
    ),
    "pool thrice": (
        ["TRACE", "--kv-bytes", "1GiB", "--num-gpu-blocks", "100", "--vllm-log", "no.log"],
        "--kv-bytes and --num-gpu-blocks and --vllm-log",
    ),
    "pool too small": (["TRACE", "--kv-bytes", "1KiB"], "1,024 bytes.*--block-size"),
    "large page": (
        ["TRACE", "--model", "bamba-9b", "--policy", "lcm"],
        r"lcm\(mamba2 62,287,360, full 196,608\) = 23,918,346,240 bytes; the pool of [\d,]+ bytes "
        r"holds 2, and 2 are null.*--policy lcm-blocks \(a large page of 2,162,688 bytes",
    ),
    "no log": (["TRACE", "--vllm-log", "no.log"], r"--vllm-log no\.log: No such file"),
    "engine setting": (
        ["TRACE", "--set", "engine.max_num_seq=3"],
        r"engine\.max_num_seq: unknown setting\. Did you mean 'max_num_seqs'",
    ),
    "policy setting": (
        ["TRACE", "--set", "policy.gruping=vllm"],
        r"policy\.gruping: unknown choice.*grouping",
    ),
    "policy choice": (
        ["TRACE", "--set", "policy.carving=slab"],
        r"policy\.carving: 'slab' is none of .*ideal, lcm, .*single, static",
    ),
    "section": (["TRACE", "--set", "max_num_seqs=3"], r"write engine\.NAME=VALUE"),
    "no value": (["TRACE", "--set", "engine.watermark"], r"write engine\.NAME=VALUE"),
    "no YAML": (["TRACE", "--set", "engine.watermark=["], "not a YAML value"),
    "policy file": (["TRACE", "--policy", "./no.py:Mine"], r"\./no\.py: no such file"),
}


@pytest.mark.parametrize("case", CONFIGURATION)
def test_2_for_a_wrong_setting(jenga: Jenga, chat: Path, tmp_path: Path, case: str) -> None:
    arguments, text = CONFIGURATION[case]
    out = tmp_path / "out"

    done = jenga("run", *(chat if a == "TRACE" else a for a in arguments), "--out", out)

    assert done.returncode == 2
    assert re.search(text, message(done.stderr))
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not out.exists()


def test_2_for_an_unknown_verb(jenga: Jenga) -> None:
    done = jenga("rnu")

    assert done.returncode == 2
    assert "No such command 'rnu'" in done.stderr


def test_2_for_a_model_too_large_with_the_sum_and_a_way_out_that_works(
    jenga: Jenga, chat: Path
) -> None:
    call = ("run", chat, "--model", "llama-3.1-70b", "--gpu", "h100-sxm")

    done = jenga(*call)

    assert done.returncode == 2
    assert re.search(
        r"79\.65 GiB x 0\.92 - weights 131\.4\d GiB - activations", message(done.stderr)
    )
    advice = re.search(r"more GPUs \(--tp (\d+)\)", message(done.stderr))
    assert advice
    assert int(advice[1]) > 1
    assert jenga(*call, "--tp", advice[1]).returncode == 0


POLICY_FILES = {
    "syntax error": ("class Mine(:\n", "Mine", "SyntaxError.*line 1"),
    "fails": ("1 / 0\n", "Mine", "ZeroDivisionError: division by zero"),
    "no such class": ("x = 1\n", "Mine", "no class 'Mine' derived from"),
    "not a Carving": ("class Mine:\n    pass\n", "Mine", "no class 'Mine' derived from .*Carving"),
    "not a class": ("def Mine():\n    pass\n", "Mine", "no class 'Mine' derived from"),
    "no name": ("x = 1\n", "", "no class ''"),
    "grouping": (
        "from jenga_sim.policies.carving.single import SinglePool\n"
        "class Mine(SinglePool):\n    grouping = 'by_colour'\n",
        "Mine",
        "grouping 'by_colour' is none of .*by_kind",
    ),
    "methods missing": (
        "from jenga_sim import Carving\nclass Mine(Carving):\n    pass\n",
        "Mine",
        "Mine.*could_fit.*take",
    ),
}


@pytest.mark.parametrize("case", POLICY_FILES)
def test_2_for_a_broken_policy_file(jenga: Jenga, chat: Path, tmp_path: Path, case: str) -> None:
    source, name, text = POLICY_FILES[case]
    file = tmp_path / "mine.py"
    file.write_text(source)

    done = jenga("run", chat, "--policy", f"{file}:{name}", "--out", tmp_path / "out")

    assert done.returncode == 2
    assert re.search(text, message(done.stderr))
    assert str(file) in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [":Mine", ".mine:Mine", "no_such_module:Mine", "os:path"])
def test_2_for_a_policy_module_that_is_none(jenga: Jenga, chat: Path, name: str) -> None:
    done = jenga("run", chat, "--policy", name)

    assert done.returncode == 2
    assert name in done.stderr


@pytest.mark.parametrize(
    ("sub", "text"), [("", "is a file"), ("sub", "Not a directory|cannot find")]
)
def test_2_before_the_run_if_the_folder_cannot_be_made(
    jenga: Jenga, chat: Path, tmp_path: Path, sub: str, text: str
) -> None:
    (tmp_path / "file").write_text("mine")

    done = jenga("run", chat, "--out", tmp_path / "file" / sub)

    assert done.returncode == 2
    assert re.search(text, message(done.stderr))
    assert done.stdout == ""
    assert (tmp_path / "file").read_text() == "mine"


def line(**keys: Any) -> bytes:
    fields = {"timestamp": 1, "input_length": 600, "output_length": 5} | keys
    return json.dumps(fields).encode() + b"\n"


GOOD = line()
BAD_TRACES = {
    "malformed JSON": (GOOD + b'{"timestamp": 1, "input_le\n', ":2: is not valid JSON"),
    "missing key": (
        GOOD + b'{"timestamp": 1, "input_length": 3}\n',
        ":2: output_length: is missing",
    ),
    "wrong type": (GOOD + line(input_length="600"), ':2: input_length: .*, is "600"'),
    "negative": (GOOD + line(output_length=-1), ":2: output_length: .*, is -1"),
    "NaN": (GOOD + line(timestamp=float("nan")), ":2: .*NaN and Infinity are not JSON"),
    "huge": (GOOD + line(input_length=10**30), ":2: input_length: .*, is 1000"),
    "hash ids": (
        GOOD + line(hash_ids=[1, 2, 3]),
        ":2: hash_ids: has 3 ids, but 600 tokens take 2 blocks.*--trace-block-size 512",
    ),
    "empty": (b"", ":1: is empty"),
    "BOM": (b"\xef\xbb\xbf" + GOOD, ":1: starts with a UTF-8 byte order mark; remove it with"),
    "CRLF": (GOOD + GOOD[:-1] + b"\r\n", r":2: has a carriage return .*; remove it with"),
}


def assert_refused(done: CompletedProcess[str], path: Path, text: str) -> None:
    assert done.returncode == 3
    assert re.search(re.escape(f"error: {path}") + text, message(done.stderr))
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("case", BAD_TRACES)
def test_3_for_a_bad_trace_naming_file_line_and_field(
    jenga: Jenga, tmp_path: Path, case: str
) -> None:
    content, text = BAD_TRACES[case]
    path = tmp_path / "trace.jsonl"
    path.write_bytes(content)

    done = jenga("run", path, "--out", tmp_path / "out")

    assert_refused(done, path, text)
    assert not (tmp_path / "out").exists()


def test_3_for_a_truncated_gzip_file(jenga: Jenga, tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "trace.jsonl.gz"
    path.write_bytes(gzip.compress(GOOD * 5_000)[:-20])

    done = jenga("run", path, "--out", tmp_path / "out")

    assert_refused(done, path, r":\d+: gzip data ends too early")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [("", ": is a folder without trace files"), ("no.jsonl", ": cannot be read: No such file")],
)
def test_3_for_a_trace_that_is_no_file(jenga: Jenga, tmp_path: Path, name: str, text: str) -> None:
    assert_refused(jenga("run", tmp_path / name), tmp_path / name, text)


def test_3_for_standard_input_which_is_not_read(
    jenga: Jenga, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    done = jenga("run", "-")

    assert done.returncode == 3
    assert done.stderr.startswith("error: -:")


def test_3_lists_bad_lines_by_their_number_in_the_file(jenga: Jenga, tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_bytes(GOOD + b"\n" + line(input_length=0) + line(output_length=-1))

    first, second = jenga("run", path).stderr.splitlines()

    assert first.startswith(f"error: {path}:3: input_length: ")
    assert second.startswith(f"{path}:4: output_length: ")


CASE = {
    "name": "tiny",
    "layers": [
        {"kind": "full", "count": 1, "kv_heads": 1, "head_size": 8},
        {"kind": "sliding_window", "count": 2, "kv_heads": 1, "head_size": 8, "window": 24},
    ],
    "block_size": 4,
    "kv_bytes": 14_000,
    "max_model_len": 200,
    "enable_prefix_caching": False,
    "scheduler": {"max_num_seqs": 3, "max_num_batched_tokens": 20},
    "requests": [
        {"arrival_step": i, "prompt": [[i, 11 + 7 * i]], "output_len": 6 + i} for i in range(4)
    ],
}


@pytest.fixture
def case(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.case.json"
    path.write_text(json.dumps(CASE))
    return path


def test_verify_ends_in_0_if_it_agrees_and_in_4_naming_the_step_if_not(
    jenga: Jenga, case: Path, tmp_path: Path, golden: Callable[[str, str], None]
) -> None:
    log = jenga("verify", case)
    assert log.returncode == 0
    recording = tmp_path / "tiny.golden.json"
    recording.write_text(log.stdout)

    agrees = jenga("verify", case, "--golden", recording)
    assert agrees.returncode == 0
    golden("verify-agrees", agrees.stdout)

    changed = json.loads(log.stdout)
    changed["steps"][3]["scheduled"]["r0"] = 99
    changed["steps"][5]["free_blocks"] += 1
    recording.write_text(json.dumps(changed))
    differs = jenga("verify", case, "--golden", recording)
    assert differs.returncode == 4
    assert differs.stdout.startswith("step 3: scheduled: ")
    golden("verify-differs", differs.stdout)

    outcome = jenga("verify", case, "--golden", recording, "--format", "json")
    assert outcome.returncode == 4
    assert json.loads(outcome.stdout)["differences"] == 2
    assert json.loads(outcome.stdout)["agrees"] is False


def test_verify_sees_a_step_that_is_missing_or_too_many(
    jenga: Jenga, case: Path, tmp_path: Path
) -> None:
    log = json.loads(jenga("verify", case).stdout)
    recording = tmp_path / "golden.json"
    for steps in (log["steps"][:-1], [*log["steps"], log["steps"][-1]]):
        recording.write_text(json.dumps(log | {"steps": steps}))

        done = jenga("verify", case, "--golden", recording)

        assert done.returncode == 4
        assert f"number of steps: ours {len(log['steps'])}, golden {len(steps)}" in done.stdout


@pytest.mark.parametrize("field", ["running", "waiting", "preempted", "group_blocks", "finished"])
def test_verify_compares_every_field_of_a_step(
    jenga: Jenga, case: Path, tmp_path: Path, field: str
) -> None:
    log = json.loads(jenga("verify", case).stdout)
    log["steps"][2][field] = ["someone else"]
    recording = tmp_path / "golden.json"
    recording.write_text(json.dumps(log))

    done = jenga("verify", case, "--golden", recording)

    assert done.returncode == 4
    assert done.stdout.startswith(f"step 2: {field}: ")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"steps": 3}', '{"steps": [1]}'], ids=["empty", *"abcd"]
)
def test_verify_ends_in_2_for_a_recording_that_is_none(
    jenga: Jenga, case: Path, tmp_path: Path, content: str
) -> None:
    recording = tmp_path / "golden.json"
    recording.write_text(content)

    done = jenga("verify", case, "--golden", recording)

    assert done.returncode == 2
    assert str(recording) in done.stderr


def test_verify_ends_in_2_for_a_case_that_is_none(jenga: Jenga, chat: Path, tmp_path: Path) -> None:
    broken = jenga("verify", chat)
    missing = jenga("verify", tmp_path / "no.json")

    assert broken.returncode == missing.returncode == 2
    assert "no.json: cannot read the case" in missing.stderr
    assert str(chat) in broken.stderr


USER_POLICIES = """\
from jenga_sim import InvariantError
from jenga_sim.policies.carving.single import FREE, SinglePool


class Unbalanced(SinglePool):
    def check(self):
        raise InvariantError("7 pages used + 3 free are not 11")


class Leaking(SinglePool):
    def free(self, slot):
        super().free(slot)
        self.state.pool[FREE] -= 1


class Refusing(SinglePool):
    def fits(self, need, watermark=0.0):
        return False


class Moody(SinglePool):
    def fits(self, need, watermark=0.0):
        return not hasattr(self, "served")

    def take(self, slot, need):
        self.served = True
        return super().take(slot, need)


class Fickle(SinglePool):
    def take(self, slot, need):
        return False
"""


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(USER_POLICIES)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Unbalanced", "error: 7 pages used"),
        ("Leaking", r"error: \d+ pages used \+ \d+ free \+ 1 null are not the pool's"),
    ],
)
def test_5_if_the_books_of_a_policy_do_not_balance(
    jenga: Jenga, chat: Path, policies: Path, name: str, text: str
) -> None:
    done = jenga("run", chat, "--policy", f"{policies}:{name}", "--check", "-q")

    assert done.returncode == 5
    assert re.match(text, done.stderr)
    assert done.stdout == ""


def test_5_if_a_policy_says_that_pages_fit_and_then_refuses_them(
    jenga: Jenga, chat: Path, policies: Path
) -> None:
    done = jenga("run", chat, "--policy", f"{policies}:Fickle", "-q")

    assert done.returncode == 5
    assert "says that pages fit and then refuses them" in done.stderr


@pytest.mark.parametrize("name", ["Refusing", "Moody"])
@pytest.mark.parametrize("flag", ["--fast", "--no-fast"])
def test_5_with_a_diagnosis_if_a_policy_refuses_for_ever(
    jenga: Jenga, write_trace: WriteTrace, policies: Path, tmp_path: Path, name: str, flag: str
) -> None:
    trace = write_trace([(0, 40, 40), (3, 50, 60)])

    done = jenga("run", trace, "--policy", f"{policies}:{name}", flag, "-q")

    assert done.returncode == 5
    assert "error: the run cannot make progress at" in done.stderr
    waiting = {
        "Refusing": ("2 requests wait", "request 0 with 40"),
        "Moody": ("1 requests wait", "request 1 with 50"),
    }
    for text in waiting[name]:
        assert text in done.stderr
    assert re.search(r"tokens, needs \[.*\] pages; \[.*\] are free", done.stderr)
    assert done.stdout == ""


def test_the_installed_command_and_the_module_are_the_same_program(
    chat: Path, tmp_path: Path
) -> None:
    script = Path(sys.executable).with_name("jenga-sim" + (".exe" if os.name == "nt" else ""))
    module = [sys.executable, "-m", "jenga_sim"]
    calls = [module, [str(script)]] if script.is_file() else [module]
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(GOOD + b"x\n")
    for program in calls:
        good = subprocess.run([*program, "run", chat, "-q"], capture_output=True, check=False)
        refused = subprocess.run([*program, "run", bad], capture_output=True, check=False)

        assert (good.returncode, good.stderr) == (0, b"")
        assert b"6 done" in good.stdout
        assert (refused.returncode, refused.stdout) == (3, b"")
        assert f"{bad}:2: is not valid JSON".encode() in refused.stderr
