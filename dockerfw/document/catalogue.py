"""Common services and the ports they listen on unless told otherwise, for the rule form.

A convenience for people: no rule ever refers to an entry. Ports are those of IANA's registry or, where a
project chose its own, of that project's documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Service:
    """A service with what a rule for it would say; `ports` are texts as in a document."""

    name: str
    protocol: str
    ports: tuple[str, ...] = ()


SERVICES: Final[tuple[Service, ...]] = (
    Service("SSH", "tcp", ("22",)),
    Service("HTTP", "tcp", ("80",)),
    Service("HTTPS", "tcp", ("443",)),
    Service("HTTP/3", "udp", ("443",)),
    Service("DNS", "udp", ("53",)),
    Service("DNS over TCP", "tcp", ("53",)),
    Service("DNS over TLS", "tcp", ("853",)),
    Service("NTP", "udp", ("123",)),
    Service("WireGuard", "udp", ("51820",)),
    Service("OpenVPN", "udp", ("1194",)),
    Service("IPsec (IKE)", "udp", ("500", "4500")),
    Service("Mosh", "udp", ("60000-61000",)),
    Service("SMTP", "tcp", ("25",)),
    Service("Mail submission", "tcp", ("465", "587")),
    Service("IMAP", "tcp", ("143", "993")),
    Service("POP3", "tcp", ("110", "995")),
    Service("FTP", "tcp", ("21",)),
    Service("rsync", "tcp", ("873",)),
    Service("Git", "tcp", ("9418",)),
    Service("Samba", "tcp", ("445",)),
    Service("NFS", "tcp", ("2049",)),
    Service("LDAP", "tcp", ("389", "636")),
    Service("PostgreSQL", "tcp", ("5432",)),
    Service("MySQL", "tcp", ("3306",)),
    Service("MongoDB", "tcp", ("27017",)),
    Service("Redis", "tcp", ("6379",)),
    Service("Elasticsearch", "tcp", ("9200",)),
    Service("RabbitMQ", "tcp", ("5671", "5672")),
    Service("Kafka", "tcp", ("9092",)),
    Service("MQTT", "tcp", ("1883", "8883")),
    Service("Prometheus", "tcp", ("9090",)),
    Service("Node exporter", "tcp", ("9100",)),
    Service("Grafana", "tcp", ("3000",)),
    Service("SNMP", "udp", ("161",)),
    Service("Syslog", "udp", ("514",)),
    Service("Docker Swarm management", "tcp", ("2377",)),
    Service("Docker Swarm overlay", "udp", ("4789",)),
    Service("Docker Swarm gossip", "tcp", ("7946",)),
    Service("Kubernetes API", "tcp", ("6443",)),
    Service("SIP", "udp", ("5060",)),
    Service("STUN and TURN", "udp", ("3478",)),
    Service("Minecraft", "tcp", ("25565",)),
    Service("Remote Desktop", "tcp", ("3389",)),
    Service("VNC", "tcp", ("5900-5909",)),
    Service("Ping and ICMP", "icmp"),
)

# Ports at which databases listen, which the world has no business to reach.
DATABASES: Final[dict[str, tuple[int, ...]]] = {
    "PostgreSQL": (5432,),
    "MySQL": (3306, 33060),
    "Microsoft SQL Server": (1433,),
    "Oracle Database": (1521,),
    "MongoDB": (27017, 27018, 27019),
    "Redis": (6379,),
    "Memcached": (11211,),
    "Elasticsearch": (9200, 9300),
    "Cassandra": (9042,),
    "CouchDB": (5984,),
    "ClickHouse": (8123, 9440),
    "InfluxDB": (8086,),
    "Neo4j": (7474, 7687),
    "etcd": (2379, 2380),
    "RethinkDB": (28015,),
}
