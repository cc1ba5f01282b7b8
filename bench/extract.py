"""Extraction engines on pages whose text is known: word F1, segments kept and dropped, pages per CPU second.

    python bench/extract.py --warc web.warc.gz --truth web.truth.jsonl [--engines resiliparse,trafilatura] [--rounds 3]

The truth is JSON lines with `url`, `with`, `without`, `body` and `source`. Prints a table, then a JSON line per engine.
"""

import argparse
import json
from pathlib import Path

from tamis.lab import ALL_TEXT, compare, format_table
from tamis.stages.extract.engines import ENGINES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warc", type=Path, required=True)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--engines", default=",".join([*ENGINES, ALL_TEXT]), help="names, parted by commas")
    parser.add_argument("--limit", type=int, help="only so many pages")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows = compare(options.warc, options.truth, options.engines.split(","), options.limit, options.rounds)
    print(format_table(rows))
    for row in rows:
        print(json.dumps(row))


if __name__ == "__main__":
    main()
