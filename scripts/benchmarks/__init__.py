"""Measure dockerfw beside its peers in the same run, so that a figure means something on any machine.

All measured rules were written by the product and loaded into a real kernel, in a network namespace. Nothing
is asserted: the aims are printed beside the figures.
"""
