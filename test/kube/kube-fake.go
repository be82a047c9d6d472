// SPDX-License-Identifier: Apache-2.0
// kube-fake: nodes without machines. Every pod bound to one turns Running and
// Ready with an address of its own; nothing runs behind it. For control planes
// under load.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/netip"
	"strings"
	"time"

	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const prefix = "fake-"

var (
	ctx  = context.Background()
	now  = meta.Now
	kube *kubernetes.Clientset
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func register(name, ip string) {
	room := core.ResourceList{"cpu": resource.MustParse("1000"), "memory": resource.MustParse("1Ti"), "pods": resource.MustParse("10000")}
	n := &core.Node{
		ObjectMeta: meta.ObjectMeta{Name: name, Labels: map[string]string{"type": "fake", core.LabelHostname: name}},
		Spec:       core.NodeSpec{Taints: []core.Taint{{Key: "fake", Effect: core.TaintEffectNoSchedule}}},
		Status: core.NodeStatus{Capacity: room, Allocatable: room,
			Addresses:  []core.NodeAddress{{Type: core.NodeInternalIP, Address: ip}},
			Conditions: []core.NodeCondition{{Type: core.NodeReady, Status: core.ConditionTrue, Reason: "Fake", LastHeartbeatTime: now(), LastTransitionTime: now()}}},
	}
	kube.CoreV1().Nodes().Delete(ctx, name, meta.DeleteOptions{})
	_, err := kube.CoreV1().Nodes().Create(ctx, n, meta.CreateOptions{})
	must(err)
}

func renew(name string) {
	seconds, t := int32(40), meta.NowMicro()
	leases := kube.CoordinationV1().Leases(core.NamespaceNodeLease)
	l, err := leases.Get(ctx, name, meta.GetOptions{})
	if err != nil {
		_, err = leases.Create(ctx, &coordination.Lease{ObjectMeta: meta.ObjectMeta{Name: name},
			Spec: coordination.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: &seconds, RenewTime: &t}}, meta.CreateOptions{})
	} else {
		l.Spec.RenewTime = &t
		_, err = leases.Update(ctx, l, meta.UpdateOptions{})
	}
	if err != nil {
		log.Print(err)
	}
}

func main() {
	count := flag.Int("nodes", 1, "how many")
	first := flag.String("first-ip", "10.128.0.1", "pods' addresses count up from here")
	kubeconfig := flag.String("kubeconfig", "", "")
	workers := flag.Int("workers", 8, "")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	must(err)
	config.QPS, config.Burst = 1000, 1000
	kube = kubernetes.NewForConfigOrDie(config)
	ip, err := netip.ParseAddr(*first)
	must(err)
	for i := range *count {
		register(fmt.Sprint(prefix, i), fmt.Sprintf("10.127.%d.%d", i/250, i%250+1))
	}
	go func() {
		for ; ; time.Sleep(10 * time.Second) {
			for i := range *count {
				renew(fmt.Sprint(prefix, i))
			}
		}
	}()

	queue := make(chan *core.Pod, 100000)
	ips := make(chan string)
	go func() {
		for ; ; ip = ip.Next() {
			ips <- ip.String()
		}
	}()
	for range *workers {
		go func() {
			for p := range queue {
				pods := kube.CoreV1().Pods(p.Namespace)
				if p.DeletionTimestamp != nil {
					pods.Delete(ctx, p.Name, *meta.NewDeleteOptions(0))
					continue
				}
				q := p.DeepCopy()
				q.Status.Phase, q.Status.PodIP = core.PodRunning, <-ips
				q.Status.PodIPs = []core.PodIP{{IP: q.Status.PodIP}}
				t := now()
				q.Status.StartTime = &t
				for _, c := range []core.PodConditionType{core.PodScheduled, core.PodInitialized, core.ContainersReady, core.PodReady} {
					q.Status.Conditions = append(q.Status.Conditions, core.PodCondition{Type: c, Status: core.ConditionTrue, LastTransitionTime: t})
				}
				for _, c := range p.Spec.Containers {
					yes := true
					q.Status.ContainerStatuses = append(q.Status.ContainerStatuses, core.ContainerStatus{Name: c.Name, Image: c.Image, Ready: true,
						Started: &yes, State: core.ContainerState{Running: &core.ContainerStateRunning{StartedAt: t}}})
				}
				if _, err := pods.UpdateStatus(ctx, q, meta.UpdateOptions{}); err != nil && !strings.Contains(err.Error(), "not found") {
					log.Print(err)
				}
			}
		}()
	}
	see := func(o any) {
		p := o.(*core.Pod)
		if strings.HasPrefix(p.Spec.NodeName, prefix) && (p.DeletionTimestamp != nil || p.Status.Phase == core.PodPending) {
			queue <- p
		}
	}
	f := informers.NewSharedInformerFactoryWithOptions(kube, 0, informers.WithTweakListOptions(func(o *meta.ListOptions) {
		o.FieldSelector = fields.OneTermNotEqualSelector("spec.nodeName", "").String()
	}))
	f.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: see, UpdateFunc: func(_, o any) { see(o) }})
	f.Start(nil)
	select {}
}
