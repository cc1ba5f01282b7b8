"""fastText classifiers read and applied without fastText: the same probabilities, an order of magnitude faster.

A classifier is linear up to its last step: the outputs are the mean of the rows of a text's words, runs of words and
character n-grams, times the output matrix. So every row is multiplied by the output matrix once, when the model is
read, and a text is scored by adding up one number per output (a single one for two labels) where the library adds up
whole rows. DCLM's classifier shrinks from 2.4 GB to some 150 MB that way. Where there are more outputs than numbers
in a row, as in language identification, rows stay as they are, with the character n-grams of every dictionary word
already added up. Enrico Joulin et al., "Bag of Tricks for Efficient Text Classification" (arXiv 1607.01759).
"""

from typing import BinaryIO

import numpy as np

from tamis.kernels.fasttext.file import HIERARCHICAL_SOFTMAX, SOFTMAX, Matrix, ModelFile, chunks, read_model
from tamis.kernels.fasttext.score import Features, Outputs, add_word_subwords, classify, project
from tamis.kernels.fasttext.words import LINE_END, READ_AHEAD_BYTES, Words, byte_classes, index_words

_MOST = 10**15
"""What a node of the tree counts before it is made."""


class TextClassifier:
    """A fastText classifier, from an open file, which may be closed afterwards, or its bytes.

    Raises ValueError, saying why, for a file that is not one, is cut short, or holds numbers that are not finite;
    OSError when it cannot be read.
    """

    def __init__(self, source: BinaryIO | bytes) -> None:
        """Read a model and prepare it for `probabilities`."""
        # Read the dictionary, and index its words for the kernels.
        model = read_model(source)
        self.labels = [model.text(model.num_words + k).decode("utf-8", "replace") for k in range(model.num_labels)]
        """As in the file, with the prefix `__label__`."""
        self.num_words = model.num_words
        self._words = index_words(model.word_bytes, model.word_offsets, model.num_words)
        # Multiply the rows by the output matrix beforehand where that makes them shorter.
        matrix = _all_rows(model.output).astype(np.float64)
        projection = _projection(model, matrix)
        self._features = _features(model, self._words, projection)
        # Where the rows have been multiplied, no matrix is left to apply.
        self._outputs = Outputs(
            matrix=np.zeros((0, 0)) if projection is not None else matrix,
            num_labels=model.num_labels,
            loss=model.loss,
            children=_tree(model.label_counts) if model.loss == HIERARCHICAL_SOFTMAX else np.zeros((0, 2), np.int32),
            sigmoid=_sigmoid_table(),
        )

    def probabilities(self, data: np.ndarray, offsets: np.ndarray, is_page: bool = False) -> np.ndarray:
        """float32[texts, labels]: what fastText's `predict` says of every label, in the order of `labels`.

        `data` (uint8) and `offsets` (int64[texts + 1]) hold the texts in UTF-8. A text is one line: newlines in it are
        blanks. With `is_page` it is read as `" ".join(text.strip().splitlines())`. A text without any feature that the
        model knows is NaN (fastText: no prediction). Values run from 0.00001 to 1.00001, as fastText's do.
        """
        # The kernels look a little beyond the end of a text: copy the texts with room behind them.
        start, end = int(offsets[0]), int(offsets[-1])
        padded = np.zeros(end - start + READ_AHEAD_BYTES, np.uint8)
        padded[: end - start] = data[start:end]
        out = np.empty((len(offsets) - 1, len(self.labels)), np.float32)
        classify(
            padded, offsets - start, is_page, byte_classes(is_page), self._words, self._features, self._outputs, out
        )
        return out


def _all_rows(matrix: Matrix) -> np.ndarray:
    """The whole matrix, for one that is small."""
    return matrix.rows(0, matrix.shape[0])


def _projection(model: ModelFile, matrix: np.ndarray) -> np.ndarray | None:
    """float64[width, dim] that every row is multiplied by beforehand; None where that would make rows longer."""
    if model.loss == SOFTMAX and model.num_labels == 2:
        return matrix[1:] - matrix[:1]  # Softmax depends on differences only.
    # A hierarchical softmax has one output fewer than labels.
    outputs = matrix[: model.num_labels - 1] if model.loss == HIERARCHICAL_SOFTMAX else matrix
    return outputs if 0 < len(outputs) <= model.dim else None


def _features(model: ModelFile, words: Words, projection: np.ndarray | None) -> Features:
    """The rows of words and buckets, multiplied by `projection` (if any) while they are read."""
    # Read the input matrix in pieces, since it can be larger than memory.
    rows = np.empty((model.input.shape[0], model.dim if projection is None else len(projection)), np.float32)
    for start, chunk in chunks(model.input):
        if projection is None:
            rows[start : start + len(chunk)] = chunk
        else:
            project(chunk, projection, rows[start : start + len(chunk)])
    # Refuse a model with numbers that are not finite: its scores would mean nothing.
    if not (np.isfinite(rows).all() and (projection is not None or np.isfinite(_all_rows(model.output)).all())):
        raise ValueError("it holds numbers that are not finite: its training went wrong")
    features = Features(
        word_rows=rows[: model.num_words],
        word_counts=np.ones(model.num_words, np.int32),
        bucket_rows=rows[model.num_words :],
        kept_rows=np.zeros(0, np.int32) if model.bucket_rows is None else model.bucket_rows,
        buckets=np.uint64(model.buckets),
        word_ngrams=model.word_ngrams,
        minn=model.minn,
        maxn=model.maxn,
    )
    # Add the character n-grams of every dictionary word to its row, once for all texts.
    if model.maxn > 0:
        line_ends = [place for place in range(model.num_words) if model.text(place) == LINE_END]
        add_word_subwords(words, features, line_ends[0] if line_ends else -1)
    return features


def _tree(counts: list[int]) -> np.ndarray:
    """int32[labels - 1, 2]: the Huffman tree of labels in falling order of their counts, built as fastText builds it.

    Labels are nodes 0 to labels - 1, inner nodes follow in the order in which they were joined; the root is last.
    Raises ValueError for counts that no training can give.
    """
    # The counts decide the shape of the tree, so they are checked first.
    if min(counts) < 0 or sum(counts) >= _MOST:
        raise ValueError("the counts of its labels make no sense")
    # Two queues, both sorted: leaves from the rarest on, and joined nodes in the order they were made.
    num_labels = len(counts)
    weights = [*counts, *[_MOST] * (num_labels - 1)]
    children = np.zeros((num_labels - 1, 2), np.int32)
    leaf, inner = num_labels - 1, num_labels
    for node in range(num_labels - 1):
        for side in range(2):
            # Join the two lightest nodes that are left.
            if leaf >= 0 and weights[leaf] < weights[inner]:
                children[node, side] = leaf
                leaf -= 1
            else:
                children[node, side] = inner
                inner += 1
        weights[num_labels + node] = weights[children[node, 0]] + weights[children[node, 1]]
    return children


def _sigmoid_table() -> np.ndarray:
    """float32[513]: the sigmoid from -8 to 8, as fastText tabulates it for losses other than softmax."""
    # The table must be fastText's to the bit, since probabilities are compared with its own.
    x = (np.arange(513) * 16 / 512 - 8).astype(np.float32)
    return (1.0 / (1.0 + np.exp(-x))).astype(np.float32)
