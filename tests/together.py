"""Trainings, one after the other, of processes that torchrun starts: `torchrun ... together.py [[CONFIG, [SETTING, ...]], ...]` (JSON)."""

import json
import sys

import torch

from bmtool.commands.train import pretrain
from bmtool.engine import distributed

with distributed.process_group(torch.device("cpu")):
    for config, settings in json.loads(sys.argv[1]):
        pretrain(config, settings)
