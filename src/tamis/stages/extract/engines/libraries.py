"""The extraction engines of other libraries, each with the settings that make them comparable: article text without
reader comments."""

from tamis.base.words import squeeze


class Resiliparse:
    """Resiliparse's main content as DCLM extracts it, or all visible text."""

    def __init__(self, main_content: bool, markdown: bool) -> None:
        from resiliparse.extract.html2text import extract_plain_text

        assert not markdown
        self._extract_plain_text = extract_plain_text
        self._main_content = main_content

    def extract(self, html: str) -> str:
        return str(self._extract_plain_text(html, main_content=self._main_content))


class Plain:
    """The title and all text, as in Common Crawl's WET files, without any selection of the main content.

    WET's own extractor reads a stream of tags; this one reads the repaired tree, so badly broken pages can differ.
    """

    def __init__(self, main_content: bool, markdown: bool) -> None:
        from resiliparse.extract.html2text import extract_plain_text
        from resiliparse.parse.html import HTMLTree

        assert not markdown
        self._extract_plain_text = extract_plain_text
        self._parse = HTMLTree.parse

    def extract(self, html: str) -> str:
        tree = self._parse(html)
        text = self._extract_plain_text(
            tree, main_content=False, list_bullets=False, alt_texts=False, form_fields=True, noscript=True,
            hidden_elements=True,
        )  # fmt: skip
        lines = [squeeze(tree.title or ""), *(line.strip() for line in str(text).split("\n"))]
        return "\n".join(line for line in lines if line)


class Trafilatura:
    """Trafilatura with tables, without comments."""

    def __init__(self, main_content: bool, markdown: bool) -> None:
        from trafilatura import extract

        assert main_content
        self._extract = extract
        self._format = "markdown" if markdown else "txt"

    def extract(self, html: str) -> str:
        return self._extract(html, output_format=self._format, include_comments=False) or ""


class Justext:
    """JusText with the stop words of all its languages together, because pages do not declare their language
    reliably."""

    def __init__(self, main_content: bool, markdown: bool) -> None:
        import justext
        from lxml.etree import ParserError

        assert main_content and not markdown
        self._justext = justext.justext
        self._no_document = ParserError
        self._stop_words = frozenset().union(*(justext.get_stoplist(name) for name in justext.get_stoplists()))

    def extract(self, html: str) -> str:
        if not html.strip():
            return ""
        # As bytes: lxml refuses text whose XML declaration names an encoding.
        try:
            paragraphs = self._justext(html.encode(), self._stop_words, encoding="utf-8")
        except self._no_document:
            return ""
        return "\n".join(paragraph.text for paragraph in paragraphs if not paragraph.is_boilerplate)
