"""For users of Flower: a whole run as a Flower app."""
