"""Every column that stages agree on: its name, its Arrow type, who writes it and what it means."""

import pyarrow as pa

ID = "id"
"""string, written by pool: 32 hex digits, blake2b of (WARC-Record-ID, or url + content digest); never a row number."""

URL = "url"
"""string, written by pool: the target URI as recorded ('' when the record has none)."""

CONTENT = "content"
"""large_binary, written by pool, dropped by extract: the HTTP body (with transfer and content encodings decoded)."""

CONTENT_TYPE = "content_type"
"""string, written by pool, dropped by extract: the HTTP Content-Type header as it was sent, '' when it is absent."""

TEXT = "text"
"""string (UTF-8), written by pool (WET, JSONL, Parquet) or extract; the only column that later stages may change."""

METADATA = "metadata"
"""string, nullable, written by pool: JSON object of strings, the WARC record headers, as in DCLM's records. It is no
map, because `datasets` reads no Parquet file with a map."""

WARCINFO = "warcinfo"
"""string, nullable, written by pool: text of the warcinfo record in force, as in DCLM's records."""

EXTRA = "extra"
"""string, nullable, written by pool: JSON object of input fields that have no column here, so that none is lost."""

SOURCE_ID = "source_id"
"""string, nullable, written by pool: the id that the input gave to the record, in its own `id` or in the field that
`pool.id_column` names. It need not be unique."""

DROP_REASON = "drop_reason"
"""string, nullable: set by a stage to remove the row; the runner splits on it after every stage."""

ERROR = "error"
"""string, nullable: set by a stage to quarantine the row ('kind: detail'); the runner splits it off."""

TOKEN_IDS = "token_ids"
"""list<int32>, written by tokenize: ids of the document, end-of-text last; stored in token shards, not in Parquet."""

ENGINE_KEY = b"engine"
"""Metadata key of the `token_ids` field: library and version that made the ids."""
FALLBACK_KEY = b"fallback"
"""Metadata key of the `token_ids` field: why the fast engine was not used, where it was asked for and was not."""

NUM_TOKENS = "num_tokens"
"""int32, written by tokenize: length of token_ids."""

POOL_SCHEMA = pa.schema(
    [
        (ID, pa.string()),
        (URL, pa.string()),
        (METADATA, pa.string()),
        (WARCINFO, pa.string()),
        (EXTRA, pa.string()),
        (SOURCE_ID, pa.string()),
        (CONTENT, pa.large_binary()),
        (CONTENT_TYPE, pa.string()),
        (TEXT, pa.string()),
        (DROP_REASON, pa.string()),
        (ERROR, pa.string()),
    ]
)
"""What every Source yields. HTML sources leave `text` null, text sources leave `content` null; rows whose record could
not be read have `error` set, and rows outside the chosen part of the pool have `drop_reason` set."""
