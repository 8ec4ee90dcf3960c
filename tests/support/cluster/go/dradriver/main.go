// Dradriver publishes GPUs that do not exist as devices of dynamic resource allocation, so that the
// scheduler really allocates claims and the kubelet really prepares them on a machine without GPUs.
//
// Its devices look like those of NVIDIA's driver: their type, their product and their memory. A claim
// that is prepared leaves a file with the names of its devices until it is given back. Devices are
// not put into containers: Debian's containerd does not know CDI yet.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	api "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/dynamic-resource-allocation/kubeletplugin"
	"k8s.io/dynamic-resource-allocation/resourceslice"
)

type driver struct {
	name     string
	prepared string
}

func (d *driver) PrepareResourceClaims(_ context.Context, claims []*api.ResourceClaim) (map[types.UID]kubeletplugin.PrepareResult, error) {
	results := map[types.UID]kubeletplugin.PrepareResult{}
	for _, claim := range claims {
		results[claim.UID] = d.prepare(claim)
	}
	return results, nil
}

func (d *driver) prepare(claim *api.ResourceClaim) kubeletplugin.PrepareResult {
	var result kubeletplugin.PrepareResult
	var names []string
	for _, each := range claim.Status.Allocation.Devices.Results {
		if each.Driver != d.name {
			continue
		}
		names = append(names, each.Device)
		result.Devices = append(result.Devices, kubeletplugin.Device{
			Requests: []string{each.Request}, PoolName: each.Pool, DeviceName: each.Device,
		})
	}
	content := []byte(strings.Join(names, "\n") + "\n")
	result.Err = os.WriteFile(d.file(claim.UID), content, 0o644)
	return result
}

func (d *driver) UnprepareResourceClaims(_ context.Context, claims []kubeletplugin.NamespacedObject) (map[types.UID]error, error) {
	results := map[types.UID]error{}
	for _, claim := range claims {
		err := os.Remove(d.file(claim.UID))
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		results[claim.UID] = err
	}
	return results, nil
}

func (d *driver) HandleError(_ context.Context, err error, message string) {
	log.Printf("%s: %v", message, err)
}

func (d *driver) file(claim types.UID) string {
	return filepath.Join(d.prepared, string(claim))
}

func devices(count int, product, memory string) []api.Device {
	kind, size := "gpu", resource.MustParse(memory)
	found := make([]api.Device, count)
	for i := range found {
		found[i] = api.Device{
			Name: fmt.Sprintf("gpu-%d", i),
			Attributes: map[api.QualifiedName]api.DeviceAttribute{
				"type":        {StringValue: &kind},
				"productName": {StringValue: &product},
			},
			Capacity: map[api.QualifiedName]api.DeviceCapacity{"memory": {Value: size}},
		}
	}
	return found
}

func run(ctx context.Context) error {
	name := flag.String("driver", "gpu.nvidia.com", "name of the driver")
	node := flag.String("node", "", "name of the node")
	config := flag.String("kubeconfig", "", "kubeconfig of the driver")
	prepared := flag.String("prepared", "", "directory with a file for each prepared claim")
	count := flag.Int("count", 4, "number of devices")
	product := flag.String("product", "NVIDIA L4", "product of the devices")
	memory := flag.String("memory", "23034Mi", "memory of a device")
	flag.Parse()
	access, err := clientcmd.BuildConfigFromFlags("", *config)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(access)
	if err != nil {
		return err
	}
	data := filepath.Join(kubeletplugin.KubeletPluginsDir, *name)
	if err := os.MkdirAll(data, 0o755); err != nil {
		return err
	}
	helper, err := kubeletplugin.Start(ctx, &driver{*name, *prepared},
		kubeletplugin.DriverName(*name), kubeletplugin.NodeName(*node),
		kubeletplugin.KubeClient(client), kubeletplugin.PluginDataDirectoryPath(data))
	if err != nil {
		return err
	}
	defer helper.Stop()
	slice := resourceslice.Slice{Devices: devices(*count, *product, *memory)}
	pools := map[string]resourceslice.Pool{*node: {Slices: []resourceslice.Slice{slice}}}
	if err := helper.PublishResources(ctx, resourceslice.DriverResources{Pools: pools}); err != nil {
		return err
	}
	log.Printf("%d x %s", *count, *product)
	<-ctx.Done()
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}
