"""What a section of a scenario is made of: choices by a word, catalogues by file name, input files, plain values."""
