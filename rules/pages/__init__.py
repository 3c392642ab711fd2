"""The parts that all pages share: frame, forms, words and hosts."""
