"""What the state directory tells admins: why a backup or a restore is refused, and what an event says."""

WORKER_RUNNING = "The root worker is running: stop it first."
WINDOW_OPEN = "An apply waits for confirmation: keep it or roll it back, or wait until its window has ended."
APPLY_UNFINISHED = "An apply did not finish on this host: start the root worker, which ends it, then stop it."

RESTORE_UNFINISHED = (
    "A restore did not finish{which}: database, settings and the root worker's state may come from two"
    " installations. What it replaced is kept under names that end in {names}, the state in {folder}."
)
RESTORE_WHICH = " (of the backup made at {backup}, started at {since})"
RESTORE_AGAIN = "Stop dockerfw and restore again: {command} restore FILE --replace"

EVENTS_DROPPED = (
    "{count} events were dropped, from {first} to {last}: the clerk did not collect them, and there were too"
    " many. Events of the console were kept as long as there were others to drop."
)

BINDER_SILENT = "the process that fills the bound sets has not looked for {seconds:.0f} seconds"

LIST_PARTS_FULL = "more than {most} parts of lists wait for their order"
LIST_INCOMPLETE = "part {part} of {parts} of the list {definition} has not arrived"
LIST_CHANGED = "the list {definition} is not what the order says"
LIST_WRONG = "the list {definition} cannot be read: {why}"
