"""The rolling hash of every run of tokens: a polynomial in `base` modulo 2**64, moved on by one token at a time.

The hash of a run t0, t1, ..., tn is t0 * base**n + t1 * base**(n - 1) + ... + tn. What uses it mixes the bits well
before it compares or stores them, since the lowest bits of a polynomial know little of the tokens before.
"""

import numpy as np

from tamis.kernels.jit import kernel

_ONE = np.uint64(1)


@kernel
def power(base: np.uint64, exponent: int) -> np.uint64:
    """`base ** exponent` modulo 2**64: the weight with which a token leaves a run of `exponent` tokens."""
    product = _ONE
    for _ in range(exponent):
        product *= base
    return product


@kernel
def append(state: np.uint64, base: np.uint64, entering: np.uint64) -> np.uint64:
    """The hash of a run with one more token at its end."""
    return state * base + entering


@kernel
def drop(state: np.uint64, weight: np.uint64, leaving: np.uint64) -> np.uint64:
    """The hash after `append` without the token that has become one too many; `weight` is `power(base, run length)`."""
    return state - leaving * weight
