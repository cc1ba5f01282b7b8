"""The engine `tamis`: it parses with resiliparse, and a trained model classifies each block of the page. It has no
rules for single sites.

The parser's tree is written as HTML once, and a kernel reads that, because a loop in Python over the nodes of the tree
would take longer than everything else together.
"""

from typing import Any, NamedTuple

import numpy as np

from tamis.kernels.html.blocks import ELEMENT, END, NUM_BLOCK_COLUMNS, NUM_ELEMENT_COLUMNS, START, scan
from tamis.kernels.html.features import features
from tamis.stages.extract.engines.layout import as_markdown, as_text
from tamis.stages.extract.engines.model import BlockModel
from tamis.stages.extract.engines.model_file import model_document


class Scanned(NamedTuple):
    """Blocks of a page: `text` uint8[t], `blocks` int32[b, NUM_BLOCK_COLUMNS], `elements` int32[e,
    NUM_ELEMENT_COLUMNS], `groups` int64[e], as `kernels.html.blocks` says."""

    text: np.ndarray
    blocks: np.ndarray
    elements: np.ndarray
    groups: np.ndarray


def scan_tree(html: bytes) -> Scanned:
    """Blocks of the HTML that a parser's tree wrote (UTF-8)."""
    size = html.count(b"<") + 2
    text = np.empty(len(html) + 1, np.uint8)
    blocks = np.empty((size, NUM_BLOCK_COLUMNS), np.int32)
    elements = np.empty((size, NUM_ELEMENT_COLUMNS), np.int32)
    groups = np.empty(size, np.int64)
    num_elements, num_blocks, num_bytes = scan(np.frombuffer(html, np.uint8), text, blocks, elements, groups)
    return Scanned(text[:num_bytes], blocks[:num_blocks], elements[:num_elements], groups[:num_elements])


def serialize(tree: Any) -> bytes:
    """The HTML (UTF-8) of a resiliparse HTMLTree without its head, which contains no text."""
    if tree.head is not None:
        tree.head.remove()
    return str(tree).encode("utf-8", "replace")


class Tamis:
    """Extracts the blocks that the model classifies as article text, or all blocks, as plain text or Markdown."""

    def __init__(self, main_content: bool, markdown: bool) -> None:
        from resiliparse.parse.html import HTMLTree

        self._parse = HTMLTree.parse
        self._model = BlockModel(model_document()) if main_content else None
        self._lay_out = as_markdown if markdown else as_text

    def extract(self, html: str) -> str:
        page = scan_tree(serialize(self._parse(html)))
        if not len(page.blocks):
            return ""
        kept = page.blocks
        if self._model is not None:
            kept = kept[self._model.keeps(features(*page))]
        data = page.text.tobytes()
        # The text is cut at ASCII bytes, so pieces of valid UTF-8 decode; "replace" is for pages whose tree holds
        # invalid bytes.
        parts = [data[start:end].decode("utf-8", "replace") for start, end in kept[:, (START, END)].tolist()]
        return self._lay_out(parts, kept[:, ELEMENT].tolist(), page.elements)
