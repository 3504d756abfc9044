"""``quantization_config``: the schemes of a checkpoint's weights, and what they leave alone.

Sources: transformers 5.23 ``quantizers/*``; vLLM 0.33 ``model_executor/layers/quantization``.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..errors import ConfigError
from .keys import Keys, read_keys
from .parameters.stored import Names, Quantization, Scheme
from .parameters.tensors import Part

DTYPES = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "fp16",
    "float32": "fp32",
    "float": "fp32",
    "float8_e4m3fn": "fp8",
}
"""Names of dtypes in files."""
ALL: frozenset[Part] = frozenset({"attention", "state", "mlp", "experts", "vision", "head"})
"""Parts that a scheme for all linear layers applies to, where no list leaves them alone."""
BODY = ALL - {"head", "vision"}
SIDE_FILE = "hf_quant_config.json"
"""Where ModelOpt keeps what newer files have in config.json."""

NVFP4 = Scheme(dtype="nvfp4", bits=4, rows=1, columns=16, scale_bytes=1, matrix_bytes=8)
"""Blocks of 16 with an fp8 scale; one float32 scale for a matrix, one for its inputs."""
MXFP4 = Scheme(dtype="mxfp4", bits=4, rows=1, columns=32, scale_bytes=1)
"""Blocks of 32 with an 8-bit exponent: 4.25 bits."""
FP8_STATIC = Scheme(dtype="fp8", bits=8, matrix_bytes=8)
"""One float32 scale for a matrix, one for its inputs."""
FP8_CHANNEL = Scheme(dtype="fp8", bits=8, rows=1, scale_bytes=4)
ALGORITHMS = {
    "FP8": FP8_STATIC,
    "FP8_PER_CHANNEL_PER_TOKEN": FP8_CHANNEL,
    "FP8_PB_WO": Scheme(dtype="fp8", bits=8, rows=128, columns=128, scale_bytes=4),
    "NVFP4": NVFP4,
    "W4A16_NVFP4": replace(NVFP4, matrix_bytes=4),
    "NVFP4_AWQ": NVFP4,
    "MXFP4": MXFP4,
    "MXFP8": Scheme(dtype="fp8", bits=8, rows=1, columns=32, scale_bytes=1),
    "W4A16_AWQ": Scheme(dtype="int4", bits=4, rows=1, columns=128, scale_bytes=2),
}
"""Schemes by ``quant_algo`` of ModelOpt."""


SCHEMES = ("fp8", "nvfp4", "mxfp4", "fp4", "int4", "int8", "awq", "gptq", "w4a16", "w8a8")
"""What names of checkpoints say of their weights."""


def read_quantization(root: Keys, text: Keys) -> Quantization:
    """What a file says of the dtypes of its weights.

    Raises:
        ConfigError: A value of ``quantization_config`` makes no sense.
    """
    name = root.text("dtype") or root.text("torch_dtype")
    name = name or text.text("dtype") or text.text("torch_dtype") or "bfloat16"
    dtype = DTYPES.get(name.removeprefix("torch."), "bf16")
    outer = root.section("quantization_config") or _side_file(root)
    section = outer or text.section("quantization_config") or text.section("compression_config")
    if section is None:
        return Quantization(dtype=dtype, notes=_named_otherwise(root, dtype))
    method = _method(section)
    read = METHODS.get(method)
    if read is None:
        note = f"Quantisation {method!r} is not known: weight bytes are estimated without it."
        return Quantization(dtype=dtype, notes=(note,))
    found = replace(read(section, root, text), dtype=dtype)
    return found if outer is not None else replace(found, parts=found.parts - {"vision"})


def _named_otherwise(root: Keys, dtype: str) -> tuple[str, ...]:
    """A note where the checkpoint's name has a scheme and its file has none (NVIDIA's often)."""
    file = Path(root.file)
    folder = file.resolve().parent.name if file.name == "config.json" else file.stem
    words = f"{folder}-{root.text('_name_or_path') or ''}".casefold().split("-")
    named = next((word for word in words if word in SCHEMES), None)
    if named is None:
        return ()
    why = f"the name says {named}, but no scheme is in the file, and no {SIDE_FILE} beside it"
    return (f"Weight bytes are estimated in {dtype}: {why}.",)


def _side_file(root: Keys) -> Keys | None:
    path = Path(root.file).with_name(SIDE_FILE)
    if path.name == Path(root.file).name or not path.is_file():
        return None
    try:
        return read_keys(path).section("quantization")
    except ConfigError:
        return None


def _method(section: Keys) -> str:
    method = section.text("quant_method")
    if method:
        return "fp8" if method == "deepseek_v4_fp8" else method.replace("_", "-")
    if "quant_algo" in section:
        return "modelopt"
    return "compressed-tensors" if "config_groups" in section else "unnamed"


def _ignored(section: Keys) -> Names:
    names = ("ignore", "exclude_modules", "modules_to_not_convert", "ignored_layers")
    return Names(entry for name in names for entry in section.texts(name) or [])


def _fp8(section: Keys, root: Keys, text: Keys) -> Quantization:
    """Blocks with a scale each; the experts of DeepSeek-V4 in 4 bits, or by ModelOpt."""
    fp4_experts = text.text("expert_dtype") == "fp4"
    block = section.integers("weight_block_size", least=1)
    if block is not None and len(block) != 2:
        section.fail("weight_block_size", "must be two numbers")
    scheme = FP8_STATIC
    if block is not None:
        size = 1 if fp4_experts else 4
        scheme = Scheme(dtype="fp8", bits=8, rows=block[0], columns=block[1], scale_bytes=size)
    elif section.text("activation_scheme") == "dynamic":
        scheme = replace(FP8_STATIC, matrix_bytes=4)
    named = _named(section)
    if named:
        return Quantization(default=scheme, named=named, parts=BODY)
    if fp4_experts:
        named = ((Names(["re:.*\\.experts\\..*"]), MXFP4),)
    found = Quantization(default=scheme, named=named, ignored=_ignored(section), parts=BODY)
    if "compress_ratios" in text and "expert_dtype" not in text:
        note = "expert_dtype is absent: experts are counted in fp8, as the other matrices."
        return replace(found, notes=(note,))
    return found


def _named(section: Keys) -> tuple[tuple[Names, Scheme], ...]:
    """ModelOpt's ``quantized_layers``: a scheme for each module that has one."""
    layers = section.section("quantized_layers")
    if layers is None:
        return ()
    entries: dict[str, list[str]] = {}
    for name in section.raw("quantized_layers"):
        each = layers.section(name)
        if each is not None:
            entries.setdefault(each.text("quant_algo") or "", []).append(name)
    return tuple(
        (Names(names), ALGORITHMS[algorithm])
        for algorithm, names in entries.items()
        if algorithm in ALGORITHMS
    )


def _modelopt(section: Keys, root: Keys, text: Keys) -> Quantization:
    algorithm = section.text("quant_algo") or ""
    if algorithm == "MIXED_PRECISION":
        return Quantization(named=_named(section), parts=ALL)
    scheme = ALGORITHMS.get(algorithm)
    if scheme is None:
        return _compressed(section, root, text)
    group = section.optional_integer("group_size")
    if group is not None and scheme.dtype == "int4":
        scheme = replace(scheme, columns=group)
    return Quantization(default=scheme, ignored=_ignored(section), parts=ALL)


def _compressed(section: Keys, root: Keys, text: Keys) -> Quantization:
    """compressed-tensors: groups of modules, each with a format of its weights."""
    groups = section.section("config_groups")
    if groups is None:
        return Quantization()
    default: Scheme | None = None
    named: list[tuple[Names, Scheme]] = []
    for name in section.raw("config_groups"):
        group = groups.section(name)
        weights = group.section("weights") if group is not None else None
        if group is None or weights is None:
            continue
        scheme = _weights(weights, group.section("input_activations"))
        targets = group.texts("targets") or ["Linear"]
        if "Linear" in targets:
            default = scheme
        else:
            named.append((Names(targets), scheme))
    found = _ignored(section)
    return Quantization(default=default, ignored=found, named=tuple(named), parts=ALL)


def _weights(weights: Keys, inputs: Keys | None) -> Scheme:
    bits = weights.integer("num_bits", most=16)
    floating = weights.text("type", default="int") == "float"
    group = weights.optional_integer("group_size")
    if floating and bits == 4:
        return MXFP4 if group == 32 else NVFP4
    static = inputs is not None and not inputs.flag("dynamic")
    dtype = f"fp{bits}" if floating else f"int{bits}"
    strategy = weights.text("strategy") or ("group" if group else "tensor")
    zeros = 0 if weights.flag("symmetric", default=True) else bits
    if strategy == "block":
        rows, columns = weights.integers("block_structure", least=1) or [128, 128]
        return Scheme(dtype=dtype, bits=bits, rows=rows, columns=columns, scale_bytes=2)
    if strategy == "tensor":
        return Scheme(dtype=dtype, bits=bits, matrix_bytes=8 if static else 4)
    packed = 0 if bits == 8 else 16
    scheme = Scheme(dtype=dtype, bits=bits, rows=1, scale_bytes=2, zero_bits=zeros)
    columns = (group or 0) if strategy == "group" else 0
    return replace(scheme, columns=columns, matrix_bytes=packed)


def _packed(order: int) -> Callable[[Keys, Keys, Keys], Quantization]:
    """AWQ and GPTQ: whole numbers with a scale and a zero point for each group."""

    def read(section: Keys, root: Keys, text: Keys) -> Quantization:
        bits = section.integer("bits", "w_bit", default=4, most=16)
        group = section.integer("group_size", "q_group_size", default=128, least=-1)
        scheme = Scheme(
            dtype=f"int{bits}",
            bits=bits,
            rows=1,
            columns=max(group, 0),
            scale_bytes=2,
            zero_bits=bits if section.flag("zero_point", default=True) else 0,
            input_bytes=order,
        )
        parts = ALL - {"vision"} if section.flag("lm_head") else BODY
        return Quantization(default=scheme, ignored=_ignored(section), parts=parts)

    return read


def _mxfp4(section: Keys, root: Keys, text: Keys) -> Quantization:
    """The experts alone (``Mxfp4HfQuantizer``)."""
    experts: frozenset[Part] = frozenset({"experts"})
    return Quantization(default=MXFP4, ignored=_ignored(section), parts=experts)


def _channels(section: Keys, root: Keys, text: Keys) -> Quantization:
    return Quantization(default=FP8_CHANNEL, ignored=_ignored(section), parts=BODY)


def _bitsandbytes(section: Keys, root: Keys, text: Keys) -> Quantization:
    """Blocks of 64, whose scales may be quantised again; or rows of whole numbers."""
    if section.flag("load_in_4bit"):
        double = section.flag("bnb_4bit_use_double_quant")
        size = 1 if double else 4
        scheme = Scheme(dtype="int4", bits=4, rows=1, columns=64, scale_bytes=size)
    else:
        scheme = Scheme(dtype="int8", bits=8, rows=1, scale_bytes=4)
    return Quantization(default=scheme, ignored=_ignored(section), parts=BODY)


METHODS: dict[str, Callable[[Keys, Keys, Keys], Quantization]] = {
    "fp8": _fp8,
    "modelopt": _modelopt,
    "modelopt-mixed": _modelopt,
    "compressed-tensors": _compressed,
    "awq": _packed(0),
    "gptq": _packed(4),
    "auto-round": _packed(4),
    "mxfp4": _mxfp4,
    "fbgemm-fp8": _channels,
    "ptpc-fp8": _channels,
    "bitsandbytes": _bitsandbytes,
}
"""Readers by ``quant_method``."""
