"""Makes the toy stages importable, also in worker processes; a pool of small documents with every kind of copy."""

import json
import os
import random
import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [HERE, os.environ.get("PYTHONPATH", "")]))

WORDS = [f"word{n}" for n in range(400)]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five shards of 60 documents: new ones, copies, near-copies, documents that share a paragraph, empty ones."""
    folder = tmp_path_factory.mktemp("pool")
    rng = random.Random(0)
    shared = " ".join(rng.choices(WORDS, k=80))
    texts: list[str] = []
    for shard in range(5):
        lines = []
        for number in range(60):
            text = "\n".join(" ".join(rng.choices(WORDS, k=40)) for _ in range(4))
            if texts and number % 4 == 0:
                words = rng.choice(texts).split(" ")
                words[rng.randrange(len(words))] = rng.choice(["", "changed"])
                text = " ".join(words)
            elif number % 7 == 0:
                text = f"{text}\n{shared}\n{rng.choice(WORDS)}"
            elif number % 19 == 0:
                text = ""
            texts.append(text)
            lines.append(json.dumps({"text": text, "url": f"http://h{number % 9}.org/{shard}/{number}"}))
        (folder / f"{shard}.jsonl").write_text("\n".join(lines) + "\n")
    return folder
