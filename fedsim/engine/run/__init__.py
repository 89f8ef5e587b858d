"""One run from its first line to its exit code: the folder, the session, how it is resumed."""
