"""Model, data, optimizer, loop, checkpoint, scales: DCLM's fixed training recipe."""
