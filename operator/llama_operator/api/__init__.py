"""The typed API: specs, statuses, conditions, names and errors that everything else speaks in."""
