"""Write `stages/filter/language_tables.json` and `language_names.json` from FineWeb2's configurations and ISO 639.

`python bench/make_language_tables.py --fineweb2 CHECKOUT --iso iso_639-3.json`: the checkout is one of
github.com/huggingface/fineweb-2 (Apache-2.0), the other file comes with Debian's package iso-codes. Of FineWeb2 only
figures and stop words are taken, one line per language, the largest subset of a language first.
"""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import yaml

TARGET = Path(__file__).parents[1] / "src" / "tamis" / "stages" / "filter"
SOURCE = "FineWeb2, Penedo et al. 2025 (arXiv 2506.20920), configs of github.com/huggingface/fineweb-2"
FIGURES = (
    "max_duplicate_line_fraction", "max_top_2gram_fraction", "max_top_3gram_fraction", "max_top_4gram_fraction",
    *(f"max_duplicate_{n}gram_fraction" for n in range(5, 11)), "min_mean_word_length", "max_mean_word_length",
    "max_words_without_letter_fraction", "min_punctuated_line_fraction", "max_newlines_per_word",
)  # fmt: skip
INDIVIDUAL = {
    "ara": "arb", "aym": "ayr", "aze": "azj", "est": "ekk", "ful": "fuv", "grn": "gug", "iku": "ike",
    "kom": "kpv", "kur": "kmr", "lav": "lvs", "mlg": "plt", "mon": "khk", "msa": "zsm", "nep": "npi", "nor": "nob",
    "oji": "ojb", "ori": "ory", "orm": "gaz", "pes": "fas", "pus": "pbt", "que": "quy", "sqi": "als", "swa": "swh",
    "tgl": "fil", "uzb": "uzn", "yid": "ydd", "zho": "cmn",
}  # fmt: skip
"""Macrolanguage of ISO 639-3 -> the language that FineWeb2, or most of what is written, means by it (and `pes`, which
FineWeb2 lists as `fas`)."""


def row(config: dict[str, Any]) -> list[Any]:
    """The figures of one language in the order of FIGURES, then its stop words that have a letter."""
    figures = [
        config["dup_line_frac"],
        *(share for _, share in sorted(config["top_n_grams"])),
        *(share for _, share in sorted(config["dup_n_grams"])),
        config["min_avg_word_length"],
        config["max_avg_word_length"],
        round(1 - config["max_non_alpha_words_ratio"], 6),
        config["line_punct_thr"],
        config["new_line_ratio"],
    ]
    assert len(figures) == len(FIGURES)
    stop_words = [word for word in map(str, config["stopwords"]) if any(c.isalpha() for c in word)]
    return [*figures, " ".join(dict.fromkeys(stop_words))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fineweb2", type=Path, required=True)
    parser.add_argument("--iso", type=Path, required=True)
    options = parser.parse_args()
    configs = {
        path.stem: yaml.safe_load(path.read_text("utf-8")) for path in (options.fineweb2 / "configs").glob("*.yml")
    }
    with (options.fineweb2 / "fineweb2-language-distribution.csv").open(encoding="utf-8") as stream:
        sizes = {line["subset"]: int(line["utf8_bytes"]) for line in csv.DictReader(stream) if line["split"] == "train"}
    order = sorted(configs, key=lambda code: (-sizes.get(code, 0), code))
    lines = ",\n".join(f"{json.dumps(code)}: {json.dumps(row(configs[code]), ensure_ascii=False)}" for code in order)
    head = json.dumps({"source": SOURCE, "license": "Apache-2.0", "figures": FIGURES}, indent=1)
    (TARGET / "language_tables.json").write_text(f'{head[:-2]},\n"languages": {{\n{lines}\n}}\n}}\n', "utf-8")
    known = json.loads(options.iso.read_text("utf-8"))["639-3"]
    two = {entry["alpha_2"]: entry["alpha_3"] for entry in known if "alpha_2" in entry}
    names = {"source": "ISO 639-3", "two_letters": two, "individual": INDIVIDUAL}
    (TARGET / "language_names.json").write_text(json.dumps(names, indent=None, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main()
