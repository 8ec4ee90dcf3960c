{{/* Secret of the certificate of metrics and probes; empty: they come over HTTP. */}}
{{- define "llama.tlsSecret" -}}
{{- with .Values.metrics.tls -}}
{{- $made := and (ne .certManager.issuerRef.name "") (ne (toString .certManager.enabled) "false") -}}
{{- .secretName | default (ternary (printf "%s-metrics" (include "llama.fullname" $)) "" $made) -}}
{{- end -}}
{{- end }}

{{/* Where the Service is found from everywhere in the cluster. */}}
{{- define "llama.host" -}}
{{ include "llama.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end }}

{{/* The name in the certificate. */}}
{{- define "llama.tlsServerName" -}}
{{ (.Values.metrics.tls | default dict).serverName | default (include "llama.host" .) }}
{{- end }}

{{/* Secret with the authority of the certificate. */}}
{{- define "llama.tlsCaSecret" -}}
{{ .Values.metrics.tls.caSecretName | default (include "llama.tlsSecret" .) }}
{{- end }}

{{/* Secret with the authority of scrapers; empty: they need no certificate. */}}
{{- define "llama.clientCaSecret" -}}
{{- with (.Values.metrics.tls | default dict).clientCaSecretName -}}
{{- if not (include "llama.tlsSecret" $) -}}
{{- fail (printf "metrics.tls.clientCaSecretName: %s is of no use without TLS; name the operator's own certificate in metrics.tls.secretName, or an issuer in metrics.tls.certManager.issuerRef.name" .) -}}
{{- end -}}
{{ . }}
{{- end -}}
{{- end }}

{{/*
"true" where series of each object are wanted: by will, or since something of this release reads them. What
reads them would keep quiet without, and nobody would notice.
*/}}
{{- define "llama.perObject" -}}
{{- $metrics := .Values.metrics -}}{{- $readers := list -}}
{{- if eq (include "llama.monitoring" (list . $metrics.rules.enabled "PrometheusRule")) "true" -}}
{{- $readers = append $readers "metrics.rules.enabled" -}}
{{- end -}}
{{- if $metrics.dashboards.enabled -}}
{{- $readers = append $readers "metrics.dashboards.enabled" -}}
{{- end -}}
{{- $wanted := toString $metrics.perObject -}}
{{- if and (eq $wanted "false") $readers -}}
{{- fail (printf "metrics.perObject: false takes away the series that alerts and dashboards of this release read; leave it at auto, or set %s=false as well" (join "=false and " $readers)) -}}
{{- end -}}
{{ or (eq $wanted "true") (and (ne $wanted "false") (not (empty $readers))) }}
{{- end }}
