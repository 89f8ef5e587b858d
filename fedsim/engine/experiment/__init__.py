"""What a run is made of, apart from where it runs, and the probe that looks at its updates."""

from fedsim.engine.experiment.parts import Experiment, build, objective_weights

__all__ = ["Experiment", "build", "objective_weights"]
