# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
"""Measure image tokens with the processors of transformers, and with formulas of vLLM.

Writes ``image_tokens.json`` beside this file: our own measurement, not part of the tests' run.
Needs transformers, torch, torchvision and Pillow (versions are recorded) and a source tree of vLLM
for families whose processor transformers does not have::

    python tests/golden/measure_image_tokens.py PATH/TO/vllm

Pixels are blank: no rule looks at them. Each processor is built with the settings recorded in
``SETTINGS`` (those of published checkpoints) and without a tokenizer; the string with which it
replaces the image's placeholder is counted. A size that a processor refuses is recorded as null.
"""

import ast
import importlib
import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import torch

torchvision_operators = torch.library.Library("torchvision", "FRAGMENT")
while True:
    try:
        import torchvision

        break
    except RuntimeError as error:  # built for another torch: resizing works without its operators
        name = re.fullmatch(r"operator torchvision::(\w+) does not exist", str(error))
        if name is None:
            raise
        torchvision_operators.define(f"{name[1]}(Tensor x) -> Tensor")
        for module in [module for module in sys.modules if module.startswith("torchvision")]:
            del sys.modules[module]

import transformers  # noqa: E402

SIZES = [
    (1, 1), (10, 10), (28, 28), (56, 56), (100, 30), (30, 100), (112, 200), (224, 224),
    (300, 900), (336, 336), (448, 448), (512, 512), (560, 560), (640, 480), (480, 640),
    (800, 600), (1000, 1000), (1024, 768), (1280, 720), (1920, 1080), (1080, 1920), (1344, 1344),
    (2000, 100), (100, 2000), (2480, 3508), (3840, 2160), (4096, 4096), (60, 9000),
    (5, 1500), (1019, 1), (4, 7958), (10667, 1),
]  # fmt: skip
SPECIAL = re.compile(r"<\|?[^<>]*\|?>|\[[A-Z_]+\]|\n\n")

GRIDS = [384 * n for n in range(1, 7)]
SETTINGS = {
    "qwen2.5-vl": (
        "qwen2_vl",
        "Qwen2VL",
        {"patch_size": 14, "size": {"shortest_edge": 3136, "longest_edge": 12845056}},
    ),
    "qwen2-vl, class defaults": ("qwen2_vl", "Qwen2VL", {}),
    "qwen3-vl": (
        "qwen2_vl",
        "Qwen2VL",
        {"patch_size": 16, "size": {"shortest_edge": 65536, "longest_edge": 16777216}},
    ),
    "glm-4.1v": ("glm4v", "Glm4v", {"size": {"shortest_edge": 12544, "longest_edge": 9633792}}),
    "glm-4.1v, class defaults": ("glm4v", "Glm4v", {}),
    "kimi-k2.5": ("kimi_k25", "Kimi_K25", {}),
    "kimi-k3": ("kimi_k25", "Kimi_K25", {"max_patches": 65536}),
    "gemma-3": ("gemma3", "Gemma3", {"size": {"height": 896, "width": 896}}),
    "gemma-4": ("gemma4", "Gemma4", {}),
    "gemma-4, 1120": ("gemma4", "Gemma4", {"max_soft_tokens": 1120}),
    "llava-1.5": (
        "llava",
        "Llava",
        {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}},
    ),
    "paligemma": ("paligemma", "PaliGemma", None),
    "pixtral": ("pixtral", "Pixtral", {}),
    "ministral-3": ("pixtral", "Pixtral", {"size": {"longest_edge": 1540}}),
    "llama-4": ("llama4", "Llama4", {}),
    "llama-3.2-vision": ("mllama", "Mllama", {"size": {"height": 560, "width": 560}}),
    "lfm2.5-vl": ("lfm2_vl", "Lfm2Vl", {}),
    "lfm2-vl, not split": ("lfm2_vl", "Lfm2Vl", {"do_image_splitting": False}),
    "internvl3": (
        "internvl",
        "InternVL",
        {
            "size": {"height": 448, "width": 448},
            "crop_to_patches": True,
            "min_patches": 1,
            "max_patches": 12,
        },
    ),
    "llava-next": (
        "llava_next",
        "LlavaNext",
        {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}},
    ),
    "llava-onevision": (
        "llava_onevision",
        "LlavaOnevision",
        {"image_grid_pinpoints": [[h, w] for h in GRIDS for w in GRIDS]},
    ),
}
ATTRIBUTES = {
    "gemma-3": {"full_image_sequence": "\n\n<boi>" + "<i>" * 256 + "<eoi>\n\n"},
    "gemma-4": {"boi_token": "<boi>", "eoi_token": "<eoi>"},
    "gemma-4, 1120": {"boi_token": "<boi>", "eoi_token": "<eoi>"},
    "llava-1.5": {
        "patch_size": 14,
        "num_additional_image_tokens": 1,
        "vision_feature_select_strategy": "default",
    },
    "paligemma": {"image_seq_length": 256},
    "pixtral": {"patch_size": 16, "spatial_merge_size": 1},
    "ministral-3": {"patch_size": 14, "spatial_merge_size": 2},
    "llama-4": {"patch_size": 14, "downsample_ratio": 4},
    "internvl3": {"image_seq_length": 256},
    "llava-next": {
        "patch_size": 14,
        "num_additional_image_tokens": 1,
        "vision_feature_select_strategy": "default",
    },
    "llava-onevision": {
        "num_image_tokens": 729,
        "vision_aspect_ratio": "anyres_max_9",
        "vision_feature_select_strategy": "full",
    },
}
NAMES = {
    "image_token": "<i>",
    "image_break_token": "[IMG_BREAK]",
    "image_end_token": "[IMG_END]",
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "image_start_token": "<|image_start|>",
    "image_thumbnail_token": "<|img_thumbnail|>",
}
EMBEDDED = {"<i>", "<|patch|>"}


def measure(family):
    """[embeddings, separators] of every size for a family of transformers."""
    module, prefix, settings = SETTINGS[family]
    processing = importlib.import_module(f"transformers.models.{module}.processing_{module}")
    processor = object.__new__(getattr(processing, f"{prefix}Processor"))
    names = NAMES | ({"image_end_token": "<|image_end|>"} if prefix == "Lfm2Vl" else {})
    for name, value in (names | ATTRIBUTES.get(family, {})).items():
        setattr(processor, name, value)
    if settings is not None:
        images = "got_ocr2" if prefix == "InternVL" else module
        source = importlib.import_module(f"transformers.models.{images}.image_processing_{images}")
        kind = "GotOcr2" if prefix == "InternVL" else prefix
        processor.image_processor = getattr(source, f"{kind}ImageProcessor")(**settings)
    return [one(processor, prefix, width, height) for width, height in SIZES]


def one(processor, prefix, width, height):
    """[embeddings, separators] of one blank image."""
    image = torch.zeros((3, height, width), dtype=torch.uint8)
    try:
        if not hasattr(processor, "image_processor"):
            text = processor.replace_image_token({}, 0)
        elif prefix == "Mllama":
            made = processor.image_processor([[image]], return_tensors="pt")
            return [int(made["num_tiles"][0][0]) * ((560 // 14) ** 2 + 1), 0]
        elif prefix == "Pixtral":
            made = processor._process_images([image], return_tensors="pt")[0]
            text = processor.replace_image_token(made, 0)
        elif prefix == "Lfm2Vl":
            options = {"return_row_col_info": True}
            made = processor.image_processor([image], **options)
            text = processor.replace_image_token(made, 0, use_image_special_tokens=True)
        else:
            options = {} if prefix == "Gemma4" else {"return_tensors": "pt"}
            made = processor.image_processor([image], **options)
            text = processor.replace_image_token(made, 0)
    except (ValueError, RuntimeError, ZeroDivisionError, IndexError, TypeError) as error:
        print(f"  {width} x {height}: refused: {error!r:.120}")
        return None
    tokens = SPECIAL.findall(text)
    assert "".join(tokens) == text, text[:200]
    embedded = sum(token in EMBEDDED for token in tokens)
    return [embedded, len(tokens) - embedded]


def functions(path, *wanted):
    """Some functions of a source file, without importing what the file imports."""
    tree = ast.parse(path.read_text())
    body: list[ast.stmt] = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in wanted
    ]
    space: dict = {"np": np, "math": math}
    exec(compile(ast.Module(body, []), str(path), "exec"), space)
    return space


def internvl2(vllm):
    """InternVL2 by vLLM's formula; its text puts one token before and one after."""
    found = functions(
        vllm / "transformers_utils/processors/internvl.py",
        "find_closest_aspect_ratio", "get_internvl_target_ratios", "calculate_internvl_targets",
    )  # fmt: skip
    ratios = found["get_internvl_target_ratios"](1, 12)
    return [
        [
            256 * found["calculate_internvl_targets"](
                orig_width=width, orig_height=height, target_ratios=ratios, image_size=448,
                use_thumbnail=True,
            )[0],
            2,
        ]
        for width, height in SIZES
    ]  # fmt: skip


def molmo(vllm):
    """Molmo by vLLM's formula, with the defaults of its image processor."""
    found = functions(
        vllm / "model_executor/models/molmo.py",
        "_lowest_multiple", "get_num_patches", "get_patches_grid_size", "get_candidate_tilings",
        "select_tiling",
    )  # fmt: skip
    counts = []
    for width, height in SIZES:
        with np.errstate(divide="ignore"):
            down, across = found["select_tiling"](
                height=height - 112, width=width - 112, patch_size=224, max_num_patches=12
            )
        rows, columns = found["get_patches_grid_size"](
            tiling_h=int(down), tiling_w=int(across), crop_patches=24, left_margin=4,
            right_margin=4, pooling_size=2,
        )  # fmt: skip
        rows, columns = (rows + 1) // 2, (columns + 1) // 2
        counts.append([144 + rows * columns, 2 + 12 + 2 + rows])
    return counts


def main():
    """Measure everything and write it."""
    vllm = Path(sys.argv[1])
    tokens = {}
    for family in SETTINGS:
        print(family, flush=True)
        tokens[family] = measure(family)
    tokens["internvl2 (vLLM)"] = internvl2(vllm)
    tokens["molmo (vLLM)"] = molmo(vllm)
    versions = {
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "vllm": "0.33",
    }
    lines = [f'    "{family}": {json.dumps(counts)}' for family, counts in tokens.items()]
    text = (
        "{\n"
        '  "about": "tokens of blank images, measured by measure_image_tokens.py; [embeddings, '
        'separators] per size, null where the processor refuses",\n'
        f'  "versions": {json.dumps(versions)},\n'
        f'  "sizes": {json.dumps(SIZES)},\n'
        '  "tokens": {\n' + ",\n".join(lines) + "\n  }\n}\n"
    )
    json.loads(text)
    Path(__file__).with_name("image_tokens.json").write_text(text)


if __name__ == "__main__":
    main()
