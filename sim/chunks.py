"""Where the chunks of a prompt end: at the boundaries at which recurrent states are cached.

A state can only be cached if a step ends where it stands (vLLM 0.33,
``Scheduler._mamba_block_aligned_split``).
"""

from typing import Protocol


class ChunkLimits(Protocol):
    """The settings that bound a chunk."""

    @property
    def max_num_batched_tokens(self) -> int:
        """Token budget of a step."""
        ...

    @property
    def long_prefill_token_threshold(self) -> int:
        """Longest chunk; 0 for no limit."""
        ...

    @property
    def state_block_size(self) -> int:
        """Tokens between cached states."""
        ...

    @property
    def state_hash_size(self) -> int:
        """Tokens between places inside a block where the last state may be kept; 0 for none."""
        ...


def cut_at_states(
    start: int, new: int, *, prompt: int, num_tokens: int, junction: int, config: ChunkLimits
) -> int:
    """Tokens of a chunk of at most ``new`` that starts at ``start``; 0 if it must wait.

    It stops at the first of: the end of the block that it starts in, the last block boundary of the
    sequence, the last place of the prompt where a state is kept, a junction. A chunk that is no
    prompt's last ends at a block boundary if a step can span a block at all.
    """
    prefill_end = max(prompt, num_tokens - 1)
    if start >= prefill_end:
        return new
    block, unit = config.state_block_size, config.state_hash_size
    end = start + new
    if end < prefill_end:
        aligned = end // block * block
        if aligned > start or block <= _longest_chunk(config):
            end = aligned
    stops = [(num_tokens - 1) // block * block]
    if start % block:
        stops.append((start // block + 1) * block)
    tail = (prompt - 1) // unit * unit if unit else 0
    if stops[0] < tail < prompt:
        stops.append(tail)
    if start < junction < end:
        stops.append(start + (junction - start) // block * block)
    end = min((stop for stop in stops if start < stop < end), default=end)
    return max(end - start, 0)


def _longest_chunk(config: ChunkLimits) -> int:
    threshold = config.long_prefill_token_threshold
    budget = config.max_num_batched_tokens
    return min(budget, threshold) if threshold else budget
