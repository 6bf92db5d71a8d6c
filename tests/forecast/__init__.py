"""The forecast on a real server: what it foresees, and whether that comes."""
