"""From what pods report and write to a cause and a fix: pure, shared by the operator and llamactl.

known.py    what a cause is: name, meaning, fix, and the lines that give it away
causes/     the causes, as data, one file per theme
loglines.py a log as lines without their prefixes; which of them can tell of a failure
facts.py    what the log tells of the server's settings, for numbers in a fix
judge.py    a log, an exit code, a reason -> Diagnosis
pods.py     a pod and its log -> a cause
servers.py  all pods of a deployment -> the cause of `Degraded`, and of `llamactl doctor NAME`
events.py   what Kubernetes itself complains of, where a pod has nothing to tell yet
results.py  the last words of a weights Job, checked for their form
"""
