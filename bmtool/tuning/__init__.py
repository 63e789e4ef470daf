"""Hyper-parameters: what varies, the study that proposes it, and a picture of what came."""
