"""Where nodes live: the grid that every engine has, the host that trains a node's clients or a Flower app, the serial grid."""
