"""Maximum spanning tree with one root (Chu and Liu, 1965; Edmonds, 1967).

    T* = argmax_T Σ_{(h → d) ∈ T} s(d, h)

Symbols:
- T: a tree over all words in which exactly one word is attached to the root, node 0
- s(d, h): score of the arc from the head h to the dependent d

Every node first takes its best head. While this has a cycle, the cycle is contracted to one node: an arc into the cycle
replaces the arc inside it to the same word, so its score is the difference of both. The arcs inside contracted cycles
are restored at the end.

A tree with one root is found by a penalty on arcs from the root that is larger than any difference between the other
scores of two trees (Stanojević and Cohen, 2021): the best tree then has as few of them as possible, which is one.

References:
    Chu and Liu (1965), On the Shortest Arborescence of a Directed Graph, Scientia Sinica 14
    Edmonds (1967), Optimum Branchings, Journal of Research of the National Bureau of Standards 71B,
        https://doi.org/10.6028/jres.071B.032
    Stanojević and Cohen (2021), A Root of a Problem: Optimizing Single-Root Dependency Parsing, EMNLP,
        https://aclanthology.org/2021.emnlp-main.823

Example:
    >>> import numpy as np
    >>> from nlpmtl.heads.spanning_tree import maximum_spanning_tree
    >>> scores = np.array([[3.0, 0.0, 9.0], [2.0, 9.0, 0.0]])  # the best heads of the two words are each other
    >>> maximum_spanning_tree(scores).tolist()
    [0, 1]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Nodes = NDArray[np.int64]


def maximum_spanning_tree(scores: NDArray[np.floating]) -> Nodes:
    """Return the head of each word in the best tree with exactly one root, ``[words]``: 0 for the root.

    It takes O(words²) for each cycle that is contracted, of which there are at most ``words - 1``.

    Args:
        scores: score of each head of each word, ``[words, 1 + words]``; column 0 is the root, and column ``i`` is word
            ``i`` counted from 1. They must be finite; the score of a word as its own head is ignored.
    """
    words = len(scores)
    if not words:
        return np.zeros(0, dtype=np.int64)
    graph = np.full((words + 1, words + 1), -np.inf)
    graph[1:] = scores
    np.fill_diagonal(graph, -np.inf)
    is_arc = np.isfinite(graph)
    score_range = float(np.ptp(graph[is_arc])) if is_arc.any() else 0.0
    graph[1:, 0] -= (words + 1) * score_range + 1.0
    return _best_tree(graph)[1:]


class _Contraction(NamedTuple):
    """A cycle that became one node, the last one of the smaller graph.

    Args:
        heads: best head of each node before, ``[nodes]``.
        cycle: nodes of the cycle.
        rest: all other nodes, in the order of the smaller graph.
        leaving: for each of the other nodes its best head in the cycle, ``[rest]``.
        entering: for each of the other nodes as a head the node of the cycle that it is attached to, ``[rest]``.
    """

    heads: Nodes
    cycle: Nodes
    rest: Nodes
    leaving: Nodes
    entering: Nodes


def _best_tree(graph: Scores) -> Nodes:
    """Return the head of each node in the best tree with the root 0; ``graph[d, h]`` is the score of an arc."""
    contractions: list[_Contraction] = []
    while True:
        heads: Nodes = graph.argmax(axis=1)
        heads[0] = 0
        cycle = _find_cycle(heads.tolist())
        if cycle is None:
            break
        graph, contraction = _contract(graph, heads, np.array(cycle))
        contractions.append(contraction)
    for contraction in reversed(contractions):
        heads = _expand(heads, contraction)
    return heads


def _find_cycle(heads: Sequence[int]) -> list[int] | None:
    """Return the nodes of a cycle; None if all nodes lead to node 0."""
    walks = [0] * len(heads)  # the walk in which a node was reached; 0: none
    walks[0] = -1
    for start in range(1, len(heads)):
        node = start
        while not walks[node]:
            walks[node] = start
            node = heads[node]
        if walks[node] == start:
            cycle = [node]
            while heads[cycle[-1]] != node:
                cycle.append(heads[cycle[-1]])
            return cycle
    return None


def _contract(graph: Scores, heads: Nodes, cycle: Nodes) -> tuple[Scores, _Contraction]:
    """Return the graph in which a cycle is one node, and what is needed to restore the cycle."""
    rest = np.setdiff1d(np.arange(len(graph)), cycle)
    leaving_scores = graph[np.ix_(rest, cycle)]
    gains = graph[np.ix_(cycle, rest)] - graph[cycle, heads[cycle]][:, None]
    contracted = np.full((len(rest) + 1, len(rest) + 1), -np.inf)
    contracted[:-1, :-1] = graph[np.ix_(rest, rest)]
    contracted[:-1, -1] = leaving_scores.max(axis=1)
    contracted[-1, :-1] = gains.max(axis=0)
    leaving, entering = cycle[leaving_scores.argmax(axis=1)], cycle[gains.argmax(axis=0)]
    return contracted, _Contraction(heads, cycle, rest, leaving, entering)


def _expand(heads: Nodes, contraction: _Contraction) -> Nodes:
    """Return the heads before a contraction, from those after it."""
    cycle_node = len(contraction.rest)
    restored = contraction.heads.copy()
    rest_heads = heads[:cycle_node]
    in_cycle = rest_heads == cycle_node
    restored[contraction.rest] = np.where(
        in_cycle, contraction.leaving, contraction.rest[np.where(in_cycle, 0, rest_heads)]
    )
    head = heads[cycle_node]
    restored[contraction.entering[head]] = contraction.rest[head]
    return restored
