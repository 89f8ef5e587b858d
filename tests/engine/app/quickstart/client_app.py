import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


def _data(context: Context) -> np.ndarray:
    return np.random.default_rng(int(context.node_config["partition-id"])).normal(size=(20, 4))


@app.train()
def train(message: Message, context: Context) -> Message:
    (model,) = message.content["arrays"].to_numpy_ndarrays()
    rows = _data(context)
    seen = context.state.config_records.setdefault("seen", ConfigRecord({"times": 0}))
    seen["times"] += 1
    for row in np.random.permutation(rows):  # noqa: NPY002 - as apps do
        model = model + 0.1 * (row - model) / seen["times"]
    metrics = MetricRecord({"num-examples": len(rows)})
    return Message(RecordDict({"arrays": ArrayRecord([model]), "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    (model,) = message.content["arrays"].to_numpy_ndarrays()
    loss = float(np.square(_data(context) - model).mean())
    metrics = MetricRecord({"num-examples": 20, "eval_loss": loss})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
