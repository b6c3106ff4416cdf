"""A simulated plant whose true defect probabilities are known: material for tests, proofs and the demo."""

from qma_predict.data.simulate.files import write_plant
from qma_predict.data.simulate.simulation import Plant, simulate

__all__ = ["Plant", "simulate", "write_plant"]
