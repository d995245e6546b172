"""Masked views: two random parts of one streamer with a guaranteed bound on their overlap.

    overlap(A, B) = w(A and B) / min(w(A), w(B)) <= rho

1. Near-duplicate pieces are merged to atoms of positive weight. 2. An atom that outweighs all
others together is split if possible. 3. In random order, sometimes by whole modality, each atom
goes to the lighter of two disjoint sides. 4. If the lighter side has less than 20 % of the weight,
the draw is repeated, and finally the streamer is skipped. 5. Random atoms are copied to the other
side while their weight stays within rho * min(w(A0), w(B0)). The intersection is what was copied,
and copying only increases the weights, so the bound holds.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

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
        weight: sum of the idf of its distinct known tokens, `VECTOR_WEIGHT` per vector; > 0.
    """

    modality: str
    pieces: tuple[Piece, ...]
    weight: float


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
            tokens = {t: v for _, w in members for t, v in w.items()}
            modality = members[0][0].modality
            found.append(Atom(modality, tuple(p for p, _ in members), sum(tokens.values())))
        return self._balanced(found)

    def draw(
        self, atoms: Sequence[Atom], rng: np.random.Generator
    ) -> tuple[list[int], list[int]] | None:
        """Draw two views as places of atoms; None if no draw was balanced."""
        weights = np.array([atom.weight for atom in atoms])
        for _ in range(_TRIES):
            blocks = self._blocks(atoms, rng)
            sides: tuple[list[int], list[int]] = ([], [])
            mass = [0.0, 0.0]
            for block in blocks:
                lighter = int(mass[1] < mass[0])
                sides[lighter].extend(block)
                mass[lighter] += float(weights[block].sum())
            if min(mass) >= MIN_SIDE * sum(mass) and min(mass) > 0:
                return self._copy_across(sides, weights, min(mass), rng)
        return None

    def _blocks(self, atoms: Sequence[Atom], rng: np.random.Generator) -> list[list[int]]:
        order = rng.permutation(len(atoms)).tolist()
        if rng.random() >= self.group_modality:
            return [[i] for i in order]
        blocks: dict[str, list[int]] = {}
        for i in order:
            blocks.setdefault(atoms[i].modality, []).append(i)
        return list(blocks.values())

    def _copy_across(
        self,
        sides: tuple[list[int], list[int]],
        weights: NDArray[np.float64],
        lighter: float,
        rng: np.random.Generator,
    ) -> tuple[list[int], list[int]]:
        budget = self.overlap * lighter
        side_of = dict.fromkeys(sides[0], 0) | dict.fromkeys(sides[1], 1)
        views = (list(sides[0]), list(sides[1]))
        for i in rng.permutation(len(weights)).tolist():
            if weights[i] <= budget:
                views[1 - side_of[i]].append(i)
                budget -= float(weights[i])
        return views

    def _weigh(self, piece: Piece) -> dict[int | str, float]:
        """Weights of the distinct known tokens of a piece, or of its vector."""
        if says_nothing(piece, self.vocabulary.uninformative):
            return {}
        if piece.kind == "vector":
            return {piece.content_hash: VECTOR_WEIGHT} if any(piece.vector) else {}
        ids = {self.vocabulary.token_id(token) for token in piece_tokens(piece)}
        idf = self.vocabulary.inverse_document_frequency
        return {i: float(idf[i]) for i in ids if self.vocabulary.is_known(i)}

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
            weight = sum(self._weigh(piece).values())
            if weight > 0:
                parts.append(Atom(atom.modality, (piece,), weight))
        return parts if len(parts) == 2 else []


def overlap(atoms: Sequence[Atom], first: Sequence[int], second: Sequence[int]) -> float:
    """Overlap of two views: common weight divided by the weight of the lighter view."""
    weight = [sum(atoms[i].weight for i in view) for view in (first, second)]
    return sum(atoms[i].weight for i in set(first) & set(second)) / max(min(weight), 1e-9)


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
