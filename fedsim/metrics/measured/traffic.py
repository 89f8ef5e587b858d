"""What is sent: between server and clients, between nodes, and inside the engine."""

from __future__ import annotations

from fedsim.metrics.metric import Facts, Metric

SERVER: Facts = ("server",)
PEERS: Facts = ("peers",)

METRICS = (
    Metric("bytes_down", "bytes", "bytes a server would send: the model to every invited client"),
    Metric("bytes_up", "bytes", "bytes clients would send: a delta from every one that delivered"),
    Metric("messages", "messages", "messages between the engine and its nodes, both ways"),
    Metric("wire_bytes", "bytes", "bytes of the models and sums in those messages", when=SERVER),
    Metric("messages_attempted", "messages", "messages between nodes that were sent off", when=PEERS),
    Metric("messages_dropped", "messages", "messages between nodes that were lost", when=PEERS),
    Metric("messages_delivered", "messages", "messages between nodes that arrived", when=PEERS),
    Metric("messages_in_flight", "messages", "messages between nodes that are still under way", when=PEERS),
    Metric("bytes_exchanged", "bytes", "bytes that went from node to node", when=PEERS),
)
