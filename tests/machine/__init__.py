"""A complete Debian with its own systemd, in which dockerfw is installed, rebooted and switched off.

scripts/reboots uses these modules: the tree of files, the machine, its network, and the story that is played.
The machine is a container of systemd-nspawn. It changes rules only in its own network namespace.

Real: systemd as process 1, and what it makes of the units: accounts, the order of the start, restarts,
mounts, capabilities, filters of system calls; files, processes and a network of its own; Docker's daemon;
nf_tables, empty at each boot. Each boot has its own id, and CLOCK_BOOTTIME and CLOCK_MONOTONIC begin at 0.

Not real: the kernel is this machine's and goes on over a reboot, so nothing is seen of a boot loader, an
initramfs, modules that are not loaded yet, or real devices. A power cut ends all processes at one blow, but
loses nothing that was written and not yet on the disk. The boot's id lies over the kernel's: put there by
systemd-nspawn, and by a drop-in for the root worker, whose unit asks for a new /proc (`story.CONTAINER`).
Where this machine has cgroup v1, limits of memory, tasks and devices are not enforced. What apt and pip would
fetch was fetched before, since the machine has no way out; they install it there.
"""
