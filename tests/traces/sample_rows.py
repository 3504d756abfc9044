"""Rows of the small files in ``samples``, one builder per shape."""

from __future__ import annotations

import json
from typing import Any


def json_lines(*rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def table(*rows: str) -> bytes:
    return "".join(f"{row}\n" for row in rows).encode()


def weka_session(name: str, *times: float) -> dict[str, Any]:
    calls: list[dict[str, Any]] = [
        {"t": t, "type": "n", "model": "big", "in": 200 + 64 * at, "out": 9, "api_time": 1.5}
        | {"hash_ids": list(range(1, 4 + at))}
        for at, t in enumerate(times)
    ]
    calls[-1]["think_time"] = 2.0
    agent = {"t": 30, "type": "subagent", "agent_id": "a", "duration_ms": 9000}
    agent |= {"status": "completed", "requests": [calls[0] | {"t": 0.5, "in": 70, "hash_ids": [9]}]}
    facts = {"id": name, "models": ["big"], "block_size": 64, "hash_id_scope": "local"}
    return facts | {"requests": [*calls, agent, calls[-1] | {"t": 60, "think_time": 3.0}]}


def aiperf_record(name: str, start_ns: int, turn: int) -> dict[str, Any]:
    start_ns += 1_795_457_905_142_532_504
    metadata = {"x_request_id": name, "x_correlation_id": "s0", "turn_index": turn}
    metadata |= {"request_start_ns": start_ns, "request_end_ns": start_ns + 77_500_000}
    metadata |= {"benchmark_phase": "profiling", "was_cancelled": False}
    metrics = {
        "input_sequence_length": {"value": 23, "unit": "tokens"},
        "output_sequence_length": {"value": 5, "unit": "tokens"},
        "time_to_first_token": {"value": 56.25, "unit": "ms"},
        "request_latency": {"value": 77.5, "unit": "ms"},
    }
    return {"metadata": metadata, "metrics": metrics}


def guidellm_request(name: str, start_s: float) -> dict[str, Any]:
    timings = {"request_start": 1.7e9 + start_s, "request_end": 1.7e9 + start_s + 0.5}
    info = {"request_id": name, "conversation_id": f"of {name}", "turn_index": 0}
    info |= {"node_id": "turn_0", "parent_node_ids": [], "status": "completed"}
    row = {"request_id": name, "output": "a", "info": info | {"timings": timings}}
    row |= {"prompt_tokens": 40, "output_tokens": 8, "cached_tokens": None}
    return row | {"request_latency": 0.5, "time_to_first_token_ms": 26.25}


def guidellm_report(*requests: dict[str, Any]) -> dict[str, Any]:
    listed = {"successful": list(requests), "errored": [], "incomplete": [], "total": None}
    run = {
        "config": {"strategy": {"type_": "constant", "rate": 8.0}},
        "metrics": {"request_totals": {"total": len(requests)}},
        "requests": listed,
    }
    return {"metadata": {"version": 2}, "config": {}, "benchmarks": [run]}


VLLM_BENCH_RUN: dict[str, Any] = {
    **{"backend": "openai", "model_id": "opt", "request_rate": 2.0, "max_concurrency": None},
    **{"duration": 3.5, "completed": 2, "failed": 1, "total_input_tokens": 300},
    **{"total_output_tokens": 7, "request_throughput": 0.57},
    **{"input_lens": [100, 150, 200], "output_lens": [3, 0, 4], "ttfts": [0.25, 0.0, 0.5]},
    "itls": [[0.125, 0.125], [], [0.1, 0.1, 0.1]],
    "start_times": [1000.5, 1000.75, 1002.0],
    "errors": ["", "Bad Gateway", ""],
}


def otel_span(name: str, start: int, text: str) -> dict[str, Any]:
    facts = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4",
        "gen_ai.input.messages": json.dumps([{"role": "user", "content": text}]),
        "gen_ai.output.text": "yes",
        "gen_ai.usage.input_tokens": len(text),
        "gen_ai.usage.output_tokens": 3,
    }
    times = {"start_time": f"2026-02-25T10:00:0{start}", "end_time": f"2026-02-25T10:00:0{start}.5"}
    span = {"trace_id": "t1", "span_id": name, "parent_span_id": None, "name": "chat gpt-4"}
    return span | times | {"attributes": facts, "status": {"code": 1, "message": ""}}


def otlp_span(name: str, start_ns: int) -> dict[str, Any]:
    values = {
        "gen_ai.response.model": {"stringValue": "opt"},
        "gen_ai.usage.prompt_tokens": {"intValue": "24"},
        "gen_ai.usage.completion_tokens": {"intValue": 16},
        "gen_ai.latency.time_to_first_token": {"doubleValue": 0.25},
    }
    start_ns += 1_544_712_660_000_000_000
    times = {"startTimeUnixNano": str(start_ns), "endTimeUnixNano": str(start_ns + 300)}
    attributes = [{"key": key, "value": value} for key, value in values.items()]
    return (
        {"traceId": "5b8e", "spanId": name, "name": "llm_request"}
        | times
        | {"attributes": attributes}
    )


def conversation(name: str, *texts: str) -> dict[str, Any]:
    senders = ("human", "gpt")
    messages = [{"from": senders[at % 2], "value": text} for at, text in enumerate(texts)]
    return {"id": name, "conversations": messages}


def tracelab_event(kind: str, second: float) -> dict[str, Any]:
    return {"event_type": kind, "timestamp": f"2026-06-01T05:40:{second:06.3f}Z"}


def tracelab_round(index: int, total: int, cached: int, second: float) -> dict[str, Any]:
    row = {"session_id": "s", "round_index": index, "input_tokens_total": total, "model": "m"}
    row |= {"prefix_tokens": cached, "newly_append_tokens": total - cached, "output_tokens": 9}
    events = [tracelab_event("user_message", second), tracelab_event("text", second + 2)]
    return row | {"reasoning_output_tokens": None, "timing_events": events}


def bailian_chat(name: int, parent: int, at_s: float, turn: int) -> dict[str, Any]:
    row = {"chat_id": name, "parent_chat_id": parent, "timestamp": at_s, "input_length": 40}
    return row | {"output_length": 5, "type": "text", "turn": turn, "hash_ids": [0, 1, 2]}


def vllm_run_row(name: str, arrival: float) -> dict[str, Any]:
    row = {"request_id": name, "input_toks": 100, "output_toks": 9, "arrival_time": arrival}
    stamps = {"queued_ts": arrival - 5, "first_token_ts": arrival - 4, "last_token_ts": arrival}
    return row | {"scheduled_ts": arrival - 4.5} | stamps


BLIS_COLUMNS = (
    "request_id,tenant_id,slo_class,session_id,round_index,prefix_group,prefix_length,"
    "input_tokens,output_tokens,model,arrival_time_us,send_time_us,first_chunk_time_us,"
    "last_chunk_time_us,server_input_tokens,status,reason_ratio,image_tokens,audio_tokens,video_tokens"
)

SERVEGEN_POOL = {
    "0": {"input_tokens": "{10: 0.25, 20: 0.75}", "output_tokens": "{5: 0.5, 7: 0.5}"},
    "1200": {"input_tokens": "{1000: 1.0}", "output_tokens": "{50: 1.0}"},
}


def otlp(*spans: dict[str, Any]) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}
