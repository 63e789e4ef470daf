"""What people want to see of prepared pinyin2hanzi data, as figures that `bmtool.text.report` draws."""

from collections import Counter

import numpy as np

from bmtool.tasks.pinyin2hanzi.vocab import Vocabulary

RANKS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000, 2000, 3000, 5000, 10_000, 20_000)


def statistics(vocabulary: Vocabulary, hanzi: np.ndarray, counts: np.ndarray) -> dict:
    """Figures by name: how often hanzi occur, what the commonest of them cover, and the candidates of syllables.

    hanzi, counts: code points of the training split (repeated where a hanzi has several readings) and how often each occurred.
    """
    codes, at = np.unique(hanzi, return_inverse=True)
    ranked = np.sort(np.bincount(at, counts, len(codes)))[::-1]
    ranks = [rank for rank in RANKS if rank <= len(ranked)]
    covered = np.cumsum(ranked) / max(1, ranked.sum())
    candidates = Counter(len(found) for found in vocabulary.candidates.values())
    sizes = range(1, max(candidates, default=0) + 1)
    return {
        "hanzi_frequency": {
            "title": "How often hanzi occur", "xlabel": "rank of the hanzi", "ylabel": "times in the training split",
            "kind": "loglog", "x": ranks, "y": [int(ranked[rank - 1]) for rank in ranks],
        },
        "hanzi_coverage": {
            "title": "What the commonest hanzi cover", "xlabel": "commonest hanzi", "ylabel": "share of the training split",
            "kind": "logx", "x": ranks, "y": [round(float(covered[rank - 1]), 5) for rank in ranks],
        },
        "candidates_per_syllable": {
            "title": "Candidates of a syllable", "xlabel": "candidates", "ylabel": "syllables",
            "kind": "bars", "x": list(sizes), "y": [candidates[size] for size in sizes],
        },
    }  # fmt: skip
