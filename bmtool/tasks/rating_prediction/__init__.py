"""What somebody will think of something, as a number: rating-prediction."""
