"""The only place that opens files: paths, atomic publishing, shards, WARC, token shards, the run directory."""
