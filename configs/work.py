"""What one token costs in arithmetic: operations of the matrices and of the attention."""

from collections import Counter

from .specs import LayerSpec, ModelSpec


def linear_flops(model: ModelSpec) -> int:
    """Operations of all matrices for one token: two per parameter that it multiplies.

    The embedding is looked up, not multiplied. A vision tower counts with every token.
    """
    lookup = 0 if model.tied_embeddings else model.vocab_size * model.hidden_size
    return 2 * max(model.params_active - lookup, 0)


def attention_flops(layer: LayerSpec) -> float:
    """Operations of one layer for one query and one token that it reads, all ranks together.

    Keys and values are multiplied once each; a latent vector stands for both. Where an entry stands
    for several tokens, their share of it.
    """
    return 2.0 * layer.heads * (layer.k_dim + (layer.v_dim or layer.k_dim)) / layer.tokens_per_entry


def attention_flops_at(model: ModelSpec, tokens: int) -> int:
    """Operations of all attention layers for one more token after ``tokens``.

    Every entry counts that the cache keeps, windows at most; indexers and sparse choices do not.
    """
    readers = Counter(owner for _, owner in model.shared_layers)
    total = 0.0
    for layer in model.layers:
        if layer.role == "kv":
            read = min(tokens, layer.window) if layer.window else tokens
            total += attention_flops(layer) * read * (1 + readers[layer.block])
    return int(total)
