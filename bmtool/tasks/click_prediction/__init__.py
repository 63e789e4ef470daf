"""What was shown to somebody to the probability that it is taken: click-prediction."""
