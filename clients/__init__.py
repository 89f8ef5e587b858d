"""Local training on data and models: nodes of clients, their memories, the kernels that train them."""

if __name__ == "clients":  # imported as version one had it, from a checkout
    raise ModuleNotFoundError("No module named 'clients'; what fedsim had there is fedsim.clients now", name="clients")
