{{/* SPDX-License-Identifier: Apache-2.0
     The table of custom resources: names, versions and columns as Istio 1.31 and the Gateway API 1.6 (standard channel) have
     them. The schemas are open: weft's validating webhook knows the fields and answers with place and reason. */}}
{{- define "weft.crds" -}}
crds:
- {kind: VirtualService, group: networking.istio.io, plural: virtualservices, short: [vs], versions: [v1, v1beta1, v1alpha3], storage: v1, categories: [istio-io, networking-istio-io], programmed: true,
   columns: [{name: Gateways, type: string, jsonPath: .spec.gateways}, {name: Hosts, type: string, jsonPath: .spec.hosts}]}
- {kind: DestinationRule, group: networking.istio.io, plural: destinationrules, short: [dr], versions: [v1, v1beta1, v1alpha3], storage: v1, categories: [istio-io, networking-istio-io], programmed: true,
   columns: [{name: Host, type: string, jsonPath: .spec.host}]}
- {kind: Gateway, group: networking.istio.io, plural: gateways, short: [gw], versions: [v1, v1beta1, v1alpha3], storage: v1, categories: [istio-io, networking-istio-io], programmed: true, columns: []}
- {kind: ServiceEntry, group: networking.istio.io, plural: serviceentries, short: [se], versions: [v1, v1beta1, v1alpha3], storage: v1, categories: [istio-io, networking-istio-io], programmed: true,
   columns: [{name: Hosts, type: string, jsonPath: .spec.hosts}, {name: Location, type: string, jsonPath: .spec.location}, {name: Resolution, type: string, jsonPath: .spec.resolution}]}
- {kind: Sidecar, group: networking.istio.io, plural: sidecars, short: [], versions: [v1, v1beta1, v1alpha3], storage: v1, categories: [istio-io, networking-istio-io], columns: []}
- {kind: WorkloadEntry, group: networking.istio.io, plural: workloadentries, short: [we], versions: [v1, v1beta1, v1alpha3], storage: v1, categories: [istio-io, networking-istio-io],
   columns: [{name: Address, type: string, jsonPath: .spec.address}]}
- {kind: WorkloadGroup, group: networking.istio.io, plural: workloadgroups, short: [wg], versions: [v1, v1beta1, v1alpha3], storage: v1, categories: [istio-io, networking-istio-io], columns: []}
- {kind: EnvoyFilter, group: networking.istio.io, plural: envoyfilters, short: [], versions: [v1alpha3], storage: v1alpha3, categories: [istio-io, networking-istio-io], columns: []}
- {kind: ProxyConfig, group: networking.istio.io, plural: proxyconfigs, short: [], versions: [v1beta1], storage: v1beta1, categories: [istio-io, networking-istio-io], columns: []}
- {kind: AuthorizationPolicy, group: security.istio.io, plural: authorizationpolicies, short: [ap], versions: [v1, v1beta1], storage: v1, categories: [istio-io, security-istio-io],
   columns: [{name: Action, type: string, jsonPath: .spec.action}]}
- {kind: PeerAuthentication, group: security.istio.io, plural: peerauthentications, short: [pa], versions: [v1, v1beta1], storage: v1, categories: [istio-io, security-istio-io], programmed: true,
   columns: [{name: Mode, type: string, jsonPath: .spec.mtls.mode}]}
- {kind: RequestAuthentication, group: security.istio.io, plural: requestauthentications, short: [ra], versions: [v1, v1beta1], storage: v1, categories: [istio-io, security-istio-io], columns: []}
- {kind: Telemetry, group: telemetry.istio.io, plural: telemetries, short: [telemetry], versions: [v1alpha1, v1], storage: v1alpha1, categories: [istio-io, telemetry-istio-io], columns: []}
- {kind: WasmPlugin, group: extensions.istio.io, plural: wasmplugins, short: [], versions: [v1alpha1], storage: v1alpha1, categories: [istio-io, extensions-istio-io], columns: []}
- {kind: TrafficExtension, group: extensions.istio.io, plural: trafficextensions, short: [], versions: [v1alpha1], storage: v1alpha1, categories: [istio-io, extensions-istio-io], columns: []}
- {kind: GatewayClass, group: gateway.networking.k8s.io, plural: gatewayclasses, short: [gc], versions: [v1, v1beta1], storage: v1, categories: [gateway-api], cluster: true,
   columns: [{name: Controller, type: string, jsonPath: .spec.controllerName}, {name: Accepted, type: string, jsonPath: '.status.conditions[?(@.type=="Accepted")].status'}]}
- {kind: Gateway, group: gateway.networking.k8s.io, plural: gateways, short: [gtw], versions: [v1, v1beta1], storage: v1, categories: [gateway-api],
   columns: [{name: Class, type: string, jsonPath: .spec.gatewayClassName}, {name: Address, type: string, jsonPath: '.status.addresses[*].value'}, {name: Programmed, type: string, jsonPath: '.status.conditions[?(@.type=="Programmed")].status'}]}
- {kind: ListenerSet, group: gateway.networking.k8s.io, plural: listenersets, short: [lset], versions: [v1], storage: v1, categories: [gateway-api],
   columns: [{name: Accepted, type: string, jsonPath: '.status.conditions[?(@.type=="Accepted")].status'}]}
- {kind: HTTPRoute, group: gateway.networking.k8s.io, plural: httproutes, short: [], versions: [v1, v1beta1], storage: v1, categories: [gateway-api],
   columns: [{name: Hostnames, type: string, jsonPath: .spec.hostnames}]}
- {kind: GRPCRoute, group: gateway.networking.k8s.io, plural: grpcroutes, short: [], versions: [v1], storage: v1, categories: [gateway-api],
   columns: [{name: Hostnames, type: string, jsonPath: .spec.hostnames}]}
- {kind: TLSRoute, group: gateway.networking.k8s.io, plural: tlsroutes, short: [], versions: [v1, v1alpha3, v1alpha2], storage: v1, deprecated: [v1alpha3, v1alpha2], categories: [gateway-api],
   columns: [{name: Hostnames, type: string, jsonPath: .spec.hostnames}]}
- {kind: TCPRoute, group: gateway.networking.k8s.io, plural: tcproutes, short: [], versions: [v1, v1alpha2], storage: v1, deprecated: [v1alpha2], categories: [gateway-api], columns: []}
- {kind: UDPRoute, group: gateway.networking.k8s.io, plural: udproutes, short: [], versions: [v1, v1alpha2], storage: v1, deprecated: [v1alpha2], categories: [gateway-api], columns: []}
- {kind: ReferenceGrant, group: gateway.networking.k8s.io, plural: referencegrants, short: [refgrant], versions: [v1, v1beta1], storage: v1beta1, categories: [gateway-api], stateless: true, columns: []}
- {kind: BackendTLSPolicy, group: gateway.networking.k8s.io, plural: backendtlspolicies, short: [btlspolicy], versions: [v1, v1alpha3], storage: v1, deprecated: [v1alpha3], categories: [gateway-api], columns: []}
{{- end -}}
