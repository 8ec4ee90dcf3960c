"""From what pods report to a cause and a fix: pure, and shared by the operator and llamactl."""
