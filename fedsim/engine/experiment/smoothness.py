"""The smoothness L_i of each client's objective, where it is known in closed form: the weights of EF21-W.

f_i is L_i-smooth: its gradient changes at most by L_i times what the model changes by. A quadratic's L_i is its
curvature. For logistic regression it is the largest eigenvalue of X_i^T X_i / (4 n_i) (Richtarik et al., ICLR 2024),
X_i (n_i, d) with a column of ones for the bias that the model has; with more classes, and for least squares, the factor
1/4 is another one, the same for all clients, so that the weights w_i = L_i / sum_j L_j are the same.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from fedsim.core import ClientData, ScenarioError
from fedsim.core.contracts import Vector
from fedsim.data import Partitioned, QuadraticData

LINEAR = ("linear", "linear-regression")


def of(data: ClientData, model: Any) -> Vector:
    """Return L_i (N,).

    Raises
    ------
    ScenarioError : neither the data are quadratic nor the model linear.
    """
    if isinstance(data, QuadraticData):
        return np.asarray(data.curvature, np.float64)
    if model.name not in LINEAR or not isinstance(data, Partitioned):
        raise ScenarioError(
            f"uplink.weights: the smoothness is computed for quadratic data and linear models, not for {model.name}; "
            "list a weight for each client"
        )
    counts = data.num_examples.tolist()
    held = (data.rows(np.array([client]), np.arange(count)[None]).x[0] for client, count in enumerate(counts))
    return np.array([_largest(x) for x in held])


def _largest(x: Any) -> float:
    flat = np.asarray(x, np.float64).reshape(len(x), -1)
    rows = np.concatenate([flat, np.ones((len(flat), 1))], axis=1)
    gram = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    return float(np.linalg.eigvalsh(gram)[-1] / (4 * len(rows)))


def scales(
    given: Literal["smoothness"] | tuple[float, ...] | None, data: ClientData, weights: Vector, model: Any
) -> tuple[float, ...] | None:
    """Return s_i = a_i / w_i by which EF21-W's clients multiply what they code; None where all are 1."""
    if given is None:
        return None
    found = of(data, model) if given == "smoothness" else np.array(given, np.float64)
    if len(found) != len(weights):
        raise ScenarioError(f"uplink.weights: has {len(found)} entries for {len(weights)} clients")
    return tuple((weights * found.sum() / found).tolist())
