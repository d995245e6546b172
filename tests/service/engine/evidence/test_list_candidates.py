from itertools import combinations

import numpy as np

from model_export.contract.evidence import Side, side_of
from model_export.contract.streamer import StreamerProfile
from service.engine.evidence.list_candidates import MOST_PAIRED, list_candidates
from service.engine.work.lanes import run_to_end

LETTERS = [chr(code) for code in range(0x4E00, 0x5E00)]


def side(bio: str, **shown: object) -> Side:
    return side_of(StreamerProfile(streamer_id="s", bio=bio, **shown))  # type: ignore[arg-type]


def pairs_of(sides: list[Side]) -> set[tuple[int, int]]:
    one, other = run_to_end(list_candidates(sides))
    return set(zip(one.tolist(), other.tolist(), strict=True))


def texts(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(LETTERS, 40)) for _ in range(count)]


def test_who_shares_something_rare_is_compared() -> None:
    words = texts(6)
    vector = np.random.default_rng(1).normal(size=8).tolist()
    near = (np.array(vector) * 2).tolist()
    sides = [
        side(words[0]),
        side(words[1] + words[0]),
        side(words[2], name="面条师傅"),
        side(words[3], name="面 条 师 傅"),
        side(words[4], avatar={"vector": vector, "space": "clip"}),
        side(words[5], avatar={"vector": near, "space": "clip"}),
    ]
    assert pairs_of(sides) == {(0, 1), (2, 3), (4, 5)}
    assert pairs_of([]) == pairs_of(sides[:1]) == set()


def test_a_farm_is_a_chain_and_not_all_of_its_pairs() -> None:
    farm = MOST_PAIRED * 4
    found = pairs_of([side(texts(1)[0])] * farm)
    assert {(i, i + 1) for i in range(farm - 1)} <= found
    assert len(found) <= 4 * farm
    few = pairs_of([side(texts(1)[0])] * 5)
    assert few == set(combinations(range(5), 2))
