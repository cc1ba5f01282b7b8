"""Texts built from records with several parts: StackExchange questions with their answers, repositories with their
files.

The parts are in the input's own fields, which the pool keeps in `extra`. Formats are those of RedPajama (StackExchange)
and of StarCoder2 (repositories) as DCLM writes them.
"""

from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

from tamis.base.seeds import unit_hash

REDPAJAMA_EXTENSIONS = (
    ".asm", ".bat", ".cmd", ".c", ".h", ".cs", ".cpp", ".hpp", ".c++", ".h++", ".cc", ".hh", ".C", ".H", ".cmake",
    ".css", ".dockerfile", ".f90", ".f", ".f03", ".f08", ".f77", ".f95", ".for", ".fpp", ".go", ".hs", ".html", ".java",
    ".js", ".jl", ".lua", ".md", ".markdown", ".php", ".php3", ".php4", ".php5", ".phps", ".phpt", ".pl", ".pm", ".pod",
    ".perl", ".ps1", ".psd1", ".psm1", ".py", ".rb", ".rs", ".sql", ".scala", ".sh", ".bash", ".command", ".zsh", ".ts",
    ".tsx", ".tex", ".vb", "Dockerfile", "Makefile", ".xml", ".rst", ".m", ".smali",
)  # fmt: skip
"""File name extensions that RedPajama keeps of GitHub."""
_LIST_TAGS = {"<li>": "\n*", "</li>": "", "<ol>": "\n*", "</ol>": ""}


class _Text(HTMLParser):
    """Collects the text of an HTML fragment."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def html_text(html: str) -> str:
    """The text nodes of an HTML fragment, list items starting with a star on a line of their own."""
    for tag, mark in _LIST_TAGS.items():
        html = html.replace(tag, mark)
    parser = _Text()
    parser.feed(html)
    parser.close()
    return "".join(parser.parts)


def stackexchange_text(record: Mapping[str, Any]) -> str | None:
    """`Q: question`, then `A: answer` for each answer, best score first; None where there is no question."""
    question = record.get("question")
    if not isinstance(question, Mapping) or not isinstance(question.get("text"), str):
        return None
    answers = [answer for answer in record.get("answers") or [] if isinstance(answer, Mapping)]
    answers.sort(key=lambda answer: answer.get("score") or 0, reverse=True)
    parts = [f"Q: {html_text(question['text'])}"]
    parts += [f"A: {html_text(answer['text'])}" for answer in answers if isinstance(answer.get("text"), str)]
    return "\n".join(parts)


def repository_text(record: Mapping[str, Any], document_id: str, name_probability: float, seed: int) -> str | None:
    """All files of a repository, separated by StarCoder2's marks; with `name_probability`, by a hash of the document's
    id, preceded by the repository's name and each by its own. None where there are no files."""
    files = record.get("files")
    if not isinstance(files, list) or not files:
        return None
    named = unit_hash(document_id, salt=f"repository-{seed}") < name_probability
    parts = [f"<repo_name>{record.get('repo_name', '')}"] if named else []
    for file in files:
        name = f"{file.get('filename', '')}\n" if named else ""
        parts.append(f"<file_sep>{name}{file.get('text', '')}")
    return "".join(parts)
