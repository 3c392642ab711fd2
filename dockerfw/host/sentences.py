"""What the host side tells admins: the reasons in failed commands, refused steps and outcomes."""

# A command: "`iptables-nft-restore -n -c` did not finish within 20 s".
NOT_INSTALLED = "cannot run: install the package {package}"
NOT_STARTED = "cannot run: {why}"
TIMED_OUT = "did not finish within {seconds:g} s"
TOO_MUCH_OUTPUT = "printed more than {bytes} bytes"
INTERRUPTED = "was interrupted"
KILLED = "was ended by signal {signal}"
FAILED = "failed with status {status}"
NOT_JSON = "printed what is not JSON: {error}"
UNREADABLE = "printed what cannot be read: {error}"
EMPTY_SAVE = "printed nothing although there are tables"

LOCK_HELD = "another process holds {path}"
NOT_RESTORED = "{families} still differ from the previous rules"

DISK_FULL = "The file system of {path} is full ({why}). Make room there, then try again"
DISK_READ_ONLY = "The file system of {path} is read-only. Make it writable, then try again"

# After "the order is refused, because ".
SIGNER_UNREADABLE = "the dashboard's public key {path} cannot be read on this host ({reason})"
SIGNER_NO_FILE = "the dashboard's public key {path} is not a plain file"
SIGNER_NOT_ROOTS = "users other than root can change the dashboard's public key {path}"
SIGNER_WRONG = "the dashboard's public key {path} cannot be used: {reason}"

NO_CONNTRACK = "conntrack is not installed on this host (Debian package conntrack)"
TOO_MANY_CONNECTIONS = "the kernel tracks {count} connections, and at most {most} are examined"
SESSIONS_TOOK_LONG = "examining the sessions took more than {seconds:g} s"
NO_SESSION_ENDED = "no session had to be ended"
SESSIONS_ENDED = "{sessions} ended"
SESSIONS_FAILED = "{count} could not be ended: {why}"
SESSIONS_LEFT = "{count} not ended, because it took more than {seconds:g} s"
SESSIONS_UNBOUND = "connections that rules for containers by name have allowed may continue: {why}"
LISTS_TOO_LONG = "connections that removed rules with long lists have allowed may continue"
LINES_UNREAD = "{lines} that conntrack printed could not be read"

SETS_NOT_CREATED = (
    "These rules need ipsets, which cannot be created on this host. Install the package ipset, and check that"
    " the kernel has ip_set: {why}"
)
IPSET_NOT_INSTALLED = "Long lists of sources need ipsets: install the package ipset"
NO_IP_SET = (
    "Long lists of sources need ipsets, which this kernel does not have: load its modules ip_set and"
    " ip_set_hash_net, or use a kernel that has them ({why})"
)
SETS_NOT_PERMITTED = (
    "Long lists of sources need ipsets, which this process may not change: it needs the capability NET_ADMIN"
    " ({why})"
)
STATIC_SETS_FAILED = "The ipsets of the rules' sources cannot be read or filled: {why}"
STATIC_SET_OF_OTHERS = (
    "The ipset {name} exists and is not dockerfw's: its type is {type}. Remove it: ipset destroy {name}"
)
STATIC_SETS_DIFFER = "The ipset {name} does not hold what it was filled with: another program changes it"
SET_NOT_FILLED = "An ipset cannot be filled: {why}"
SETS_NOT_READ = "The bound ipsets cannot be read: {why}"
SET_REFUSES = "The ipset {name} does not take {member}, or takes more than {most} members"
DOCKER_NOT_GIVEN = (
    "Rules name containers, and the root worker may not ask Docker for them: set DOCKERFW_DOCKER_SOCKET"
)
CONTAINERS_UNKNOWN = "Rules name containers, and Docker does not list them: {why}"

GROUP_SETS_FAILED = "The ipsets of lists cannot be filled: {why}"
GROUP_SETS_DIFFER = (
    "The ipset {name} does not hold what it was filled with: it has {found} of {wanted} members"
)

# The log of refused packets.
LOG_NOT_IN_KERNEL = "refused packets are not read: this kernel has no netlink for netfilter ({error})"
LOG_NOT_READABLE = "refused packets are not read: group {group} of the kernel's log cannot be bound ({error})"


def log_group_taken(group: int, reader: str) -> str:
    """Say which program reads the group already; an empty name is unknown."""
    return (
        f"refused packets are not read: {reader or 'another program'} reads group {group} of the kernel's log"
        " already. Set DOCKERFW_NFLOG_GROUP to another number, restart the root worker, and apply again"
    )
