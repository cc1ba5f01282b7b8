"""Pool: the pages of a run and their ids, and the part of them that the run may use."""
