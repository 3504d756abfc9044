"""What the readers of vision towers read from: config.json, its vision section, the processor."""

from dataclasses import dataclass, field

from ...images.rules import ImageRule
from ...images.spec import Where
from ..keys import Keys


class Unknown(Exception):  # noqa: N818
    """The file does not say enough to count image tokens; the message says what is missing."""


@dataclass(frozen=True)
class Found:
    """A rule and what else a vision tower says."""

    sizes: ImageRule
    levels: int = 0
    """Deepstack levels: further embeddings per token."""
    where: Where = "sequence"


@dataclass
class VisionSource:
    """The mappings of one model, and the notes that reading them leaves."""

    root: Keys
    vision: Keys
    """The vision tower's section; the file itself where there is none."""
    processor: Keys | None
    """Settings of the image processor; None where no file holds them."""
    family: str
    """``model_type`` of the whole model."""
    notes: list[str] = field(default_factory=list[str])

    def processor_integer(self, *names: str, default: int, least: int = 1) -> int:
        """A setting of the image processor: from its file, or else from config.json."""
        for keys in (self.processor, self.root):
            if keys is not None and any(name in keys for name in names):
                return keys.integer(*names, least=least)
        return default

    def processor_flag(self, name: str, *, default: bool) -> bool:
        """True or false: from the processor's file, or else from config.json."""
        for keys in (self.processor, self.root):
            if keys is not None and name in keys:
                return keys.flag(name)
        return default

    def assume(self, what: str) -> None:
        """Note a value that stands in for the processor's file, unless there is one."""
        if self.processor is None:
            self.notes.append(
                f"images: {what}; a preprocessor_config.json beside config.json would be read"
            )

    def square(self, keys: Keys, name: str, default: int | None = None) -> int:
        """A size that files spell as one number, as [height, width] or as a mapping of both."""
        value = keys.raw(name)
        if isinstance(value, list):
            sides = keys.integers(name, least=1) or []
            if not sides or len(set(sides)) != 1:
                keys.fail(name, "must be one size for both sides")
            return sides[0]
        if isinstance(value, dict):
            section = keys.section(name)
            assert section is not None
            return section.integer("height", "shortest_edge", "longest_edge")
        return keys.integer(name, default=default)
