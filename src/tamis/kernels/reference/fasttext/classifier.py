"""Plain-Python twin of the fastText kernels: what a line's features are, and what its labels' probabilities are.

Nothing is computed in advance: words are turned into rows, rows into a mean, and the mean into a probability of every
label, in the same order as in fastText.
"""

import math

import numpy as np

from tamis.kernels.fasttext.file import HIERARCHICAL_SOFTMAX, SOFTMAX, ModelFile

BLANKS = b" \n\r\t\v\f\0"
LINE_END = b"</s>"
PREFIX = b"__label__"


def flatten(text: str) -> bytes:
    """A page as one line, as DCLM feeds it to its quality classifier."""
    return " ".join(text.strip().splitlines()).encode("utf-8", "surrogatepass")


def tokens(line: bytes) -> list[bytes]:
    """The words of a line, the end of the line as the last one."""
    for blank in BLANKS:
        line = line.replace(bytes([blank]), b" ")
    found = [word for word in line.split(b" ") if word]
    return [*(found[: found.index(LINE_END)] if LINE_END in found else found), LINE_END]


def fnv(word: bytes) -> int:
    """FNV-1a of 32 bits over signed bytes."""
    h = 2166136261
    for byte in word:
        h = ((h ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16777619) % 2**32
    return h


def character_ngrams(word: bytes, minn: int, maxn: int) -> list[bytes]:
    """Runs of `minn` to `maxn` characters of `<word>`, without the single `<` and `>`."""
    word = b"<" + word + b">"
    starts = [i for i, byte in enumerate(word) if byte & 0xC0 != 0x80] + [len(word)]
    return [
        word[starts[i] : starts[i + n]]
        for i in range(len(starts) - 1)
        for n in range(minn, maxn + 1)
        if n > 0 and i + n < len(starts) and not (n == 1 and (i == 0 or starts[i + n] == len(word)))
    ]


def rows(model: ModelFile, line: bytes) -> list[int]:
    """Rows of the input matrix that the line's features stand for."""
    places = {model.text(place): place for place in range(model.num_words + model.num_labels)}
    found: list[int] = []
    hashes: list[int] = []

    def add_bucket(h: int) -> None:
        kept = h % model.buckets if model.bucket_rows is None else int(model.bucket_rows[h % model.buckets])
        found.extend([model.num_words + kept] if kept >= 0 else [])

    for word in tokens(line):
        place = places.get(word, -1)
        if place >= model.num_words or (place < 0 and word.startswith(PREFIX)):
            continue
        found.extend([place] if place >= 0 else [])
        for ngram in character_ngrams(word, model.minn, model.maxn) if word != LINE_END else []:
            add_bucket(fnv(ngram))
        signed = fnv(word)
        hashes.append(signed - 2**32 if signed >= 2**31 else signed)
    for i, h in enumerate(hashes):
        for other in hashes[i + 1 : i + model.word_ngrams]:
            h = (h * 116049371 + other) % 2**64
            add_bucket(h)
    return found


def probabilities(model: ModelFile, line: bytes) -> list[float]:
    """The probability of every label, in the order of the file; NaN where the line has no known feature."""
    found = rows(model, line)
    if not found:
        return [math.nan] * model.num_labels
    hidden = np.mean([model.input.rows(row, row + 1)[0] for row in found], axis=0, dtype=np.float64)
    outputs = model.output.rows(0, model.num_labels).astype(np.float64) @ hidden
    if model.loss == SOFTMAX:
        weights = np.exp(outputs - outputs.max())
        return [float(share) + 1e-5 for share in weights / weights.sum()]
    if model.loss == HIERARCHICAL_SOFTMAX:
        return _leaves(outputs, model.label_counts)
    return [_sigmoid(output) + 1e-5 for output in outputs]


def _sigmoid(x: float) -> float:
    """fastText's table of the sigmoid, in steps of 1/32."""
    if abs(x) > 8:
        return float(x > 0)
    return 1 / (1 + math.exp(-(math.floor((x + 8) * 32) / 32 - 8)))


def _leaves(outputs: np.ndarray, counts: list[int]) -> list[float]:
    """Products of the shares along the paths of the Huffman tree: the two rarest nodes are joined, the rarer one left;
    of equals, leaves of rarer labels last come first, but after inner nodes."""
    leaves = [(count, [label]) for label, count in enumerate(counts)][::-1]
    inner: list[tuple[int, list[int]]] = []
    found = [1.0] * len(counts)
    for node in range(len(counts) - 1):
        pair = []
        for _ in range(2):
            from_leaves = leaves and (leaves[0][0] < inner[0][0] if inner else leaves[0][0] < 10**15)
            pair.append(leaves.pop(0) if from_leaves else inner.pop(0))
        right = 1 / (1 + math.exp(-outputs[node]))
        for share, (_, labels) in zip((1 - right, right), pair, strict=True):
            for label in labels:
                found[label] *= share + 1e-5
        inner.append((pair[0][0] + pair[1][0], pair[0][1] + pair[1][1]))
    return found
