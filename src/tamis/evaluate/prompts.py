"""Prompts exactly as llm-foundry builds them for DCLM: which texts are stripped and joined, and where spaces are added.

Preamble and test context are tokenised separately, and their ids are joined. The test context is stripped on the right,
and the answer gets the space when the tokenizer has a token for a space with a letter (GPT-NeoX's has, Llama's has
not).
"""

from typing import Any

from tamis.evaluate.model import TextTokenizer


def strip_fields(row: dict[str, Any]) -> dict[str, Any]:
    """Strip every top-level string of a row; strings inside lists (the choices) stay as they are."""
    return {name: value.strip() if isinstance(value, str) else value for name, value in row.items()}


def prefix_space(tokenizer: TextTokenizer) -> bool:
    """Whether an answer begins with a space, which is the case when ' a' is one token."""
    return len(tokenizer.encode_batch([" a"])[0]) == 1


def make_context(query: str, *, prelimiter: str, continuation_delimiter: str) -> str:
    """The text of one test example up to its answer, without the white space at its end."""
    return f"{prelimiter}{query}{continuation_delimiter}".rstrip()


def encode_contexts(tokenizer: TextTokenizer, preamble: str, contexts: list[str]) -> list[list[int]]:
    """The ids of the preamble followed by those of each context. Where both are empty, the prompt is end-of-text."""
    head = tokenizer.encode_batch([preamble])[0] if preamble else []
    return [(head + ids) or [tokenizer.eot_id] for ids in tokenizer.encode_batch(contexts)]


def encode_answers(tokenizer: TextTokenizer, answers: list[str]) -> tuple[list[list[int]], list[str]]:
    """The ids of each answer, and the text that these ids represent (with its leading space, where there is one)."""
    space = " " if prefix_space(tokenizer) else ""
    texts = [space + answer for answer in answers]
    return tokenizer.encode_batch(texts), texts
