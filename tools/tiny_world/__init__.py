"""Makes the small world model set that ships with the pack: data, training, measurement, export. See MODEL_CARD.md."""
