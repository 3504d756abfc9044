"""OpenTelemetry GenAI spans, plain and in OTLP JSON.

The plain form is that of the traces in inference-perf (kubernetes-sigs, @7de5ef2); OTLP JSON is as
in opentelemetry-proto 1.x; vLLM 0.33.0 names its attributes in vllm/tracing/utils.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace, read_trace
from jenga_sim.traces.runs import block_counts
from tests.traces.data import real
from tests.traces.formats.damage import damaged_bytes, damaged_json, read_or_refuse

SYSTEM = {"role": "system", "content": "x" * 128}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def span(
    name: str, start: str, end: str, messages: list[Any], output: str | None, **attributes: Any
) -> dict[str, Any]:
    """A span from ``10:00:start`` to ``10:00:end``."""
    facts: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4",
        "gen_ai.input.messages": json.dumps(messages),
        "gen_ai.output.text": output,
    }
    facts |= attributes
    return {
        "trace_id": "t1",
        "span_id": name,
        "parent_span_id": None,
        "name": "chat gpt-4",
        "start_time": f"2026-02-25T10:00:{start}",
        "end_time": f"2026-02-25T10:00:{end}",
        "attributes": {key: value for key, value in facts.items() if value is not None},
        "status": {"code": 1, "message": ""},
    }


def usage(prompt: int, completion: int) -> dict[str, int]:
    return {"gen_ai.usage.input_tokens": prompt, "gen_ai.usage.output_tokens": completion}


def read(tmp_path: Path, *spans: dict[str, Any], **options: Any) -> Trace:
    path = tmp_path / "spans.json"
    path.write_text(json.dumps({"trace_id": "t1", "spans": list(spans)}))
    return read_trace(path, **options)


def after(trace: Trace) -> dict[str, set[str]]:
    assert trace.after is not None
    names = list(trace.request_ids)
    return {
        names[at]: {names[position] for position in trace.after.rows(at)[:, 0].tolist()}
        for at in range(len(trace))
    }


def test_spans_have_arrivals_latencies_model_and_session(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        span("a", "00.5", "02", [user("hi")], "yes", **usage(9, 3)),
        span("b", "03Z", "04+00:00", [user("ho")], "no", **usage(8, 2)),
    )

    assert trace.meta.format == "otel"
    assert trace.arrival_ns.tolist() == [0, 2_500_000_000]
    assert trace.input_tokens.tolist() == [9, 8]
    assert trace.output_tokens.tolist() == [3, 2]
    assert trace.recorded_e2e_ns is not None
    assert trace.recorded_e2e_ns.tolist() == [1_500_000_000, 1_000_000_000]
    assert trace.model is not None
    assert trace.model.word(0) == "gpt-4"
    assert trace.session is not None
    assert trace.session.word(0) == "t1"
    assert trace.meta.notes == ()


def test_without_usage_four_bytes_are_a_token_and_a_note_says_so(tmp_path: Path) -> None:
    # "user\n" + 34 letters + "\n" are 40 bytes.
    trace = read(tmp_path, span("a", "00", "01", [user("x" * 34)], "y" * 9))

    assert trace.input_tokens.tolist() == [10]
    assert trace.output_tokens.tolist() == [2]
    assert any("estimated" in note for note in trace.meta.notes)


def test_a_call_comes_after_those_whose_answers_it_has_read(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        span("a", "00", "01", [user("1")], "one"),
        span("b", "00", "01", [user("2")], "two"),
        span("join", "03", "04", [user("1"), assistant("one"), assistant("two")], "three"),
    )

    assert after(trace) == {"a": set(), "b": set(), "join": {"a", "b"}}
    assert trace.delay_ns is not None
    assert trace.delay_ns.tolist() == [-1, -1, 2_000_000_000]
    assert trace.reuse_output is not None
    assert trace.reuse_output.tolist() == [0, 0, 1]


def test_what_follows_from_another_answer_is_left_out(tmp_path: Path) -> None:
    talk = [user("1"), assistant("one"), user("2"), assistant("two"), user("3")]
    trace = read(
        tmp_path,
        span("a", "00", "01", talk[:1], "one"),
        span("b", "02", "03", talk[:3], "two"),
        span("c", "04", "05", talk, "three"),
    )

    assert after(trace) == {"a": set(), "b": {"a"}, "c": {"b"}}


def test_a_call_that_has_read_nothing_comes_after_the_last_that_ended(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        span("a", "00", "02", [user("1")], "one"),
        span("b", "01", "06", [user("2")], "two"),
        span("c", "05", "07", [user("3")], "three"),
    )

    assert after(trace) == {"a": set(), "b": set(), "c": {"a"}}


def test_calls_of_other_sessions_are_not_waited_for(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        span("a", "00", "01", [user("1")], "one", **{"gen_ai.conversation.id": "x"}),
        span("b", "02", "03", [user("1"), assistant("one")], "z", **{"session.id": "y"}),
    )

    assert trace.after is None


def test_a_tool_call_is_recognised_by_its_id_in_either_form(tmp_path: Path) -> None:
    said = {"type": "tool_call", "id": "call_1", "name": "f", "arguments": {"x": 1}}
    read_as = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    output = json.dumps([{"role": "assistant", "parts": [said]}])
    messages = [
        user("go"),
        {"role": "assistant", "tool_calls": [read_as]},
        {"role": "tool", "tool_call_id": "call_1", "content": "42"},
    ]
    trace = read(
        tmp_path,
        span("a", "00", "01", [user("go")], None, **{"gen_ai.output.messages": output}),
        span("unrelated", "01", "02", [user("?")], "!"),
        span("b", "03", "04", messages, "done"),
    )

    assert after(trace)["b"] == {"a"}
    assert trace.output_tokens.tolist()[0] > 0


def test_equal_beginnings_have_equal_block_ids(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        span("a", "00", "01", [SYSTEM, user("a" * 64)], "yes"),
        span("b", "02", "03", [SYSTEM, user("b" * 64)], "no"),
    )

    # "system\n" + 128 + "\n" + "user\n" are 141 bytes, of which two blocks of 64 are full.
    first, second = trace.hash_ids(0).tolist(), trace.hash_ids(1).tolist()
    assert first[:2] == second[:2]
    assert not set(first[2:]) & set(second[2:])
    assert len(first) == trace.input_tokens[0] // 16


def test_where_usage_is_known_shared_text_is_the_same_number_of_tokens(tmp_path: Path) -> None:
    # 142 bytes of text are 71 tokens in both, so a block of 16 tokens is 32 bytes of text.
    trace = read(
        tmp_path,
        span("a", "00", "01", [SYSTEM, user("")], "yes", **usage(71, 1)),
        span("b", "02", "03", [SYSTEM, user("")], "no", **usage(71, 1)),
    )

    assert trace.hash_ids(0).tolist() == trace.hash_ids(1).tolist() == [0, 1, 2, 3]


def test_spans_that_are_no_calls_are_left_out_and_counted(tmp_path: Path) -> None:
    tool = span("tool", "00", "01", [], None, **{"gen_ai.operation.name": "execute_tool"})

    trace = read(
        tmp_path, tool | {"name": "execute_tool f"}, span("a", "00", "01", [user("1")], "2")
    )

    assert trace.request_ids == ("a",)
    assert any(note.startswith("1 spans are no calls") for note in trace.meta.notes)


def test_a_span_that_was_exported_twice_counts_once(tmp_path: Path) -> None:
    one = span("a", "00", "01", [user("1")], "2")

    trace = read(tmp_path, one, one | {"span_id": "copy"})

    assert len(trace) == 1
    assert any(note.startswith("1 spans are copies") for note in trace.meta.notes)


def test_a_failed_call_is_kept_as_cancelled(tmp_path: Path) -> None:
    bad = span("a", "00", "01", [user("1")], None) | {"status": {"code": 2}}

    trace = read(tmp_path, bad)

    assert trace.cancelled is not None
    assert trace.cancelled.tolist() == [1]
    assert trace.recorded_e2e_ns is None


def otlp(*spans: dict[str, Any]) -> dict[str, Any]:
    return {
        "resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": list(spans)}]}]
    }


def otlp_span(name: str, start_ns: int, end_ns: int, **attributes: Any) -> dict[str, Any]:
    """What vLLM exports of a request; integers are texts in OTLP JSON."""
    values = [{"key": key.replace("__", "."), "value": value} for key, value in attributes.items()]
    return {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": name,
        "name": "llm_request",
        "kind": 2,
        "startTimeUnixNano": str(1_544_712_660_000_000_000 + start_ns),
        "endTimeUnixNano": str(1_544_712_660_000_000_000 + end_ns),
        "attributes": values,
    }


def vllm_span(name: str, start_ns: int, end_ns: int) -> dict[str, Any]:
    return otlp_span(
        name,
        start_ns,
        end_ns,
        gen_ai__response__model={"stringValue": "opt"},
        gen_ai__usage__prompt_tokens={"intValue": "24"},
        gen_ai__usage__completion_tokens={"intValue": 16},
        gen_ai__latency__time_to_first_token={"doubleValue": 0.25},
    )


def test_spans_of_vllm_in_otlp_have_lengths_and_latencies(tmp_path: Path) -> None:
    path = tmp_path / "spans.json"
    path.write_text(json.dumps(otlp(vllm_span("b", 500, 900), vllm_span("a", 100, 400))))

    trace = read_trace(path)

    assert trace.meta.format == "otlp"
    assert trace.request_ids == ("a", "b")
    assert trace.arrival_ns.tolist() == [0, 400]
    assert trace.input_tokens.tolist() == [24, 24]
    assert trace.output_tokens.tolist() == [16, 16]
    assert trace.recorded_ttft_ns is not None
    assert trace.recorded_ttft_ns.tolist() == [250_000_000] * 2
    assert not trace.has_hashes


def test_structured_attributes_of_otlp_are_messages(tmp_path: Path) -> None:
    text = {"key": "content", "value": {"stringValue": "x" * 34}}
    role = {"key": "role", "value": {"stringValue": "user"}}
    messages = {"arrayValue": {"values": [{"kvlistValue": {"values": [role, text]}}]}}
    one = otlp_span("a", 0, 10, gen_ai__input__messages=messages) | {"name": "chat gpt-4"}
    path = tmp_path / "spans.jsonl"
    path.write_text(json.dumps(otlp(one)) + "\n" + json.dumps(otlp(vllm_span("b", 20, 30))) + "\n")

    trace = read_trace(path)

    assert trace.request_ids == ("a", "b")
    # 40 bytes are 10 tokens as long as nothing better is known of texts.
    assert trace.input_tokens.tolist() == [10, 24]


def test_a_folder_of_traces_is_one_trace(tmp_path: Path) -> None:
    folder = tmp_path / "traces"
    folder.mkdir()
    for name, start in (("x", "02"), ("y", "00")):
        spans = [span("same_id", start, "09", [user(name)], "1") | {"trace_id": name}]
        (folder / f"{name}.json").write_text(json.dumps({"spans": spans}))

    trace = read_trace(f"otel:{folder}")

    assert trace.request_ids == ("y:same_id", "x:same_id")
    assert trace.arrival_ns.tolist() == [0, 2_000_000_000]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start_time": "soon"}, "start_time: must be an ISO 8601 time, is soon"),
        ({"start_time": 3}, "start_time: must be a text, is 3"),
        (
            {"attributes": {"gen_ai.usage.input_tokens": "x"}},
            'attributes.gen_ai.usage.input_tokens: must be an integer or null, is "x"',
        ),
        (
            {"attributes": {"gen_ai.operation.name": "chat", "gen_ai.input.messages": "[{"}},
            "attributes.gen_ai.input.messages: must be a list of messages as JSON",
        ),
    ],
)
def test_a_bad_span_is_named_by_its_place_and_key(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    good = span("a", "00", "01", [user("1")], "2")

    with pytest.raises(TraceError) as error:
        read(tmp_path, good, good | {"span_id": "b"} | change)

    assert str(error.value) == f"{tmp_path / 'spans.json'}:1: spans[1]: {message}"


def test_a_bad_span_can_be_skipped_and_is_counted(tmp_path: Path) -> None:
    good = span("a", "00", "01", [user("1")], "2")

    trace = read(tmp_path, good, {"span_id": "b"}, on_bad_line="skip")

    assert trace.request_ids == ("a",)
    assert trace.meta.skipped_lines == 1


@given(data=st.data())
def test_damaged_spans_are_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plain = span("a", "00", "01", [SYSTEM, user("1")], None, **usage(5, 5)) | {
        "attributes": {
            "gen_ai.operation.name": "chat",
            "gen_ai.input.messages": [SYSTEM, {"role": "user", "parts": [{"type": "text"}]}],
            "gen_ai.output.messages": [{"tool_calls": [{"id": "1", "function": {"name": "f"}}]}],
        }
    }
    structured = {"kvlistValue": {"values": [{"key": "a", "value": {"arrayValue": {}}}]}}
    one = otlp_span("a", 0, 9, gen_ai__usage__prompt_tokens={"intValue": "4"}, tools=structured)
    good = data.draw(st.sampled_from([{"trace_id": "t", "spans": [plain]}, otlp(one)]))
    path = tmp_path_factory.mktemp("damage") / "spans.json"
    path.write_bytes(data.draw(damaged_json(good) | damaged_bytes(json.dumps(good).encode())))

    for on_bad_line in ("error", "skip"):
        read_or_refuse(path, "otel", on_bad_line)


def test_inference_perfs_chain_is_one_after_the_other() -> None:
    trace = read_trace(real("opentelemetry/otel_simple_chain.json"))

    assert after(trace) == {
        "capital_question": set(),
        "landmarks_question": {"capital_question"},
        "eiffel_tower_height": {"landmarks_question"},
    }
    assert trace.delay_ns is not None
    assert trace.delay_ns.tolist() == [-1, 500_000_000, 1_000_000_000]


def test_inference_perfs_fan_in_waits_for_three_answers() -> None:
    trace = read_trace(real("opentelemetry/otel_fan_in_dependencies.json"))

    assert after(trace) == {
        "span_001": set(),
        "span_002": {"span_001"},
        "span_003": {"span_001"},
        "span_004": {"span_001", "span_002", "span_003"},
    }


def test_inference_perfs_conversation_shares_its_beginning() -> None:
    trace = read_trace(real("opentelemetry/otel_prefix_sharing_example.json"))
    names = list(trace.request_ids)
    turns = [names.index(f"span_conv_turn{turn}") for turn in (1, 2, 3, 4)]
    alone = names.index("span_independent_1")

    assert trace.input_tokens[turns].tolist() == [100, 180, 270, 380]
    assert block_counts(trace.hash_runs)[turns].tolist() == [6, 11, 16, 23]
    ids = [set(trace.hash_ids(at).tolist()) for at in turns]
    assert [len(ids[0] & other) for other in ids[1:]] == [5, 5, 5]
    assert [len(ids[at] & ids[at + 1]) for at in (1, 2)] == [11, 16]
    assert not set(trace.hash_ids(alone).tolist()) & ids[0]
