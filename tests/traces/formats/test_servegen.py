"""Client pools of ServeGen (alibaba/ServeGen, @f891d11): what its servegen/clientpool.py reads.

Its sampler is servegen/construct.py; the pair of a family is (shape, scale), as scipy has them.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace, read_trace
from jenga_sim.traces.formats.servegen import sample
from jenga_sim.traces.formats.servegen_pool import Client, Pool, Values, Window, read_pool
from jenga_sim.traces.problems import Problems
from jenga_sim.traces.source import Source
from tests.traces.data import real
from tests.traces.formats.damage import damaged_bytes, damaged_json, read_or_refuse

LENGTHS = {
    "0": {
        "input_tokens": "{10: 0.25, 20: 0.75}",
        "output_tokens": "{5: 1.0}",
        "reason_ratio": "{0.0: 0.0, 0.4: 1.0}",
    },
    "1200": {
        "input_tokens": "{1000: 1.0}",
        "output_tokens": "{50: 1.0}",
        "reason_ratio": "{0.5: 1.0}",
    },
}
IMAGES = {
    "0": {
        "text_tokens": "{7: 1.0}",
        "image_tokens": "{100: 0.5, 300: 0.5}",
        "audio_tokens": "{0: 1.0}",
        "video_tokens": "{11: 1.0}",
        "image_count": "{2: 1.0}",
        "audio_count": "{0: 1.0}",
        "video_count": "{1: 1.0}",
        "output_tokens": "{9: 1.0}",
    }
}
WINDOWS = (
    "0,0,0,,0,0\n600,0.1,1.5,Gamma,0.444,22.5\n1200,0.2,0.76,Weibull,1.33,5.4\n1800,0,0,,0,0\n"
)


def pool(
    tmp_path: Path, number: int = 3, windows: str = WINDOWS, lengths: object = LENGTHS
) -> Path:
    folder = tmp_path / "pool"
    folder.mkdir(exist_ok=True)
    (folder / f"chunk-{number}-trace.csv").write_text(windows)
    if lengths is not None:
        (folder / f"chunk-{number}-dataset.json").write_text(json.dumps(lengths))
    return folder


def loaded(folder: Path) -> Pool:
    return read_pool(Source(folder), Problems())


def test_a_pool_is_read_as_its_first_hour_with_requests(tmp_path: Path) -> None:
    trace = read_trace(pool(tmp_path))

    assert trace.meta.format == "servegen"
    # 0.1/s and 0.2/s for 600 s each, from second 600 on.
    assert len(trace) == 60 + 120
    assert int(np.sum(trace.arrival_ns < 600 * 10**9)) == 60
    assert trace.arrival_ns.max() < 1200 * 10**9
    assert trace.tenant is not None
    assert trace.tenant.names == ("chunk-3",)
    assert trace.meta.notes[0] == (
        "a pool of 1 clients, sampled from second 600 for 3600 s with seed 0"
    )


def test_lengths_are_those_of_the_last_window_of_lengths_before(tmp_path: Path) -> None:
    trace = read_trace(pool(tmp_path))

    early = trace.arrival_ns < 600 * 10**9
    assert set(trace.input_tokens[early].tolist()) == {10, 20}
    assert set(trace.input_tokens[~early].tolist()) == {1000}
    assert set(trace.output_tokens[early].tolist()) == {5}
    assert trace.reasoning_tokens is not None
    assert set(trace.reasoning_tokens[early].tolist()) == {2}
    assert set(trace.reasoning_tokens[~early].tolist()) == {25}


def test_images_have_tokens_of_their_own_and_count_in_the_prompt(tmp_path: Path) -> None:
    trace = read_trace(pool(tmp_path, lengths=IMAGES))

    assert trace.images is not None
    assert set(trace.images.counts.tolist()) == {2}
    tokens = trace.images.values[:, 1].reshape(-1, 2)
    assert set(tokens.ravel().tolist()) == {100, 300}
    assert trace.input_tokens.tolist() == (7 + 11 + tokens.sum(axis=1)).tolist()
    assert len(set(trace.image_names)) == 2 * len(trace)


def test_the_same_seed_gives_the_same_requests_and_another_one_others(tmp_path: Path) -> None:
    clients = loaded(pool(tmp_path))

    one, same = (sample(clients, 600, 1200, None, 7) for _ in range(2))
    other = sample(clients, 600, 1200, None, 8)

    for name, column in one.columns.items():
        if isinstance(column, np.ndarray):
            np.testing.assert_array_equal(column, same.integers(name))
    assert one.integers("arrival_ns") is not None
    assert np.any(one.columns["arrival_ns"] != other.columns["arrival_ns"])


def test_another_client_leaves_the_requests_of_the_first_as_they_are(tmp_path: Path) -> None:
    alone = read_trace(pool(tmp_path))
    together = read_trace(pool(tmp_path, number=10))

    assert together.tenant is not None
    first = np.array([word == "chunk-3" for word in together.tenant.names])[together.tenant.codes]
    assert len(together) == 2 * len(alone)
    np.testing.assert_array_equal(together.arrival_ns[first], alone.arrival_ns)
    np.testing.assert_array_equal(together.input_tokens[first], alone.input_tokens)


def test_a_rate_scales_all_clients_alike(tmp_path: Path) -> None:
    rows = sample(loaded(pool(tmp_path)), 600, 1200, 1.5, 0)

    arrivals = rows.integers("arrival_ns")
    assert arrivals is not None
    assert len(arrivals) == 1800
    assert int(np.sum(arrivals < 600 * 10**9)) == 600


def test_a_time_that_cuts_a_window_takes_its_part(tmp_path: Path) -> None:
    rows = sample(loaded(pool(tmp_path)), 900, 600, None, 0)

    arrivals = rows.integers("arrival_ns")
    assert arrivals is not None
    assert int(np.sum(arrivals < 300 * 10**9)) == 30
    assert len(arrivals) == 30 + 60
    assert arrivals.max() < 600 * 10**9


def test_too_many_requests_are_refused_before_they_are_made(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"pool: would be 1.2e\+12 requests"):
        sample(loaded(pool(tmp_path)), 600, 1200, 1e9, 0)


def test_clients_without_lengths_are_left_out_and_their_share_is_told(tmp_path: Path) -> None:
    pool(tmp_path)

    trace = read_trace(pool(tmp_path, number=9, lengths=None))

    assert trace.tenant is not None
    assert trace.tenant.names == ("chunk-3",)
    assert trace.meta.notes[0] == (
        "clients without a file of lengths are left out: 9, 50.0 % of the load"
    )


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ("0,0.1,1,Gamma,1\n", r"chunk-3-trace.csv:1: must have 6 fields"),
        ("0,0.1,1,Pareto,1,1\n", r"chunk-3-trace.csv:1: family must be Gamma or Weibull"),
        ("0,0.1,1,Gamma,0,1\n", r"chunk-3-trace.csv:1: family must be .* a shape above 0"),
        ("0,-1,1,Gamma,1,1\n", r"chunk-3-trace.csv:1: rate and cv must be numbers from 0"),
        ("0,1,1,Gamma,1,1\n0,1,1,Gamma,1,1\n", r"chunk-3-trace.csv:2: start must not come twice"),
        ("zero,1,1,Gamma,1,1\n", r"chunk-3-trace.csv:1: invalid literal"),
    ],
)
def test_a_bad_window_is_named_by_its_line(tmp_path: Path, windows: str, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        read_trace(pool(tmp_path, windows=windows))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{1: 0.5, 2}", r"0.input_tokens: must be values with probabilities, is {1: 0.5, 2}"),
        ("__import__('os')", r"0.input_tokens: must be values with probabilities"),
        ("{-1: 1.0}", r"0.input_tokens: must have values from 0"),
        ("{1: -1.0}", r"0.input_tokens: must have values from 0"),
        ("{1: 0.0}", r"0.input_tokens: must have probabilities that sum to 1, not 0"),
    ],
)
def test_a_bad_distribution_is_named_by_window_and_field(
    tmp_path: Path, text: str, message: str
) -> None:
    lengths = {"0": {"input_tokens": text, "output_tokens": "{1: 1.0}"}}

    with pytest.raises(TraceError, match=rf"chunk-3-dataset.json: {message}"):
        read_trace(pool(tmp_path, lengths=lengths))


def test_bad_windows_can_be_skipped_and_are_counted(tmp_path: Path) -> None:
    folder = pool(tmp_path, windows=WINDOWS + "2400,x,1,Gamma,1,1\n")

    trace = read_trace(folder, on_bad_line="skip")

    assert trace.meta.skipped_lines == 1


@given(data=st.data())
def test_damaged_pools_are_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = pool(tmp_path_factory.mktemp("damage"))
    if data.draw(st.booleans()):
        windows = data.draw(damaged_bytes(WINDOWS.encode()))
        (folder / "chunk-3-trace.csv").write_bytes(windows)
    else:
        good = data.draw(st.sampled_from([LENGTHS, IMAGES]))
        text = damaged_json(good) | damaged_bytes(json.dumps(good).encode())
        (folder / "chunk-3-dataset.json").write_bytes(data.draw(text))

    for on_bad_line in ("error", "skip"):
        read_or_refuse(folder, "servegen", on_bad_line)


def one_client(window: Window, values: npt.NDArray[np.float64]) -> Pool:
    lengths = Values(values, np.ones(len(values)))
    fields = {"input_tokens": lengths, "output_tokens": lengths}
    silent = Window(window.start_s + 600, 0.0, 0.0, "", 1.0)
    return Pool(Path("pool"), (Client(0, (window, silent), (0,), (fields,)),))


@settings(max_examples=25)
@given(
    rate=st.floats(0.01, 50.0),
    family=st.sampled_from(["Gamma", "Weibull"]),
    shape=st.floats(0.2, 5.0),
    seed=st.integers(0, 2**32),
)
def test_a_window_has_as_many_requests_as_its_rate_says(
    rate: float, family: str, shape: float, seed: int
) -> None:
    clients = one_client(Window(600, rate, 1.0, family, shape), np.array([3.0]))

    rows = sample(clients, 0, 1800, None, seed)

    arrivals = rows.integers("arrival_ns")
    assert arrivals is not None
    assert abs(len(arrivals) - rate * 600) < 1
    assert np.all(np.diff(arrivals) >= 0)
    assert np.all((arrivals >= 600 * 10**9) & (arrivals <= 1200 * 10**9))


@pytest.mark.parametrize(
    ("family", "shape", "cv"),
    [
        ("Gamma", 0.25, 2.0),
        ("Gamma", 4.0, 0.5),
        # A Weibull of shape 2 is Rayleigh's: its variation is sqrt(4 / pi - 1).
        ("Weibull", 2.0, math.sqrt(4.0 / math.pi - 1.0)),
        ("Weibull", 1.0, 1.0),
    ],
)
def test_gaps_vary_as_the_shape_of_their_family_says(family: str, shape: float, cv: float) -> None:
    clients = one_client(Window(0, 200.0, cv, family, shape), np.array([3.0]))

    gaps = np.diff(sample(clients, 0, 600, None, 0).columns["arrival_ns"])  # type: ignore[arg-type]

    assert np.std(gaps) / np.mean(gaps) == pytest.approx(cv, rel=0.03)


def spearman(x: npt.NDArray[np.int64], y: npt.NDArray[np.int64]) -> float:
    """Rank correlation; equal values have the mean of their ranks."""
    ranks: list[npt.NDArray[np.float64]] = []
    for values in (x, y):
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(counts) - counts / 2)[inverse])
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def test_fields_of_a_request_are_drawn_one_by_one() -> None:
    values = np.arange(1.0, 101.0)
    clients = one_client(Window(0, 20.0, 1.0, "Gamma", 1.0), values)

    rows = sample(clients, 0, 600, None, 0)

    inputs, outputs = rows.integers("input_tokens"), rows.integers("output_tokens")
    assert inputs is not None
    assert outputs is not None
    assert abs(spearman(inputs, outputs)) < 0.03
    assert inputs.mean() == pytest.approx(50.5, rel=0.02)


@pytest.mark.parametrize("name", ["reason/deepseek-r1", "multimodal/mm-image"])
def test_the_published_clients_have_the_rates_and_lengths_of_their_files(name: str) -> None:
    folder = real(f"servegen/{name}")

    for client in loaded(folder).clients:
        rows = sample(Pool(folder, (client,)), 0, 86_400, None, 0)
        outputs = rows.integers("output_tokens")
        inputs = rows.integers("input_tokens")
        assert outputs is not None
        assert inputs is not None
        counts = [round(window.rate * 600) for window in client.windows]
        assert len(rows) == sum(counts)
        stated = math.fsum(
            count * _mean(client.fields_at(window.start_s)["output_tokens"])
            for count, window in zip(counts, client.windows, strict=True)
        )
        assert outputs.mean() == pytest.approx(stated / len(rows), rel=0.02)
        # Lengths shift together from one 6-hour window to the next, so not quite 0.
        assert abs(spearman(inputs, outputs)) < 0.1


def _mean(lengths: Values) -> float:
    return float(np.sum(lengths.values * lengths.weights) / np.sum(lengths.weights))


@pytest.mark.parametrize(
    ("name", "client", "within"),
    [("reason/deepseek-r1", 53, 0.06), ("multimodal/mm-image", 0, 0.02)],
)
def test_the_published_clients_vary_as_their_files_say(
    name: str, client: int, within: float
) -> None:
    # Of clients with many requests per window: of few, a heavy tail is hardly ever drawn.
    folder = real(f"servegen/{name}")
    found = next(one for one in loaded(folder).clients if one.number == client)

    arrivals = sample(Pool(folder, (found,)), 0, 86_400, None, 0).columns["arrival_ns"]

    assert isinstance(arrivals, np.ndarray)
    drawn: list[float] = []
    stated: list[float] = []
    for window in found.windows:
        start = window.start_s * 10**9
        inside = arrivals[(arrivals >= start) & (arrivals < start + 600 * 10**9)]
        if len(inside) > 20:
            gaps = np.diff(inside)
            drawn.append(float(np.std(gaps) / np.mean(gaps)))
            stated.append(window.cv)
    assert np.mean(drawn) == pytest.approx(np.mean(stated), rel=within)


def test_the_published_reasoning_pool_reads_as_a_trace() -> None:
    trace: Trace = read_trace(real("servegen/reason/deepseek-r1"))

    assert trace.reasoning_tokens is not None
    share = trace.reasoning_tokens.sum() / trace.output_tokens.sum()
    assert 0.5 < share < 0.9
