"""Estimation of the parameters of evidence (`model_export.contract.evidence`).

pairs       known and simulated copies, random pairs, and nearest strangers
counting    chances of the levels, slope and threshold from counts
estimate    parameters of a data set
"""

from training.calibration.evidence.estimate import Embed, estimate_evidence, evidence_of_stage

__all__ = ["Embed", "estimate_evidence", "evidence_of_stage"]
