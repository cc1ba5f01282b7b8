"""The only way to the terminal: what is printed cannot move the cursor, change the title, or turn text around.

Texts, URLs, reasons and file names come from crawls, and a page can hold the control sequences of a terminal. Here such
characters are replaced by what stands for them in a string of Python or JSON, as `\\x1b`. Everything that prints uses
`echo`, `echo_json` or `safe_console`; a test holds to that.
"""

import json
import re
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline (a carriage return writes over the line), DEL, C1
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # marks that change the direction of text; other line ends
    "\ud800-\udfff]"  # half of a character, as in a file name that is not UTF-8: it cannot be encoded
)


def safe_text(text: str) -> str:
    """`text` with everything that a terminal would obey, or that cannot be printed, written out: `\\x1b`, `\\u202e`.
    Tabs and newlines stay. A text that was made safe before does not change."""
    return _UNSAFE.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a line, made safe, on standard output or, with `err`, on standard error."""
    typer.echo(safe_text(text), err=err, nl=nl)


def echo_json(data: Any) -> None:
    """Print data as JSON that a terminal can show and that reads back as the same data."""
    written = json.dumps(data, indent=2, ensure_ascii=False)
    typer.echo(_UNSAFE.sub(lambda found: f"\\u{ord(found.group()):04x}", written))


def safe_console(**options: Any) -> "Console":
    """A rich Console that makes every string safe, in tables too, and takes no string for markup or emoji."""
    from rich.console import Console
    from rich.text import Text

    class SafeConsole(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(safe_text(text), **options)

    return SafeConsole(markup=False, emoji=False, highlight=False, **options)
