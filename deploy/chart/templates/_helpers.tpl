{{/* SPDX-License-Identifier: Apache-2.0
     Names and labels that several files need. The language is the part of Helm's that src/install/template.h lists: the
     same files are rendered by helm and by `weft install`. */}}

{{/* "" or "-<revision>": what names of this revision end in */}}
{{- define "weft.suffix" -}}
{{- if and .Values.revision (ne .Values.revision "default") -}}-{{ .Values.revision }}{{- end -}}
{{- end -}}

{{- define "weft.revision" -}}
{{ default "default" .Values.revision }}
{{- end -}}

{{- define "weft.tag" -}}
{{ default .Chart.AppVersion .Values.global.tag }}
{{- end -}}

{{/* of every object; the installer finds by them what an earlier version had and this one has not */}}
{{- define "weft.labels" -}}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: weft
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "weft.rev.labels" -}}
{{ include "weft.labels" . }}
istio.io/rev: {{ include "weft.revision" . | quote }}
{{- end -}}

{{- define "weft.ca.address" -}}
{{- if .Values.global.caAddress -}}
{{ .Values.global.caAddress }}
{{- else -}}
istiod{{ include "weft.suffix" . }}.{{ .Release.Namespace }}.svc:15012
{{- end -}}
{{- end -}}

{{- define "weft.cluster" -}}
{{ default "Kubernetes" .Values.global.multiCluster.clusterName }}
{{- end -}}

{{/* what is known before the user says anything: meshConfig is merged over it */}}
{{- define "weft.mesh.defaults" -}}
defaultConfig:
  discoveryAddress: istiod{{ include "weft.suffix" . }}.{{ .Release.Namespace }}.svc:15012
rootNamespace: {{ .Release.Namespace }}
{{- end -}}
