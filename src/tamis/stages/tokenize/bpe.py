"""Trains a byte-level BPE tokenizer on documents, for scales that are too small for a published vocabulary.

At `nano` scale GPT-NeoX's 50,432 embeddings would be more than 95 % of the model. The tokenizer is of the same kind as
GPT-NeoX's: bytes, GPT-2's word pattern, merges by frequency; without a normaliser, so that decoding gives back every
text exactly.
"""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tamis.base.errors import ConfigError

END_OF_TEXT = "<|endoftext|>"
SMALLEST_VOCABULARY = 257
"""The smallest vocabulary: the end-of-text token and the 256 bytes."""


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> bytes:
    """Train on `texts`; returns the bytes of a `tokenizers` JSON file. It has fewer than `vocab_size` ids when the
    texts hold too few pairs that occur twice. `<|endoftext|>` has id 0, the bytes follow.

    The same multiset of texts gives the same bytes, in any order and with any number of threads. Raises ConfigError
    when `vocab_size` has no room for the bytes, or when there is no text.
    """
    if vocab_size < SMALLEST_VOCABULARY:
        raise ConfigError(
            f"vocab_size: {vocab_size} is too small: a byte-level tokenizer has at least {SMALLEST_VOCABULARY} ids"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    num_texts = 0

    def counted() -> Iterable[str]:
        nonlocal num_texts
        for text in texts:
            num_texts += 1
            yield text

    tokenizer.train_from_iterator(counted(), trainer)
    if num_texts == 0:
        raise ConfigError("there are no documents to train a tokenizer on")
    return str(tokenizer.to_str(pretty=True)).encode()
