"""Nodes on Ray: the session, hosts as actors, and how models reach them."""
