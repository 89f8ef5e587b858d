"""Code that is not ours: found by a reference, imported once, known by its source, carried to other machines."""
