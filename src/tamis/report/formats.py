"""Formats numbers and text for reading: thin spaces between thousands, units, typographic minus signs, escaped and
cleaned strings."""

import html
import math
import re
import urllib.parse
from datetime import UTC, datetime
from typing import Any

THIN = "\u202f"
"""Narrow no-break space: separates thousands, and a number from its unit."""
MINUS = "\u2212"
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def escape(value: Any) -> str:
    """Escape a string for use as the text of an element or as a quoted attribute. Characters that HTML forbids, and
    those that change the direction of the text after them, become U+FFFD."""
    return html.escape(_CONTROLS.sub("\ufffd", str(value).replace("\r\n", "\n")), quote=True)


def count(value: float) -> str:
    """A whole number: `12 345 678`."""
    return f"{round(value):,}".replace(",", THIN).replace("-", MINUS)


def scaled(value: float, units: tuple[str, ...], base: float = 1000.0) -> str:
    """Three significant digits with the unit that fits: `1.23 MB`; below the first unit, a whole number."""
    amount, index = float(value), 0
    while abs(amount) >= base and index + 1 < len(units):
        amount, index = amount / base, index + 1
    if index and round(abs(amount), 0) >= base and index + 1 < len(units):
        amount, index = amount / base, index + 1
    digits = 0 if index == 0 or abs(amount) >= 99.95 else 1 if abs(amount) >= 9.995 else 2
    text = f"{amount:.{digits}f}".replace("-", MINUS)
    return f"{text}{THIN}{units[index]}" if units[index] else text


def size(num_bytes: float) -> str:
    """Bytes in decimal units, as the field counts text."""
    return scaled(num_bytes, ("B", "kB", "MB", "GB", "TB", "PB"))


def short_count(value: float) -> str:
    """A short form of a count: `1.23 M`."""
    return count(value) if abs(value) < 10_000 else scaled(value, ("", "k", "M", "G", "T"))


def percent(part: float, whole: float) -> str:
    """`12.3 %`. A share that is not zero is never rounded to 0 %, and one that is not the whole never to 100 %. A share
    of nothing is a dash."""
    if not whole:
        return "–"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return f"<{THIN}0.1{THIN}%"
    if 99.95 <= share < 100:
        return f">{THIN}99.9{THIN}%"
    digits = 0 if share in (0, 100) else 1
    return f"{share:.{digits}f}{THIN}%"


def real(value: float, digits: int = 3) -> str:
    """A measurement with `digits` significant digits, and with an exponent only where it is hard to read without
    one."""
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: MINUS + "∞"}.get(value, "–")
    if value == 0:
        return "0"
    if abs(value) >= 10 ** max(digits, 5) or abs(value) < 1e-4:
        text = f"{value:.{digits - 1}e}"
        mantissa, exponent = text.split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", MINUS)
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}".replace(",", THIN).replace("-", MINUS)


def tick(value: float) -> str:
    """The shortest exact label of a round value: `0.3`, `50`, `100 k`, `1.5 M`."""
    if not math.isfinite(value):
        return real(value)
    if abs(value) >= 10_000:
        number, _, unit = scaled(value, ("", "k", "M", "G", "T")).partition(THIN)
        return (number.rstrip("0").rstrip(".") if "." in number else number) + (THIN + unit if unit else "")
    return re.sub(r"e-0?", "e-", f"{value:.6g}").replace("-", MINUS)


def threshold(value: float) -> str:
    """A limit with up to six digits and with separated thousands."""
    text = f"{value:.6g}" if abs(value) < 1e6 else f"{value:.10g}"
    return count(value) if text.lstrip("-").isdigit() else text.replace("-", MINUS)


def measured(value: float) -> str:
    """A signal of a document: whole numbers whole, others to three digits."""
    return count(value) if math.isfinite(value) and value == int(value) else real(value)


def fixed(value: float, places: int, signed: bool = False) -> str:
    """A number with a fixed number of decimal places, for columns of numbers."""
    text = f"{value:+.{places}f}" if signed else f"{value:.{places}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def places_for(width: float) -> int:
    """Decimal places that show two significant digits of an interval's width."""
    return 3 if width <= 0 or not math.isfinite(width) else min(6, max(0, 1 - math.floor(math.log10(width))))


def duration(seconds: float) -> str:
    """`0.42 s`, `38 s`, `4 min 05 s`, `3 h 20 min`."""
    if seconds < 10:
        return f"{seconds:.2f}{THIN}s"
    if seconds < 60:
        return f"{seconds:.1f}{THIN}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}{THIN}min {whole % 60:02d}{THIN}s"
    return f"{whole // 3600}{THIN}h {whole % 3600 // 60:02d}{THIN}min"


def date(timestamp: float) -> str:
    """`20 November 2026, 21:57 UTC`, from seconds since the epoch."""
    try:
        moment = datetime.fromtimestamp(timestamp, UTC)
    except (OverflowError, ValueError, OSError):
        return "–"
    return f"{moment.day} {MONTHS[moment.month - 1]} {moment.year}, {moment:%H:%M} UTC"


def words(name: str) -> str:
    """A name such as `too_few_stop_words` as words."""
    return name.replace("_", " ").strip()


def plural(number: int, noun: str) -> str:
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def data(value: float, text: str) -> str:
    """A `data` element: the readable text, with the exact number for programs and as hover text."""
    exact = f"{value:.10g}" if isinstance(value, float) else str(value)
    return f'<data value="{exact}">{text}</data>'


def safe_link(url: str) -> str:
    """A link where the address begins with http(s), otherwise its text only. The text of a long address is
    shortened."""
    shown = url if len(url) <= 110 else url[:80] + "…" + url[-28:]
    try:
        parsed = urllib.parse.urlsplit(url)
        plain = parsed.scheme in ("http", "https") and bool(parsed.netloc)
    except ValueError:
        plain = False
    if not plain:
        return f"<span>{escape(shown) or '(no address)'}</span>"
    return f'<a href="{escape(url)}" rel="noopener noreferrer nofollow">{escape(shown)}</a>'
