"""token-classification: entities, words, parts of speech."""
