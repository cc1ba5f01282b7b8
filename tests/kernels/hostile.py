"""Texts that break tokenisers: word-break classes, joiners, odd blanks, near-misses of each pattern, any Unicode."""

from hypothesis import strategies as st

FRAGMENTS = [
    " ", "  ", "\n", "\n\n", "\n\n\n", "\r\n", "\r", "\t", "\v", "\f", "\0", "\x1c", "\x1f", "\x85", "\xa0", "\u2028",
    "\u2029", "\u3000", "\u200b", "\u200d", "\u200c", "\u00ad", "\u0301", "\u0308", "\ufe0f", "\u202e", "\ufeff",
    "\ufffd", "\U0010ffff", "a", "b", "B", "Z", "the", "The", "be", "TO", "of", "and", "that", "have", "with", "ß",
    "ﬁ", "İ", "ı", "K", "ſ", "Σ", "σ", "ΑΣ", "ǅ", "Ⓐ", "א", "ב", "'", '"', "’", ":", "·", ".", ",", ";", "_", "-",
    "*", "●", "•", "#", "...", ". . .", "…", "....", "1", "42", "٣", "²", "Ⅷ", "½", "㊀", "カ", "ー", "ｶ", "漢", "字",
    "한국", "ไทย", "🇩🇪", "🇩", "👨\u200d👩\u200d👧", "☺️", "👍🏽", "©", "!", "?", "items in cart", "Items In Cart",
    "ıtems ın cart", "read more...", "Read More…..", "sign-in", "Sign-in ", "ſign-in", "3 likes", "1,2.k Views",
    " \uff9e", "* 7K\u00a0followers!", "12 liKes", "[12]", "[]", "[edit]", "[citation needed]", "[[1]]", "[٣]", "http://",
    "https://", "ftp://", "www.", "example", ".com", ".co", ".org/a?b=c", ".invalid", ".рф", ".中国", "1.2.3.4",
    "300.1.1.1", "10.0.0.", "256.256.256.256:80/x", "e.g.it", "x" * 255, "y" * 257, "@", "%", "(", ")", "/",
]  # fmt: skip

texts = st.lists(
    st.one_of(st.sampled_from(FRAGMENTS), st.sampled_from(FRAGMENTS), st.characters(exclude_categories=["Cs"])),
    max_size=60,
).map("".join)
repetitive = st.lists(st.sampled_from(["a", "b", "cc", "a b", " ", " ", "\n", "x. ", "\n\n"]), max_size=150).map(
    "".join
)
PLAIN_FRAGMENTS = [
    " ", " ", " ", "  ", "\n", "\n\n", "\n\n\n", "\r\n", "\t", "\0", "\x1c", "\x85", "\xa0", "\u3000", "'", "’", '"',
    ":", "·", ".", ",", ";", "_", "-", "*", "•", "#", "...", ". . .", "…", "1", "42", "3.14", "½", "é", "É", "漢", "😀",
    "a", "B", "the", "The", "of", "have", "with", "waht", "longword", "longerword", "LONGERWORD", "naïveté", "х" * 9,
    "x" * 15, "x" * 16, "x" * 17, "y" * 62, "z" * 63, "z" * 64, "1 line of some words", "example.com", "1.2.3.4",
]  # fmt: skip
plain = st.lists(st.sampled_from(PLAIN_FRAGMENTS), max_size=120).map("".join)
"""Long texts of characters that are taken many at a time: no class that Word_Break looks through."""
