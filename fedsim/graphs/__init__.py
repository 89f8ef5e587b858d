"""Who is whose neighbour: the graphs that gossip runs on and that a walk walks on."""
