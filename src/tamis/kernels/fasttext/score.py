"""The loops of fastText classification: words to rows, rows to the probability of every label.

Rounded to float32 where fastText rounds.
"""

from typing import NamedTuple

import numpy as np

from tamis.kernels.fasttext.words import FNV_START, Words, find_words, hash_byte, split_words, strip
from tamis.kernels.jit import kernel

NGRAM_STEP = np.uint64(116049371)
HIERARCHICAL_SOFTMAX, SOFTMAX = 1, 3
"""Losses, as numbered in the files; the others (negative sampling, one against all) are sigmoids."""


class Features(NamedTuple):
    """Rows of the words and of the buckets that runs of words and of characters are hashed into."""

    word_rows: np.ndarray
    """float32[words, width]: with the rows of a word's own character n-grams already added."""
    word_counts: np.ndarray
    """int32[words]: how many rows are in that sum."""
    bucket_rows: np.ndarray
    """float32[buckets or those kept, width]"""
    kept_rows: np.ndarray
    """int32[buckets], or int32[0] when no bucket was pruned."""
    buckets: np.uint64
    word_ngrams: int
    minn: int
    maxn: int


class Outputs(NamedTuple):
    """From the mean row of a text to its labels."""

    matrix: np.ndarray
    """float64[outputs, width]; float64[0, 0] where the rows already are outputs."""
    num_labels: int
    loss: int
    children: np.ndarray
    """int32[labels - 1, 2]: left and right child of every inner node, counted from the labels; root last."""
    sigmoid: np.ndarray
    """float32[513]: fastText's table of the sigmoid."""


@kernel
def add_rows(picks: np.ndarray, rows: np.ndarray, sums: np.ndarray) -> int:
    """Add the rows at `picks` (int32, -1 for none) to `sums` (float64[width]); returns how many rows that were."""
    added = 0
    # With one output a single number is enough, which stays in a register.
    if len(sums) == 1:
        total = 0.0
        for pick in picks:
            if pick >= 0:
                added += 1
                total += rows[np.uint64(pick), 0]
        sums[0] += total
        return added
    # Otherwise add the whole rows.
    for pick in picks:
        if pick >= 0:
            added += 1
            for j in range(len(sums)):
                sums[j] += rows[np.uint64(pick), j]
    return added


@kernel
def add_words(places: np.ndarray, features: Features, sums: np.ndarray) -> int:
    """Add the rows of the words at `places` (int32, -1 for none), their character n-grams included, to `sums`; returns
    how many rows that were."""
    added = add_rows(places, features.word_rows, sums)
    if features.maxn <= 0:
        return added
    # A word's row is a sum of several rows: count those.
    counts = features.word_counts
    added = 0
    for place in places:
        if place >= 0:
            added += counts[np.uint64(place)]
    return added


@kernel
def add_ngrams(hashes: np.ndarray, features: Features, runs: np.ndarray, picks: np.ndarray, sums: np.ndarray) -> int:
    """Add the rows of all runs of 2 to `word_ngrams` words of which `hashes` (uint32) are the hashes; returns how many.
    `runs` (uint64) and `picks` (int32), as long as `hashes`, are scratch."""
    buckets, kept_rows = features.buckets, features.kept_rows
    # fastText widens its hashes as signed numbers.
    for i in range(len(hashes)):
        runs[i] = np.uint64(np.int64(np.int32(hashes[i])))
    added = 0
    for length in range(2, min(features.word_ngrams, len(hashes)) + 1):
        # Lengthen every run by one word, and find its bucket.
        num_runs = len(hashes) - length + 1
        for i in range(num_runs):
            runs[i] = runs[i] * NGRAM_STEP + np.uint64(np.int64(np.int32(hashes[i + length - 1])))
            picks[i] = np.int32(runs[i] % buckets)
        # In a pruned model a bucket may have no row, or another one.
        if len(kept_rows):
            for i in range(num_runs):
                picks[i] = kept_rows[np.uint64(picks[i])]
        added += add_rows(picks[:num_runs], features.bucket_rows, sums)
    return added


@kernel
def add_subwords(
    word: np.ndarray,
    minn: int,
    maxn: int,
    buckets: np.uint64,
    kept_rows: np.ndarray,
    bucket_rows: np.ndarray,
    sums: np.ndarray,
) -> int:
    """Add the rows of the character n-grams of `word` (uint8), `<` and `>` included; returns how many."""
    added = 0
    for start in range(len(word)):
        # N-grams start at the first byte of a character.
        if word[start] & 0xC0 == 0x80:
            continue
        h = FNV_START
        # Lengthen the n-gram by one character at a time.
        at = start
        for n in range(1, maxn + 1):
            if at >= len(word):
                break
            # All bytes of the character join the hash.
            h = hash_byte(h, word[at])
            at += 1
            while at < len(word) and word[at] & 0xC0 == 0x80:
                h = hash_byte(h, word[at])
                at += 1
            # The brackets by themselves are no n-gram.
            if n >= minn and not (n == 1 and (start == 0 or at == len(word))):
                # Find its row, which may have been pruned, and add it.
                row = np.uint64(h) % buckets
                if len(kept_rows):
                    if kept_rows[row] < 0:
                        continue
                    row = np.uint64(kept_rows[row])
                added += 1
                for j in range(len(sums)):
                    sums[j] += bucket_rows[row, j]
    return added


@kernel
def _bracket(data: np.ndarray, word: np.ndarray) -> np.ndarray:
    """`<`, `data`, `>`, written into `word`."""
    word[0] = 60
    for at in range(len(data)):
        word[at + 1] = data[at]
    word[len(data) + 1] = 62
    return word[: len(data) + 2]


@kernel
def add_word_subwords(words: Words, features: Features, line_end: int) -> None:
    """Fold the character n-grams of every word of the dictionary into the word's own row, and count them; all but those
    of the word at `line_end`, which has none."""
    # One scratch array with room for the longest word serves all of them.
    f = features
    longest = 0
    for place in range(words.num_words):
        longest = max(longest, words.word_offsets[place + 1] - words.word_offsets[place])
    scratch = np.empty(longest + 2, np.uint8)
    sums = np.empty(f.word_rows.shape[1], np.float64)
    for place in range(words.num_words):
        if place == line_end:
            continue
        # Add the n-grams to the word's own row in double precision, then round once.
        sums[:] = f.word_rows[place]
        word = _bracket(words.word_bytes[words.word_offsets[place] : words.word_offsets[place + 1]], scratch)
        f.word_counts[place] += add_subwords(word, f.minn, f.maxn, f.buckets, f.kept_rows, f.bucket_rows, sums)
        f.word_rows[place] = sums


@kernel
def project(rows: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    """`out = rows @ matrix.T` (float32[n, dim], float64[width, dim], float32[n, width]), summed in one order on every
    machine."""
    for i in range(len(rows)):
        for k in range(len(matrix)):
            # Plain loops, since a library's matrix product may sum in another order.
            total = 0.0
            for j in range(rows.shape[1]):
                total += np.float64(rows[i, j]) * matrix[k, j]
            out[i, k] = total


@kernel
def _log(x: np.float32) -> np.float32:
    """fastText's logarithm, which is why its probabilities can exceed 1 by 0.00001."""
    return np.float32(np.log(np.float64(x) + 1e-5))


@kernel
def log_probabilities(sums: np.ndarray, count: int, outputs: Outputs, scores: np.ndarray, out: np.ndarray) -> None:
    """Write the log-probability of every label to `out` (float32[labels]); `scores` (float64[outputs or width]) is
    scratch. Rounded to float32 where fastText rounds."""
    # The mean of the rows, times the output matrix where that has not been done beforehand.
    if len(outputs.matrix):
        for k in range(len(outputs.matrix)):
            total = 0.0
            for j in range(len(sums)):
                total += sums[j] * outputs.matrix[k, j]
            scores[k] = total / count
    else:
        for k in range(len(sums)):
            scores[k] = sums[k] / count
    # Every loss has its own way from scores to probabilities.
    if outputs.loss == HIERARCHICAL_SOFTMAX:
        _descend(scores, outputs, out)
    elif outputs.loss == SOFTMAX:
        _softmax(scores, outputs.num_labels, out)
    else:
        for k in range(outputs.num_labels):
            # One sigmoid for each label, from fastText's table.
            x = np.float32(scores[k])
            share = np.float32(0.0) if x < -8 else np.float32(1.0)
            if -8 <= x <= 8:
                share = outputs.sigmoid[int((x + np.float32(8)) * np.float32(512) / np.float32(8) / np.float32(2))]
            out[k] = _log(share)


@kernel
def _softmax(scores: np.ndarray, num_labels: int, out: np.ndarray) -> None:
    """With two labels `scores` can be one number: by how much the second is ahead of the first."""
    # Subtract the highest score first, so that no exponential overflows.
    first = num_labels - len(scores)
    highest = 0.0 if first else scores[0]
    for score in scores:
        highest = max(highest, score)
    # Sum the exponentials, then divide each by the sum.
    total = np.exp(-highest) if first else 0.0
    for score in scores:
        total += np.exp(score - highest)
    for k in range(num_labels):
        score = scores[k - first] if k >= first else 0.0
        out[k] = _log(np.float32(np.exp(score - highest) / total))


@kernel
def _descend(scores: np.ndarray, outputs: Outputs, out: np.ndarray) -> None:
    """Hierarchical softmax: the log-probability of every leaf, from the root down."""
    num_labels = outputs.num_labels
    # The log-probability of reaching each inner node, starting with the root.
    paths = np.zeros(max(1, num_labels - 1), np.float32)
    out[0] = 0.0
    for node in range(num_labels - 2, -1, -1):
        # The node's own output says how likely its right child is.
        right = np.float32(1.0 / (1.0 + np.exp(-scores[node])))
        for side in range(2):
            share = right if side else np.float32(1.0 - np.float64(right))
            # A leaf is a label; an inner node passes its probability on.
            path = np.float32(paths[node] + _log(share))
            child = outputs.children[node, side]
            if child < num_labels:
                out[child] = path
            else:
                paths[child - num_labels] = path


@kernel
def classify(
    data: np.ndarray,
    offsets: np.ndarray,
    is_page: bool,
    classes: np.ndarray,
    words: Words,
    features: Features,
    outputs: Outputs,
    probabilities: np.ndarray,
) -> None:
    """Write the probability of every label to `probabilities` (float32[texts, labels]) for texts in `data` (uint8) at
    `offsets` (int64[texts + 1]); NaN for a text without a single known feature. `is_page`: strip it first."""
    w, f = words, features
    # Scratch arrays with room for the longest text serve all of them.
    longest = 0
    for text in range(len(offsets) - 1):
        longest = max(longest, offsets[text + 1] - offsets[text])
    room = longest // 2 + 2
    starts, ends, places = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int32)
    hashes, keys, runs = np.empty(room, np.uint32), np.empty((room, 2), np.uint64), np.empty(room, np.uint64)
    scratch = np.empty(longest + 2 if f.maxn > 0 else 0, np.uint8)
    sums = np.empty(f.word_rows.shape[1], np.float64)
    scores = np.empty(len(outputs.matrix) if len(outputs.matrix) else len(sums), np.float64)
    for text in range(len(offsets) - 1):
        # Split the text into words and look them up.
        start, end = offsets[text], offsets[text + 1]
        if is_page:
            start, end = strip(data, start, end)
        n = split_words(data, start, end, classes, starts, ends, keys)
        n = find_words(data, starts[:n], ends[:n], keys, w, places, hashes)
        # Add up the rows of the words, of the n-grams of unknown words, and of runs of words.
        sums[:] = 0.0
        count = add_words(places[:n], f, sums)
        if f.maxn > 0:
            for i in range(n):
                if places[i] < 0 and starts[i] < ends[i]:
                    word = _bracket(data[starts[i] : ends[i]], scratch)
                    count += add_subwords(word, f.minn, f.maxn, f.buckets, f.kept_rows, f.bucket_rows, sums)
        count += add_ngrams(hashes[:n], f, runs, places, sums)
        # Without a known feature there is no prediction.
        out = probabilities[text]
        if count == 0:
            out[:] = np.nan
            continue
        log_probabilities(sums, count, outputs, scores, out)
        for k in range(len(out)):
            out[k] = np.exp(out[k])
