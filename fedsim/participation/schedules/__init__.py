"""What a process comes to, round by round: written to a file, hashed, summed up, drawn."""
