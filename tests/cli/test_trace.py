"""``jenga-sim trace``: what a user sees of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest

from jenga_sim.traces import read_trace
from tests.traces.data import ROOT, real
from tests.traces.strategies import assert_same

Jenga = Callable[..., CompletedProcess[str]]

AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2023-11-16 18:17:03.9799600,4808,10\n"
    "2023-11-16 18:17:04.0319600,3180,0\n"
    "2023-11-16 18:17:09.9799600,110,27\n"
)


@pytest.fixture
def azure(tmp_path: Path) -> Path:
    path = tmp_path / "code.csv"
    path.write_text(AZURE)
    return path


def inspected(jenga: Jenga, *arguments: Any) -> dict[str, Any]:
    done = jenga("trace", "inspect", *arguments, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_inspect_gives_the_published_figures_of_mooncake(jenga: Jenga) -> None:
    path = real("mooncake/conversation_trace.jsonl")

    figures = inspected(jenga, path)

    assert figures["format"] == "mooncake"
    assert figures["requests"] == 12_031
    assert figures["rate_per_s"] == pytest.approx(3.40, abs=0.005)
    assert figures["ideal_token_hit"] == pytest.approx(0.374, abs=0.0005)
    assert (figures["quantum_ms"], round(figures["cv_spread"], 2)) == (3000, 1.01)
    assert round(figures["cv"], 2) == 3.03
    assert (figures["sessions"]["inferred"], figures["sessions"]["sessions"]) == (True, 7_411)


def test_inspect_prints_the_same_in_words(jenga: Jenga) -> None:
    done = jenga("trace", "inspect", real("mooncake/conversation_trace.jsonl"))

    for words in (
        "requests     12,031 in 58.9 min, 3.4/s",
        "CV 3.03, 1.01 spread over quanta of 3000 ms",
        "ideal hit    37.4% of prompt tokens with an infinite cache",
        "7,411 inferred from shared blocks, 38.4% follow-ups",
    ):
        assert words in done.stdout


def test_inspect_of_azure_code_finds_its_bursts(jenga: Jenga) -> None:
    figures = inspected(jenga, real("azure-llm-2023/AzureLLMInferenceTrace_code.csv"))

    assert (figures["requests"], round(figures["cv"], 2)) == (8_819, 13.15)
    assert figures["ideal_token_hit"] is None
    assert figures["streamed"] is True


def test_inspect_draws_a_picture(jenga: Jenga, azure: Path, tmp_path: Path) -> None:
    png = tmp_path / "code.png"

    done = jenga("trace", "inspect", azure, "--png", png)

    assert f"wrote {png}" in done.stderr
    first = png.read_bytes()
    assert first.startswith(b"\x89PNG")
    jenga("trace", "inspect", azure, "--png", png)
    assert png.read_bytes() == first


def test_inspect_keeps_requests_without_an_output(jenga: Jenga, azure: Path) -> None:
    figures = inspected(jenga, azure)

    assert (figures["no_output"], figures["lengths"]["output"]["max"]) == (1, 27)


def test_a_shape_is_seen_by_inspect(jenga: Jenga, azure: Path) -> None:
    assert inspected(jenga, azure, "--requests", 2)["requests"] == 2
    assert inspected(jenga, azure, "--time-scale", 0.5)["span_s"] == 3.0


def test_convert_writes_what_was_read(jenga: Jenga, azure: Path, tmp_path: Path) -> None:
    for name in ("code.jsonl", "code.jsonl.gz"):
        done = jenga("trace", "convert", azure, tmp_path / name)
        assert done.returncode == 0, done.stderr
        assert "3 requests" in done.stderr
        assert_same(read_trace(tmp_path / name), read_trace(azure))


def test_convert_to_mooncake_is_read_by_others(jenga: Jenga, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"timestamp": 1, "input_length": 1024, "output_length": 2, '
                      '"hash_runs": [7, 2], "session_id": "s"}\n')  # fmt: skip
    done = jenga("trace", "convert", source, tmp_path / "out.jsonl", "--to", "mooncake")

    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {
        "timestamp": 1,
        "input_length": 1024,
        "output_length": 2,
        "hash_ids": [7, 8],
    }
    assert "session" in done.stderr


def test_a_file_with_other_names_is_explained(jenga: Jenga, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("arrived_at,prompt,answer\n0,100,5\n1500,200,6\n")
    columns = ("arrived_at=timestamp_ms", "prompt=input_length", "answer=output_length")
    options = [word for column in columns for word in ("--column", column)]

    figures = inspected(jenga, path, *options)

    assert (figures["requests"], figures["span_s"]) == (2, 1.5)


def test_slice_keeps_a_part(jenga: Jenga, azure: Path, tmp_path: Path) -> None:
    out = tmp_path / "part.jsonl"

    assert jenga("trace", "slice", azure, out, "--duration", 5).returncode == 0
    assert read_trace(out).input_tokens.tolist() == [4808, 3180]
    assert jenga("trace", "slice", azure, out, "--requests", 1).returncode == 0
    assert read_trace(out).input_tokens.tolist() == [4808]


def test_merge_keeps_all(jenga: Jenga, azure: Path, tmp_path: Path) -> None:
    out = tmp_path / "both.jsonl"

    done = jenga("trace", "merge", azure, azure, out)

    assert done.returncode == 0, done.stderr
    assert sorted(read_trace(out).input_tokens.tolist()) == [110, 110, 3180, 3180, 4808, 4808]


def test_generate_is_the_same_for_a_seed(jenga: Jenga, tmp_path: Path) -> None:
    texts: list[bytes] = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        out = tmp_path / f"{name}.jsonl"
        done = jenga("trace", "generate", out, "--requests", 50, "--seed", seed, "--rate", 4)
        assert done.returncode == 0, done.stderr
        texts.append(out.read_bytes())
    assert texts[0] == texts[1] != texts[2]
    assert len(texts[0].splitlines()) == 50


def test_a_generated_trace_runs_in_every_mode(jenga: Jenga, tmp_path: Path) -> None:
    out = tmp_path / "chat.jsonl"
    jenga("trace", "generate", out, "--requests", 40, "--rate", 4)

    for options in ((), ("--replay", "session"), ("--replay", "closed", "--concurrency", 3)):
        done = jenga("run", out, "--model", "llama-3.1-8b", *options, "--format", "json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["completed"] == 40


def test_a_prefix_model_says_that_it_is_one(jenga: Jenga, azure: Path) -> None:
    done = jenga("trace", "inspect", azure, "--prefix-model", "shared:k=1,len=64")

    assert done.returncode == 0, done.stderr
    assert "a model" in done.stderr
    assert "ideal" in done.stderr


def test_the_list_of_formats_names_each_and_stands_in_the_docs(jenga: Jenga) -> None:
    text = jenga("trace", "formats").stdout

    assert text in (ROOT / "docs" / "traces.md").read_text(encoding="utf-8")

    for name in ("jenga", "mooncake", "weka", "azure", "burstgpt", "bailian", "tracelab"):
        assert f"\n{name} " in f"\n{text}"


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("inspect", "{azure}", "--rate", "-1"), 3, "--rate -1: must be a positive number"),
        (("inspect", "{azure}", "--spread-quantum", "auto"), 3, "in no coarse quanta"),
        (("inspect", "{azure}", "--spread-quantum", "x"), 2, "'x' is no time"),
        (("inspect", "{azure}", "--column", "x"), 2, "write NAME=MEANING"),
        (("inspect", "{azure}", "--start", "99"), 3, "no request arrives there; the trace spans"),
        (("inspect", "{missing}"), 3, "cannot be read: No such file"),
        (("inspect", "{text}"), 3, "is of no known format"),
        (("convert", "{azure}", "{azure}"), 2, "is what is read; write to another file"),
        (("convert", "{azure}", "{folder}/x.csv"), 3, ".jsonl"),
        (("convert", "{azure}", "{folder}/no/x.jsonl"), 3, "cannot be written: No such file"),
        (("slice", "{azure}", "{folder}/x.jsonl", "--sessions", "0"), 3, "give 1 or more"),
        (("generate", "{folder}/x.jsonl"), 2, "give --requests or --duration"),
        (("generate", "{folder}/x.jsonl", "--workload", "chta", "--requests", "9"), 3, "chta"),
        (("merge", "{azure}"), 2, "Missing argument"),
    ],
)
def test_mistakes_are_named_with_the_way_out(
    jenga: Jenga, azure: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, text: str
) -> None:
    hello = tmp_path / "hello.txt"
    hello.write_text("hello\nworld\n")
    names = {"azure": azure, "missing": tmp_path / "no.csv", "text": hello, "folder": tmp_path}

    done = jenga("trace", *(word.format(**names) for word in arguments))

    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_closed_loop_needs_its_number(jenga: Jenga, azure: Path) -> None:
    done = jenga("run", azure, "--replay", "closed")

    assert done.returncode == 2
    assert "give 1 or more" in done.stderr


def test_a_rate_means_nothing_in_closed_loop(jenga: Jenga, azure: Path) -> None:
    done = jenga("run", azure, "--replay", "closed", "--concurrency", "2", "--rate", "3")

    assert done.returncode == 2
    assert "in closed loop the load is --concurrency" in done.stderr


def test_sessions_with_clocks_of_their_own_have_a_rate_of_sessions(jenga: Jenga) -> None:
    path = real("weka-claude-code/sessions")

    done = jenga("trace", "inspect", path, "--rate", "1")
    assert done.returncode == 3
    assert "sessions have clocks of their own here; use --session-rate" in done.stderr
    assert "its own clock" not in jenga("trace", "inspect", path, "--session-rate", "1").stderr


def test_copies_multiply_the_load(jenga: Jenga, azure: Path) -> None:
    figures = inspected(jenga, azure, "--copies", 3)

    assert figures["requests"] == 9
    assert np.isclose(figures["rate_per_s"], 8 / figures["span_s"])


def test_what_a_spread_gives_is_what_inspect_promised(jenga: Jenga) -> None:
    path = real("mooncake/conversation_trace.jsonl")

    promised = inspected(jenga, path)["cv_spread"]

    for quantum in ("auto", "3000"):
        spread = inspected(jenga, path, "--spread-quantum", quantum)["cv"]
        assert spread == pytest.approx(promised, abs=0.03)


def test_copies_of_a_coarse_clock_keep_its_ticks(jenga: Jenga) -> None:
    path = real("mooncake/conversation_trace.jsonl")

    one, three = inspected(jenga, path), inspected(jenga, path, "--copies", 3)

    assert three["quantum_ms"] == one["quantum_ms"] == 3000
    assert three["ideal_token_hit"] == one["ideal_token_hit"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--rate", "inf"), "--rate inf: must be a positive number"),
        (("--session-rate", "1"), "the trace names no sessions; use --rate"),
        (("--requests", "0"), "--requests 0: give 1 or more"),
        (("--rate", "1", "--session-rate", "1"), "--rate, --session-rate: give one of them"),
    ],
)
def test_a_shape_that_means_nothing_is_refused(
    jenga: Jenga, azure: Path, options: tuple[str, ...], text: str
) -> None:
    done = jenga("trace", "inspect", azure, *options)

    assert done.returncode == 3
    assert text in done.stderr


def test_a_misspelt_column_is_not_taken_for_a_wrong_line_end(jenga: Jenga, tmp_path: Path) -> None:
    path = tmp_path / "code.csv"
    path.write_bytes(AZURE.replace("ContextTokens", "ContexTokens").replace("\n", "\r\n").encode())

    done = jenga("trace", "inspect", path)

    assert "is of no known format (its columns: contextokens, " in done.stderr


def test_an_unknown_format_in_front_of_a_file_is_named(jenga: Jenga, azure: Path) -> None:
    done = jenga("trace", "inspect", f"foo:{azure}")

    assert done.returncode == 3
    assert "foo is no format; known are mooncake, " in done.stderr


def test_who_comes_after_nobody_known_is_an_error_of_inspect_too(
    jenga: Jenga, tmp_path: Path
) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"timestamp": 0, "input_length": 5, "output_length": 1, "after": ["zz"]}\n')

    done = jenga("trace", "inspect", path)

    assert done.returncode == 3
    assert "'zz'" in done.stderr


def test_prompts_without_ids_among_others_are_counted(jenga: Jenga, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(
        '{"timestamp": 0, "input_length": 600, "output_length": 1, "hash_ids": [1, 2]}\n'
        '{"timestamp": 1, "input_length": 600, "output_length": 1}\n'
    )

    assert inspected(jenga, path)["without_hashes"] == 1
    assert "1 requests have no hash ids" in jenga("trace", "inspect", path).stdout
    done = jenga("run", path, "--model", "llama-3.1-8b", "--policy", "vllm")
    assert "note: 1 of 2 requests have no hash_ids: they share nothing" in done.stderr


def test_ids_that_name_contents_are_named_by_a_run(jenga: Jenga, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(
        '{"timestamp": 0, "input_length": 1024, "output_length": 1, "hash_ids": [1, 2]}\n'
        '{"timestamp": 1, "input_length": 1024, "output_length": 1, "hash_ids": [3, 2]}\n'
    )

    done = jenga("run", path, "--model", "llama-3.1-8b", "--policy", "vllm")

    assert "hash ids name contents, not prefixes (1 of them follow different ids)" in done.stderr


def test_a_generated_rate_that_is_missed_is_said(jenga: Jenga, tmp_path: Path) -> None:
    out = tmp_path / "agents.jsonl.gz"
    arguments = ("trace", "generate", out, "--workload", "agent", "--requests", "300")

    assert "requests/s instead of 2: sessions start" in jenga(*arguments, "--rate", "2").stderr
    assert jenga(*arguments, "--rate", "2", "--quiet").stderr == ""


def test_where_nothing_tells_sessions_apart_none_is_inferred(jenga: Jenga, tmp_path: Path) -> None:
    out = tmp_path / "docs.jsonl"
    jenga("trace", "generate", out, "--workload", "doc-qa", "--requests", "64")

    figures = inspected(jenga, out)

    assert figures["prefixes"]["block_hit"] > 0.5
    assert figures["prefixes"]["chain_share"] == 0


def test_a_folder_of_spans_is_recognised(jenga: Jenga) -> None:
    assert inspected(jenga, real("opentelemetry"))["format"] == "otel"
