"""What all others share: schemas of recipes and experiments, columns, stage shapes, errors, seeds, cards, events."""
