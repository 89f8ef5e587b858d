"""Where nodes live: the grid that every engine has, the host that trains a node's clients, the serial grid."""
