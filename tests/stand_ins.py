"""Small files in place of every asset that a shipped recipe names: of the same kind, trained or written here."""

from pathlib import Path

import fasttext
import story

from tamis import fetch
from tamis.stages.quality.classifier import GOOD, POOL
from tamis.stages.quality.positives import python_topics
from tamis.stages.tokenize.bpe import train_tokenizer

VOCAB_SIZE = 1000
BANNED_HOST = "site3.example"
SENTENCES = {
    "de": story.GERMAN,
    "fr": "Le chien et le chat vont dans la forêt par une très belle journée, et ils y rencontrent un vieil ours. ",
    "es": "El perro y el gato van al bosque en un día muy hermoso, y allí se encuentran con un oso muy viejo. ",
    "it": "Il cane e il gatto vanno nel bosco in una giornata molto bella, e lì incontrano un vecchio orso. ",
}
WORDS = {
    "refinedweb-words-strict": ["neverinanyaddress", "copies.example/7"],
    "refinedweb-words-hard": ["page11"],
    "refinedweb-words-soft": ["page12", "site12"],
    "ldnoobw": ["neveronanypage", "basket"],
    "refinedweb-domains": [BANNED_HOST, "never.example"],
}


def write_stand_ins(folder: Path) -> None:
    """Fill `folder`, to be named by TAMIS_CACHE, with a stand-in of every asset."""
    folder.mkdir(parents=True, exist_ok=True)
    english = [" ".join(text.split()) for text in python_topics()[:300]]
    english += [" ".join(part.split()) for text in python_topics()[:100] for part in text.split("\n\n")]
    foreign = [(label, text * times) for label, text in SENTENCES.items() for times in range(1, 30)]
    languages = [f"__label__en {text}" for text in english] + [f"__label__{label} {text}" for label, text in foreign]
    _train(languages, folder, "lid176")
    good = [f"{GOOD} {text}" for text in english]
    _train(good + [f"{POOL} {text}" for _, text in foreign], folder, "dclm-quality")
    for name, words in WORDS.items():
        _file(folder, name).write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    _file(folder, "gpt-neox-20b").write_bytes(train_tokenizer(english, VOCAB_SIZE))


def _train(lines: list[str], folder: Path, name: str) -> None:
    path = folder / "train.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    model = fasttext.train_supervised(
        input=str(path), dim=8, epoch=10, lr=1.0, wordNgrams=2, bucket=2000, minCount=1, thread=1, seed=1, verbose=0
    )
    model.save_model(str(_file(folder, name)))
    path.unlink()


def _file(folder: Path, name: str) -> Path:
    return folder / fetch.get_asset(name).file_name
