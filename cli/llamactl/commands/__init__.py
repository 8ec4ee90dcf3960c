"""One file per command; each module holds a click command named `command`."""
