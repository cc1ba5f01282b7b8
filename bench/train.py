"""Training speed: tokens per second of our loop, compared with a bare PyTorch loop of the same model on the same
batches.

    python bench/train.py [--scale nano] [--steps 10] [--rounds 20] [--device cpu] [--threads 1]

The bare loop is as short as in a notebook: random batches from one tensor in memory, forward, loss, backward, clip,
step, without shuffle, log and checks. The two loops alternate in going first, and the ratio is the median over rounds,
so that a busy machine slows both equally. The last line printed is one JSON object. Budget: ratio >= 0.97.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import torch

from tamis.store.location import Location
from tamis.store.tokens import TokenShardWriter, write_manifest
from tamis.train.loop import Trainer, train
from tamis.train.metrics import MetricsLog
from tamis.train.model import Transformer, losses
from tamis.train.optimizer import make_optimizer
from tamis.train.run import TrainConfig, make_trainer
from tamis.train.settings import Training, resolve


def write_random_tokens(folder: Path, num_tokens: int, vocab_size: int) -> None:
    ids = np.random.default_rng(0).integers(1, vocab_size, num_tokens, np.int32)
    ids[999::1000] = 0
    ids[-1] = 0
    ends = np.flatnonzero(ids == 0) + 1
    field = pa.field("token_ids", pa.list_(pa.int32()), metadata={b"vocab_size": str(vocab_size).encode()})
    lists = pa.ListArray.from_arrays(pa.array(np.concatenate([[0], ends]).astype(np.int32)), pa.array(ids))
    with TokenShardWriter(folder / "00000.bin") as writer:
        writer.write(pa.record_batch([lists], schema=pa.schema([field])))
    tokenizer = folder.parent / "made.json"
    tokenizer.write_bytes(orjson.dumps({"model": {"vocab": {str(i): i for i in range(vocab_size)}}}))
    write_manifest(Location(folder), Location(tokenizer))


def time_ours(trainer: Trainer, folder: Path, num_steps: int, first: int) -> float:
    """Seconds of steps `first` to `num_steps`, with log and progress, up to the last line of metrics: the checkpoint
    that follows is not counted."""
    ends: list[float] = []
    with MetricsLog(Location(folder / "metrics.jsonl"), first) as log:
        started = time.perf_counter()
        train(trainer, first, {num_steps}, log, lambda step: None, lambda line: ends.append(time.perf_counter()))
    return ends[-1] - started


def time_bare(
    model: Transformer, optimizer: torch.optim.Optimizer, windows: torch.Tensor, training: Training, steps: int,
    micro: int, device: str,
) -> float:  # fmt: skip
    """Seconds of `steps` steps of the loop that one would write by hand."""
    scale = training.scale
    parameters = list(model.parameters())
    started = time.perf_counter()
    for _ in range(steps):
        batch = windows[torch.randint(0, len(windows), (scale.batch_size,))]
        for part in batch.split(micro):
            ids = part.to(device)
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                logits = model(ids[:, :-1])
            entropy, z = losses(logits, ids[:, 1:])
            ((entropy + scale.z_loss * z) * (len(part) / len(batch))).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", default="nano")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "tokens"
        write_random_tokens(folder, 2_000_000, 1000)
        settings = {"scale": args.scale, "device": args.device, "multiple_data_passes": True}
        config = TrainConfig.parse(settings, "train")
        training = resolve(config, Location(folder))
        trainer = make_trainer(config, training, Location(folder))
        device, micro = trainer.settings.device, trainer.settings.micro_batch_size
        bare = Transformer(training.scale.shape).to(device)
        bare.reset_parameters(0)
        optimizer = make_optimizer(bare, training.scale.weight_decay)
        for group in optimizer.param_groups:
            group["lr"] = 1e-3
        count = min(1000, trainer.loader.dataset.num_windows)
        windows = torch.from_numpy(trainer.loader.dataset.batch(0, 0, count))
        ours, plain = [], []

        def run_ours(number: int) -> None:
            first = number * args.steps
            trainer.settings = replace(trainer.settings, num_steps=first + args.steps)
            ours.append(time_ours(trainer, Path(place), first + args.steps, first))

        def run_bare(number: int) -> None:
            plain.append(time_bare(bare, optimizer, windows, training, args.steps, micro, device))

        for number in range(args.rounds + 1):
            for run in (run_ours, run_bare) if number % 2 else (run_bare, run_ours):
                run(number)
    tokens = args.steps * training.scale.batch_size * training.scale.sequence_length
    result = {
        "bench": "train",
        "scale": args.scale,
        "device": device,
        "threads": args.threads,
        "tokens_per_second": round(tokens / float(np.median(ours[1:]))),
        "bare_tokens_per_second": round(tokens / float(np.median(plain[1:]))),
        "ratio": round(float(np.median(np.array(plain[1:]) / np.array(ours[1:]))), 3),
        "budget_ratio": 0.97,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
