"""What an operator shows of itself: metrics, health and logs. It imports nothing of ours."""
