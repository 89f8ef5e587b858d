"""What a strategy without a server is made of: graphs, mixing weights, asynchronous meetings."""
