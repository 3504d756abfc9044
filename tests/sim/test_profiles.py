"""Profiles as folders: what is read back, what is refused and where, and those that are shipped."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from jenga_sim.calibrate.files import write_about, write_fit, write_measurements
from jenga_sim.configs.errors import ConfigError
from jenga_sim.sim.kernels.ops import OPS
from jenga_sim.sim.kernels.profile import (
    SCHEMA,
    Measurements,
    OriginShape,
    PeaksShape,
    PriorShape,
    ProfileShape,
    TableShape,
    load_profile,
    profile_names,
)
from jenga_sim.sim.kernels.residuals import Evidence

MEGABYTE = 1_000_000
GEMM = Measurements(
    OPS["gemm"],
    {"dtype": "bf16"},
    {"m": np.array([1.0, 8, 64]), "n": np.full(3, 512.0), "k": np.full(3, 1024.0)},
    np.array([3.25, 3.5, 4.125]),
)
ABOUT = ProfileShape(
    schema=SCHEMA,
    name="mine",
    device="a GPU",
    software={"torch": "2.13"},
    origin=OriginShape(kind="measured", source="by hand", licence="Apache-2.0", date="2026-11-24"),
    peaks=PeaksShape(flops_tflops={"bf16": 100.0}, memory_bandwidth_gbs=1000.0, link_gbs=100.0),
    measurements=[],
)
PRIOR = PriorShape(start_us=2.0, compute_factor=1.3, memory_factor=1.2, sharpness=2.0)


def written(folder: Path, *, fitted: bool = True) -> Path:
    entries = write_measurements(folder, [GEMM])
    write_about(folder, ABOUT.model_copy(update={"measurements": entries}))
    if fitted:
        tags = dict(GEMM.tags)
        write_fit(folder, [TableShape(op="gemm", tags=tags, rows=3, shapes=1, prior=PRIOR)])
    return folder


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    profile = load_profile(written(tmp_path))
    (found,) = profile.measurements("gemm")
    assert found.tags == GEMM.tags
    assert {name: values.tolist() for name, values in found.columns.items()} == {
        name: values.tolist() for name, values in GEMM.columns.items()
    }
    us, evidence = profile.table("gemm", dtype="bf16").us(GEMM.columns)
    np.testing.assert_allclose(us, GEMM.us)
    assert evidence.tolist() == [Evidence.MEASURED] * 3
    assert profile.measurements("moe") == []


def test_any_question_has_an_answer(tmp_path: Path) -> None:
    profile = load_profile(written(tmp_path))
    for op in OPS.values():
        tags = {"dtype": "fp8", "kv_dtype": "fp8", "routing": "balanced", "library": "nccl"}
        tags["collective"] = "all_reduce"
        us, evidence = profile.table(op.name, **tags).us(dict.fromkeys(op.columns, np.ones(2)))
        assert (us > 0).all()
        assert evidence.tolist() == [Evidence.ANALYTICAL] * 2


def test_before_it_is_fitted_a_profile_knows_the_data_sheet_only(tmp_path: Path) -> None:
    profile = load_profile(written(tmp_path, fitted=False))
    _, evidence = profile.table("gemm", dtype="bf16").us(GEMM.columns)
    assert evidence.tolist() == [Evidence.ANALYTICAL] * 3


def test_large_files_are_compressed_and_the_same_every_time(tmp_path: Path) -> None:
    many = np.arange(1.0, 20_001)
    columns = {"m": many, "n": many, "k": many}
    for folder in ("one", "two"):
        write_measurements(tmp_path / folder, [Measurements(OPS["gemm"], GEMM.tags, columns, many)])
    data = [(tmp_path / name / "measurements/gemm.csv.gz").read_bytes() for name in ("one", "two")]
    assert data[0] == data[1]
    assert gzip.decompress(data[0]).startswith(b"dtype,n,k,m,us\nbf16,1,1,1,1\n")


def changed(folder: Path, old: str, new: str) -> Path:
    """A measurement that somebody edited, and the digest with it."""
    path, about = folder / "measurements/gemm.csv", folder / "profile.yaml"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text(path.read_text().replace(old, new, 1))
    after = hashlib.sha256(path.read_bytes()).hexdigest()
    about.write_text(about.read_text().replace(before, after))
    return folder


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dtype,n,k,m,us", "dtype,n,k,us", "gemm.csv:1: columns are dtype,n,k,us, not dtype,n,k,m"),
        ("3.25", "fast", "gemm.csv:2: could not convert string to float: 'fast'"),
        ("3.25", "-1", "gemm.csv:2: bf16,512,1024,1,-1 is no kernel and its microseconds"),
        ("3.25", "nan", "gemm.csv:2: .* is no kernel"),
        ("1,3.25", "3.25", "gemm.csv:2: .* is no kernel"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = changed(written(tmp_path), old, new)
    with pytest.raises(ConfigError, match=message):
        load_profile(folder).measurements("gemm")


def test_a_file_that_is_not_the_one_described_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path)
    with (folder / "measurements/gemm.csv").open("a") as file:
        file.write("bf16,512,1024,99,1\n")
    with pytest.raises(ConfigError, match=r"not the file that profile.yaml describes"):
        load_profile(folder).table("gemm", dtype="bf16")


def test_a_key_that_nobody_knows_has_its_line(tmp_path: Path) -> None:
    about = written(tmp_path) / "profile.yaml"
    about.write_text(about.read_text() + "colour: red\n")
    with pytest.raises(ConfigError, match=r"profile.yaml:\d+: colour: "):
        load_profile(tmp_path)


def test_an_unknown_name_has_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no profile 'h100'.*h100-sxm.*or give a folder"):
        load_profile("h100")
    with pytest.raises(ConfigError, match=r"no profile.yaml in this folder"):
        load_profile(tmp_path)


# --- those that are shipped -----------------------------------------------------------------------


def test_the_usual_gpus_have_a_profile() -> None:
    wanted = {"a100-sxm", "b200-sxm", "gb200", "h100-sxm", "h200-sxm", "l40s"}
    assert wanted <= set(profile_names())


@pytest.mark.parametrize("name", profile_names())
def test_a_shipped_profile_is_small_whole_and_says_where_it_is_from(name: str) -> None:
    profile = load_profile(name)
    files = [profile.folder / entry.file for entry in profile.about.measurements]
    assert sum(len(file.read_bytes()) for file in files) < 4 * MEGABYTE
    origin = profile.about.origin
    assert origin.source.startswith("aiconfigurator-core 0.12.0")
    assert origin.licence == "Apache-2.0"
    rows = {(fit.op, *fit.tags.values()): fit.rows for fit in profile.fits.values()}
    for entry in profile.about.measurements:
        found = profile.measurements(entry.op)
        assert entry.rows == sum(len(table.us) for table in found)
        for table in found:
            assert rows.pop((entry.op, *table.tags.values())) == len(table.us)
    assert rows == {}


TARGETS = [
    ("gemm bf16", "unseen", 3.5),
    ("gemm fp8", "unseen", 3.5),
    ("gemm fp8_block", "unseen", 3.5),
    ("attention_decode bf16", "points", 3.0),
    ("attention_decode fp8", "points", 3.0),
    ("attention_prefill bf16", "points", 4.0),
    ("attention_prefill fp8", "points", 4.0),
    ("moe bf16 balanced", "points", 2.5),
    ("moe bf16 power_law_1.2", "points", 2.5),
    ("moe fp8_block balanced", "points", 2.5),
    ("moe fp8_block power_law_1.2", "points", 2.5),
    ("gdn_prefill", "points", 2.0),
    ("gdn_decode", "points", 2.0),
]


@pytest.mark.parametrize(("kernels", "held_out", "most_pct"), TARGETS)
def test_held_out_measurements_of_an_h100_are_met(
    kernels: str, held_out: str, most_pct: float
) -> None:
    fits = load_profile("h100-sxm").fits.values()
    (fit,) = [fit for fit in fits if " ".join([fit.op, *fit.tags.values()]) == kernels]
    error = getattr(fit, held_out)
    assert error.median_pct <= most_pct
    assert abs(error.signed_pct) < 1.0
