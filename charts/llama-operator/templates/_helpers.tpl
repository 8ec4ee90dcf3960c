{{- define "llama.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The release's name, once: `helm install llama-operator` makes llama-operator. */}}
{{- define "llama.fullname" -}}
{{- $name := include "llama.name" . -}}
{{- $made := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{ .Values.fullnameOverride | default $made | trunc 52 | trimSuffix "-" }}
{{- end }}

{{/* A selector can never change, so it holds no version. */}}
{{- define "llama.selector" -}}
app.kubernetes.io/name: {{ include "llama.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{/* managed-by is Helm: the operator takes only what says llama-operator for its own. */}}
{{- define "llama.labels" -}}
{{ include "llama.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "llama.account" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "llama.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end }}

{{/* An image (`image`) of the chart (`root`): by digest or tag, from the mirror where one is named. */}}
{{- define "llama.image" -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.imageRegistry -}}
{{- $path := regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" $repository "" -}}
{{- $repository = printf "%s/%s" . $path -}}
{{- end -}}
{{- if .image.digest -}}
{{ $repository }}@{{ .image.digest }}
{{- else -}}
{{ $repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Pod Security `restricted`, the pod's half. */}}
{{- define "llama.podSecurity" -}}
runAsNonRoot: true
{{- with .Values.podUserId }}
runAsUser: {{ int64 . }}
runAsGroup: {{ int64 . }}
fsGroup: {{ int64 . }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Pod Security `restricted`, the container's half, and a read-only root. */}}
{{- define "llama.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* "true" where a kind of Prometheus Operator is wanted: list of root, value, kind. */}}
{{- define "llama.monitoring" -}}
{{- $root := index . 0 -}}{{- $wanted := index . 1 -}}
{{- if eq (toString $wanted) "auto" -}}
{{- $root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" (index . 2)) -}}
{{- else -}}
{{- $wanted -}}
{{- end -}}
{{- end }}

{{/* Name of what has no namespace: releases that serve one namespace each stand side by side. */}}
{{- define "llama.clusterName" -}}
{{ include "llama.fullname" . }}{{ with .Values.watchNamespace }}-{{ . }}{{ end }}
{{- end }}
