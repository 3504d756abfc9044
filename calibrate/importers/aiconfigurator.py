"""The kernel tables of the package aiconfigurator-core (Apache-2.0), read where it is installed.

It holds a Parquet file per op, backend and version for each of its systems; times are milliseconds,
means of six replays of a CUDA graph. What a column means was read in its collectors (0.12.0):
``step`` of decode attention is the cache before the token, so that ``step + 1`` entries are read;
a window of 0 is none; MoE rows are of one rank of ``moe_tp_size x moe_ep_size``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ...configs.errors import ConfigError
from ...configs.specs import GPUSpec
from ...configs.strict import suggest
from ...sim.kernels.ops import OPS, FloatArray
from ...sim.kernels.profile import (
    SCHEMA,
    Measurements,
    OriginShape,
    PeaksShape,
    ProfileShape,
)

if TYPE_CHECKING:
    import pandas as pd

    Words = dict[str, "pd.Series[str] | str"]
    Tagger = Callable[[pd.DataFrame], Words]

PACKAGE = "aiconfigurator-core"
DTYPES = {
    "bfloat16": "bf16",
    "half": "bf16",
    "fp8": "fp8",
    "fp8_block": "fp8_block",
    "int4_wo": "int4",
    "w4a16_mxfp4": "mxfp4",
    "nvfp4": "nvfp4",
}
"""Its words for dtypes; rows of others are left out."""
COLLECTIVES = {"alltoall": "all_to_all"}
DELTA_RULE, CONVOLUTION = "gated_delta_rule", "causal_conv1d"
"""Parts of the names of the kernels of gated delta nets."""


@dataclass(frozen=True)
class Table:
    """One of its files, as rows of ours."""

    op: str
    file: str
    """``FAMILY/BACKEND/NAME``; the newest version is taken."""
    columns: dict[str, str]
    """Ours by theirs."""
    tags: "Tagger"
    rows: Callable[["pd.DataFrame"], "pd.DataFrame"] = lambda frame: frame


def _dtype_of(column: str, tag: str) -> "Tagger":
    return lambda frame: {tag: frame[column].map(DTYPES)}


def _no_tags(_: "pd.DataFrame") -> "Words":
    return {}


def _windowed(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Older tables have no windows."""
    return frame if "window_size" in frame else frame.assign(window_size=0)


def _with_kernel(part: str, phase: str) -> Callable[["pd.DataFrame"], "pd.DataFrame"]:
    return lambda frame: frame[
        frame.kernel_source.str.contains(part) & (frame.phase == phase)
    ].rename(columns={"head_k_dim": "head_dim"})


_ATTENTION = {
    "num_heads": "heads",
    "num_key_value_heads": "kv_heads",
    "head_dim": "head_dim",
    "window_size": "window",
    "batch_size": "batch",
}
_DELTA = {"num_k_heads": "k_heads", "num_v_heads": "v_heads", "head_dim": "head_dim"}
_PREFILL = _DELTA | {"batch_size": "batch", "seq_len": "q_len"}
_DECODE = _DELTA | {"batch_size": "batch"}
_GDN = "linear_attention/{backend}/gdn_perf"

TABLES = (
    Table(
        "gemm",
        "gemm/{backend}/gemm_perf",
        {"m": "m", "n": "n", "k": "k"},
        _dtype_of("gemm_dtype", "dtype"),
    ),
    Table(
        "attention_decode",
        "attention/{backend}/generation_attention_perf",
        _ATTENTION | {"kv_len": "kv_len"},
        _dtype_of("kv_cache_dtype", "kv_dtype"),
        lambda frame: _windowed(frame).assign(kv_len=frame.step + frame.isl),
    ),
    Table(
        "attention_prefill",
        "attention/{backend}/context_attention_perf",
        _ATTENTION | {"isl": "q_len"},
        _dtype_of("kv_cache_dtype", "kv_dtype"),
        lambda frame: _windowed(frame[frame.step == 0]),
    ),
    Table(
        "moe",
        "moe/{backend}/moe_perf",
        {
            "hidden_size": "hidden",
            "inter_size": "inner",
            "topk": "top_k",
            "num_experts": "experts",
            "moe_tp_size": "tp",
            "moe_ep_size": "ep",
            "num_tokens": "tokens",
        },
        lambda frame: {"dtype": frame.moe_dtype.map(DTYPES), "routing": frame.distribution},
    ),
    Table("gdn_prefill", _GDN, _PREFILL, _no_tags, _with_kernel(DELTA_RULE, "context")),
    Table("gdn_decode", _GDN, _DECODE, _no_tags, _with_kernel(DELTA_RULE, "generation")),
    Table("conv_prefill", _GDN, _PREFILL, _no_tags, _with_kernel(CONVOLUTION, "context")),
    Table("conv_decode", _GDN, _DECODE, _no_tags, _with_kernel(CONVOLUTION, "generation")),
    Table(
        "encoder_attention",
        "encoder_attention/{backend}/encoder_attention_perf",
        {"num_heads": "heads", "head_dim": "head_dim", "batch_size": "batch", "isl": "q_len"},
        _no_tags,
    ),
    Table(
        "collective",
        "comm/nccl/nccl_perf",
        {"num_gpus": "world", "message_size": "bytes"},
        lambda frame: {"collective": frame.op_name.replace(COLLECTIVES), "library": "nccl"},
        lambda frame: frame[frame.nccl_dtype == "half"],
    ),
    Table(
        "collective",
        "comm/{backend}/custom_allreduce_perf",
        {"num_gpus": "world", "message_size": "bytes"},
        lambda frame: {"collective": frame.op_name, "library": "engine"},
        lambda frame: frame[frame.kernel_source.str.endswith("graph")],
    ),
)


def data_folder() -> Path:
    """Where the installed package has its systems.

    Raises:
        ConfigError: It is not installed.
    """
    spec = find_spec(PACKAGE.replace("-", "_"))
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (folder := Path(place) / "systems" / "data").is_dir():
            return folder
    raise ConfigError(f"{PACKAGE} is not installed: pip install 'jenga-sim[aic]'")


def read_system(
    system: str, backend: str, gpu: GPUSpec, *, date: str, data: Path | None = None
) -> tuple[ProfileShape, list[Measurements]]:
    """All tables of one system and backend, with what to say of them.

    Args:
        system: One of its folders, such as ``h100_sxm``.
        backend: ``vllm``, ``sglang`` or ``trtllm``.
        gpu: Whose data sheet counts.
        date: Of the import, for the record.
        data: The folder of systems; that of the installed package if not given.

    Raises:
        ConfigError: The package, the system or the backend is not there.
    """
    data = data or data_folder()
    systems = sorted(entry.name for entry in data.iterdir() if entry.is_dir())
    if system not in systems:
        raise ConfigError(f"--system: no {system!r} in {data}{suggest(system, systems)}")
    tables: list[Measurements] = []
    software: dict[str, str] = {}
    device = ""
    for table in TABLES:
        file = _newest(data / system, table.file.format(backend=backend))
        if file is None:
            continue
        software[f"{file.parent.parent.parent.name}/{file.parent.parent.name}"] = file.parent.name
        frame = _read(file)
        device = device or str(frame.device.iloc[0])
        tables += _measurements(table, frame)
    if not any(f"/{backend}" in name for name in software):
        raise ConfigError(f"--backend: no {backend!r} among the tables of {system} in {data}")
    source = f"{PACKAGE} {_version()}, systems/data/{system}, backend {backend}"
    origin = OriginShape(kind="imported", source=source, licence="Apache-2.0", date=date)
    return _about(gpu, f"{gpu.name}-{backend}", device, software, origin), tables


def _about(
    gpu: GPUSpec, name: str, device: str, software: dict[str, str], origin: OriginShape
) -> ProfileShape:
    return ProfileShape(
        schema=SCHEMA,
        name=name,
        device=device,
        software=software,
        origin=origin,
        peaks=PeaksShape(
            flops_tflops={name: value / 1e12 for name, value in gpu.flops.items()},
            memory_bandwidth_gbs=gpu.memory_bandwidth / 1e9,
            link_gbs=gpu.link_bandwidth / 1e9,
        ),
        measurements=[],
    )


def _version() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "of a folder"


def _newest(system: Path, name: str) -> Path | None:
    """The file of the newest version of ``FAMILY/BACKEND/NAME``."""
    family, backend, table = name.split("/")
    found = (system / family / backend).glob(f"*/{table}.parquet")
    return max(found, key=lambda file: _numbers(file.parent.name), default=None)


def _numbers(name: str) -> list[tuple[int, str]]:
    """A version so that it can be compared."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in name.split(".")]


def _read(file: Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        return pd.read_parquet(file)
    except ImportError as error:
        raise ConfigError(f"{file}: reading Parquet needs pyarrow: {error}") from error


def _measurements(table: Table, frame: "pd.DataFrame") -> Iterator[Measurements]:
    """The rows of a file, apart by tags; what cannot be told apart counts as its median."""
    op = OPS[table.op]
    rows = table.rows(frame)
    ours = rows.rename(columns=table.columns)[[*op.columns, "latency"]].copy()
    for name, values in table.tags(rows).items():
        ours[name] = values
    ours = ours.dropna()
    ours = ours[ours.latency > 0]
    keys = [*op.tags, *op.columns]
    ours = ours.groupby(keys, as_index=False).latency.median()
    groups = ours.groupby(list(op.tags)) if op.tags else [((), ours)]
    for tags, group in groups:
        columns: dict[str, FloatArray] = {
            name: group[name].to_numpy(dtype=float) for name in op.columns
        }
        us = group.latency.to_numpy(dtype=float) * 1e3
        yield Measurements(op, dict(zip(op.tags, map(str, tags), strict=True)), columns, us)
