"""Trains a byte-level BPE tokenizer on documents, for scales that are too small for a published vocabulary.

At `nano` scale GPT-NeoX's 50,432 embeddings would be more than 95 % of the model. The tokenizer is of the same kind as
GPT-NeoX's: bytes, GPT-2's word pattern, merges by frequency; without a normaliser, so that decoding gives back every
text exactly.

The time to train grows with the square of the length of a word, so of a run of characters that has no boundary in it,
as a page of one repeated letter or of random letters, only the beginning is used.
"""

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tamis.base.errors import ConfigError

END_OF_TEXT = "<|endoftext|>"
SMALLEST_VOCABULARY = 257
"""The smallest vocabulary: the end-of-text token and the 256 bytes."""
MOST_RUN = 256
"""Longest run of letters and digits, or of other characters, that is used whole. No word of the tokenizer's pattern
reaches from one kind into the other, but for the blank before a word."""
POLL_SECONDS = 0.1

_LONG_RUN = re.compile(rf"[^\W_]{{{MOST_RUN + 1},}}|[\W_]{{{MOST_RUN + 1},}}")

OnProgress = Callable[[int, str], None]
"""Called with (number so far, unit): `texts` that were read, and then `s` for which merges have been computed."""


def train_tokenizer(texts: Iterable[str], vocab_size: int, on_progress: OnProgress = lambda done, unit: None) -> bytes:
    """Train on `texts`; returns the bytes of a `tokenizers` JSON file. It has fewer than `vocab_size` ids when the
    texts hold too few pairs that occur twice. `<|endoftext|>` has id 0, the bytes follow.

    The same multiset of texts gives the same bytes, in any order and with any number of threads. The library does not
    see Ctrl-C while it works, so it works in a thread of its own. Raises ConfigError when `vocab_size` has no room for
    the bytes, or when there is no text.
    """
    if vocab_size < SMALLEST_VOCABULARY:
        raise ConfigError(
            f"vocab_size: {vocab_size} is too small: a byte-level tokenizer has at least {SMALLEST_VOCABULARY} ids"
        )
    training = _Training(texts, vocab_size)
    thread = threading.Thread(target=training.run, name="tokenizer", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(POLL_SECONDS)
            if training.read_at is None:
                on_progress(training.num_texts, "texts")
            else:
                on_progress(int(time.monotonic() - training.read_at), "s")
    finally:
        training.is_stopped = True
    if training.error is not None:
        raise training.error
    if training.num_texts == 0:
        raise ConfigError("there are no documents to train a tokenizer on")
    return training.made


class _Training:
    """One training, and how far it is."""

    def __init__(self, texts: Iterable[str], vocab_size: int) -> None:
        self._texts, self._vocab_size = texts, vocab_size
        self.num_texts, self.is_stopped = 0, False
        self.read_at: float | None = None
        """When all texts had been read."""
        self.made = b""
        self.error: BaseException | None = None

    def run(self) -> None:
        """Train; what goes wrong is kept in `error`, for the thread that waits."""
        try:
            self.made = self._train()
        except Exception as error:  # noqa: BLE001 - raised again by the thread that waits
            self.error = error

    def _train(self) -> bytes:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self._vocab_size,
            min_frequency=2,
            special_tokens=[END_OF_TEXT],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(self._counted(), trainer)
        return str(tokenizer.to_str(pretty=True)).encode()

    def _counted(self) -> Iterator[str]:
        for text in self._texts:
            if self.is_stopped:
                return
            self.num_texts += 1
            yield shortened(text)
        self.read_at = time.monotonic()


def shortened(text: str) -> str:
    """`text` with the beginning alone of every run that is too long."""
    return _LONG_RUN.sub(lambda found: found.group()[:MOST_RUN], text)
