"""Masked views: two random parts of one streamer with a guaranteed bound on their overlap.

    overlap(A, B) = w(A and B) / min(w(A), w(B)) <= rho

w sums the weights of what the encoder reads of a view: its distinct known tokens and its vectors.

1. Near-duplicate pieces are merged to atoms of positive weight. 2. An atom that outweighs all
others together is split if possible. 3. In random order, sometimes by whole modality, each atom
goes to the lighter of two sides. 4. Tokens that both sides have are hidden on the heavier side, one
by one, which leaves disjoint sides A0 and B0. 5. If the lighter one has less than 20 % of the
weight, the draw is repeated, and finally the streamer is skipped. 6. Random hidden tokens, then
random atoms, are shown on the other side as well while their weight stays within
rho * min(w(A0), w(B0)). The intersection is what was shown again, and that only increases the
weights, so the bound holds.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from model_export.contract.features import piece_tokens
from model_export.contract.pieces import Piece
from model_export.contract.text import normalise, words
from model_export.contract.uninformative import says_nothing
from model_export.contract.vocabulary import Vocabulary
from training.features.bags import inverse_document_frequency

NEAR_DUPLICATE = 0.8
"""Jaccard similarity of token sets from which pieces are one atom."""
VECTOR_WEIGHT = 20.0
"""Weight of a ready-made vector, in units of token idf."""
MIN_SIDE = 0.2
_TRIES = 3
_SENTENCE = re.compile(r"(?<=[.!?。！？;；\n])\s*")


@dataclass(frozen=True, slots=True)
class Atom:
    """Near-duplicate pieces that are masked together.

    Attributes:
        modality: of its first piece.
        pieces: one or more.
        tokens: int32 (U,), its distinct known token ids.
        vectors: weight of its distinct vectors, `VECTOR_WEIGHT` each.
        weight: sum of the idf of its tokens, and of its vectors; > 0.
    """

    modality: str
    pieces: tuple[Piece, ...]
    tokens: NDArray[np.int32]
    vectors: float
    weight: float


@dataclass(frozen=True, eq=False)
class Views:
    """Two views of a streamer.

    Attributes:
        places: per view, places of its atoms.
        hidden: per view, ids of the tokens of these atoms that it doesn't show.
        overlap: common weight, divided by the weight of the lighter view.
    """

    places: tuple[list[int], list[int]]
    hidden: tuple[NDArray[np.int64], NDArray[np.int64]]
    overlap: float


@dataclass(frozen=True, eq=False)
class ViewMaker:
    """Draws bounded-overlap views.

    Attributes:
        vocabulary: gives the weights; its uninformative pieces are dropped.
        overlap: rho in [0, 1).
        group_modality: probability that a draw moves whole modalities together.
        names: whether names are included; excluded by default, since views could match by name.
    """

    vocabulary: Vocabulary
    overlap: float
    group_modality: float
    names: bool = False

    @cached_property
    def _idf(self) -> NDArray[np.float32]:
        return inverse_document_frequency(self.vocabulary)

    def atoms(self, pieces: Sequence[Piece]) -> list[Atom]:
        """Atoms of a profile with positive weight."""
        kept = [piece for piece in pieces if self.names or piece.modality != "name"]
        weighed = [(piece, self._weigh(piece)) for piece in kept]
        weighed = [(piece, w) for piece, w in weighed if sum(w.values()) > 0]
        groups = _near_duplicates([w for _, w in weighed])
        groups = _with_encoded_pieces([piece for piece, _ in weighed], groups)
        found = []
        for group in range(max(groups, default=-1) + 1):
            members = [weighed[i] for i in range(len(weighed)) if groups[i] == group]
            content = {t: v for _, w in members for t, v in w.items()}
            found.append(_atom(tuple(p for p, _ in members), content))
        return self._balanced(found)

    def draw(self, atoms: Sequence[Atom], rng: np.random.Generator) -> Views | None:
        """Draw two views of the atoms; None if no draw was balanced."""
        for _ in range(_TRIES):
            sides: tuple[list[int], list[int]] = ([], [])
            mass = [0.0, 0.0]
            for block in self._blocks(atoms, rng):
                lighter = int(mass[1] < mass[0])
                sides[lighter].extend(block)
                mass[lighter] += sum(atoms[i].weight for i in block)
            views = _Drawing(atoms, sides, self._idf)
            views.part(rng)
            if min(views.mass) >= MIN_SIDE * sum(views.mass) and min(views.mass) > 0:
                views.share(self.overlap, rng)
                return views.drawn()
        return None

    def _blocks(self, atoms: Sequence[Atom], rng: np.random.Generator) -> list[list[int]]:
        order = rng.permutation(len(atoms)).tolist()
        if rng.random() >= self.group_modality:
            return [[i] for i in order]
        blocks: dict[str, list[int]] = {}
        for i in order:
            blocks.setdefault(atoms[i].modality, []).append(i)
        return list(blocks.values())

    def _weigh(self, piece: Piece) -> dict[int | str, float]:
        """Weights of the distinct known tokens of a piece, or of its vector."""
        if says_nothing(piece, self.vocabulary.uninformative):
            return {}
        if piece.kind == "vector":
            return {piece.content_hash: VECTOR_WEIGHT} if any(piece.vector) else {}
        ids = {self.vocabulary.token_id(token) for token in piece_tokens(piece)}
        return {i: float(self._idf[i]) for i in ids if self.vocabulary.is_known(i)}

    def _balanced(self, atoms: list[Atom]) -> list[Atom]:
        """Split the heaviest atom as long as it outweighs all others together."""
        while atoms:
            heaviest = max(range(len(atoms)), key=lambda i: atoms[i].weight)
            if 2 * atoms[heaviest].weight <= sum(a.weight for a in atoms):
                break
            parts = self._split(atoms[heaviest])
            if not parts:
                break
            atoms = [*atoms[:heaviest], *atoms[heaviest + 1 :], *parts]
        return atoms

    def _split(self, atom: Atom) -> list[Atom]:
        """Split the first piece of an atom into two atoms; empty if impossible."""
        parts, first = [], atom.pieces[0]
        for text in split_text(first.text) if first.kind == "text" else ():
            piece = Piece(first.modality, "text", first.source, text=text, time_s=first.time_s)
            content = self._weigh(piece)
            if content:
                parts.append(_atom((piece,), content))
        return parts if len(parts) == 2 else []


class _Drawing:
    """Two views in the making; T distinct tokens in all atoms.

    Attributes:
        mass: weight that each view shows alone.
    """

    def __init__(
        self,
        atoms: Sequence[Atom],
        sides: tuple[list[int], list[int]],
        idf: NDArray[np.float32],
    ) -> None:
        self._atoms, self._sides = atoms, sides
        self._ids, places = np.unique(
            np.concatenate([np.zeros(0, np.int32), *(atom.tokens for atom in atoms)]),
            return_inverse=True,
        )
        ends = np.cumsum([len(atom.tokens) for atom in atoms])
        self._tokens = np.split(places, ends[:-1])  # places among the T, per atom
        self._weights = idf[self._ids].astype(np.float64)  # (T,)
        self._places = (list(sides[0]), list(sides[1]))
        self._shows = self._has()  # (2, T)
        self._common = 0.0
        self.mass = [sum(atoms[i].vectors for i in side) for side in sides]

    def part(self, rng: np.random.Generator) -> None:
        """Hide common tokens on the heavier side."""
        common = self._shows.all(0)
        for side in (0, 1):
            self.mass[side] += float(self._weights[self._shows[side] & ~common].sum())
        for token in rng.permutation(np.flatnonzero(common)).tolist():
            lighter = int(self.mass[1] < self.mass[0])
            self._shows[1 - lighter, token] = False
            self.mass[lighter] += float(self._weights[token])

    def share(self, overlap: float, rng: np.random.Generator) -> None:
        """Show hidden tokens and atoms on the other side as well, up to the allowed overlap."""
        budget = overlap * min(self.mass)
        for token in rng.permutation(np.flatnonzero(self._has().all(0))).tolist():
            if self._common + self._weights[token] <= budget:
                self._shows[:, token] = True
                self._common += float(self._weights[token])
        side_of = dict.fromkeys(self._sides[0], 0) | dict.fromkeys(self._sides[1], 1)
        for i in rng.permutation(len(self._atoms)).tolist():
            tokens = self._tokens[i]
            tokens = tokens[~self._shows[:, tokens].all(0)]
            weight = float(self._weights[tokens].sum()) + self._atoms[i].vectors
            if self._common + weight <= budget:
                self._shows[:, tokens] = True
                self._common += weight
                self._places[1 - side_of[i]].append(i)

    def drawn(self) -> Views:
        """The views."""
        has = self._has()
        first, second = (
            self._ids[h & ~s].astype(np.int64) for h, s in zip(has, self._shows, strict=True)
        )
        lighter = min(
            float(self._weights[shows].sum()) + sum(self._atoms[i].vectors for i in places)
            for shows, places in zip(self._shows, self._places, strict=True)
        )
        return Views(self._places, (first, second), self._common / lighter)

    def _has(self) -> NDArray[np.bool_]:
        """Whether the atoms of each view have each token (2, T)."""
        has = np.zeros((2, len(self._ids)), bool)
        for side, places in enumerate(self._places):
            for i in places:
                has[side, self._tokens[i]] = True
        return has


def _atom(pieces: tuple[Piece, ...], content: Mapping[int | str, float]) -> Atom:
    """Atom of pieces, from the weights of their tokens (by id) and vectors (by hash)."""
    tokens = sorted(key for key in content if isinstance(key, int))
    vectors = sum(weight for key, weight in content.items() if isinstance(key, str))
    return Atom(
        pieces[0].modality, pieces, np.array(tokens, np.int32), vectors, sum(content.values())
    )


def split_text(text: str) -> tuple[str, ...]:
    """Halve a text by sentences, words or characters; empty for a single letter."""
    for parts, glue in (
        ([s for s in _SENTENCE.split(text) if words(normalise(s))], " "),
        (words(normalise(text)), " "),
        (list(normalise(text)), ""),
    ):
        if len(parts) > 1:
            middle = len(parts) // 2
            return glue.join(parts[:middle]), glue.join(parts[middle:])
    return ()


def _with_encoded_pieces(pieces: Sequence[Piece], groups: Sequence[int]) -> list[int]:
    """Merge each tower vector into the group of the piece that it encodes."""
    read = {piece.content_hash: g for piece, g in zip(pieces, groups, strict=True)}
    joined = [read.get(p.payload_digest, g) for p, g in zip(pieces, groups, strict=True)]
    place = {group: i for i, group in enumerate(dict.fromkeys(joined))}
    return [place[group] for group in joined]


def _near_duplicates(contents: Sequence[dict[int | str, float]]) -> list[int]:
    """Group numbers 0..G-1 of contents; near-duplicate contents share a group."""
    if len(contents) < 2:
        return [0] * len(contents)
    column: dict[int | str, int] = {}
    rows = np.repeat(np.arange(len(contents)), [len(c) for c in contents])
    columns = [column.setdefault(key, len(column)) for c in contents for key in c]
    if len(column) == len(columns):  # nothing is shared
        return list(range(len(contents)))
    member = sp.csr_matrix((np.ones(len(rows)), (rows, columns)))
    size = np.asarray(member.sum(1)).ravel()
    shared = sp.coo_matrix(member @ member.T)
    jaccard = shared.data / (size[shared.row] + size[shared.col] - shared.data)
    alike = jaccard >= NEAR_DUPLICATE
    graph = sp.csr_matrix(
        (np.ones(alike.sum()), (shared.row[alike], shared.col[alike])), shape=shared.shape
    )
    return connected_components(graph, directed=False)[1].tolist()
