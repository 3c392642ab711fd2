"""Run all of dockerfw from one terminal, in a sandbox or on the machine itself.

Owns the order in which the processes start and stop, where their data lies, and the sandbox's network
namespace. It must not load a rule outside that namespace: with --host only the root worker does.
"""
