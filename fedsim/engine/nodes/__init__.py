"""Where nodes live: the grid that every engine has, the host of nodes or of a Flower app, the serial grid."""
