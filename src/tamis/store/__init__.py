"""The only place that opens files: locations, atomic publishing, locks, shards, WARC, token shards, the workspace."""
