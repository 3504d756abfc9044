"""Workloads without sessions: stated lengths, and what prompts share."""

from __future__ import annotations

import numpy as np
import pytest

from jenga_sim.traces import Trace
from jenga_sim.traces.columns import NONE
from jenga_sim.traces.generate.generate import generate_trace
from jenga_sim.traces.generate.workload import Workload
from jenga_sim.traces.generate.workloads.doc_qa import DocQa
from jenga_sim.traces.generate.workloads.lengths import IndependentLengths
from jenga_sim.traces.generate.workloads.mmlu_pro import QUESTIONS, MmluPro
from jenga_sim.traces.generate.workloads.mmmu_pro import MmmuPro
from jenga_sim.traces.generate.workloads.rag import Rag
from jenga_sim.traces.generate.workloads.reasoning import Reasoning
from jenga_sim.traces.generate.workloads.vlm import Vlm
from jenga_sim.traces.prefix_model.model import ideal_token_hit
from tests.traces.generate.claims import SIGMAS, assert_mean, assert_quantile, assert_share

COUNT = 60_000


def trace_of(workload: Workload, requests: int = COUNT) -> Trace:
    return generate_trace(workload, requests=requests, seed=9)


def test_lengths_have_the_quantiles_of_azure_conversations_and_are_independent() -> None:
    trace = trace_of(IndependentLengths())

    assert_quantile(trace.input_tokens, 0.5, 1_020)
    assert_quantile(trace.input_tokens, 0.99, 4_142)
    assert_quantile(trace.output_tokens, 0.5, 129)
    assert_quantile(trace.output_tokens, 0.99, 601)
    ranks = [np.argsort(np.argsort(c)) for c in (trace.input_tokens, trace.output_tokens)]
    assert abs(np.corrcoef(ranks[0], ranks[1])[0, 1]) < SIGMAS / np.sqrt(COUNT)


def test_equal_quantiles_make_all_lengths_alike() -> None:
    workload = IndependentLengths(
        input_tokens=7.0, input_p99_tokens=7.0, output_tokens=20.0, output_p99_tokens=20.0
    )
    trace = trace_of(workload, 100)

    assert set(trace.input_tokens.tolist()) == {7}
    assert set(trace.output_tokens.tolist()) == {20}


def test_reasoning_is_like_deepseek_r1() -> None:
    trace = trace_of(Reasoning())
    assert trace.reasoning_tokens is not None
    share = trace.reasoning_tokens / trace.output_tokens
    long = trace.output_tokens > 500

    assert_quantile(trace.input_tokens, 0.5, 208)
    assert_quantile(trace.input_tokens, 0.99, 23_423)
    assert trace.input_tokens.max() <= 57_284
    assert_quantile(trace.output_tokens, 0.5, 792)
    assert_quantile(trace.output_tokens, 0.99, 12_607)
    assert trace.output_tokens.max() == 32_768
    assert np.mean(trace.output_tokens) == pytest.approx(1_527, rel=0.07)
    assert np.all((share >= 0) & (share <= 1))
    assert np.mean(share[long]) == pytest.approx(0.70, abs=0.01)
    assert np.quantile(share[long], [0.1, 0.9]) == pytest.approx([0.36, 0.95], abs=0.01)


def test_reasoning_prompts_share_nothing() -> None:
    assert ideal_token_hit(trace_of(Reasoning(), 2_000)) == 0.0


def test_vlm_requests_are_like_those_of_mm_image() -> None:
    trace = trace_of(Vlm())
    assert trace.images is not None
    tokens, counts = trace.images.values[:, 1], trace.images.counts
    ends = np.add.reduceat(tokens, trace.images.offsets[:-1])

    assert_quantile(trace.input_tokens - ends, 0.5, 106)
    assert_quantile(trace.input_tokens - ends, 0.99, 3_064)
    assert_quantile(tokens, 0.5, 540)
    assert tokens.max() == 1_280
    assert np.mean(tokens) == pytest.approx(650, rel=0.08)
    assert_quantile(trace.output_tokens, 0.5, 100)
    assert_quantile(trace.output_tokens, 0.99, 587)
    assert np.mean(counts) == pytest.approx(1.59, abs=0.06)
    assert np.quantile(counts, 0.9) == 3
    assert 8 <= np.quantile(counts, 0.99) <= 11
    assert counts.min() == 1
    assert counts.max() <= 49


def test_pictures_stand_one_behind_the_other_before_the_text() -> None:
    trace = trace_of(Vlm(), 300)
    assert trace.images is not None

    for at in range(len(trace)):
        rows = trace.images.rows(at)
        starts = np.cumsum(rows[:, 1]) - rows[:, 1]
        assert rows[:, 4].tolist() == starts.tolist()
    names = trace.images.values[:, 0].tolist()
    assert len(set(names)) == len(names)


def test_mmmu_pro_asks_one_picture_after_the_other_and_then_again() -> None:
    trace = trace_of(MmmuPro(), 4_000)
    assert trace.images is not None
    assert trace.images.counts.tolist() == [1] * 4_000
    assert set(trace.input_tokens.tolist()) == {1_084}
    assert set(trace.output_tokens.tolist()) == {200}

    names = [trace.image_names[row] for row in trace.images.values[:, 0].tolist()]
    assert len(set(names)) == 1_730
    assert names[:1_730] + names[:1_730] == names[: 2 * 1_730]
    assert trace.hash_ids(5).tolist() == trace.hash_ids(1_735).tolist()
    again = (4_000 - 1_730) * (1_084 // 16 * 16) / (4_000 * 1_084)
    assert ideal_token_hit(trace) == pytest.approx(again, rel=1e-12)


def test_mmlu_pro_has_14_prefixes_as_often_as_subjects_have_questions() -> None:
    trace = trace_of(MmluPro())
    first = np.array([int(trace.hash_runs.rows(at)[0, 0]) for at in range(len(trace))])
    prefixes = sorted(set(first.tolist()))

    assert len(prefixes) == len(QUESTIONS) == 14
    assert sum(QUESTIONS.values()) == 12_032
    for prefix, questions in zip(prefixes, QUESTIONS.values(), strict=True):
        assert_share(first == prefix, questions / 12_032)


def test_mmlu_pro_questions_and_answers_have_the_stated_lengths() -> None:
    workload = MmluPro(prefix_tokens=2_000.0, prefix_p90_tokens=2_000.0)
    trace = trace_of(workload)
    questions = trace.input_tokens - 2_000

    assert_quantile(questions, 0.5, 161)
    assert_quantile(questions, 0.99, 600)
    assert questions.max() <= 1_233
    assert np.mean(questions) == pytest.approx(194, rel=0.05)
    assert_quantile(trace.output_tokens, 0.5, 77)
    assert np.mean(trace.output_tokens) == pytest.approx(276, rel=0.05)
    assert np.quantile(trace.output_tokens, 0.99) == 2_048
    # All but the first 14 hit the full blocks of their prefix and no more.
    hit = (COUNT - 14) * 2_000 / int(trace.input_tokens.sum())
    assert ideal_token_hit(trace) == pytest.approx(hit, rel=1e-12)


def test_doc_qa_hits_three_quarters_of_the_tokens_of_documents() -> None:
    trace = trace_of(DocQa(), 32 * 20)
    runs = [trace.hash_runs.rows(at)[0] for at in range(len(trace))]
    documents = np.array([run[0] for run in runs])

    _, counts = np.unique(documents, return_counts=True)
    assert counts.tolist() == [4] * (8 * 20)
    document_tokens = 16 * sum(int(run[1]) for run in runs)
    hit_tokens = ideal_token_hit(trace) * int(trace.input_tokens.sum())
    assert hit_tokens / document_tokens == pytest.approx(0.75, abs=0.0005)


def test_doc_qa_shuffles_a_set_and_then_takes_new_documents() -> None:
    trace = trace_of(DocQa(documents=5, questions=3), 45)
    first = [int(trace.hash_runs.rows(at)[0, 0]) for at in range(45)]

    sets = [set(first[start : start + 15]) for start in (0, 15, 30)]
    assert [len(found) for found in sets] == [5, 5, 5]
    assert not sets[0] & sets[1]
    assert not sets[1] & sets[2]
    assert first[:15] != sorted(first[:15])


def test_doc_qa_documents_are_cut_and_questions_come_behind() -> None:
    trace = trace_of(DocQa(cut_tokens=10_000), 320)
    rest = trace.input_tokens - 10_000

    assert np.mean(rest > 0) > 0.8
    assert_quantile(rest[rest > 0], 0.5, 30)
    assert set(trace.output_tokens.tolist()) == {150}
    uncut = trace_of(DocQa(cut_tokens=10**9, questions=1), 4_000).input_tokens
    assert_mean(uncut, 92_600)


def test_rag_prompts_share_what_comes_before_their_first_difference() -> None:
    """Four documents of one length in one of 24 orders: paths are told apart by their ids."""
    workload = Rag(documents=4, short_tokens=100, long_tokens=100, shared_tokens=30)
    trace = trace_of(workload, 400)
    seen: set[tuple[int, ...]] = set()
    for at in range(len(trace)):
        ids = trace.hash_ids(at).tolist()
        assert ids[0] == 0
        # Blocks up to the end of each document: (30 + 100 d) // 16.
        seen |= {tuple(ids[:end]) for end in (8, 14, 20, 26)}

    assert [len([path for path in seen if len(path) == end]) for end in (8, 14, 20, 26)] == [
        4,
        12,
        24,
        24,
    ]


def test_rag_documents_are_different_popular_and_of_the_stated_lengths() -> None:
    trace = trace_of(Rag(per_request=1, shared_tokens=0), 4_000)
    first = [int(trace.hash_runs.rows(at)[0, 0]) for at in range(len(trace))]
    _, counts = np.unique(first, return_counts=True)
    documents = trace.input_tokens.copy()

    harmonic = np.sum(1 / np.arange(1, 1_001))
    assert counts.max() / 4_000 == pytest.approx(1 / harmonic, abs=0.02)
    assert documents.min() > 512
    everything = trace_of(Rag(documents=3, per_request=9, short_tokens=64, long_tokens=64), 50)
    assert np.all(everything.input_tokens > 200 + 3 * 64)
    assert np.median(everything.input_tokens) < 200 + 4 * 64


def test_sizes_of_pictures_are_unknown_unless_stated() -> None:
    vlm, mmmu = trace_of(Vlm(), 10), trace_of(MmmuPro(), 10)
    assert vlm.images is not None
    assert mmmu.images is not None

    assert set(vlm.images.values[:, 2:4].ravel().tolist()) == {NONE}
    assert set(mmmu.images.values[:, 2:4].ravel().tolist()) == {448}
