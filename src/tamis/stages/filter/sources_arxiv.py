r"""Edits for LaTeX sources of arXiv papers, as RedPajama's first version and DCLM make them.

These are regular expressions in Python, without a kernel, because LaTeX sources are few compared with web pages.
`paper` reproduces mistakes of the published code: the character before an inline comment is deleted with it, an escaped
backslash before `%` (`\\%`) hides the comment, a macro is not expanded right after another one nor at the end of the
text, and `\paragraph` does not count as the start of the text.
"""

import re
from collections.abc import Callable
from functools import partial

_APPENDIX = re.compile(r"\\appendix|\\begin\{(?:references|REFERENCES|thebibliography)\}|\\bibliography\{[^}]*\}")
_COMMENT_LINE = re.compile(r"^%.*\n?", re.MULTILINE)
_INLINE_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%.+$", re.MULTILINE)
_INLINE_COMMENT_PAPER = re.compile(r"[^\\]%.+$", re.MULTILINE)
_COMMENT_BLOCK = re.compile(r"\\begin\{comment\}.*?\\end\{comment\}", re.DOTALL)
_NEWCOMMAND = re.compile(r"\\newcommand\b\*?\{(\\[a-zA-Z0-9]+)\}\{(.*?)\}$", re.MULTILINE)
_DEF = re.compile(r"\\def\s*(\\[a-zA-Z0-9]+)\s*\{(.*?)\}$", re.MULTILINE)
_SECTION_PAPER, _SECTION = (
    re.compile(rf"\\(?:chapter|part|section|subsection|subsubsection{more})\b\*?(?:\[[^\]]*\])?\{{[^}}]*\}}")
    for more in ("", "|paragraph|subparagraph")
)


def remove_appendix(text: str, paper: bool) -> str:
    """The text before the first appendix, reference list or bibliography."""
    found = _APPENDIX.search(text)
    return text if found is None else text[: found.start()]


def remove_comments(text: str, paper: bool) -> str:
    """The text without `%` comments: whole lines, and what follows an unescaped `%`."""
    text = _COMMENT_LINE.sub("", text)
    return _INLINE_COMMENT_PAPER.sub("", text) if paper else _INLINE_COMMENT.sub(r"\1", text)


def remove_comment_blocks(text: str, paper: bool) -> str:
    r"""The text without `\begin{comment} ... \end{comment}`."""
    return _COMMENT_BLOCK.sub("", text)


def expand_macros(text: str, paper: bool) -> str:
    r"""The text with macros that take no argument (`\newcommand`, `\def`) replaced by what they stand for."""
    macros = {name: value for pattern in (_NEWCOMMAND, _DEF) for name, value in pattern.findall(text)}
    for name, value in macros.items():
        follows = r"([^a-zA-Z0-9])" if paper else r"(?![a-zA-Z0-9])"
        text = re.sub(re.escape(name) + follows, partial(_expanded, value), text)
    return text


def _expanded(value: str, match: re.Match[str]) -> str:
    return value + "".join(match.groups())


def remove_preamble(text: str, paper: bool) -> str:
    """The text from its first sectioning command on; '' where there is none."""
    found = (_SECTION_PAPER if paper else _SECTION).search(text)
    return "" if found is None else text[found.start() :]


ARXIV_EDITS: dict[str, Callable[[str, bool], str]] = {
    "arxiv_appendix": remove_appendix,
    "arxiv_comments": remove_comments,
    "arxiv_comment_blocks": remove_comment_blocks,
    "arxiv_macros": expand_macros,
    "arxiv_preamble": remove_preamble,
}
"""Edit kind -> function of (text, paper mode)."""
