"""A library about Chinese: pinyin, readings of hanzi, variants, annotation. No model."""
