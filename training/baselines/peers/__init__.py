"""Published cold-start recommenders, which learn from pairs of users and streamers."""

from training.baselines.peers.clcrec import clcrec
from training.baselines.peers.dropoutnet import dropoutnet
from training.baselines.peers.heater import heater
from training.baselines.peers.lightfm import lightfm
from training.baselines.peers.two_tower import two_tower

__all__ = ["clcrec", "dropoutnet", "heater", "lightfm", "two_tower"]
