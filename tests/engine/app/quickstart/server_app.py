import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    strategy = FedAvg(fraction_train=0.5, fraction_evaluate=1.0, min_train_nodes=2)
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord([np.zeros(4)]),
        num_rounds=int(context.run_config["num-server-rounds"]),
    )
    (model,) = result.arrays.to_numpy_ndarrays()
    losses = [record["eval_loss"] for record in result.evaluate_metrics_clientapp.values()]
    np.savez(str(context.run_config["out"]), model=model, losses=losses)
