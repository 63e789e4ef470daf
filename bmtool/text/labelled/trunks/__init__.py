"""Small networks that read tokens, beside the encoder: a bag of n-grams, convolutions, a recurrent network."""
