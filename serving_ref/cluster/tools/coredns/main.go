// CoreDNS with the plugins of a cluster's DNS alone: the full set brings the libraries of three clouds, and its
// order asks `template` before `kubernetes`. See https://coredns.io/manual/toc/#plugins on plugins and their order.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
)

func main() {
	dnsserver.Directives = []string{"bind", "ready", "health", "errors", "kubernetes", "template"}
	coremain.Run()
}
