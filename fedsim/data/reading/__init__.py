"""How what a user has is read: files and their headers, and what targets are meant as."""
