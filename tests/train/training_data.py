"""A tiny dataset that a model can learn in 40 steps, and short ways to train on it and to read what came out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from tamis.base.cards import Card
from tamis.store.location import Location
from tamis.store.tokens import TokenShardWriter, write_manifest
from tamis.train.metrics import OnMetrics
from tamis.train.run import TrainConfig, resolve, run_training

NUM_STEPS = 40
SETTINGS: dict[str, Any] = {
    "scale": "nano", "tokens": NUM_STEPS * 4 * 32, "sequence_length": 32, "batch_size": 4, "warmup_steps": 5,
    "num_checkpoints": 4, "device": "cpu", "threads": 1, "seed": 7,
}  # fmt: skip


def config(**changes: Any) -> TrainConfig:
    return TrainConfig.parse(SETTINGS | changes, "train")


def train(
    tokens: Location, output: Location, on_progress: OnMetrics | None = None, settings: TrainConfig | None = None
) -> Card:
    settings = settings or config()
    return run_training(resolve(settings, tokens), settings, tokens, output, on_progress)


def write_tokens(folder: Path) -> Location:
    """6,400 tokens: documents that count upwards from a random start."""
    rng = np.random.default_rng(0)
    field = pa.field("token_ids", pa.list_(pa.int32()), metadata={b"vocab_size": b"50"})
    for shard in range(2):
        documents = [[(start + i) % 49 + 1 for i in range(99)] + [0] for start in rng.integers(0, 49, 32).tolist()]
        with TokenShardWriter(folder / f"{shard:05d}.bin") as writer:
            writer.write(pa.record_batch([pa.array(documents, field.type)], schema=pa.schema([field])))
    tokenizer = folder.with_name("made.json")
    tokenizer.write_bytes(orjson.dumps({"model": {"vocab": {str(i): i for i in range(50)}}}))
    write_manifest(Location(folder), Location(tokenizer))
    return Location(folder)


def metrics_of(output: Location) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def losses_of(output: Location) -> list[tuple[int, float, float, float]]:
    return [(line["step"], line["loss"], line["z_loss"], line["grad_norm"]) for line in metrics_of(output)]
