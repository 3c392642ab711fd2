"""The language of iptables-save: tokens, parser, model, and the canonical text of a rule."""
