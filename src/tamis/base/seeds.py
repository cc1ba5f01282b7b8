"""The source of all randomness: a named seed depends on the run's seed and on names, and never on the order of the work
or the number of workers."""

import hashlib

import numpy as np


def named_seed(run_seed: int, *names: str | int) -> int:
    """A 63-bit seed for the stream called `names`, e.g. `named_seed(0, "quality", "shard-00003")`."""
    digest = hashlib.blake2b("\x1f".join([str(run_seed), *map(str, names)]).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def named_rng(run_seed: int, *names: str | int) -> np.random.Generator:
    """A numpy generator on the stream called `names`."""
    return np.random.default_rng(named_seed(run_seed, *names))


def unit_hash(text: str, salt: str = "") -> float:
    """A number in [0, 1) that depends on `text` and `salt` alone, so that every machine draws the same sample."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=salt.encode()[:64]).digest()
    return int.from_bytes(digest, "little") / 2**64
