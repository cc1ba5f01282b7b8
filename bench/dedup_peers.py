"""Peers' own MinHash on the same documents, where they are installed: which documents each would remove.

All with 14 bands of 8 rows over word 5-grams, their own tokenisation and hashing; of each group the first stays.
"""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

BANDS, ROWS, NGRAM = 14, 8, 5


def datasketch_duplicates(texts: dict[str, str]) -> set[str]:
    """datasketch: documents whose bands meet those of an earlier kept or removed one (connected through it)."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
    removed = set()
    for key, text in texts.items():
        words = re.findall(r"\w+", text.lower())
        shingles = {" ".join(words[i : i + NGRAM]) for i in range(max(1, len(words) - NGRAM + 1))}
        sketch = MinHash(num_perm=BANDS * ROWS, seed=1)
        sketch.update_batch([shingle.encode() for shingle in shingles])
        if index.query(sketch):
            removed.add(key)
        index.insert(key, sketch)
    return removed


def datatrove_duplicates(texts: dict[str, str]) -> set[str]:
    """datatrove's four stages, one worker, in a temporary folder."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.utils.hashing import HashConfig

    hashing = HashConfig(precision=64)
    config = MinhashConfig(n_grams=NGRAM, num_buckets=BANDS, hashes_per_bucket=ROWS, hash_config=hashing)
    documents = [Document(text=text, id=key) for key, text in texts.items()]
    with TemporaryDirectory() as folder:
        parts = [str(Path(folder) / name) for name in ("signatures", "buckets", "clusters")]
        MinhashDedupSignature(output_folder=parts[0], config=config).run(iter(documents), 0, 1)
        for bucket in range(BANDS):
            MinhashDedupBuckets(input_folder=parts[0], output_folder=parts[1], config=config).run(None, bucket, BANDS)
        MinhashDedupCluster(input_folder=parts[1], output_folder=parts[2], config=config).run(None, 0, 1)
        kept = {one.id for one in MinhashDedupFilter(input_folder=parts[2]).run(iter(documents), 0, 1)}
    return texts.keys() - kept
