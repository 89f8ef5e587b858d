"""Local work that is not ours: a class of the user's, or a Flower app, one client after the other."""
