"""Profiles read by towers: each text once, kept, and the same wherever it is looked up."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.streamer import StreamerProfile
from model_export.source import TowerSource
from tests.support import towers
from tests.unit.model_export.test_towers import Bag
from training.data.passes import Passes, subset
from training.towers import TowerReader, reader

PROFILES = [
    StreamerProfile.model_validate(
        {
            "streamer_id": f"s{i}",
            "bio": f"{towers.WORDS[4 + i % 4]} {'boss ' * (i % 3)}",
            "videos": [{"video_id": "v", "title": title} for title in ("music", "cooking")],
        }
    )
    for i in range(90)
]
DISTINCT = 12 + 2 - 1  # `cooking` is a bio and a title


class Counting(Bag):
    """Counts what it is asked."""

    rows = 0

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        self.rows += len(input_ids)
        return super().forward(input_ids, attention_mask)


def tower(module: Bag, **change: object) -> TowerSource:
    return TowerSource(towers.spec(**change), module, towers.tokenizer())


def vectors(pieces: Sequence[Piece]) -> dict[str, list[float]]:
    return {p.source: list(p.vector) for p in pieces if p.kind == "vector"}


def test_each_text_is_encoded_once_and_never_again(tmp_path: Path) -> None:
    first, second = Counting(), Counting()
    said = io.StringIO()
    with TowerReader([tower(first)], tmp_path, stream=said) as made:
        made.fill(PROFILES)
        assert first.rows == DISTINCT
        assert said.getvalue().startswith(f"tower test-text: {DISTINCT} of {DISTINCT}, ")
        read = [made(pieces_of(profile)) for profile in PROFILES]
        assert first.rows == DISTINCT
    with TowerReader([tower(second)], tmp_path) as made:
        made.fill(PROFILES)
        again = made.over([pieces_of(profile) for profile in PROFILES])
    assert second.rows == 0
    assert read == list(again)


def test_the_vectors_are_the_tower_s(tmp_path: Path) -> None:
    with TowerReader([tower(Bag())], tmp_path) as made:
        pieces = made(pieces_of(PROFILES[2]))
    assert [p.source for p in pieces][-3:] == ["bio", "videos[0].title", "videos[1].title"]
    found = vectors(pieces)
    for source, words in (
        ("bio", ("gaming", "boss", "boss")),
        ("videos[0].title", ("music",)),
        ("videos[1].title", ("cooking",)),
    ):
        expected = towers.vector(*words).astype(np.float16).astype(np.float32)
        np.testing.assert_allclose(found[source], expected, atol=1e-3)


def test_a_fill_that_was_stopped_goes_on(tmp_path: Path) -> None:
    class Stopped(Counting):
        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            if self.rows >= 2 * reader._BATCH:
                raise KeyboardInterrupt
            return super().forward(input_ids, attention_mask)

    many = [StreamerProfile(streamer_id=f"s{i}", bio=f"boss number {i}") for i in range(100)]
    with TowerReader([tower(Stopped())], tmp_path) as made, pytest.raises(KeyboardInterrupt):
        made.fill(many)
    rest = Counting()
    with TowerReader([tower(rest)], tmp_path) as made:
        made.fill(many)
    assert rest.rows == 100 - 2 * reader._BATCH


def test_another_version_is_encoded_anew(tmp_path: Path) -> None:
    with TowerReader([tower(Bag())], tmp_path) as made:
        made.fill(PROFILES)
    other = Counting()
    with TowerReader([tower(other, version="1" * 64)], tmp_path) as made:
        made.fill(PROFILES)
    assert other.rows == DISTINCT


def test_pieces_of_many_are_looked_up_at_each_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [pieces_of(profile) for profile in PROFILES]
    with TowerReader([tower(Bag())], tmp_path) as made:
        now = made.over(pieces)
        assert isinstance(now, list)
        monkeypatch.setattr(reader, "_KEPT_BYTES", 1)
        later = made.over(pieces)
        assert isinstance(later, Passes)
        assert len(later) == len(now)
        assert list(later) == now
        places = np.array([1, 5, 7])
        assert list(subset(later, places)) == list(subset(now, places))
        assert next(iter(subset(made.over(later), places)))[-1] == now[1][-1]


def test_without_towers_nothing_is_added(tmp_path: Path) -> None:
    pieces = [pieces_of(profile) for profile in PROFILES]
    with TowerReader([], tmp_path) as made:
        made.fill(PROFILES)
        assert made.over(pieces) is pieces
