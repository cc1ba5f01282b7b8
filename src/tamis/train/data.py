"""Batches of training windows in an exact order, with a position that can be saved."""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from tamis.store.location import Location
from tamis.store.tokens import TokenDataset


@dataclass(frozen=True)
class Position:
    """The position in the data: `position` windows of the pass `epoch` have been used."""

    epoch: int = 0
    position: int = 0

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


class BatchLoader:
    """Global batches from a folder of token shards: windows are drawn without replacement, and shuffled again for every
    pass over the data.

    The last windows of a pass that do not fill a batch are joined by the first windows of the next pass, so that none
    is left out. The order depends on the seed alone; where several processes train, each takes its rows of the same
    global batch.
    """

    def __init__(self, folder: Location, sequence_length: int, batch_size: int, seed: int) -> None:
        self.dataset = TokenDataset(folder, sequence_length, seed)
        self.batch_size = batch_size
        self.at = Position()

    def next(self) -> Tensor:
        """The next global batch: int64, (batch_size, sequence_length + 1)."""
        parts: list[np.ndarray] = []
        missing = self.batch_size
        while missing:
            count = min(missing, self.dataset.num_windows - self.at.position)
            parts.append(self.dataset.batch(self.at.epoch, self.at.position, count))
            missing -= count
            end = self.at.position + count
            whole = end == self.dataset.num_windows
            self.at = Position(self.at.epoch + 1, 0) if whole else Position(self.at.epoch, end)
        return torch.from_numpy(np.concatenate(parts))
