"""Numba kernels over Arrow buffers: signals, edits, word boundaries. They know nothing of the rest of Tamis.

Each kernel has a plain-Python twin in `reference`, which says what it means.
"""


def compiled() -> bool:
    """True when `warm` has run on this machine since the kernels last changed."""
    from tamis.kernels.jit import warm_stamp

    return warm_stamp().exists()


def warm() -> None:
    """Compile the kernels of the filter stage, or load them from the cache: half a minute or so once, then moments."""
    import numpy as np
    import pyarrow as pa

    from tamis.kernels import langid
    from tamis.kernels.jit import warm_stamp
    from tamis.kernels.program import Program
    from tamis.kernels.text import choose

    Program().strip().run(pa.array(["a"]))
    choose(np.ones(1, np.bool_), pa.array(["a"]), pa.array(["a"]))
    states, priors = np.zeros(256, np.uint32), np.zeros(1, np.float32)
    langid.scores([b"a"], langid.automaton(states, states[:1], np.zeros(1), 1), np.zeros((1, 16), np.int16), priors)
    warm_stamp().parent.mkdir(parents=True, exist_ok=True)
    warm_stamp().touch()
