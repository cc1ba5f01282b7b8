"""What all others share: the schemas of recipes and experiments, columns, stage shapes, errors, seeds, cards, events."""
