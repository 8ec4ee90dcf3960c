"""From a spec and a plan to desired objects: pure functions, one file per kind of object."""
