"""`fedsim new NAME`: a commented scenario to start from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fedsim.core import ScenarioError
from fedsim.core.system.files import atomic_write

SCHEMA_FILE = "fedsim.schema.json"

TEMPLATE = """\
# yaml-language-server: $schema=<schema>
#
#   fedsim validate <file>           check it
#   fedsim run <file>                run it
#   fedsim run <file> --set seed=2   ... with another value
#
# A key that is left out has its default. `fedsim list` shows what can be named; `fedsim schema` holds every key.

name: <name>
seed: 1                     # every random draw is a function of it: the same seed gives the same bits
rounds: 100

data:
  dataset: digits           # 1,797 real 8x8 images, bundled; also synthetic, quadratic, idx, cifar, npz
  clients: 50               # they are numbered from 0
  partition: {kind: dirichlet, alpha: 0.3}    # small alpha: few labels a client; also iid, shards, quantity

model: {name: mlp, hidden: [64]}              # also linear, lenet, cnn, resnet18-gn

client:                     # what a client does in one round
  local_steps: 5            # SGD steps; or local_epochs, passes over the client's examples
  batch_size: 16
  lr: 0.1
  # momentum: 0.9
  # weight_decay: 0.0001
  # proximal_mu: 0.01       # FedProx
  # lr_decay: 0.99          # the rate of round r is lr * lr_decay^(r-1)
  # lane: auto              # how many clients train in one batched stream; 1 is the plain loop

participation:              # who is there: the world's doing, the same for every strategy
  kind: bernoulli           # also full, uniform, markov, cyclic, schedule, trace, groups, ...
  probabilities: 0.2        # a number, a list with one entry a client, or a law:
  # probabilities: {law: label_dirichlet, alpha: 0.1, mean: 0.2, min: 0.02}

strategy:
  name: fedavg              # also fedvarp, fedstale, fedau, mifa, gossip
  normalise: participants   # or population, or inverse_probability (unbiased)
  server_lr: 1.0
  # server_optimizer: {kind: adam}            # or momentum, yogi, amplify, fedhyper, ...

evaluate: {every: 10}       # rounds between evaluations on held-out data; the last round always is evaluated

engine: {kind: auto}        # one process, or as many as there are cores, whatever ends sooner. Or, with the same bits:
# engine:
#   kind: ray               # or processes, on this machine without Ray; or serial
#   nodes: 4                # groups of clients; part of what decides the bits
#   hosts: 2                # processes that run the nodes; changes no bit
#   address: local          # or auto, or host:port of a running cluster

# metrics: {store: runs/fedsim.db}            # the database of all runs
# checkpoint: {every: 20}                     # `fedsim resume` continues with the same bits
# on_client_error: drop                       # a failing client is counted as crashed; default: fail
# sweep: {client.lr: [0.03, 0.1, 0.3], seed: [1, 2, 3]}    # one file, nine runs: `fedsim sweep`
"""


def new(
    name: Annotated[str, typer.Argument(help="The scenario's name.", show_default=False)],
    out: Annotated[str | None, typer.Option(metavar="FILE", help="Where to; default NAME.yaml here.")] = None,
) -> None:
    """Write a commented scenario to start from, and the schema that editors check it with."""
    from fedsim.scenario import from_dict, schema_text, slug

    name = name.removesuffix(".yaml")
    path = Path(out if out is not None else f"{slug(name)}.yaml")
    if path.exists():
        raise ScenarioError(f"{path} exists already; choose another name or place with --out")
    if not path.parent.is_dir():
        raise ScenarioError(f"there is no folder {path.parent}")
    quadratic = {"data": {"dataset": "quadratic", "centers": [[0.0]]}, "model": {"name": "point", "init": [0.0]}}
    from_dict({"name": name, "rounds": 1, **quadratic})  # refuses a name that no scenario may have
    schema = _schema_beside(path)
    text = TEMPLATE.replace("<schema>", schema.name).replace("<file>", path.name)
    atomic_write(path, text.replace("<name>", _quoted(name)).encode())
    typer.echo(f"wrote {path}; run it: fedsim run {path}")
    if not schema.exists():
        atomic_write(schema, schema_text().encode())
        typer.echo(f"wrote {schema}, with which editors complete and check scenarios in this folder")


def _schema_beside(path: Path) -> Path:
    """Return the schema file of the scenario's folder: `schema.json` when that is one of ours, else our own name."""
    shared = path.with_name("schema.json")
    ours = shared.is_file() and '"title": "fedsim scenario"' in shared.read_text(errors="replace")
    return shared if ours else path.with_name(SCHEMA_FILE)


def _quoted(name: str) -> str:
    """Return a name as YAML; JSON's quotes are YAML's double quotes."""
    plain = name.replace("-", "").replace("_", "")
    return name if plain.isascii() and plain.isalpha() and len(plain) > 5 else json.dumps(name, ensure_ascii=False)
