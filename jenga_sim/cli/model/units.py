"""Numbers for people: bytes and tokens with units."""


def in_tokens(count: int) -> str:
    """1k is 1,024 tokens and 1M is 1,048,576; other numbers in full."""
    for unit, size in (("M", 1 << 20), ("k", 1 << 10)):
        if count >= size and count % size == 0:
            return f"{count // size:,}{unit}"
    return f"{count:,}"


def in_bytes(size: int) -> str:
    """Four digits and a binary unit."""
    for unit, scale in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= scale:
            return f"{size / scale:,.4g} {unit}"
    return f"{size:,} B"
