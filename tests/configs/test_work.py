"""Operations per token, against figures worked out by hand."""

from jenga_sim.configs.load import load_model
from jenga_sim.configs.work import attention_flops, attention_flops_at, linear_flops


def test_a_dense_model_multiplies_each_parameter_but_the_embedding() -> None:
    model = load_model("llama-3.1-8b")
    assert linear_flops(model) == 2 * (8_030_261_248 - 128_256 * 4096)


def test_a_mixture_multiplies_the_experts_that_it_chose() -> None:
    model = load_model("gpt-oss-120b")
    assert linear_flops(model) == 2 * (5_711_982_912 - 201_088 * 2880)


def test_a_tied_embedding_is_multiplied_once_as_the_head() -> None:
    model = load_model("gemma-3-27b")
    assert linear_flops(model) == 2 * 27_432_406_640


def test_attention_multiplies_keys_and_values_of_what_it_reads() -> None:
    model = load_model("llama-3.1-8b")
    assert attention_flops(model.layers[0]) == 2 * 32 * (128 + 128)
    assert attention_flops_at(model, 1000) == 32 * 1000 * 2 * 32 * 256


def test_windows_read_no_more_than_they_hold() -> None:
    model = load_model("gemma-3-27b")
    each = 2 * 32 * 256
    assert attention_flops_at(model, 10_000) == (10 * 10_000 + 52 * 1024) * each


def test_compressed_entries_are_read_once_for_their_tokens() -> None:
    model = load_model("deepseek-v4-flash")
    c4 = next(layer for layer in model.layers if layer.variant == "mla_c4")
    assert attention_flops(c4) == 2 * 64 * 1024 / 4


def test_layers_that_share_a_cache_read_it_too() -> None:
    model = load_model("gemma-4-e2b")
    windows, whole = 28, 7
    assert len(model.shared_layers) == 20
    assert attention_flops_at(model, 10_000) == 2 * 8 * (
        windows * 512 * (256 + 256) + whole * 10_000 * (512 + 512)
    )
