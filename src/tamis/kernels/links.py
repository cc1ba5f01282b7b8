"""Removal of URLs from running text, as DCLM's two regular expressions find them, without a regular-expression engine.

A link by name is: up to 10 blanks, an optional `http://`, `https://` or `ftp://`, 1 to 256 host characters, a dot, a
top-level domain that ends at a word boundary, and all path characters after it. A link by number has four decimal
octets in place of host, dot and domain. So read, `os.name` and `e.g.it` are links; without `bare` a name must be
marked as one. Scanning looks for the dot that ends the host and then walks back.
"""

import numpy as np

from tamis.kernels.edits import move
from tamis.kernels.jit import kernel
from tamis.kernels.unicode_tables import SPACE, WORD

MAX_HOST = 256
MAX_BLANKS = 10
DOT = 46


def pack_domains(domains: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Top-level domains as `(code_points int32, offsets int64)`, longest first within equal first characters, so that
    a scan meets longer ones first; `offsets` has one entry more than there are domains."""
    ordered = sorted(set(domains), key=lambda domain: (domain[0], -len(domain), domain))
    flat = np.array([ord(c) for domain in ordered for c in domain], np.int32)
    return flat, np.cumsum([0] + [len(domain) for domain in ordered]).astype(np.int64)


def index_domains(flat: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """`int64[27 + 1]`: first domain that starts with each of `a`-`z`, then the first of the others, then the end."""
    firsts = flat[offsets[:-1]]
    return np.searchsorted(firsts, np.array([*range(97, 124), 0x110000])).astype(np.int64)


@kernel
def _host(c: int) -> bool:
    """`[-a-zA-Z0-9@:%._+~#=]`"""
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
    c = code_points[at]
    if 97 <= c <= 122:
        first, last = index[c - 97], index[c - 96]
    elif c >= 128:
        first, last = index[26], index[27]
    else:
        return -1
    longest = -1
    for k in range(first, last):
        length = offsets[k + 1] - offsets[k]
        if at + length > n or at + length <= longest or not _boundary(properties, at + length, n):
            continue
        i = 0
        while i < length and code_points[at + i] == flat[offsets[k] + i]:
            i += 1
        if i == length:
            longest = at + length
    return longest


@kernel
def _scheme_start(code_points: np.ndarray, at: int, floor: int) -> int:
    """Start of `http://`, `https://` or `ftp://` that ends at `at` and does not reach below `floor`, or `at`."""
    if at - 6 < floor or code_points[at - 1] != 47 or code_points[at - 2] != 47 or code_points[at - 3] != 58:
        return at
    i = at - 4
    if code_points[i] == 115 and i - 4 >= floor:
        i -= 1
    elif code_points[i] == 112 and code_points[i - 1] == 116 and code_points[i - 2] == 102:
        return i - 2
    if i - 3 < floor or code_points[i] != 112 or code_points[i - 1] != 116 or code_points[i - 2] != 116:
        return at
    return i - 3 if code_points[i - 3] == 104 else at


@kernel
def _blanks_start(properties: np.ndarray, at: int, floor: int) -> int:
    start = at
    while start > floor and at - start < MAX_BLANKS and properties[start - 1] & SPACE:
        start -= 1
    return start


@kernel
def _marked(code_points: np.ndarray, host: int, dot: int, end: int, n: int, floor: int) -> bool:
    """Whether a dotted name is marked as a link: by a scheme, by `www.`, or by a slash after its domain."""
    if end < n and code_points[end] == 47:
        return True
    if _scheme_start(code_points, host, floor) < host:
        return True
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
    while dot < n:
        if code_points[dot] != DOT:
            dot += 1
            continue
        end = _domain_end(code_points, properties, dot + 1, n, flat, offsets, index)
        host = dot
        while end >= 0 and host > done and dot - host < MAX_HOST and _host(code_points[host - 1]):
            host -= 1
        if end < 0 or host == dot or not (bare or _marked(code_points, host, dot, end, n, done)):
            dot += 1
            continue
        later = dot + 1
        while later < n and later - host <= MAX_HOST and _host(code_points[later]):
            if code_points[later] == DOT:
                later_end = _domain_end(code_points, properties, later + 1, n, flat, offsets, index)
                if later_end >= 0 and (bare or _marked(code_points, host, later, later_end, n, done)):
                    end = later_end
            later += 1
        while end < n and _path(code_points[end]):
            end += 1
        start = _blanks_start(properties, _scheme_start(code_points, host, done), done)
        to = move(code_points, properties, done, start, to)
        done = end
        dot = end
    return move(code_points, properties, done, n, to)


@kernel
def _octet(code_points: np.ndarray, at: int, n: int) -> int:
    """End of an octet and its dot at `at`, or -1."""
    end = at
    while end < n and end - at < 4 and 48 <= code_points[end] <= 57:
        end += 1
    if end == at or end - at > 3 or end >= n or code_points[end] != DOT:
        return -1
    if end - at == 3 and code_points[at] > 50:
        return -1
    return end + 1


@kernel
def remove_numbered(code_points: np.ndarray, properties: np.ndarray, n: int) -> int:
    """Delete links by IPv4 number; returns the new length."""
    to = 0
    done = 0
    i = 0
    while i < n:
        if not (48 <= code_points[i] <= 57) or (i > 0 and properties[i - 1] & WORD):
            i += 1
            continue
        at = i
        for _ in range(3):
            at = _octet(code_points, at, n) if at >= 0 else -1
        if at < 0 or at >= n or not (48 <= code_points[at] <= 57):
            i += 1
            continue
        start = _scheme_start(code_points, i, done)
        if start < i and start > 0 and properties[start - 1] & WORD:
            start = i
        start = _blanks_start(properties, start, done)
        while at < n and _path(code_points[at]):
            at += 1
        to = move(code_points, properties, done, start, to)
        done = at
        i = at
    return move(code_points, properties, done, n, to)
