"""Real layers in int8: made so in the file, found again there, and measured."""
