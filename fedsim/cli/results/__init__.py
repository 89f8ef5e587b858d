"""Commands that read what runs have left."""
