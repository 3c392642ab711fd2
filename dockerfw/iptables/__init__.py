"""The language of iptables-save: tokens, parser, model, and when two spellings are the same rule."""
