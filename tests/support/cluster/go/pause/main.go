// Pause does nothing, as process 1 of a pod's sandbox and of the node's process namespace.
//
// It adopts and reaps orphans (containerd's shims detach themselves) and ends on SIGTERM or SIGINT.
// "pause sleep" and the like are accepted and ignored, since a pod may name a command.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		reap()
	}
}

func reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if pid <= 0 || err != nil {
			return
		}
	}
}
