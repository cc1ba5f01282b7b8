"""The output of the command line: progress during a run, tables and plans."""
