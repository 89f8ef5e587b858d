"""Rounds without a server: models live at the nodes and go from host to host."""
