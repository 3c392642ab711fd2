"""Common services and their default ports, for the rule form.

No rule refers to an entry. Ports are those of IANA's registry or, where a project chose its own, of that
project's documentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class CommonService:
    """A service with the protocol and ports of a rule for it; `ports` are texts as in a document."""

    name: str
    protocol: str
    ports: tuple[str, ...] = ()


SERVICES: Final[tuple[CommonService, ...]] = (
    CommonService("SSH", "tcp", ("22",)),
    CommonService("HTTP", "tcp", ("80",)),
    CommonService("HTTPS", "tcp", ("443",)),
    CommonService("HTTP/3", "udp", ("443",)),
    CommonService("DNS", "udp", ("53",)),
    CommonService("DNS over TCP", "tcp", ("53",)),
    CommonService("DNS over TLS", "tcp", ("853",)),
    CommonService("NTP", "udp", ("123",)),
    CommonService("WireGuard", "udp", ("51820",)),
    CommonService("OpenVPN", "udp", ("1194",)),
    CommonService("IPsec (IKE)", "udp", ("500", "4500")),
    CommonService("Mosh", "udp", ("60000-61000",)),
    CommonService("SMTP", "tcp", ("25",)),
    CommonService("Mail submission", "tcp", ("465", "587")),
    CommonService("IMAP", "tcp", ("143", "993")),
    CommonService("POP3", "tcp", ("110", "995")),
    CommonService("FTP", "tcp", ("21",)),
    CommonService("rsync", "tcp", ("873",)),
    CommonService("Git", "tcp", ("9418",)),
    CommonService("Samba", "tcp", ("445",)),
    CommonService("NFS", "tcp", ("2049",)),
    CommonService("LDAP", "tcp", ("389", "636")),
    CommonService("PostgreSQL", "tcp", ("5432",)),
    CommonService("MySQL", "tcp", ("3306",)),
    CommonService("MongoDB", "tcp", ("27017",)),
    CommonService("Redis", "tcp", ("6379",)),
    CommonService("Elasticsearch", "tcp", ("9200",)),
    CommonService("RabbitMQ", "tcp", ("5671", "5672")),
    CommonService("Kafka", "tcp", ("9092",)),
    CommonService("MQTT", "tcp", ("1883", "8883")),
    CommonService("Prometheus", "tcp", ("9090",)),
    CommonService("Node exporter", "tcp", ("9100",)),
    CommonService("Grafana", "tcp", ("3000",)),
    CommonService("SNMP", "udp", ("161",)),
    CommonService("Syslog", "udp", ("514",)),
    CommonService("Docker Swarm management", "tcp", ("2377",)),
    CommonService("Docker Swarm overlay", "udp", ("4789",)),
    CommonService("Docker Swarm gossip", "tcp", ("7946",)),
    CommonService("Kubernetes API", "tcp", ("6443",)),
    CommonService("SIP", "udp", ("5060",)),
    CommonService("STUN and TURN", "udp", ("3478",)),
    CommonService("Minecraft", "tcp", ("25565",)),
    CommonService("Remote Desktop", "tcp", ("3389",)),
    CommonService("VNC", "tcp", ("5900-5909",)),
    CommonService("Ping and ICMP", "icmp"),
)

_BY_PORTS: Final = {
    (service.protocol, port): service.name for service in reversed(SERVICES) for port in service.ports
}


def service_name(protocol: str, ports: Sequence[str]) -> str:
    """Return the name of the service that all of these ports belong to, empty where there is none.

    Ports of the web stand together: 80 and 443 over TCP are HTTPS.
    """
    if protocol == "tcp" and set(ports) == {"80", "443"}:
        return "HTTPS"
    names = {_BY_PORTS.get((protocol, port), "") for port in ports}
    return names.pop() if len(names) == 1 else ""


# Ports of databases, which should not be reachable from the internet.
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
