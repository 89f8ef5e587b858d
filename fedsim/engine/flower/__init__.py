"""Flower, both ways: our nodes behind its engine, and its apps on ours."""
