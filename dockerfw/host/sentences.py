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
LINES_UNREAD = "{lines} that conntrack printed could not be read"
