"""Documents to token shards on one core, beside `encode_batch` of the library `tokenizers`: see `tokenizing.py`.

    python bench/tokenize.py --docs FILE --tokenizer tokenizer.json [--repeats 3] [--random-words MEGABYTES]

This folder is the first place where the benchmarks look for modules, and the standard library has one of this name:
who imports it gets that one.
"""

import sysconfig
from pathlib import Path

if __name__ == "__main__":
    from tokenizing import main

    main()
else:
    _file = Path(sysconfig.get_path("stdlib")) / "tokenize.py"
    exec(compile(_file.read_bytes(), str(_file), "exec"))
