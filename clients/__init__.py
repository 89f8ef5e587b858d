"""Local training on data and models: nodes of clients, their memories, the kernels that train them."""
