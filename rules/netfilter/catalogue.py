"""A catalogue of common services, for filling in a rule's protocol and ports.

Owns names and ports only (IANA's registry, and the services' own manuals where they use others). A name here
is a help for typing; a rule keeps no link to it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Service:
    """A service and where clients reach it."""

    name: str
    protocol: str
    ports: tuple[str, ...]


SERVICES: tuple[Service, ...] = (
    Service("SSH", "tcp", ("22",)),
    Service("HTTP", "tcp", ("80",)),
    Service("HTTPS", "tcp", ("443",)),
    Service("HTTP/3", "udp", ("443",)),
    Service("DNS", "udp", ("53",)),
    Service("DNS over TCP", "tcp", ("53",)),
    Service("WireGuard", "udp", ("51820",)),
    Service("OpenVPN", "udp", ("1194",)),
    Service("IPsec", "udp", ("500", "4500")),
    Service("Mail submission", "tcp", ("465", "587")),
    Service("Mail exchange", "tcp", ("25",)),
    Service("IMAP", "tcp", ("143", "993")),
    Service("NTP", "udp", ("123",)),
    Service("PostgreSQL", "tcp", ("5432",)),
    Service("MySQL", "tcp", ("3306",)),
    Service("Redis", "tcp", ("6379",)),
    Service("MongoDB", "tcp", ("27017",)),
    Service("Elasticsearch", "tcp", ("9200",)),
    Service("RabbitMQ", "tcp", ("5672",)),
    Service("MQTT", "tcp", ("1883", "8883")),
    Service("LDAP", "tcp", ("389", "636")),
    Service("SMB", "tcp", ("445",)),
    Service("NFS", "tcp", ("2049",)),
    Service("Syslog", "udp", ("514",)),
    Service("SNMP", "udp", ("161",)),
    Service("Prometheus", "tcp", ("9090",)),
    Service("Node exporter", "tcp", ("9100",)),
    Service("Docker Swarm", "tcp", ("2377", "7946")),
    Service("Docker overlay network", "udp", ("4789", "7946")),
    Service("Ping", "icmp", ()),
)
