// SPDX-License-Identifier: Apache-2.0
// kube-dns: names of Services and Pods from the cluster's own API, nothing else.
// It knows no upstream: what the cluster doesn't name doesn't exist.
package main

import (
	"encoding/binary"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelist "k8s.io/client-go/listers/core/v1"
	discoverylist "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/clientcmd"
)

var (
	domain     = flag.String("domain", "cluster.local", "cluster domain")
	kubeconfig = flag.String("kubeconfig", "", "empty: the pod's own account")
	standin    = flag.String("conf", "", "any value: answer NXDOMAIN to everything (stands in for a CoreDNS)")
	services   corelist.ServiceLister
	slices     discoverylist.EndpointSliceLister
)

const ttl = 5

// One name's answers. A name may exist and still have none of the type asked.
type answer struct {
	exists bool
	ips    []netip.Addr
	cname  string
	srv    []dnsmessage.SRVResource
	ptr    string
}

func (a *answer) ip(s string) {
	if ip, err := netip.ParseAddr(s); err == nil {
		a.exists, a.ips = true, append(a.ips, ip)
	}
}

// endpoints calls f for each address of a headless Service.
func endpoints(s *core.Service, f func(ip, host string, ports []discovery.EndpointPort)) {
	sel := labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: s.Name})
	all, _ := slices.EndpointSlices(s.Namespace).List(sel)
	for _, sl := range all {
		for _, e := range sl.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready && !s.Spec.PublishNotReadyAddresses {
				continue
			}
			for _, ip := range e.Addresses {
				host := strings.NewReplacer(".", "-", ":", "-").Replace(ip)
				if e.Hostname != nil && *e.Hostname != "" {
					host = *e.Hostname
				}
				f(ip, host, sl.Ports)
			}
		}
	}
}

func lookup(name string) (a answer) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if strings.HasSuffix(name, ".in-addr.arpa") {
		return reverse(strings.TrimSuffix(name, ".in-addr.arpa"))
	}
	rest, ok := strings.CutSuffix(name, "."+*domain)
	if !ok {
		a.exists = name == *domain
		return
	}
	l := strings.Split(rest, ".")
	kind, l := l[len(l)-1], l[:len(l)-1]
	switch {
	case kind == "pod" && len(l) == 2:
		if strings.Count(l[0], "-") == 3 {
			a.ip(strings.ReplaceAll(l[0], "-", "."))
		}
		return
	case kind != "svc" || len(l) < 2 || len(l) > 4:
		a.exists = (kind == "svc" || kind == "pod") && len(l) < 2
		return
	}
	s, err := services.Services(l[len(l)-1]).Get(l[len(l)-2])
	if err != nil {
		return
	}
	headless := s.Spec.ClusterIP == core.ClusterIPNone
	self := s.Name + "." + s.Namespace + ".svc." + *domain + "."
	switch l = l[:len(l)-2]; len(l) {
	case 0:
		a.exists = true
		if s.Spec.Type == core.ServiceTypeExternalName {
			a.cname = strings.TrimSuffix(s.Spec.ExternalName, ".") + "."
		} else if headless {
			endpoints(s, func(ip, _ string, _ []discovery.EndpointPort) { a.ip(ip) })
		} else {
			for _, ip := range s.Spec.ClusterIPs {
				a.ip(ip)
			}
		}
	case 1:
		if headless {
			endpoints(s, func(ip, host string, _ []discovery.EndpointPort) {
				if host == l[0] {
					a.ip(ip)
				}
			})
		}
	case 2:
		add := func(port int32, target string) {
			n, err := dnsmessage.NewName(target)
			if err == nil {
				a.exists = true
				a.srv = append(a.srv, dnsmessage.SRVResource{Weight: 100, Port: uint16(port), Target: n})
			}
		}
		match := func(port, proto string) bool {
			return l[0] == "_"+port && l[1] == "_"+strings.ToLower(proto)
		}
		if !headless {
			for _, p := range s.Spec.Ports {
				if match(p.Name, string(p.Protocol)) {
					add(p.Port, self)
				}
			}
			return
		}
		endpoints(s, func(_, host string, ports []discovery.EndpointPort) {
			for _, p := range ports {
				if p.Name != nil && p.Protocol != nil && p.Port != nil && match(*p.Name, string(*p.Protocol)) {
					add(*p.Port, host+"."+self)
				}
			}
		})
	}
	return
}

func reverse(name string) (a answer) {
	l := strings.Split(name, ".")
	for i, j := 0, len(l)-1; i < j; i, j = i+1, j-1 {
		l[i], l[j] = l[j], l[i]
	}
	ip := strings.Join(l, ".")
	all, _ := services.List(labels.Everything())
	for _, s := range all {
		if s.Spec.ClusterIP == ip {
			return answer{exists: true, ptr: s.Name + "." + s.Namespace + ".svc." + *domain + "."}
		}
	}
	return
}

func respond(in []byte, limit int) []byte {
	var m dnsmessage.Message
	if m.Unpack(in) != nil || m.Response || len(m.Questions) != 1 {
		return nil
	}
	for _, r := range m.Additionals { // EDNS: the asker takes more than 512 bytes
		if r.Header.Type == dnsmessage.TypeOPT && limit == 512 && r.Header.Class > 512 {
			limit = int(min(r.Header.Class, 4096))
		}
	}
	q := m.Questions[0]
	a := lookup(q.Name.String())
	m.Response, m.Authoritative, m.Answers, m.Authorities, m.Additionals = true, true, nil, nil, nil
	put := func(t dnsmessage.Type, b dnsmessage.ResourceBody) {
		m.Answers = append(m.Answers, dnsmessage.Resource{Body: b, Header: dnsmessage.ResourceHeader{
			Name: q.Name, Type: t, Class: dnsmessage.ClassINET, TTL: ttl}})
	}
	if !a.exists {
		m.RCode = dnsmessage.RCodeNameError
	}
	if n, err := dnsmessage.NewName(a.cname); err == nil && a.cname != "" {
		put(dnsmessage.TypeCNAME, &dnsmessage.CNAMEResource{CNAME: n})
	}
	for _, ip := range a.ips {
		if ip.Is4() && q.Type == dnsmessage.TypeA {
			put(q.Type, &dnsmessage.AResource{A: ip.As4()})
		} else if ip.Is6() && q.Type == dnsmessage.TypeAAAA {
			put(q.Type, &dnsmessage.AAAAResource{AAAA: ip.As16()})
		}
	}
	for i := range a.srv {
		if q.Type == dnsmessage.TypeSRV {
			put(q.Type, &a.srv[i])
		}
	}
	if n, err := dnsmessage.NewName(a.ptr); err == nil && a.ptr != "" && q.Type == dnsmessage.TypePTR {
		put(q.Type, &dnsmessage.PTRResource{PTR: n})
	}
	out, err := m.Pack()
	if err == nil && len(out) > limit {
		m.Answers, m.Truncated = nil, true
		out, err = m.Pack()
	}
	if err != nil {
		return nil
	}
	return out
}

func tcp(c net.Conn) {
	defer c.Close()
	var n [2]byte
	for {
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadFull(c, n[:]); err != nil {
			return
		}
		in := make([]byte, binary.BigEndian.Uint16(n[:]))
		if _, err := io.ReadFull(c, in); err != nil {
			return
		}
		out := respond(in, 65535)
		if out == nil {
			return
		}
		c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...))
	}
}

func main() {
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	f := informers.NewSharedInformerFactory(kubernetes.NewForConfigOrDie(config), 0)
	services, slices = f.Core().V1().Services().Lister(), f.Discovery().V1().EndpointSlices().Lister()
	if *standin == "" {
		f.Start(nil)
		f.WaitForCacheSync(nil)
	}
	u, err := net.ListenPacket("udp", ":53")
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", ":53")
	if err != nil {
		log.Fatal(err)
	}
	go http.ListenAndServe(":8181", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	go func() {
		for {
			if c, err := l.Accept(); err == nil {
				go tcp(c)
			}
		}
	}()
	b := make([]byte, 4096)
	for {
		n, from, err := u.ReadFrom(b)
		if err != nil {
			log.Fatal(err)
		}
		if out := respond(b[:n], 512); out != nil {
			u.WriteTo(out, from)
		}
	}
}
