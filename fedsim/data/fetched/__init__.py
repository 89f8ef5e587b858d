"""Datasets that `fedsim data get` brings, one file each, named by its word in a scenario; their sources lie beside."""
