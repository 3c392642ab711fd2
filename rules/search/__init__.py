"""One search over a host: pages, rules, groups, containers, ports, revisions and the documentation."""
