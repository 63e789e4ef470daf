"""Linear models of how often n-grams occur: scikit-learn fits them, arrays are kept, and numpy and one graph answer."""
