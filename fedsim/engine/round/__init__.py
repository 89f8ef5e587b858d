"""The round in six verbs, and what is measured of it."""
