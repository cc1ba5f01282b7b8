"""Numba kernels over Arrow buffers: signals, edits, word boundaries. They know nothing of the rest of Tamis.

Each kernel has a plain-Python twin in `reference`, which says what it means.
"""


def warm() -> None:
    """Compile every kernel of the rule chain, or load them from the cache; a minute or so the first time, else moments."""
    import pyarrow as pa

    from tamis.kernels.program import Program

    Program().strip().run(pa.array(["a"]))
