"""The numbers that every vocabulary of an encoder-decoder begins with; PAD is that of sources too."""

PAD, BEGIN, END, UNKNOWN = range(4)
