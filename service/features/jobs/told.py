"""What a long answer tells the job that writes it, beside its bytes."""

from dataclasses import dataclass, field


@dataclass
class Told:
    """What is known of an answer once it is written.

    Attributes:
        streamers: how many it has.
        missing: what it lacks, where its lines have no place for that.
        warnings: what whoever asked may have got wrong, likewise.
    """

    streamers: int = 0
    missing: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])
