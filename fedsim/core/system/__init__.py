"""What a process needs of its machine: files that are whole or not there, signals, the terminal, versions."""
