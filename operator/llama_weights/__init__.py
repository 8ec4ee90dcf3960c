"""What runs inside the download Job: a checkpoint, fetched, verified and published on a volume."""
