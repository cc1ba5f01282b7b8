"""Documents of a run as files for other programs: Parquet, or JSONL of DCLM, Dolma or datatrove, with a dataset card"""
