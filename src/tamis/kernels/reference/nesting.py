"""Twin of `kernels.nesting`, exact where that is a bound."""


def deepest_excess(html: bytes) -> int:
    """Largest excess of '<' without a slash after it over '</', in any stretch of the page."""
    excess = deepest = 0
    for place, byte in enumerate(html):
        if byte == ord("<"):
            excess = max(0, excess - 1 if html[place + 1 : place + 2] == b"/" else excess + 1)
            deepest = max(deepest, excess)
    return deepest
