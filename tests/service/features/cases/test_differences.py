"""Why somebody joined or left, for each cause."""

from collections.abc import Sequence
from dataclasses import replace

from service.engine.expansion.certificate import Hangs
from service.engine.expansion.edges import EvidenceEdge
from service.engine.expansion.paths import Link, settle
from service.features.cases.differences import Found, differences
from service.features.cases.records import Member, Query, Run

QUERY = Query(min_probability=0.5, decay=1.0)
CHAIN = (("a", "b", 0.9), ("b", "c", 0.9), ("c", "d", 0.8))


def found(
    edges: Sequence[tuple[str, str, float]],
    *,
    sources: Sequence[str] = ("a",),
    barred: Sequence[str] = (),
    query: Query = QUERY,
    digests: dict[str, str] | None = None,
    model: str = "m1",
) -> Found:
    membership = settle((Link(*e) for e in edges), sources, barred, query.rules)
    hops = membership.hops()
    seen = {name: "1" for e in edges for name in e[:2]} | dict.fromkeys(sources, "1")
    seen |= digests or {}
    members = {}
    for name, count in hops.items():
        own = [EvidenceEdge(a, b, p, 9.0, ()) for a, b, p in edges if b == name and a in hops]
        path = membership.path(name, count)
        value = round(membership.value(name), 6)
        members[name] = Member(
            name, "stored", count, value, path, None, Hangs(), own, seen.get(name, "")
        )
    run = Run(
        "r", 0.0, query, tuple(sources), tuple(barred), len(members), len(edges), 9, "exhausted",
        None, model, 5, "",
    )  # fmt: skip
    return Found(run, members, seen)


def causes(before: Found, after: Found, *, gone: str = "", new: str = "") -> dict[str, str]:
    now = {n: s for n, s in {**before.looked_at, **after.looked_at}.items() if n not in gone}
    told = differences(before, after, now, set(new))
    return {
        f"{sign}{each.streamer_id}": each.cause
        for sign, some in (("+", told.joined), ("-", told.left), ("~", told.changed))
        for each in some
    }


def test_nothing_is_different_between_equal_runs() -> None:
    assert not differences(found(CHAIN), found(CHAIN), found(CHAIN).looked_at, ())


def test_who_was_cleared_takes_those_behind_along() -> None:
    after = found(CHAIN, barred=["b"])
    assert causes(found(CHAIN), after) == {"-b": "verdict", "-c": "verdict", "-d": "verdict"}
    assert causes(after, found(CHAIN)) == {"+b": "verdict", "+c": "verdict", "+d": "verdict"}


def test_a_lower_threshold_lets_more_in() -> None:
    high = found(CHAIN, query=replace(QUERY, min_probability=0.7))
    assert causes(high, found(CHAIN)) == {"+d": "threshold"}
    assert causes(found(CHAIN), high) == {"-d": "threshold"}


def test_who_was_deleted_parts_those_behind() -> None:
    after = found(CHAIN[2:], sources=["a"])
    assert causes(found(CHAIN), after, gone="b") == {
        "-b": "deleted", "-c": "deleted", "-d": "deleted",
    }  # fmt: skip


def test_a_new_account_joins_and_brings_others() -> None:
    before = found(CHAIN[:1])
    assert causes(before, found(CHAIN), new="c") == {"+c": "joined", "+d": "joined"}


def test_an_edited_profile_is_named() -> None:
    after = found(CHAIN[:1], digests={"c": "2", "d": "1"})
    told = differences(found(CHAIN), after, after.looked_at, ())
    assert [(d.streamer_id, d.cause, list(d.because)) for d in told.left] == [
        ("c", "profile_changed", ["c"]),
        ("d", "profile_changed", ["c"]),
    ]


def test_another_model_weighs_anew() -> None:
    after = found([("a", "b", 0.8), *CHAIN[1:]], model="m2")
    assert causes(found(CHAIN), after) == {"~b": "model", "~c": "model", "~d": "model"}


def hanging(told: Found, name: str, *edges: tuple[str, str]) -> Found:
    """The same, with a member that hangs on these edges alone."""
    member = replace(told.members[name], leaves_if=Hangs(list(edges)))
    return Found(told.run, {**told.members, name: member}, told.looked_at)


def test_a_verdict_elsewhere_is_why_a_member_hangs_on_less() -> None:
    before = hanging(found(CHAIN), "a", ("a", "b"))
    told = differences(before, found(CHAIN, sources=["a", "d"]), before.looked_at, ())
    (changed,) = (each for each in told.changed if each.streamer_id == "a")
    assert (changed.cause, changed.because) == ("verdict", ["d"])


def test_who_was_deleted_elsewhere_is_why_a_member_hangs_on_more() -> None:
    edges = [("a", "b", 0.9), ("b", "c", 0.9)]
    after = hanging(found(edges), "a", ("a", "b"))
    now = dict.fromkeys("abc", "1")
    (changed,) = differences(found(CHAIN), after, now, ()).changed
    assert (changed.streamer_id, changed.cause, changed.because) == ("a", "deleted", ["d"])
