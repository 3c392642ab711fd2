"""Measure dockerfw beside its peers in the same run, so that a figure means something on any machine.

Owns no rule that the product does not write: what is measured was loaded into a real kernel, in a network
namespace. It asserts nothing; the aims stand beside the figures.
"""
