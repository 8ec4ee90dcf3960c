{{/*
Arguments of `llama-operator run`, one a line; what has no value is left to the program's own default.
*/}}
{{- define "llama.args" -}}
{{- $v := .Values -}}
--operator-namespace={{ .Release.Namespace }}
--health-host={{ $v.operator.listenAddress }}
--health-port={{ $v.operator.port }}
{{- if include "llama.tlsSecret" . }}
--metrics-tls-dir=/etc/llama-metrics
{{- end }}
{{- if include "llama.clientCaSecret" . }}
--metrics-client-ca=/etc/llama-metrics-clients/ca.crt
{{- end }}
{{- if eq (include "llama.perObject" .) "true" }}
--metrics-per-object
{{- end }}
--workers={{ $v.workers }}
--log-format={{ $v.log.format }}
--log-level={{ $v.log.level }}
--pod-user-id={{ int64 $v.podUserId }}
--weights-image={{ include "llama.image" (dict "root" . "image" $v.weights.image) }}
--hf-token-secret={{ $v.weights.tokenSecret }}
--activator-image={{ include "llama.image" (dict "root" . "image" $v.image) }}
--keda-namespace={{ $v.autoscaling.kedaNamespace }}
--picker-image={{ include "llama.image" (dict "root" . "image" $v.routing.pickerImage) }}
{{- range $v.routing.gatewayNamespaces }}
--gateway-namespace={{ . }}
{{- else }}
--gateway-namespace=
{{- end }}
{{- range $name, $value := $v.severalNodes.env }}
--group-env={{ $name }}={{ $value }}
{{- end }}
{{- range $name, $count := $v.severalNodes.resources }}
--group-resource={{ $name }}={{ $count }}
{{- end }}
{{- with $v.autoscaling.prometheusAddress }}
--prometheus-address={{ . }}
{{- end }}
{{- with $v.watchNamespace }}
--watch-namespace={{ . }}
{{- end }}
{{- with $v.weights.runtimeClassName }}
--weights-runtime-class={{ . }}
{{- end }}
{{- with $v.weights.hubEndpoint }}
--hf-endpoint={{ . }}
{{- end }}
{{- range $v.metrics.monitoringNamespaces }}
--monitoring-namespace={{ . }}
{{- else }}
--monitoring-namespace=
{{- end }}
{{- if $v.extraModels }}
--models-file=/etc/llama-models/models.yaml
{{- end }}
{{- with $v.imageRegistry }}
--image-registry={{ . }}
{{- end }}
{{- with $v.traces.otlpEndpoint }}
--otlp-endpoint={{ . }}
{{- end }}
{{- with $v.proxy.http }}
--http-proxy={{ . }}
{{- end }}
{{- with $v.proxy.https }}
--https-proxy={{ . }}
{{- end }}
{{- range $v.proxy.noProxy }}
--no-proxy={{ . }}
{{- end }}
{{- with $v.caBundle.configMapName }}
--ca-bundle={{ . }}/{{ $v.caBundle.key }}
{{- end }}
{{- end }}
