"""Removal of URLs from running text, as DCLM's two regular expressions find them, without a regular-expression engine.

A link by name is: up to 10 blanks, an optional `http://`, `https://` or `ftp://`, 1 to 256 host characters, a dot, a
top-level domain that ends at a word boundary, and all path characters after it. A link by number has four decimal
octets in place of host, dot and domain. So read, `os.name` and `e.g.it` are links; without `bare` a name must be
marked as one. Scanning looks for the dot that ends the host and then walks back.
"""

import numpy as np

from tamis.kernels.jit import kernel
from tamis.kernels.rules.edits import move
from tamis.kernels.text import bits
from tamis.kernels.text.unicode_tables import SPACE, WORD
from tamis.kernels.text.words import MID_NUM_LET

MAX_HOST = 256
MAX_BLANKS = 10
DOT = 46


def pack_domains(domains: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Top-level domains as `(code_points int32, offsets int64)`, by first character; `offsets` has one entry more than
    there are domains. All start with a letter or digit; those that start with `a`-`z` consist of such."""
    # Sorted order lets `index_domains` find domains by their first character.
    ordered = sorted(set(domains))
    assert all(domain[0].isalnum() for domain in ordered)
    assert all(domain.isalnum() for domain in ordered if domain[0].isascii())
    flat = np.array([ord(c) for domain in ordered for c in domain], np.int32)
    return flat, np.cumsum([0] + [len(domain) for domain in ordered]).astype(np.int64)


def index_domains(flat: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """`int64[27 + 1]`: first domain that starts with each of `a`-`z`, then the first of the others, then the end."""
    firsts = flat[offsets[:-1]]
    return np.searchsorted(firsts, np.array([*range(97, 124), 0x110000])).astype(np.int64)


@kernel
def _host(c: int) -> bool:
    """`[-a-zA-Z0-9@:%._+~#=]`"""
    # Letters, `@`, hyphen, full stop, digits and colon first, since these are the most frequent.
    if 97 <= c <= 122 or 64 <= c <= 90 or 45 <= c <= 46 or 48 <= c <= 58:
        return True
    return c == 95 or c == 37 or c == 43 or c == 126 or c == 35 or c == 61


@kernel
def _path(c: int) -> bool:
    """`[-a-zA-Z0-9()@:%_+.~#?&/=]`"""
    return _host(c) or c == 40 or c == 41 or c == 63 or c == 38 or c == 47


@kernel
def _boundary(properties: np.ndarray, at: int, n: int) -> bool:
    """Regular-expression `\\b` between `at - 1` and `at`."""
    before = at > 0 and properties[at - 1] & WORD != 0
    after = at < n and properties[at] & WORD != 0
    return before != after


@kernel
def _domain_end(
    code_points: np.ndarray,
    properties: np.ndarray,
    at: int,
    n: int,
    flat: np.ndarray,
    offsets: np.ndarray,
    index: np.ndarray,
) -> int:
    """End of the longest top-level domain at `at` that ends at a word boundary, or -1."""
    if at >= n:
        return -1
    # No top-level domain starts below `a`, or with the ASCII characters after `z`.
    c = code_points[at]
    if c < 97 or 122 < c < 128:
        return -1
    if c < 128:  # all word characters, so the boundary says how long it is
        end = at + 1
        while end < n and properties[end] & WORD:
            end += 1
        # Only a domain as long as the word that stands here can match.
        for k in range(index[c - 97], index[c - 96]):
            if offsets[k + 1] - offsets[k] == end - at and _stands_at(code_points, at, n, flat, offsets, k):
                return end
        return -1
    # Domains in other scripts: try each of them, and keep the longest match at a word boundary.
    longest = -1
    for k in range(index[26], index[27]):
        end = at + offsets[k + 1] - offsets[k]
        if end > longest and _stands_at(code_points, at, n, flat, offsets, k) and _boundary(properties, end, n):
            longest = end
    return longest


@kernel
def _stands_at(code_points: np.ndarray, at: int, n: int, flat: np.ndarray, offsets: np.ndarray, k: int) -> bool:
    """Whether domain `k` stands at `at`."""
    # A domain that would run past the end of the text does not stand here.
    if at + offsets[k + 1] - offsets[k] > n:
        return False
    for i in range(offsets[k], offsets[k + 1]):  # noqa: SIM110 - Numba compiles loops, not generators
        if code_points[at + i - offsets[k]] != flat[i]:
            return False
    return True


@kernel
def _scheme_start(code_points: np.ndarray, at: int, floor: int) -> int:
    """Start of `http://`, `https://` or `ftp://` that ends at `at` and does not reach below `floor`, or `at`."""
    # Every scheme ends in `://`.
    if at - 6 < floor or code_points[at - 1] != 47 or code_points[at - 2] != 47 or code_points[at - 3] != 58:
        return at
    # Before it stands an `s` (https), or the `p` of `ftp`, or the `p` of `http`.
    i = at - 4
    if code_points[i] == 115 and i - 4 >= floor:
        i -= 1
    elif code_points[i] == 112 and code_points[i - 1] == 116 and code_points[i - 2] == 102:
        return i - 2
    # What is left must be `http`.
    if i - 3 < floor or code_points[i] != 112 or code_points[i - 1] != 116 or code_points[i - 2] != 116:
        return at
    return i - 3 if code_points[i - 3] == 104 else at


@kernel
def _blanks_start(properties: np.ndarray, at: int, floor: int) -> int:
    """Start of the blanks before `at`: at most MAX_BLANKS, none below `floor`."""
    start = at
    while start > floor and at - start < MAX_BLANKS and properties[start - 1] & SPACE:
        start -= 1
    return start


@kernel
def _find_dot(code_points: np.ndarray, properties: np.ndarray, at: int, n: int) -> int:
    """Place of the first full stop from `at` on that a word character follows, or n."""
    while at < n:
        # Candidates are characters of the class of the full stop with a word character after them.
        found = bits.classed(properties, at, MID_NUM_LET, MID_NUM_LET) & bits.has(properties, at + 1, WORD)
        found &= bits.before(n - 1, at)
        # The class also holds other characters: look at each candidate.
        while found:
            place = at + bits.first(found)
            if code_points[place] == DOT:
                return place
            found &= found - 1
        at += bits.LANES
    return n


@kernel
def _marked(code_points: np.ndarray, host: int, dot: int, end: int, n: int, floor: int) -> bool:
    """Whether a dotted name is marked as a link: by a scheme, by `www.`, or by a slash after its domain."""
    # A slash after the domain marks a link.
    if end < n and code_points[end] == 47:
        return True
    # So does a scheme before the host.
    if _scheme_start(code_points, host, floor) < host:
        return True
    # What is left is `www.`, which must start the name and be followed by a part of it.
    if dot < host + 5 or (host > floor and _host(code_points[host - 1])):
        return False
    return (
        code_points[host] == 119
        and code_points[host + 1] == 119
        and code_points[host + 2] == 119
        and code_points[host + 3] == DOT
    )


@kernel
def remove_named(
    code_points: np.ndarray,
    properties: np.ndarray,
    n: int,
    flat: np.ndarray,
    offsets: np.ndarray,
    index: np.ndarray,
    bare: bool,
) -> int:
    """Delete links by name, with `bare` also dotted names that nothing marks as a link; returns the new length."""
    to = 0
    done = 0
    dot = 0
    while True:
        # A full stop with a top-level domain after it may end a host.
        dot = _find_dot(code_points, properties, dot, n)
        if dot == n:
            break
        end = _domain_end(code_points, properties, dot + 1, n, flat, offsets, index)
        # Walk back over host characters to the start of the name.
        host = dot
        while end >= 0 and host > done and dot - host < MAX_HOST and _host(code_points[host - 1]):
            host -= 1
        # No domain, no name, or nothing that marks a link: go on behind this full stop.
        if end < 0 or host == dot or not (bare or _marked(code_points, host, dot, end, n, done)):
            dot += 1
            continue
        # The host reaches as far as possible: a later full stop with a domain extends the link.
        later = dot + 1
        while later < n and later - host <= MAX_HOST and _host(code_points[later]):
            if code_points[later] == DOT:
                later_end = _domain_end(code_points, properties, later + 1, n, flat, offsets, index)
                if later_end >= 0 and (bare or _marked(code_points, host, later, later_end, n, done)):
                    end = later_end
            later += 1
        # The path belongs to the link.
        while end < n and _path(code_points[end]):
            end += 1
        # So do the scheme and the blanks before it; keep what stands before them.
        start = _blanks_start(properties, _scheme_start(code_points, host, done), done)
        to = move(code_points, properties, done, start, to)
        done = end
        dot = end
    return move(code_points, properties, done, n, to)


@kernel
def _octet(code_points: np.ndarray, at: int, n: int) -> int:
    """End of an octet and its dot at `at`, or -1."""
    # One to three digits, then a full stop.
    end = at
    while end < n and end - at < 4 and 48 <= code_points[end] <= 57:
        end += 1
    if end == at or end - at > 3 or end >= n or code_points[end] != DOT:
        return -1
    # Of three digits the first is 0, 1 or 2.
    if end - at == 3 and code_points[at] > 50:
        return -1
    return end + 1


@kernel
def _first_octet(code_points: np.ndarray, properties: np.ndarray, dot: int, floor: int) -> int:
    """Start of the one to three digits that end at `dot`, if no word character stands before them, or -1."""
    start = dot
    # Walk back over at most three digits.
    while start > floor and dot - start < 3 and 48 <= code_points[start - 1] <= 57:
        start -= 1
    if start == dot or (start > 0 and properties[start - 1] & WORD):
        return -1
    return start


@kernel
def remove_numbered(code_points: np.ndarray, properties: np.ndarray, n: int) -> int:
    """Delete links by IPv4 number; returns the new length."""
    to = 0
    done = 0
    dot = 0
    while True:
        dot = _find_dot(code_points, properties, dot, n)
        if dot == n:
            break
        # The octet before the full stop, then three more after it.
        first = _first_octet(code_points, properties, dot, done)
        at = first
        for _ in range(3):
            at = _octet(code_points, at, n) if at >= 0 else -1
        # The last octet needs a digit; the path takes in its other digits.
        if at < 0 or at >= n or not (48 <= code_points[at] <= 57):
            dot += 1
            continue
        # A scheme counts only at a word boundary.
        start = _scheme_start(code_points, first, done)
        if start < first and start > 0 and properties[start - 1] & WORD:
            start = first
        start = _blanks_start(properties, start, done)
        # The path belongs to the link; keep what stands before the link.
        while at < n and _path(code_points[at]):
            at += 1
        to = move(code_points, properties, done, start, to)
        done = at
        dot = at
    return move(code_points, properties, done, n, to)
