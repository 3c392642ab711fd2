"""Run all of dockerfw from one terminal, in a sandbox or on the machine itself.

This package starts and stops the processes in order, chooses the folders for their data, and creates the
sandbox's network namespace. Outside that namespace it loads no rules: with --host only the root worker does.
"""
