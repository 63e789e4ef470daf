"""Models that read a sequence and write another, over any two vocabularies: the network, its search, its exported graphs."""
