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

from model_export.contract.features import VECTOR_WEIGHT, piece_tokens
from model_export.contract.pieces import Piece
from model_export.contract.text import normalise, words
from model_export.contract.uninformative import says_nothing
from model_export.contract.vocabulary import Vocabulary

NEAR_DUPLICATE = 0.8
"""Jaccard similarity of token sets from which pieces are one atom."""
MIN_SIDE = 0.2
_TRIES = 3
_SENTENCE = re.compile(r"(?<=[.!?。！？;；\n])\s*")


@dataclass(frozen=True, slots=True)
class Atom:
    """Near-duplicate pieces that are masked together.

    Attributes:
        modality: of its first piece.
        pieces: one or more.
        tokens: its distinct known token ids.
        vectors: weight of its distinct vectors, `VECTOR_WEIGHT` each.
        weight: sum of the idf of its tokens, and of its vectors; > 0.
    """

    modality: str
    pieces: tuple[Piece, ...]
    tokens: tuple[int, ...]
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
    def _idf(self) -> list[float]:
        return self.vocabulary.inverse_document_frequency.tolist()

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
            if min(views.weights) >= MIN_SIDE * sum(views.weights) and min(views.weights) > 0:
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
        return {i: self._idf[i] for i in ids if self.vocabulary.is_known(i)}

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
    """Two views in the making.

    Attributes:
        weights: what each view shows.
    """

    def __init__(
        self, atoms: Sequence[Atom], sides: tuple[list[int], list[int]], idf: Sequence[float]
    ) -> None:
        self._atoms, self._idf, self._places = atoms, idf, sides
        self._side_of = dict.fromkeys(sides[0], 0) | dict.fromkeys(sides[1], 1)
        self._hidden: tuple[set[int], set[int]] = (set(), set())
        self._shared: set[int] = set()  # tokens
        self._common = 0.0  # weight that both views show
        self.weights = [sum(atoms[i].vectors for i in side) for side in sides]

    def part(self, rng: np.random.Generator) -> None:
        """Hide the tokens that both sides have on the heavier side."""
        one, other = ({t for i in side for t in self._atoms[i].tokens} for side in self._places)
        for side, alone in enumerate((one - other, other - one)):
            self.weights[side] += sum(self._idf[token] for token in alone)
        for token in _shuffled(sorted(one & other), rng):
            lighter = int(self.weights[1] < self.weights[0])
            self._hidden[1 - lighter].add(token)
            self.weights[lighter] += self._idf[token]

    def share(self, overlap: float, rng: np.random.Generator) -> None:
        """Show hidden tokens, then atoms, on the other side as well, within the allowed overlap."""
        budget = overlap * min(self.weights)
        for token in _shuffled(sorted(self._hidden[0] | self._hidden[1]), rng):
            if self._common + self._idf[token] <= budget:
                self._show(token, int(token in self._hidden[1]))
        for i in rng.permutation(len(self._atoms)).tolist():
            atom, side = self._atoms[i], self._side_of[i]
            tokens = [token for token in atom.tokens if token not in self._shared]
            weight = atom.vectors + sum(self._idf[token] for token in tokens)
            if self._common + weight <= budget:
                for token in tokens:
                    self._show(token, side if token in self._hidden[side] else 1 - side)
                self._common += atom.vectors
                self.weights[1 - side] += atom.vectors
                self._places[1 - side].append(i)

    def _show(self, token: int, side: int) -> None:
        """Show a token of the other side on this one."""
        self._hidden[side].discard(token)
        self._shared.add(token)
        self._common += self._idf[token]
        self.weights[side] += self._idf[token]

    def drawn(self) -> Views:
        """The views."""
        first, second = (np.array(sorted(hidden), np.int64) for hidden in self._hidden)
        return Views(self._places, (first, second), self._common / min(self.weights))


def _shuffled(tokens: list[int], rng: np.random.Generator) -> list[int]:
    return rng.permutation(tokens).tolist() if tokens else tokens


def _atom(pieces: tuple[Piece, ...], content: Mapping[int | str, float]) -> Atom:
    """Atom of pieces, from the weights of their tokens (by id) and vectors (by hash)."""
    tokens = tuple(sorted(key for key in content if isinstance(key, int)))
    vectors = sum(weight for key, weight in content.items() if isinstance(key, str))
    return Atom(pieces[0].modality, pieces, tokens, vectors, sum(content.values()))


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
