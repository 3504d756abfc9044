"""One small good file of every format, for what all formats have in common."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jenga_sim.traces.read import Reading
from tests.traces.sample_rows import (
    BLIS_COLUMNS,
    SERVEGEN_POOL,
    VLLM_BENCH_RUN,
    aiperf_record,
    bailian_chat,
    conversation,
    guidellm_report,
    guidellm_request,
    json_lines,
    otel_span,
    otlp_span,
    table,
    tracelab_round,
    vllm_run_row,
    weka_session,
)


@dataclass(frozen=True)
class Sample:
    """A file of some format.

    Attributes:
        name: Its name, or that of the file in a folder.
        content: Its bytes.
        head_lines: Lines above the first request, if every line below is one request; else None.
        columns: What its fields mean, if they do not say so themselves.
        beside: A second file that belongs to it, by name.
        is_folder: Whether the folder is what is read.
    """

    name: str
    content: bytes
    head_lines: int | None = None
    columns: dict[str, str] = field(default_factory=dict[str, str])
    beside: tuple[str, bytes] | None = None
    is_folder: bool = False

    def write(self, folder: Path) -> Path:
        """Write it into a folder; return what to read."""
        if self.beside is not None:
            name, content = self.beside
            (folder / name).write_bytes(content)
        path = folder / self.name
        path.write_bytes(self.content)
        return folder if self.is_folder else path

    def open(self, path: Path, name: str | None = None, **options: Any) -> Reading:
        """Open a file like this one, as the format ``name`` if that is given."""
        place = path if name is None else f"{name}:{path}"
        return Reading(place, columns=self.columns, **options)


SAMPLES: dict[str, Sample] = {
    "mooncake": Sample(
        "a.jsonl",
        json_lines(
            {"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [1, 2]},
            {"timestamp": 3000, "input_length": 1500, "output_length": 1, "hash_ids": [1, 3, 4]},
            {"timestamp": 3000, "input_length": 7, "output_length": 0, "hash_ids": [9]},
        ),
        head_lines=0,
    ),
    "jenga": Sample(
        "a.jsonl",
        json_lines(
            {"timestamp": 0.5, "input_length": 600, "output_length": 5, "hash_runs": [1, 2]}
            | {"request_id": "x", "session_id": "s", "turn": 0, "priority": -1, "extra": [1]},
            {"input_length": 1500, "output_length": 1, "after": ["x"], "delay": 7.25}
            | {"session_id": "s", "turn": 1, "images": [{"hash": "cat", "tokens": 9}]},
            {"timestamp": 9, "input_length": 7, "output_length": 2, "cancelled": True}
            | {"recorded": {"ttft": 3}, "slo": {"ttft_ms": 50}, "cross_tokens": 6404},
        ),
        head_lines=0,
    ),
    "weka": Sample("a.jsonl", json_lines(weka_session("s1", 0, 19), weka_session("s2", 5, 8, 13))),
    "azure": Sample(
        "a.csv",
        table(
            "TIMESTAMP,ContextTokens,GeneratedTokens",
            "2023-11-16 18:15:46.6805900,374,44",
            "2023-11-16 18:15:50.9951690,396,109",
            "2023-11-16 18:15:51.2225670,879,0",
        ),
        head_lines=1,
    ),
    "burstgpt": Sample(
        "a.csv",
        table(
            "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Log Type",
            "5,,3.2,ChatGPT,472,18,Conversation log",
            "45,7,12.5,GPT-4,1087,230,API log",
            "46,7,0.5,GPT-4,1417,0,API log",
        ),
        head_lines=1,
    ),
    "lengths": Sample(
        "a.csv",
        table(
            "arrived_at,num_prefill_tokens,num_decode_tokens",
            *("0.0,374,44", "4.314579,396,109", "4.541977,879,55"),
        ),
        head_lines=1,
    ),
    "bailian": Sample(
        "a.jsonl",
        json_lines(
            bailian_chat(1, -1, 0.0, 1), bailian_chat(2, 1, 61.5, 2), bailian_chat(3, -1, 70.25, 1)
        ),
        head_lines=0,
    ),
    "tracelab": Sample(
        "a.jsonl",
        json_lines(
            tracelab_round(0, 200, 0, 1.0),
            tracelab_round(1, 300, 192, 4.5),
            tracelab_round(2, 310, 300, 9.0),
        ),
        head_lines=0,
    ),
    "llmservingsim": Sample(
        "a.jsonl",
        json_lines(
            {"input_toks": 40, "output_toks": 7, "arrival_time_ns": 46926808}
            | {"input_tok_ids": list(range(40))},
            {"input_toks": 20, "output_toks": 7, "arrival_time_ns": 347938951}
            | {"input_tok_ids": list(range(20))},
        ),
        head_lines=0,
    ),
    "vllm-run": Sample(
        "a.jsonl", json_lines(vllm_run_row("a", 100.5), vllm_run_row("b", 101.25)), head_lines=0
    ),
    "mapped": Sample(
        "a.csv",
        table("when_s,prompt,answer,chat", "0,100,20,c1", "2.5,150,30,c1", "4,7,1,c2"),
        head_lines=1,
        columns={
            **{"when_s": "timestamp", "prompt": "input_length"},
            **{"answer": "output_length", "chat": "session_id"},
        },
    ),
    "vllm-bench": Sample("a.json", json.dumps(VLLM_BENCH_RUN).encode()),
    "aiperf": Sample(
        "a.jsonl", json_lines(aiperf_record("a", 0, 0), aiperf_record("b", 90_000_000, 1))
    ),
    "guidellm": Sample(
        "a.json",
        json.dumps(
            guidellm_report(guidellm_request("b", 0.25), guidellm_request("a", 0.0))
        ).encode(),
    ),
    "otel": Sample(
        "a.json",
        json.dumps(
            {
                "trace_id": "t1",
                "spans": [otel_span("a", 0, "x" * 80), otel_span("b", 2, "x" * 80 + "y")],
            }
        ).encode(),
    ),
    "otlp": Sample(
        "a.json",
        json.dumps(
            {"resourceSpans": [{"scopeSpans": [{"spans": [otlp_span("b", 9), otlp_span("a", 0)]}]}]}
        ).encode(),
    ),
    "sharegpt": Sample(
        "a.json",
        json.dumps(
            [conversation("a", "x" * 90, "y", "z" * 50, "w"), conversation("b", "q", "r")]
        ).encode(),
    ),
    "lmcache": Sample(
        "a.jsonl",
        json_lines(
            *(
                {"timestamp": 1_760_428_258_635_837 + at, "input": "x" * at, "output": "yes"}
                | {"session_id": "s1"}
                for at in (130, 260)
            )
        ),
    ),
    "blis": Sample(
        "a.csv",
        table(
            BLIS_COLUMNS,
            "0,t1,standard,s,0,g,32,10,5,m,0,0,0,0,0,ok,0.0,0,0,0",
            "1,t1,standard,s,1,g,32,20,6,m,100000,0,0,0,0,ok,0.0,0,0,0",
        ),
        beside=("a.yaml", b"trace_version: 3\ntime_unit: microseconds\nmode: generated\n"),
    ),
    "servegen": Sample(
        "chunk-3-trace.csv",
        b"0,0,0,,0,0\n600,0.05,1.5,Gamma,0.444,22.5\n1200,0.02,0.76,Weibull,1.33,5.4\n",
        beside=("chunk-3-dataset.json", json.dumps(SERVEGEN_POOL).encode()),
        is_folder=True,
    ),
}
"""By name of the format."""
