// What judges policies for images has a module of its own: its dependencies are not Kubernetes 1.36's.
module llamactl.dev/policy

go 1.26.0
