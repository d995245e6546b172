"""Parameters of evidence for a data set."""

from collections.abc import Callable, Sequence, Set

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import (
    EVIDENCE_VERSION,
    IDENTITY,
    KEYED,
    MEDIA,
    STYLE_CHANNELS,
    ChannelParameters,
    Comparison,
    EvidenceParameters,
    Frequencies,
    Levels,
    Matcher,
    Side,
    count_keys,
    packaged,
    side_of,
)
from model_export.contract.evidence.channels import TEXT
from model_export.contract.evidence.parameters import UNSEEN
from model_export.contract.folding import FOLDING_VERSION
from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import StreamerProfile
from training.calibration.evidence.counting import (
    chances,
    columns,
    shares,
    slope_of,
    threshold_of,
)
from training.calibration.evidence.look_alikes import COUNTED_AS, simulated_look_alikes
from training.calibration.evidence.pairs import Pairs, known_pairs, simulated_copies, strangers
from training.data.passes import subset
from training.features.bags import bags_of, corpus_features
from training.preparation.stage import Stage, all_rows, sample

MOST_COUNTED = 10_000
"""Streamers whose keys are counted."""
MOST_COPIED = 2_000
"""Streamers that are disguised, and compared."""
PRIOR = 0.005
"""Share of the same among candidate pairs, as in a simulated world with rings (0.0076)."""

LEAST_PROBABILITY = 2 / 3
"""Of pairs that are joined: two honest accounts in one group cost more than a copy that is left."""

Embed = Callable[[Sequence[StreamerProfile]], NDArray[np.float32]]
"""Embeddings of R profiles (R, D), zero without usable content."""


def evidence_of_stage(stage: Stage) -> EvidenceParameters:
    """Parameters of evidence from the streamers that a stage knows."""

    def embed(profiles: Sequence[StreamerProfile]) -> NDArray[np.float32]:
        features = corpus_features((pieces_of(each) for each in profiles), stage.vocabulary)
        bags, usable = bags_of(features, stage.vocabulary)
        return all_rows(stage.encoder, stage.encoder.embed, bags, usable)

    rows = sample(stage.known, MOST_COUNTED, stage.seed)
    profiles = list(subset(stage.dataset.profiles, rows))
    groups = stage.dataset.groups[rows]
    return estimate_evidence(profiles, groups, stage.vocabulary.uninformative, embed, stage.seed)


def estimate_evidence(
    profiles: Sequence[StreamerProfile],
    groups: NDArray[np.int64],
    uninformative: Set[str],
    embed: Embed,
    seed: int,
) -> EvidenceParameters:
    """Count levels on copies and on strangers.

    Args:
        profiles: of N streamers.
        groups: (N,), equal for known duplicates.
        uninformative: boilerplate, of the vocabulary.
        embed: the encoder.
        seed: of copies and random pairs.
    """
    frequencies = frequencies_of(profiles, groups)
    rows = sample(np.arange(len(profiles)), MOST_COPIED, seed)
    originals = [profiles[row] for row in rows.tolist()]
    copied = simulated_copies(originals, seed)
    honest = simulated_look_alikes(originals, seed)
    shown = [*originals, *(each for pair in (*copied, *honest) for each in pair)]
    distinct = {id(profile): profile for profile in shown}  # an original is in up to three places
    embeddings = embed(list(distinct.values()))
    read = {
        at: side_of(profile, uninformative, vector if vector.any() else None)
        for (at, profile), vector in zip(distinct.items(), embeddings, strict=True)
    }
    sides = [read[id(profile)] for profile in shown]
    count = len(originals)
    known = known_pairs(groups[rows], len(copied), seed)
    places = count + 2 * np.arange(len(copied))
    simulated = Pairs.of(places, places + 1, same=True)
    places = count + 2 * len(copied) + 2 * np.arange(len(honest))
    alike = Pairs.of(places, places + 1, same=False, mass=COUNTED_AS)
    drawn, near = strangers(groups[rows], embeddings[:count], seed)
    pairs = _joined([known, simulated, alike, near, drawn])
    levels = _levels(sides, frequencies, pairs)
    source = (
        f"{len(known)} known and {len(copied)} simulated copies, {len(honest)} simulated "
        f"look-alikes, {len(near)} pairs of neighbours, {len(drawn)} of strangers"
    )
    is_candidate = np.arange(len(pairs)) < len(pairs) - len(drawn)
    return _estimated(levels, pairs, is_candidate, frequencies, source, seed)


def _estimated(
    levels: Levels,
    pairs: Pairs,
    is_candidate: NDArray[np.bool_],
    frequencies: Frequencies,
    source: str,
    seed: int,
) -> EvidenceParameters:
    """Chances from one half of the pairs; slope and threshold from the other.

    What accounts of one style share is counted on candidates: copies and look-alikes. By random
    pairs a topic in common would count once in the tags, again in the category, and again in the
    embedding, and outweigh that two look-alikes share no word.
    """
    learned = pairs.halves(seed)
    default = packaged()
    channels: dict[str, ChannelParameters] = {}
    for column, name, _ in columns():
        counted = learned & is_candidate if name in STYLE_CHANNELS else learned
        given = levels[counted, column], pairs.same[counted], pairs.mass[counted]
        unseen = map(TEXT.levels.index, UNSEEN) if name == TEXT.name else ()
        channels[name] = chances(
            *given, default.channels[name], is_media=name in MEDIA, unseen=[*unseen]
        )
    parameters = EvidenceParameters(
        version=EVIDENCE_VERSION,
        folding_version=FOLDING_VERSION,
        prior=PRIOR,
        slope=1.0,
        threshold=0.0,
        channels=channels,
        frequencies=frequencies,
        source=source,
    )
    held_out = pairs.take(~learned)
    matcher = Matcher(parameters)
    contributions = matcher.contributions(levels[~learned])
    weights = contributions.sum(1)
    joinable = np.where(matcher.has_direct(contributions), weights, -np.inf)
    if not held_out.same.any():
        return parameters.model_copy(
            update={"threshold": default.threshold, "source": f"{source}; packaged threshold"}
        )
    mass = shares(held_out.same, held_out.mass, PRIOR)
    slope = slope_of(weights, held_out.same, mass, PRIOR)
    matcher = Matcher(parameters.model_copy(update={"slope": slope}))
    threshold, precision, recall = threshold_of(
        joinable, held_out.same, mass, matcher.weight_of(LEAST_PROBABILITY), _enough(matcher)
    )
    return parameters.model_copy(
        update={
            "slope": slope,
            "threshold": threshold,
            "source": f"{source}; on the half that it was chosen on, the threshold has recall "
            f"{recall:.3f}, and precision {precision:.3f} if, as is assumed, {PRIOR:.1%} of all "
            f"pairs are the same and {_alike(held_out):.1%} look-alikes",
        }
    )


def _alike(pairs: Pairs) -> float:
    """Share of simulated look-alikes among all pairs, as they are counted."""
    others = pairs.mass[~pairs.same]
    return (1 - PRIOR) * float(others[others == COUNTED_AS].sum() / max(others.sum(), 1e-12))


def _enough(matcher: Matcher) -> float:
    """Bits of a contact or of several media, the fewest of those that are likelier right than not.

    Whoever has them in common is joined. A threshold of look-alikes alone, which all share words,
    would at times be above.
    """
    strongest = [matcher.bits[c, 0] for c, name, _ in columns() if name in IDENTITY]
    likely = matcher.weight_of(0.5)
    return min((float(bits) for bits in strongest if bits >= likely), default=np.inf)


def frequencies_of(profiles: Sequence[StreamerProfile], groups: NDArray[np.int64]) -> Frequencies:
    """Boilerplate is counted: in a disguise it is not recognised as such, and must weigh little.

    Known duplicates count as one: what a ring alone shows is rare, however many accounts it has.
    """
    members: dict[int, list[StreamerProfile]] = {}
    for profile, group in zip(profiles, groups.tolist(), strict=True):
        members.setdefault(group, []).append(profile)
    counts, documents = count_keys(
        [keys for each in some for keys in _keys(side_of(each))] for some in members.values()
    )
    return Frequencies.of(counts, documents)


def _keys(side: Side) -> list[NDArray[np.uint32]]:
    """Keys that are counted: of all channels, and the name as a whole."""
    name = np.array([] if side.name is None else [side.name], np.uint32)
    return [*(side.of(channel) for channel in KEYED if channel != "names"), name]


def _levels(sides: Sequence[Side], frequencies: Frequencies, pairs: Pairs) -> Levels:
    comparing = Comparison(sides, frequencies.table()).levels(pairs.one, pairs.other)
    while True:
        try:
            next(comparing)
        except StopIteration as done:
            return done.value


def _joined(several: Sequence[Pairs]) -> Pairs:
    return Pairs(
        np.concatenate([each.one for each in several]),
        np.concatenate([each.other for each in several]),
        np.concatenate([each.same for each in several]),
        np.concatenate([each.mass for each in several]),
    )
