"""Text from a file, made fit to be shown."""

_SHOWN_CHARACTERS = 40


def shown(text: str, limit: int = _SHOWN_CHARACTERS) -> str:
    """Shorten text from a file and replace what could disturb a terminal.

    Args:
        text: Text of any length.
        limit: Most characters to keep.
    """
    kept = text if len(text) <= limit else text[:limit] + "..."
    return "".join(character if character.isprintable() else "?" for character in kept)
